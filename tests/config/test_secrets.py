"""Secrets: no text that natsched makes of the settings has one."""

import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from natsched.config import Settings, load, show
from natsched.errors import ConfigError
from tests.config.writing import loaded, refusal, toml

SECRET = "hunter2-Zq9"


@pytest.mark.parametrize(
    "text",
    [
        f'[nats]\ntoken = "{SECRET}"',
        f'[http]\ntoken = "{SECRET}"',
        f'[nats]\nuser = "u"\npassword = "{SECRET}"',
        f'[nats]\nservers = ["nats://user:{SECRET}@host:4222"]',
        f'[nats]\nservers = ["nats://{SECRET}@host:4222", "nats://b"]',
        f'[nats]\nservers = ["nats://user:{SECRET}@{SECRET}@host:4222"]',
    ],
)
@pytest.mark.parametrize(
    "render", [repr, str, show, Settings.model_dump_json, lambda settings: repr((settings.nats, settings.http))]
)
def test_no_rendering_of_the_settings_has_a_secret(
    tmp_path: Path, text: str, render: Callable[[Settings], str]
) -> None:
    shown = render(loaded(tmp_path, text))
    assert SECRET not in shown
    assert "****" in shown


def test_the_settings_themselves_have_the_secrets(tmp_path: Path) -> None:
    nats = loaded(tmp_path, f'[nats]\nservers = ["nats://user:{SECRET}@host:4222"]').nats
    assert nats.servers == (f"nats://user:{SECRET}@host:4222",)
    token = loaded(tmp_path, f'[nats]\ntoken = "{SECRET}"').nats.token
    assert token is not None
    assert token.get_secret_value() == SECRET


@pytest.mark.parametrize(
    "text",
    [
        f'[nats]\ntoken = "{SECRET}"\nuser = "u"',
        f'[nats]\npassword = "{SECRET}"',
        f'[nats]\ntoken = ["{SECRET}"]',
        f'[nats]\ntoken = "{SECRET}"\nservrs = []',
        f'[nats]\nservers = ["http://user:{SECRET}@host"]',
        f'[nats]\nservers = ["nats://user:{SECRET}@host:port"]',
        f'[nats]\nservers = ["nats://user:{SECRET}@ho\u2100st:4222"]',
        f'[nats]\nservers = ["nats://user:{SECRET}@host:4222/path"]',
        f'[nats]\nservers = [["{SECRET}"]]',
        f'nats = "{SECRET}"',
    ],
)
def test_no_error_has_a_secret_nor_has_its_traceback(tmp_path: Path, text: str) -> None:
    path = toml(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load(path, environ={})
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert SECRET not in repr(caught.value.details)


@pytest.mark.parametrize(
    "text",
    [
        '[nats]\ntoken = "********"',
        '[http]\ntoken = "********"',
        '[nats]\nuser = "u"\npassword = "********"',
        '[nats]\nservers = ["nats://user:********@host:4222"]',
        '[nats]\nservers = ["nats://********@host:4222"]',
    ],
)
def test_a_mask_is_not_taken_for_a_secret(tmp_path: Path, text: str) -> None:
    assert "the mask that `natsched config show` prints: write the secret itself" in refusal(tmp_path, text)


def test_a_variable_gives_the_secret_that_a_file_only_masks(tmp_path: Path) -> None:
    path = toml(tmp_path, show(loaded(tmp_path, f'[nats]\ntoken = "{SECRET}"')), "masked.toml")
    assert load(path, environ={"NATSCHED_NATS__TOKEN": SECRET}) == load(
        toml(tmp_path, ""), environ={"NATSCHED_NATS__TOKEN": SECRET}
    )

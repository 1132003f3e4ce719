"""What is shown and written: it loads again, it is complete, and the reference is the default."""

import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from natsched.config import Queue, Settings, init, load, reference, show
from natsched.config.loading import validated
from natsched.config.sources import from_flags
from natsched.errors import ConfigError
from tests.config.writing import loaded, toml

_OTHER = """
mode = "local"
app = "billing.jobs:registry"
[nats]
servers = ["tls://a:4222", "tls://b:4222"]
user = "me"
inbox_prefix = "me.inbox"
[nats.tls]
hostname = "nats.example.com"
[scheduler]
lead = "250ms"
replicas = 3
publish_retry = { attempts = 9, initial_backoff = "1s500ms" }
[queues.mail]
concurrency = 3
[queues.web]
[replica]
name = "one"
"""


def test_what_is_shown_loads_as_the_same_settings(tmp_path: Path) -> None:
    settings = loaded(tmp_path, _OTHER)
    assert settings != Settings()
    assert loaded(tmp_path, show(settings)) == settings


@given(
    lead=st.integers(100, 60_000),
    seconds=st.integers(2, 600),
    queues=st.dictionaries(st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True), st.integers(1, 1000), min_size=1),
    name=st.text(min_size=1),
)
def test_any_settings_are_shown_so_that_they_load_the_same(
    lead: int, seconds: int, queues: dict[str, int], name: str
) -> None:
    values = {"scheduler": {"lead": lead / 1000, "lease_ttl": seconds}, "nats": {"name": name}}
    settings = validated(
        [from_flags({**values, "queues": {queue: {"concurrency": n} for queue, n in queues.items()}})]
    )
    assert settings.queues == {queue: Queue(concurrency=n) for queue, n in queues.items()}
    assert validated([from_flags(tomllib.loads(show(settings)))]) == settings


def test_durations_are_shown_as_people_write_them() -> None:
    assert 'duplicates_window = "2m"' in show(Settings())


def test_init_writes_a_file_that_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    init(path)
    assert load(path, environ={}) == Settings()
    assert path.read_text(encoding="utf-8").startswith("# ")


def test_init_leaves_a_file_alone_unless_forced(tmp_path: Path) -> None:
    path = toml(tmp_path, "kept = 1")
    with pytest.raises(ConfigError, match="exists: choose another name, or overwrite it with --force"):
        init(path)
    assert path.read_text(encoding="utf-8") == "kept = 1"
    init(path, Settings(mode="local"), force=True)
    assert load(path, environ={}).mode == "local"


def test_init_says_why_it_cannot_write(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written: No such file or directory"):
        init(tmp_path / "absent" / "natsched.toml")


def test_the_reference_is_the_default(tmp_path: Path) -> None:
    assert loaded(tmp_path, reference()) == Settings()


def test_the_reference_sets_every_default_and_names_every_optional_setting() -> None:
    given = tomllib.loads(reference())
    assert sorted(_leaves(given)) == sorted(_leaves(tomllib.loads(show(Settings()))))
    table, named = "", set[str]()
    for line in reference().splitlines():
        if header := re.fullmatch(r"\[([\w.]+)\]", line):
            table = header[1] + "."
        elif key := re.match(r"# (\w+) = ", line):
            named.add(table + key[1])
    assert named == set(_optional(Settings()))


def test_every_optional_setting_of_the_reference_has_a_valid_example(tmp_path: Path) -> None:
    text = re.sub(r'"/etc/natsched/[\w.]+"', f'"{toml(tmp_path, "", "file.pem")}"', reference())
    for identity in ("credentials", "nkey", "user", "token"):
        chosen = re.sub(r"(?m)^# (\w+ = )", lambda found: found[1], text)
        for other in {"credentials", "nkey", "user", "token"} - {identity}:
            chosen = re.sub(rf"(?m)^{other} = .*$", "", chosen)
        if identity != "user":
            chosen = re.sub(r"(?m)^password = .*$", "", chosen)
        assert getattr(loaded(tmp_path, chosen).nats, identity) is not None


def _leaves(values: dict[str, object], above: str = "") -> list[str]:
    found = []
    for name, value in values.items():
        found += _leaves(value, f"{above}{name}.") if isinstance(value, dict) else [above + name]
    return found


def _optional(model: BaseModel, above: str = "") -> list[str]:
    found = []
    for name in type(model).model_fields:
        value = getattr(model, name)
        found += _optional(value, f"{above}{name}.") if isinstance(value, BaseModel) else []
        found += [above + name] if value is None else []
    return found

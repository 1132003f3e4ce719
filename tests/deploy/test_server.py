"""`deploy/nats-server.conf` is what nats-server takes, as it stands and with all that is commented out."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from natsched.jetstream.server import find_binary
from tests.cli.running import CHECKOUT
from tests.deploy.roles import DEPLOY, PASSWORDS, run_deployed

pytestmark = pytest.mark.nats

TLS = CHECKOUT / "tests" / "jetstream" / "tls"
SETTING = re.compile(r"^#(?=\S)", re.MULTILINE)


def _checked(folder: Path, text: str, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Let nats-server check a configuration, with the permissions next to it."""
    shutil.copy(DEPLOY / "permissions.conf", folder)
    (folder / "nats-server.conf").write_text(text)
    kept = {name: value for name, value in os.environ.items() if name not in PASSWORDS}
    return subprocess.run(
        [find_binary(), "-t", "-c", str(folder / "nats-server.conf")],
        env={**kept, **variables},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def _text() -> str:
    return (DEPLOY / "nats-server.conf").read_text()


def test_it_is_valid_as_it_stands(tmp_path: Path) -> None:
    ran = _checked(tmp_path, _text(), PASSWORDS)
    assert ran.returncode == 0, ran.stderr


def test_it_is_valid_with_all_that_is_commented_out(tmp_path: Path) -> None:
    text = SETTING.sub("", _text()).replace("/etc/nats/", f"{TLS}/")
    assert text.count("\ncluster {") == text.count("\ntls {") == 1
    ran = _checked(tmp_path, text, PASSWORDS)
    assert ran.returncode == 0, ran.stderr


def test_the_permissions_are_valid_with_all_that_is_commented_out(tmp_path: Path) -> None:
    with run_deployed(tmp_path, workers=True) as server:
        assert server.running


@pytest.mark.parametrize("variable", PASSWORDS)
def test_without_a_password_the_server_does_not_start(tmp_path: Path, variable: str) -> None:
    ran = _checked(tmp_path, _text(), {name: value for name, value in PASSWORDS.items() if name != variable})
    assert ran.returncode != 0
    assert variable in ran.stderr


def test_it_listens_on_the_loopback_alone_and_syncs_before_it_acknowledges() -> None:
    lines = [line.strip() for line in _text().splitlines() if not line.lstrip().startswith("#")]
    assert [line for line in lines if "listen" in line or "http" in line] == ['listen: "127.0.0.1:4222"']
    assert 'sync_interval: "always"' in lines


def test_there_is_no_secret_in_it() -> None:
    for file in DEPLOY.glob("*.conf"):
        settings = [line for line in file.read_text().splitlines() if not line.startswith("#")]
        for value in re.findall(r"password: *([^,}\s]+)", "\n".join(settings)):
            assert value.startswith("$NATS_")

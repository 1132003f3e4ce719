"""`deploy/natsched.service`: what must be in it and, where systemd is there, what that says to it."""

import subprocess
from pathlib import Path

from natsched.config import Settings
from natsched.errors import ConfigError
from tests.deploy.roles import DEPLOY
from tests.deploy.tools import tool

UNIT = DEPLOY / "natsched.service"
EXECUTABLE = "/opt/natsched/bin/natsched"
EXPOSURE = 15  # of 100, in the tenths that systemd-analyze takes


def _entries(section: str) -> dict[str, list[str]]:
    """Read a section: a name may stand there several times, which configparser does not know."""
    entries: dict[str, list[str]] = {}
    current = ""
    for line in UNIT.read_text().splitlines():
        if line.startswith("["):
            current = line.strip("[]")
        elif line and not line.startswith("#") and current == section:
            name, equals, value = line.partition("=")
            assert equals, line
            entries.setdefault(name, []).append(value)
    return entries


def test_there_is_time_to_drain() -> None:
    service = _entries("Service")
    (limit,) = service["TimeoutStopSec"]
    assert int(limit.removesuffix("s")) > Settings().replica.shutdown_grace.total_seconds() + 5
    assert service["KillSignal"] == ["SIGTERM"]
    assert service["KillMode"] == ["mixed"]


def test_it_starts_again_for_ever_but_not_with_a_bad_configuration() -> None:
    service = _entries("Service")
    assert service["Restart"] == ["on-failure"]
    assert service["RestartPreventExitStatus"] == [str(ConfigError.exit_code)]
    assert _entries("Unit")["StartLimitIntervalSec"] == ["0"]


def test_a_reload_is_the_signal_that_natsched_knows() -> None:
    assert _entries("Service")["ExecReload"] == ["/bin/kill -HUP $MAINPID"]


def test_it_has_no_rights_to_speak_of_and_no_secrets() -> None:
    service = _entries("Service")
    for name in ("DynamicUser", "NoNewPrivileges", "ProtectHome", "PrivateTmp", "PrivateDevices"):
        assert service[name] == ["yes"]
    assert service["ProtectSystem"] == ["strict"]
    assert service["CapabilityBoundingSet"] == [""]
    assert service["EnvironmentFile"] == ["/etc/natsched/secrets"]
    assert "PASSWORD" not in "".join(service["Environment"])


def test_systemd_takes_it(tmp_path: Path) -> None:
    ran = _analyze("verify", _installed(tmp_path))
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_systemd_takes_what_is_commented_out(tmp_path: Path) -> None:
    unit = _installed(tmp_path)
    unit.write_text(unit.read_text().replace("\n#LoadCredential", "\nLoadCredential").replace("\n#Env", "\nEnv"))
    assert unit.read_text().count("\nLoadCredential=") == 2
    ran = _analyze("verify", unit)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_systemd_finds_it_little_exposed(tmp_path: Path) -> None:
    ran = _analyze("security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE}", _installed(tmp_path))
    assert ran.returncode == 0, ran.stdout + ran.stderr


def _installed(folder: Path) -> Path:
    """Return a copy of the unit with an executable that exists, which systemd-analyze looks for."""
    text = UNIT.read_text()
    assert f"ExecStart={EXECUTABLE} serve" in text
    unit = folder / UNIT.name
    unit.write_text(text.replace(EXECUTABLE, "/bin/true"))
    return unit


def _analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [tool("systemd-analyze"), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )

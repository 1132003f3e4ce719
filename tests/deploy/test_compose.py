"""`deploy/compose`: what Docker Compose says to it, and the files that it mounts."""

import re
from pathlib import Path

import pytest

from natsched.config import load
from tests.deploy.composed import FOLDER, NAMES, SECRETS, composed
from tests.deploy.roles import DEPLOY
from tests.deploy.tools import run

SERVERS = ("nats-1", "nats-2", "nats-3")


def test_there_are_three_servers_and_three_replicas() -> None:
    services = composed()["services"]
    assert set(services) == {*SERVERS, "natsched"}
    assert services["natsched"]["deploy"]["replicas"] == 3
    assert set(services["natsched"]["depends_on"]) == set(SERVERS)
    (port,) = services["natsched"]["ports"]
    assert (port["host_ip"], port["published"], port["target"]) == ("127.0.0.1", "7477-7479", 7477)
    for server in SERVERS:
        assert services[server]["environment"]["NATS_NAME"] == server
        volumes = [one["source"] for one in services[server]["volumes"] if one["type"] == "volume"]
        assert volumes == [server]
        assert "ports" not in services[server]


def test_nothing_can_do_more_than_it_has_to() -> None:
    for service in composed("--profile", "monitoring")["services"].values():
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert not service.get("privileged")
        assert all(port["host_ip"] == "127.0.0.1" for port in service.get("ports", ()))
    networks = composed()["networks"]
    assert networks["servers"]["internal"] is True


def test_what_is_mounted_is_there() -> None:
    for service in composed("--profile", "monitoring")["services"].values():
        for one in service["volumes"]:
            assert one["type"] == "volume" or (Path(one["source"]).is_file() and one["read_only"])


def test_there_is_time_to_drain() -> None:
    grace = load(FOLDER / "natsched.toml", None, _environment()).replica.shutdown_grace
    assert composed()["services"]["natsched"]["stop_grace_period"] == "45s"
    assert grace.total_seconds() + 5 < 45


def test_the_replicas_configuration_is_one_that_natsched_takes() -> None:
    settings = load(FOLDER / "natsched.toml", None, _environment())
    assert settings.scheduler.replicas == 3
    assert settings.nats.servers == tuple(f"nats://{server}:4222" for server in SERVERS)


def _environment() -> dict[str, str]:
    return dict(composed()["services"]["natsched"]["environment"])


@pytest.mark.parametrize("absent", NAMES)
def test_without_a_secret_it_does_not_start(absent: str) -> None:
    ran = run("docker-compose", "config", "-q", folder=FOLDER, **{**SECRETS, absent: ""})
    assert ran.returncode != 0
    assert absent in ran.stderr


def test_the_example_has_all_secrets_and_says_none() -> None:
    wanted = set(re.findall(r"\$(NATS_\w+)", "\n".join(_settings(DEPLOY / "permissions.conf"))))
    assert wanted | {"NATSCHED_HTTP_TOKEN"} == set(NAMES)
    lines = [line for line in (FOLDER / "env.example").read_text().splitlines() if not line.startswith("#")]
    assert all(line == "" or line.endswith("=") for line in lines)


def _settings(file: Path) -> list[str]:
    return [line for line in file.read_text().splitlines() if not line.lstrip().startswith("#")]

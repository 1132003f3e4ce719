"""`deploy/helm/natsched`: rendered by Helm's own engine, and checked against Kubernetes's schemas."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from natsched.config import load
from natsched.config.sources import from_environment
from tests.deploy.roles import DEPLOY
from tests.deploy.tools import module

CHART = DEPLOY / "helm" / "natsched"
VERSIONS = ("1.27", "1.37")
LEAST: dict[str, Any] = {"secret": "natsched"}
ALL: dict[str, Any] = {
    **LEAST,
    "imagePullSecrets": [{"name": "registry"}],
    "credentials": {"secret": "creds"},
    "ca": {"secret": "ca"},
    "env": [{"name": "NATSCHED_LOGS__LEVEL", "value": "debug"}],
    "antiAffinity": "required",
    "nodeSelector": {"disk": "fast"},
    "tolerations": [{"operator": "Exists"}],
    "priorityClassName": "high",
    "podAnnotations": {"a": "b"},
    "podLabels": {"team": "core"},
    "autoscaling": {"enabled": True},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "networkPolicy": {"enabled": True, "from": [{"podSelector": {}}], "egress": [{"ports": [{"port": 4222}]}]},
}
BARE: dict[str, Any] = {
    **LEAST,
    "antiAffinity": "none",
    "spreadZones": False,
    "podDisruptionBudget": {"enabled": False},
    "networkPolicy": {"enabled": True},
}


def _rendered(values: dict[str, Any]) -> dict[str, Any]:
    """Return what is rendered, by kind."""
    with module("helm_python").Chart.load(CHART) as chart:
        files = chart.render(values, name="demo", namespace="prod")
    yaml = module("yaml")
    found = [one for file, text in files.items() if file.endswith(".yaml") for one in yaml.safe_load_all(text) if one]
    return {one["kind"]: one for one in found}


def _pod(values: dict[str, Any]) -> Any:
    return _rendered(values)["Deployment"]["spec"]["template"]["spec"]


def test_helm_lints_it() -> None:
    said = module("helm_python").lint(CHART, LEAST)
    assert said["errors"] == []
    assert [one["error"] for one in said["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize("values", [LEAST, ALL, BARE], ids=["least", "all", "bare"])
@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_what_it_renders(values: dict[str, Any], version: str) -> None:
    rendered = _rendered(values)
    rendered.pop("ServiceMonitor", None)  # the operator's own: there is no schema of it here
    assert {"ConfigMap", "Deployment", "Service", "ServiceAccount"} <= set(rendered)
    for document in rendered.values():
        module("kubernetes_validate").validate(document, version, strict=True)
        assert document["metadata"]["namespace"] == "prod"


def test_everything_can_be_switched_on_and_off() -> None:
    optional = {"PodDisruptionBudget", "HorizontalPodAutoscaler", "ServiceMonitor", "NetworkPolicy"}
    assert optional & set(_rendered(LEAST)) == {"PodDisruptionBudget"}
    assert optional <= set(_rendered(ALL))
    assert "affinity" not in _pod(BARE)


def test_its_configuration_is_one_that_natsched_takes(tmp_path: Path) -> None:
    (container,) = _pod(LEAST)["containers"]
    file = tmp_path / "natsched.toml"
    file.write_text(_rendered(LEAST)["ConfigMap"]["data"]["natsched.toml"])
    assert tomllib.loads(file.read_text())["scheduler"] == {"replicas": 3}
    said = {one["name"]: one["value"] for one in container["env"]}
    settings = load(file, None, {**said, "NATSCHED_HTTP__TOKEN": "t", "NATSCHED_NATS__PASSWORD": "p"})
    assert (settings.http.address, settings.http.port) == ("0.0.0.0", container["ports"][0]["containerPort"])
    assert settings.replica.shutdown_grace.total_seconds() + 5 < _pod(LEAST)["terminationGracePeriodSeconds"]


def test_a_service_of_the_same_name_says_nothing_to_natsched() -> None:
    """Kubernetes would set NATSCHED_PORT and more for a service `natsched`, which are no settings."""
    assert _pod(LEAST)["enableServiceLinks"] is False
    assert "port" in from_environment({"NATSCHED_PORT": "tcp://10.0.0.1:7477"}).values


def test_the_pod_has_no_rights_to_speak_of() -> None:
    pod = _pod(LEAST)
    assert pod["automountServiceAccountToken"] is False
    assert _rendered(LEAST)["ServiceAccount"]["automountServiceAccountToken"] is False
    assert (pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["runAsUser"]) == (True, 10001)
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_probes_ask_what_needs_no_token() -> None:
    (container,) = _pod(LEAST)["containers"]
    paths = [container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")]
    assert paths == ["/healthz", "/healthz", "/readyz"]


def test_all_selectors_select_the_pods() -> None:
    rendered = _rendered(ALL)
    labels = rendered["Deployment"]["spec"]["template"]["metadata"]["labels"].items()
    for kind, field in (
        ("PodDisruptionBudget", "selector"),
        ("NetworkPolicy", "podSelector"),
        ("Deployment", "selector"),
    ):
        assert rendered[kind]["spec"][field]["matchLabels"].items() <= labels
    assert rendered["Service"]["spec"]["selector"].items() <= labels
    service = rendered["Service"]["metadata"]["labels"].items()
    assert rendered["ServiceMonitor"]["spec"]["selector"]["matchLabels"].items() <= service
    assert rendered["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == "demo-natsched"
    assert "replicas" not in rendered["Deployment"]["spec"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "set `secret`"),
        ({**LEAST, "replicas": 0}, "/replicas"),
        ({**LEAST, "antiAfinity": "none"}, "antiAfinity"),
        ({**LEAST, "http": {"port": 80}}, "/http/port"),
    ],
)
def test_what_makes_no_sense_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(module("helm_python").HelmError, match=said):
        _rendered(values)


def _keys(schema: Any, path: str = "") -> Iterator[str]:
    for name, one in schema.get("properties", {}).items():
        yield f"{path}{name}"
        if "properties" in one:
            yield from _keys(one, f"{path}{name}.")


def test_the_schema_has_all_values_and_no_others() -> None:
    with module("helm_python").Chart.load(CHART) as chart:
        values, schema = chart.values, chart.schema
    known = set(_keys(schema)) - {"global"}
    files = {f"{one}.{key}" for one in ("credentials", "ca") for key in ("secret", "key")}
    given = set(values) | {
        f"{name}.{key}"
        for name, one in values.items()
        if isinstance(one, dict) and name not in ("resources", "nodeSelector", "podAnnotations", "podLabels")
        for key in one
    }
    assert given - files == known

"""Whatever the input: settings, or an error that says so; never another exception."""

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from natsched.config import Settings, load, load_jobs
from natsched.config.schema import all_keys
from natsched.config.tables import JobTable
from natsched.errors import ConfigError

_SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text() | st.datetimes()
    | st.sampled_from(["5s", "nats://a", "local", "a:b", "3"])
).filter(lambda value: value is not None)  # fmt: skip
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_PATHS = st.sampled_from(sorted(all_keys())) | st.lists(st.text() | st.just("nats"), min_size=1, max_size=4)
_JOB_KEYS = st.sampled_from(sorted(JobTable.model_fields)) | st.text()


def _survives(read: Callable[[Path], object], content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "any.toml")
        path.write_bytes(content)
        with contextlib.suppress(ConfigError):
            read(path)


def _settings(path: Path) -> None:
    assert isinstance(load(path, environ={}), Settings)


def _nested(items: list[tuple[Any, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for path, value in items:
        table = values
        for key in path[:-1]:
            below = table.get(key)
            table[key] = table = below if isinstance(below, dict) else {}
        table[path[-1]] = value
    return values


@given(st.binary() | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_settings_or_a_config_error(content: bytes) -> None:
    _survives(_settings, content)
    _survives(load_jobs, content)


@settings(max_examples=300)
@given(st.lists(st.tuples(_PATHS, _VALUES), max_size=5))
def test_any_toml_is_settings_or_a_config_error(items: list[tuple[Any, Any]]) -> None:
    _survives(_settings, tomli_w.dumps(_nested(items)).encode())


@settings(max_examples=300)
@given(st.lists(st.dictionaries(_JOB_KEYS, _VALUES, max_size=6) | _VALUES, max_size=3))
def test_any_toml_is_jobs_or_a_config_error(tables: list[Any]) -> None:
    _survives(load_jobs, tomli_w.dumps({"job": tables}).encode())


def test_tables_nested_a_thousand_deep_are_a_config_error() -> None:
    deep = ".".join(["a"] * 3000)
    for text in (
        f"{deep} = 1",
        f"nats.{deep} = 1",
        f"job = [{{ id = 'a', every = '1s', payload.{deep} = 1 }}]",
    ):
        _survives(_settings, text.encode())
        _survives(load_jobs, text.encode())


@given(
    st.dictionaries(
        st.text().map(lambda name: f"NATSCHED_{name}")
        | st.sampled_from(sorted(all_keys())).map(lambda keys: "NATSCHED_" + "__".join(keys).upper())
        | st.sampled_from(["NATSCHED_NATS", "NATSCHED_QUEUES", "NATSCHED_QUEUES__A__CONCURRENCY", "NATSCHED_CONFIG"]),
        st.text() | st.sampled_from(["{}", "[", '{"a": {}}', "[" * 9000, "5s", '{"servers": "x"}', "NaN"]),
        max_size=4,
    )
)
def test_any_environment_is_settings_or_a_config_error(environ: dict[str, str]) -> None:
    with contextlib.suppress(ConfigError):
        assert isinstance(load(environ=environ), Settings)

"""The kinds of values that settings are made of; each error says how to write the value instead."""

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, SecretStr
from pydantic.json_schema import DEFAULT_REF_TEMPLATE, GenerateJsonSchema

from natsched.config.durations import format_duration

MASK = "********"

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TOKENS = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_KEY = re.compile(r"[A-Za-z0-9_=/-]+(\.[A-Za-z0-9_=/-]+)*")
_APP = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_MAX_NAME = 255


class _Schemas(GenerateJsonSchema):
    """Writes a default that is a duration as the files do."""

    def encode_default(self, dft: Any) -> Any:  # noqa: ANN401 - as in pydantic
        return format_duration(dft) if isinstance(dft, timedelta) else super().encode_default(dft)


class Section(BaseModel):
    """A table of the configuration: frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def schema_of(model: type[BaseModel], *, ref_template: str = DEFAULT_REF_TEMPLATE) -> dict[str, Any]:
    """Return the JSON Schema of tables as they are written in files."""
    return model.model_json_schema(ref_template=ref_template, schema_generator=_Schemas)


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("take 1 to 64 letters, digits, - and _: no dots, spaces or wildcards")
    return value


def _tokens(value: str) -> str:
    if not _TOKENS.fullmatch(value) or len(value) > _MAX_NAME:
        raise ValueError('take letters, digits, - and _, with single dots between, such as "team.scheduler"')
    return value


def _key(value: str) -> str:
    if not _KEY.fullmatch(value) or len(value) > _MAX_NAME:
        raise ValueError('take letters, digits and -_=/, with single dots between, such as "scheduler.init"')
    if value.startswith("lease."):
        raise ValueError('keys under "lease." belong to replicas: take another one, such as "scheduler.init"')
    return value


def _app(value: str) -> str:
    if not _APP.fullmatch(value):
        raise ValueError('write it as package.module:registry, such as "billing.jobs:registry"')
    return value


def listed(value: object) -> object:
    """Take a list, or as text (from the environment) a comma list or a JSON array."""
    if not isinstance(value, str):
        return value
    if not value.lstrip().startswith("["):
        return [item for item in value.split(",") if item.strip()]
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise ValueError('is no JSON array: write ["a", "b"], or a comma list') from None


def _no_boolean(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("should be a number, not true or false")
    return value


def _factor(value: int) -> int:
    if value not in {1, 3, 5}:
        raise ValueError("take 1, 3 or 5: the number of servers that keep a copy")
    return value


def _existing(path: Path) -> Path:
    try:
        path = path.expanduser()
        found = path.is_file()
    except (OSError, RuntimeError, ValueError):
        found = False
    if not found:
        raise ValueError(f'there is no file "{path}": is the path right, and readable from here?')
    return path


def _not_masked(secret: SecretStr) -> SecretStr:
    value = secret.get_secret_value()
    if not value:
        raise ValueError("is empty: leave the key out instead")
    if value == MASK:
        raise ValueError("is the mask that `natsched config show` prints: write the secret itself")
    return secret


def _masked(_: SecretStr) -> str:
    return MASK


Name = Annotated[str, AfterValidator(_name)]
"""One token: a stream, consumer, bucket, queue or replica."""

Tokens = Annotated[str, AfterValidator(_tokens)]
"""Dot-separated tokens: a subject prefix."""

Key = Annotated[str, AfterValidator(_key)]
"""A key of the locks bucket that no lease uses."""

App = Annotated[str, AfterValidator(_app)]
"""Where a registry is found: `package.module:registry`."""

Text = Annotated[str, Field(min_length=1)]
"""Text that is not empty."""

Count = Annotated[int, BeforeValidator(_no_boolean)]
"""A whole number; true and false are none."""

ReplicationFactor = Annotated[Count, AfterValidator(_factor)]
"""On how many servers NATS keeps everything."""

ExistingFile = Annotated[Path, AfterValidator(_existing)]
"""A file that is there; `~` is the home folder, a relative path starts at the working folder."""

Secret = Annotated[SecretStr, AfterValidator(_not_masked), PlainSerializer(_masked, str, when_used="json")]
"""Text that is never shown."""

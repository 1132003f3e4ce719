"""What is wrong with a configuration, in one message: each problem with its path, source and cure."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from natsched.config.schema import Keys, nearest, nearest_variable, variable
from natsched.config.sources import Origins
from natsched.errors import ConfigError

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_WORDS = {
    "missing": "is missing",
    "union_tag_not_found": "is missing",
    "string_type": "should be text",
    "int_type": "should be a whole number",
    "int_parsing": "should be a whole number",
    "int_from_float": "should be a whole number",
    "bool_type": "should be true or false",
    "bool_parsing": "should be true or false",
    "dict_type": "should be a table",
    "model_type": "should be a table",
    "model_attributes_type": "should be a table",
    "tuple_type": "should be a list",
    "list_type": "should be a list",
    "path_type": "should be the path of a file",
    "too_short": "is empty",
    "string_too_short": "is empty: leave the key out instead",
    "invalid-json-value": "is not JSON: write dates and times as text",
    "timezone_aware": "has no offset: write it like 2026-12-01T08:00:00Z",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong: where, who said it, and what to do."""

    path: str
    reason: str
    source: str = ""

    def __str__(self) -> str:
        return f"{self.path} ({self.source}): {self.reason}" if self.source else f"{self.path}: {self.reason}"


def failure(headline: str, problems: Iterable[Problem]) -> ConfigError:
    """Return the error for these problems, one a line, which also carries them as data."""
    found = tuple(dict.fromkeys(problems))
    return ConfigError("\n".join([headline, *(f"  {problem}" for problem in found)]), problems=found)


def invalid_values(error: ValidationError, model: type[BaseModel], origins: Origins) -> Iterator[Problem]:
    """Yield what pydantic found, in words; never the value, which may be a secret."""
    for details in error.errors(include_url=False, include_input=False):
        keys = _keys(details, model)
        if details["type"] == "extra_forbidden":
            yield from unknown_key(keys, model, origins)
            continue
        fields = details.get("ctx", {}).get("fields")
        places = [(*keys, name) for name in fields] if fields else [keys]
        sources = dict.fromkeys(source for place in places for source in origins.of(place))
        yield Problem(path=_path(keys), reason=_reason(details), source=", ".join(sources))


def unknown_key(keys: Keys, model: type[BaseModel], origins: Origins) -> Iterator[Problem]:
    """Yield the problem of an unknown key, once for each source that has it."""
    for source in origins.all_of(keys) or ("",):
        if source.upper().startswith(variable(keys)):
            what, meant = "variable", nearest_variable(source)
        else:
            what, meant = "key", nearest(keys, model)
        reason = f'unknown {what}: did you mean "{meant}"?' if meant else f"unknown {what}"
        yield Problem(path=_path(keys), reason=reason, source=source)


def _reason(details: ErrorDetails) -> str:
    cause = details.get("ctx", {}).get("error")
    if details["type"] == "value_error" and cause is not None:
        return str(cause)
    if details["type"] == "union_tag_invalid":
        *others, last = details["ctx"]["expected_tags"].split(", ")
        return f"should be {', '.join(others)} or {last}"
    message = _WORDS.get(details["type"], details["msg"])
    return message.replace("Input should be", "should be", 1)


def _path(keys: Keys) -> str:
    """Return the path as TOML would write it, so that any key stays on one line."""
    return ".".join(key if _BARE.fullmatch(key) else json.dumps(key) for key in keys) or "settings"


def _keys(details: ErrorDetails, model: type[BaseModel]) -> Keys:
    """Return where the error is, without what pydantic adds to the keys."""
    keys = tuple(str(key) for key in details["loc"])
    found = model.model_fields.get(keys[0]) if keys else None
    if found is not None and isinstance(found.discriminator, str):  # one of several tables: pydantic adds which
        wrong = details["type"] in {"union_tag_invalid", "union_tag_not_found"}
        keys = (keys[0], found.discriminator) if wrong else (keys[0], *keys[2:])
    if details["type"] == "invalid-json-value":
        return (*keys[:1], *(key for key in keys[1:] if key not in {"dict", "list"}))
    return keys[:-1] if keys[2:] and keys[-1] == "[key]" else keys

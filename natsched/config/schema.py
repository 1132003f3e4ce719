"""What keys there are: tells tables from values, and which known key an unknown one was meant to be."""

import difflib
from collections.abc import Iterator
from typing import Any, TypeGuard, get_args, get_origin

from pydantic import BaseModel

from natsched.config.settings import Settings

Keys = tuple[str, ...]

PREFIX = "NATSCHED_"

_NEAR = 0.7


def kind_at(keys: Keys, model: type[BaseModel] = Settings) -> Any | None:  # noqa: ANN401 - any annotation
    """Return the annotation of the value at `keys`, or None where there is no such key."""
    kind: Any = model
    for key in keys:
        if _is_model(kind):
            found = kind.model_fields.get(key)
            if found is None:
                return None
            kind = found.annotation
        elif get_origin(kind) is dict:
            kind = get_args(kind)[1]
        else:
            return None
    return kind


def is_table(keys: Keys, model: type[BaseModel] = Settings) -> bool:
    """Say whether a table belongs at `keys`."""
    kind = kind_at(keys, model)
    return _is_model(kind) or get_origin(kind) is dict


def all_keys(model: type[BaseModel] = Settings, above: Keys = ()) -> Iterator[Keys]:
    """Yield the keys of every single value, without those of tables named by the user."""
    for name, found in model.model_fields.items():
        if _is_model(found.annotation):
            yield from all_keys(found.annotation, (*above, name))
        else:
            yield (*above, name)


def nearest(keys: Keys, model: type[BaseModel] = Settings) -> str | None:
    """Return the known key that the unknown one was meant to be, if any; a path if in another table."""
    table, name = kind_at(keys[:-1], model), keys[-1]
    siblings = list(table.model_fields) if _is_model(table) else []
    for close in difflib.get_close_matches(name.replace("-", "_").lower(), siblings, 1, _NEAR):
        return close
    elsewhere = [".".join(path) for path in all_keys(model) if path[-1] == name]
    return elsewhere[0] if len(elsewhere) == 1 else None


def variable(keys: Keys) -> str:
    """Return the environment variable of a key."""
    return PREFIX + "__".join(keys).upper()


def nearest_variable(name: str) -> str | None:
    """Return the environment variable that an unknown one was meant to be, if one is near."""
    keys = tuple(name[len(PREFIX) :].lower().split("__"))
    table = kind_at(keys[:-1])
    siblings = [(*keys[:-1], sibling) for sibling in table.model_fields] if _is_model(table) else []
    values = [path for path in siblings if not _is_model(kind_at(path))]  # a table is no variable
    known = [variable(path)[len(PREFIX) :] for path in [*all_keys(), *values]]
    close = difflib.get_close_matches(name[len(PREFIX) :].upper(), known, 1, _NEAR)
    return PREFIX + close[0] if close else None


def _is_model(kind: Any) -> TypeGuard[type[BaseModel]]:  # noqa: ANN401 - any annotation
    return isinstance(kind, type) and issubclass(kind, BaseModel)

"""What each operation takes and answers, as JSON Schemas that stand for themselves."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import TypeAdapter

from natsched.web.operations import Operation
from natsched.web.schemas import REF, components, of_form

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_ROOT: Final = REF.format(model="")


class Schemas:
    """Makes them, from the forms that HTTP has, too."""

    def __init__(self) -> None:
        self._known = components()

    def of_request(self, operation: Operation) -> dict[str, Any]:
        """Return the schema of a request: what HTTP has in path, query and body, in one object."""
        body: dict[str, Any] = {}
        if operation.takes is not None:
            body = self._known[operation.takes]
        elif operation.form is not None:
            body = of_form(operation.form)
        properties = {name: {"type": "string"} for name in operation.of_path}
        required = [*operation.of_path, *body.get("required", ())]
        for name, field in operation.query.model_fields.items() if operation.query else ():
            properties[name] = TypeAdapter(field.rebuild_annotation()).json_schema(ref_template=REF)
            properties[name].pop("$defs", None)
            required += [name] if field.is_required() else []
        whole = {
            "type": "object",
            "properties": {**body.get("properties", {}), **properties},
            "required": required,
            "additionalProperties": False,
        }
        return self._alone(whole)

    def of_answer(self, operation: Operation) -> dict[str, Any]:
        """Return the schema of an answer."""
        return self._alone({"$ref": REF.format(model=operation.returns)})

    def _alone(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Return a schema with all that it refers to."""
        found: dict[str, Any] = {}
        new = set(_referred(schema))
        while new:
            found |= {name: self._known[name] for name in new}
            new = {name for one in new for name in _referred(self._known[one])} - found.keys()
        alone: dict[str, Any] = {"$schema": _DIALECT, **schema}
        return _moved({**alone, "$defs": found} if found else alone)  # type: ignore[no-any-return]


def _referred(value: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key == "$ref" and isinstance(inner, str):
                yield inner.removeprefix(_ROOT)
            else:
                yield from _referred(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _referred(inner)


def _moved(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return a schema whose references lead to its own definitions."""
    if isinstance(value, Mapping):
        return {
            key: inner.replace(_ROOT, "#/$defs/") if isinstance(inner, str) else _moved(inner)
            for key, inner in value.items()
        }
    return [_moved(inner) for inner in value] if isinstance(value, list) else value

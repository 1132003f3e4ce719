"""Logging that suits a library: structlog's way of saying things, the standard library's way of handling them.

Nothing is printed unless the program that uses natsched configures `logging`. A record's message is the plain
sentence with its fields behind it; the fields alone, for a formatter that knows them, are its `fields`.
"""

import logging
from collections.abc import Mapping, MutableMapping
from typing import Any, cast

import structlog


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of a module."""
    logger = structlog.wrap_logger(
        logging.getLogger(name),
        processors=[structlog.stdlib.filter_by_level, _hand_over],
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    return cast("structlog.stdlib.BoundLogger", logger)


def _hand_over(
    _logger: Any,  # noqa: ANN401 - structlog's own signature
    _method: str,
    event: MutableMapping[str, Any],
) -> tuple[tuple[object, ...], Mapping[str, Any]]:
    sentence = str(event.pop("event"))
    about = {key: event.pop(key) for key in ("exc_info", "stack_info", "stacklevel") if key in event}
    text = " ".join([sentence, *(f"{key}={value}" for key, value in event.items())])
    return ("%s", text), {"extra": {"sentence": sentence, "fields": dict(event)}, **about}

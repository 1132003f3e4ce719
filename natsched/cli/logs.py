"""Logs to stderr: structlog's own and those of the standard library, in one form."""

import logging
import os
import sys
from collections.abc import Sequence
from typing import Final

import structlog
from structlog.typing import Processor

from natsched.config import Logs

_LEVELS: Final = logging.getLevelNamesMapping()


def configure(logs: Logs) -> None:
    """Log as the settings say; handlers that an application has put on the root logger stay alone."""
    level = _LEVELS[logs.level.upper()]
    shared = _shared()
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, *shared, *_rendering(logs)],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(logs)],
        )
    )
    logging.basicConfig(level=level, handlers=[handler])


def hush(*, debug: bool) -> None:
    """Log nothing, since errors are told in a line of their own; with `debug` log everything."""
    structlog.configure(
        processors=[*_shared(), structlog.dev.ConsoleRenderer(colors=False)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if debug else logging.CRITICAL),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def _shared() -> list[Processor]:
    return [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]


def _rendering(logs: Logs) -> Sequence[Processor]:
    on_terminal = sys.stderr.isatty()
    if logs.format == "json" or (logs.format == "auto" and not on_terminal):
        return structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)
    colours = on_terminal and not os.environ.get("NO_COLOR")
    plain = structlog.dev.plain_traceback  # the other ones show local variables, which may be secrets
    return (structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=plain),)

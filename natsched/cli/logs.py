"""Logs to stderr, of natsched and of the application: a line of JSON or of text for each."""

import logging
import os
import sys
from collections.abc import Sequence
from typing import Any, Final

import structlog
from structlog.typing import EventDict, Processor

from natsched.config import Logs
from natsched.targets.lines import LineKeeper

_LEVELS: Final = logging.getLevelNamesMapping()


def configure(logs: Logs) -> None:
    """Log as the settings say; an application that is imported later may change it."""
    level = level_of(logs)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(logs, on_terminal=sys.stderr.isatty()))
    root = logging.getLogger()
    keepers = [one for one in root.handlers if isinstance(one, LineKeeper)]
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for keeper in keepers:  # of a replica that runs
        root.addHandler(keeper)
    structlog.configure(  # for applications that log by structlog
        processors=[structlog.stdlib.filter_by_level, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )


def level_of(logs: Logs) -> int:
    """Return the level as `logging` counts."""
    return _LEVELS[logs.level.upper()]


def hush(*, debug: bool) -> None:
    """Log nothing, since errors are told in a line of their own; with `debug` log everything."""
    if debug:
        configure(Logs(level="debug", format="console"))
    else:
        logging.basicConfig(handlers=[logging.NullHandler()], force=True)


def formatter(logs: Logs, *, on_terminal: bool) -> logging.Formatter:
    """Return what turns a record into a line."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[_unpack],
        processors=[
            *shared,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *_rendering(logs, on_terminal=on_terminal),
        ],
    )


def _unpack(_logger: Any, _method: str, event: EventDict) -> EventDict:  # noqa: ANN401 - structlog's own signature
    """Take the sentence and the fields apart again, which `natsched.logs` put together for other formatters."""
    record: logging.LogRecord = event["_record"]
    if hasattr(record, "sentence"):
        event.update({"event": record.sentence, **getattr(record, "fields", {})})
    return event


def _rendering(logs: Logs, *, on_terminal: bool) -> Sequence[Processor]:
    if logs.format == "json" or (logs.format == "auto" and not on_terminal):
        return structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)
    colours = on_terminal and not os.environ.get("NO_COLOR")
    plain = structlog.dev.plain_traceback  # the other ones show local variables, which may be secrets
    return (structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=plain),)

"""What is logged in a run: bound to its execution, and kept for its record, the newest up to a limit.

A run's lines are found by a context variable, so those of the tasks and threads that a handler starts are among
them. What goes through `logging` (structlog too, set up as `natsched serve` does) is kept by itself.
"""

import json
import logging
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from datetime import datetime
from types import TracebackType
from typing import Any, Final, cast

from pydantic import JsonValue
from structlog.contextvars import bind_contextvars, reset_contextvars

from natsched.core.executions import Line, Logs
from natsched.targets.context import Context

_TEXT: Final = 8 * 1024
_TRACEBACK: Final = 8 * 1024
_REST: Final = 100
"""What a line takes besides its text and fields, about."""

_FORMAT: Final = logging.Formatter()


class Lines:
    """The lines of one run; within a `with` block they are those of what is called there."""

    def __init__(self, keeper: "LineKeeper", context: Context) -> None:
        self.keeper = keeper
        self._context = context
        self._lock = threading.Lock()
        self._lines: deque[tuple[int, Line]] = deque()
        self._size = 0
        self._cut = 0
        self._before: Token[Lines | None] | None = None
        self._bound: tuple[Token[Any], ...] = ()

    @property
    def some(self) -> bool:
        """Whether anything was logged."""
        return bool(self._lines or self._cut)

    def kept(self) -> Logs:
        """Return what is to be kept."""
        with self._lock:
            return Logs(lines=tuple(line for _, line in self._lines), cut=self._cut)

    def add(self, level: str, text: str, logger: str | None, fields: Mapping[str, Any]) -> None:
        """Keep a line, in place of the oldest if there are too many; from any thread."""
        said, size = _json({"text": text[:_TEXT], "fields": fields})
        size += _REST
        line = Line(at=self.keeper.now(), level=level, text=said["text"], logger=logger, fields=said["fields"])
        with self._lock:
            self._lines.append((size, line))
            self._size += size
            while self._size > self.keeper.limit:
                gone, _ = self._lines.popleft()
                self._size -= gone
                self._cut += 1

    def __enter__(self) -> "Lines":
        context = self._context
        self._before = _current.set(self)
        self._bound = (
            _job.set(context.job_id),
            _execution.set(context.execution_id),
            _attempt.set(context.attempt),
            _due.set(context.due.isoformat()),
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._before is not None
        _current.reset(self._before)
        for token in self._bound:
            token.var.reset(token)


def _structlog_variable(name: str) -> ContextVar[Any]:
    """Return the variable in which structlog binds a name: to set it takes a tenth of `bind_contextvars`."""
    (token,) = (tokens := bind_contextvars(**{name: None})).values()
    reset_contextvars(**tokens)
    return token.var


_job, _execution, _attempt, _due = map(_structlog_variable, ("job", "execution", "attempt", "due"))
_current: Final[ContextVar[Lines | None]] = ContextVar("natsched_lines", default=None)


class LineKeeper(logging.Handler):
    """Keeps what is logged in the runs of one replica."""

    def __init__(self, now: Callable[[], datetime], *, limit: int) -> None:
        super().__init__()
        self.now = now
        self.limit = limit

    def open(self, context: Context) -> Lines:
        """Return the lines of a run that begins."""
        return Lines(self, context)

    @contextmanager
    def listening(self) -> Generator[None, None, None]:
        """Listen to all that is logged and reaches the root."""
        root = logging.getLogger()
        root.addHandler(self)
        try:
            yield
        finally:
            root.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        if _is_unheard(record) and logging.getLogger().handlers[0] is self:  # as it would be without this handler
            last = logging.lastResort
            if last is not None and record.levelno >= last.level:
                last.handle(record)
        lines = _current.get()
        if lines is None or lines.keeper is not self or not self.limit:
            return
        try:
            text, fields = _said(record)
            lines.add(record.levelname.lower(), text, record.name, fields)
        except Exception:  # noqa: BLE001 - what `logging` does with a handler that fails
            self.handleError(record)


def keep_log_lines(_logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:  # noqa: ANN401
    """Keep what is logged in a run: a processor for a structlog that does not go through `logging`."""
    lines = _current.get()
    if lines is not None and lines.keeper.limit:
        fields = dict(event)
        lines.add(fields.pop("level", method), str(fields.pop("event", "")), fields.pop("logger", None), fields)
    return event


def _is_unheard(record: logging.LogRecord) -> bool:
    """Whether nobody but keepers of lines hears of it."""
    logger: logging.Logger | None = logging.getLogger(record.name)
    while logger is not None:
        if not all(isinstance(handler, LineKeeper) for handler in logger.handlers):
            return False
        logger = logger.parent if logger.propagate else None
    return True


def _said(record: logging.LogRecord) -> tuple[str, dict[str, Any]]:
    """Take the text and the fields apart, which structlog's or natsched's own loggers put together."""
    if isinstance(record.msg, dict):
        fields = {name: value for name, value in record.msg.items() if name not in ("level", "logger")}
        text = str(fields.pop("event", ""))
    elif hasattr(record, "sentence"):
        fields, text = dict(getattr(record, "fields", {})), record.sentence
    else:
        fields, text = {}, record.getMessage()
    told = fields.pop("exc_info", None)
    error = record.exc_info or (sys.exc_info() if told is True else told)
    if isinstance(error, BaseException):
        error = (type(error), error, error.__traceback__)
    if error and error[0] is not None:
        fields["exception"] = _FORMAT.formatException(error)[-_TRACEBACK:]
    return text, fields


def _json(said: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Return what can be stored, and how many bytes it has."""
    try:
        text = json.dumps(said, default=str, skipkeys=True, ensure_ascii=False)
    except (ValueError, RecursionError):
        text = json.dumps({**said, "fields": {"fields": str(said["fields"])[:_TEXT]}}, ensure_ascii=False)
    data = text.encode(errors="replace")
    return cast("dict[str, JsonValue]", json.loads(data)), len(data)

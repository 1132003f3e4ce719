"""Turn the errors of nats-py into ours, once, at the call.

Everything that may be well a moment later is `Unavailable`: after it a write may or may not have happened.
"""

import asyncio
from types import TracebackType
from typing import Any, Final

import nats.errors
import nats.js.errors

from natsched.errors import BackendError, Conflict, NatschedError, PermissionDenied, Unavailable

WRONG_LAST_SEQUENCE: Final = frozenset({10071, 10164})
_NO_JETSTREAM: Final = frozenset({10039, 10076})
_TRANSIENT: Final = frozenset(
    {
        10007,  # the cluster has not taken this server in
        10009,  # the leader is another one
        10041,  # an error of the consensus protocol
        10118,  # the stream is offline
        10119,  # the consumer is offline
        10167,  # too many requests
        10202,  # the cluster takes in or leaves out a server
    }
)
_SILENT: Final = (
    nats.errors.ConnectionClosedError,
    nats.errors.ConnectionDrainingError,
    nats.errors.ConnectionReconnectingError,
    nats.errors.NoRespondersError,
    nats.errors.NoServersError,
    nats.errors.OutboundBufferLimitError,
    nats.errors.StaleConnectionError,
    nats.js.errors.NoStreamResponseError,
    nats.js.errors.TooManyStalledMsgsError,
)


class NotFound(BackendError):
    """The stream, consumer, key or message does not exist. Never leaves `jetstream`."""


def translated() -> "_Translated":
    """Raise our errors in place of nats-py's from the block."""
    return _TRANSLATED


def translate(error: BaseException) -> BaseException:
    """Return our error for one of nats-py's, or the error itself if it is none of them."""
    if isinstance(error, NatschedError):
        return error
    if isinstance(error, nats.js.errors.KeyWrongLastSequenceError):
        return Conflict()
    if isinstance(error, nats.js.errors.NotFoundError):
        return api_error(404, _number(error, "err_code"), _description(error))
    if isinstance(error, nats.js.errors.ServiceUnavailableError):
        return api_error(503, _number(error, "err_code"), _description(error))
    if isinstance(error, nats.js.errors.APIError):
        return api_error(_number(error, "code"), _number(error, "err_code"), _description(error))
    if isinstance(error, (*_SILENT, TimeoutError)):
        return Unavailable(f"{Unavailable.__doc__} ({_text(error)})")
    if isinstance(error, nats.errors.Error):
        return _plain_error(error)
    if isinstance(error, OSError):
        return Unavailable(f"{Unavailable.__doc__} ({_text(error)})")
    if isinstance(error, asyncio.InvalidStateError):  # a reply met its request while that was given up
        return Unavailable()
    return error


def api_error(code: int, err_code: int, description: str) -> BackendError:
    """Return our error for an answer of the JetStream API; `code` is the HTTP-like one."""
    details: dict[str, Any] = {"code": code, "err_code": err_code, "description": description}
    if err_code in WRONG_LAST_SEQUENCE:
        return Conflict(**details)
    if err_code in _NO_JETSTREAM:
        return BackendError(
            "JetStream is not enabled for this account: start nats-server with `--jetstream`, or enable it "
            "in the account's configuration.",
            **details,
        )
    if code == 503 or err_code in _TRANSIENT:
        return Unavailable(f"JetStream cannot answer now: {description or 'no leader'} ({err_code}).", **details)
    if code == 404:
        return NotFound(description or None, **details)
    if code in (401, 403):
        return PermissionDenied(**details)
    return BackendError(f"JetStream refused: {description or 'no reason given'} ({err_code}).", **details)


def denied(error: BaseException) -> bool:
    """Say whether the server refuses who we are, or what we ask for."""
    text = str(error).lower()
    return isinstance(error, nats.errors.AuthorizationError) or any(
        words in text for words in ("authorization", "authentication", "permissions violation", "credentials")
    )


class _Translated:
    """The context manager behind `translated`; it keeps no state, so there is only one."""

    __slots__ = ()

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or not isinstance(error, Exception):
            return
        ours = translate(error)
        if ours is not error:
            raise ours from error


_TRANSLATED: Final = _Translated()


def _plain_error(error: nats.errors.Error) -> BackendError:
    if denied(error):
        return PermissionDenied(f"{PermissionDenied.__doc__} ({_text(error)})")
    if isinstance(error, nats.errors.MaxPayloadError):
        return BackendError("The message is larger than the server's `max_payload`: send less, or raise it.")
    return BackendError(f"NATS refused: {_text(error)}.")


def _text(error: BaseException) -> str:
    return str(error).removeprefix("nats: ") or type(error).__name__


def _description(error: BaseException) -> str:
    return str(getattr(error, "description", None) or "")


def _number(error: BaseException, name: str) -> int:
    return int(getattr(error, name, None) or 0)

import asyncio
import ssl

import nats.errors
import nats.js.errors
import pytest

from natsched.errors import BackendError, Conflict, PermissionDenied, Unavailable
from natsched.jetstream.translate import NotFound, api_error, translate, translated


def api(code: int, err_code: int, description: str = "text") -> nats.js.errors.APIError:
    return nats.js.errors.APIError(code=code, err_code=err_code, description=description)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (TimeoutError(), Unavailable),
        (nats.errors.TimeoutError(), Unavailable),
        (nats.errors.FlushTimeoutError(), Unavailable),
        (nats.js.errors.FetchTimeoutError(), Unavailable),
        (nats.errors.NoRespondersError(), Unavailable),
        (nats.errors.NoServersError(), Unavailable),
        (nats.errors.ConnectionClosedError(), Unavailable),
        (nats.errors.ConnectionReconnectingError(), Unavailable),
        (nats.errors.ConnectionDrainingError(), Unavailable),
        (nats.errors.OutboundBufferLimitError(), Unavailable),
        (nats.errors.StaleConnectionError(), Unavailable),
        (nats.errors.UnexpectedEOF(), Unavailable),
        (ConnectionRefusedError(), Unavailable),
        (ssl.SSLError("handshake"), Unavailable),
        (asyncio.InvalidStateError(), Unavailable),
        (nats.js.errors.NoStreamResponseError(), Unavailable),
        (nats.js.errors.ServiceUnavailableError(code=503, err_code=10008), Unavailable),
        (nats.js.errors.ServiceUnavailableError(), Unavailable),
        (api(500, 10009), Unavailable),
        (api(429, 10167), Unavailable),
        (api(400, 10071, "wrong last sequence: 7"), Conflict),
        (api(400, 10164, "wrong last sequence"), Conflict),
        (nats.js.errors.KeyWrongLastSequenceError("wrong last sequence: 7"), Conflict),
        (nats.js.errors.NotFoundError(code=404, err_code=10059), NotFound),
        (nats.js.errors.BucketNotFoundError(), NotFound),
        (nats.js.errors.KeyNotFoundError(), NotFound),
        (nats.js.errors.KeyDeletedError(), NotFound),
        (nats.errors.AuthorizationError(), PermissionDenied),
        (nats.errors.Error("nats: 'Authorization Violation'"), PermissionDenied),
        (nats.errors.Error('nats: permissions violation for publish to "x"'), PermissionDenied),
        (nats.errors.InvalidUserCredentialsError(), PermissionDenied),
        (nats.errors.MaxPayloadError(), BackendError),
        (nats.errors.BadSubjectError(), BackendError),
        (api(400, 10058), BackendError),
        (api(503, 10076), BackendError),
        (api(503, 10039), BackendError),
    ],
)
def test_each_error_of_the_library_has_one_of_ours(theirs: Exception, ours: type[BackendError]) -> None:
    assert type(translate(theirs)) is ours
    with pytest.raises(ours) as raised, translated():
        raise theirs
    assert type(raised.value) is ours
    assert raised.value.__cause__ is theirs


@pytest.mark.parametrize(
    "error", [ValueError("a bug"), KeyError("x"), Conflict(), NotFound(), asyncio.CancelledError()]
)
def test_what_is_not_the_librarys_comes_out_as_it_is(error: BaseException) -> None:
    with pytest.raises(type(error)) as raised, translated():
        raise error
    assert raised.value is error


def test_the_numbers_of_an_answer_are_kept() -> None:
    error = api_error(400, 10058, "stream name already in use")
    assert error.details == {"code": 400, "err_code": 10058, "description": "stream name already in use"}
    assert "stream name already in use (10058)" in str(error)


def test_without_jetstream_the_cure_is_named() -> None:
    assert "--jetstream" in str(api_error(503, 10076, "JetStream not enabled"))

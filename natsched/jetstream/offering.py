"""A service by the protocol of NATS micro: found, described and counted by its tools."""

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import anyio
from anyio.abc import TaskGroup
from nats import micro
from nats.micro.request import Request
from nats.micro.service import EndpointConfig, EndpointStats, ServiceConfig

from natsched.errors import BackendError
from natsched.jetstream.connection import Connection
from natsched.jetstream.translate import translated
from natsched.logs import get_logger
from natsched.ports import Answer, Endpoint

QUEUE: Final = "natsched"
"""The queue group of all who offer it."""

_VERSION: Final = re.compile(r"\d+\.\d+\.\d+")
_ERROR: Final = "Nats-Service-Error"
_CODE: Final = "Nats-Service-Error-Code"
_GOODBYE: Final = 5.0

log = get_logger(__name__)


class MicroOffers:
    """`ports.Offers` over a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @asynccontextmanager
    async def offer(
        self, name: str, version: str, description: str, endpoints: Sequence[Endpoint]
    ) -> AsyncGenerator[None, None]:
        failed: dict[str, int] = {}

        def stats(of: EndpointStats) -> dict[str, Any]:
            return {"failed": failed.get(of.name, 0)}

        semantic = _VERSION.match(version)
        config = ServiceConfig(
            name=name,
            version=semantic[0] if semantic else "0.0.0",
            description=description,
            queue_group=QUEUE,
            stats_handler=stats,
        )
        async with anyio.create_task_group() as answering:
            with translated():
                service = await micro.add_service(self._connection.nc, config)
            try:
                for endpoint in endpoints:
                    with translated():
                        await service.add_endpoint(self._configured(endpoint, answering, failed))
                yield
            finally:
                with anyio.move_on_after(_GOODBYE, shield=True):
                    await service.stop()
                answering.cancel_scope.cancel()

    def _configured(self, endpoint: Endpoint, answering: TaskGroup, failed: dict[str, int]) -> EndpointConfig:
        async def respond(request: Request) -> None:
            answer = await endpoint.answer(request.data, request.headers or {})
            if answer.code is not None:
                failed[endpoint.name] = failed.get(endpoint.name, 0) + 1
            self._send(request._msg.reply, answer)

        async def handle(request: Request) -> None:  # nats-py takes the next request when this returns
            answering.start_soon(respond, request)

        return EndpointConfig(
            name=endpoint.name, subject=endpoint.subject, metadata=dict(endpoint.metadata), handler=handle
        )

    def _send(self, reply: str, answer: Answer) -> None:
        if not reply:
            return
        headers = None
        if answer.code is not None:
            headers = {_ERROR: " ".join(answer.problem.split()), _CODE: answer.code}
        try:
            with translated():
                self._connection.nc.post(reply, answer.data, headers=headers)
        except BackendError as error:
            log.warning("an answer could not be sent", action="answer_failed", error=str(error))

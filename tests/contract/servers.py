"""The servers under the contract: a backend, and a way to put what no natsched wrote behind its back."""

from datetime import datetime, timedelta
from typing import Final, Protocol

from natsched.memory import MemoryBackend
from natsched.ports import Backend

ACK_WAIT: Final = timedelta(seconds=1)


class Server(Protocol):
    """A fresh, empty server; a delivery that nobody answers for comes again after `ACK_WAIT`."""

    @property
    def backend(self) -> Backend: ...

    async def put_document(self, job: str, data: bytes) -> None:
        """Put bytes under a job's key."""

    async def put_schedule(self, job: str, data: bytes, at: datetime) -> None:
        """Put bytes on a job's schedule subject."""

    async def put_delivery(self, job: str, data: bytes, *, queue: str = "default") -> None:
        """Put bytes among a queue's deliveries."""


class MemoryServer:
    """The memory backend, by way of its streams."""

    def __init__(self, backend: MemoryBackend) -> None:
        self.backend: Final = backend

    async def put_document(self, job: str, data: bytes) -> None:
        self.backend.streams.jobs.put(job, data)

    async def put_schedule(self, job: str, data: bytes, at: datetime) -> None:
        target = f"scheduler.delivery.default.plan.{job}"
        self.backend.streams.hints.put(f"scheduler.schedule.{job}", data, at=at, target=target)

    async def put_delivery(self, job: str, data: bytes, *, queue: str = "default") -> None:
        self.backend.streams.hints.append(f"scheduler.delivery.{queue}.plan.{job}", data)

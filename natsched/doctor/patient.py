"""What is examined: the connection, and through it what natsched keeps."""

from dataclasses import dataclass

from natsched.clock import SystemClock
from natsched.config import Settings
from natsched.jetstream.connection import Connection
from natsched.jetstream.topology import Topology
from natsched.ports import Backend


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """A set-up that can be reached; `monitoring` is the URL of the server's monitoring port, if it is known."""

    settings: Settings
    connection: Connection
    backend: Backend
    topology: Topology
    clock: SystemClock
    monitoring: str | None

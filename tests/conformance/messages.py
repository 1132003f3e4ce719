"""Operations on `ports.Messages`, as far as a stream takes them."""

from dataclasses import dataclass
from typing import Final

from hypothesis import strategies as st

from tests.conformance.world import Answer, Operation, World, mixed

_SUBJECTS: Final = ("orders", "orders.a", "orders.a.b", "none")


@dataclass(frozen=True, slots=True)
class MakeStreams:
    async def play(self, world: World, wanted: Answer | None) -> Answer:
        await world.server.make_stream("ORDERS", "orders.>")
        await world.server.make_stream("ORDER", "orders")
        return "made"


@dataclass(frozen=True, slots=True)
class Store:
    subject: str
    payload: bytes
    id: str | None

    async def play(self, world: World, wanted: Answer | None) -> Answer:
        headers = {"X-Own": "ä"} if self.id is None else {"Nats-Msg-Id": self.id}
        return await world.backend.messages.store(self.subject, self.payload, headers)


@dataclass(frozen=True, slots=True)
class IsOwn:
    subject: str

    async def play(self, world: World, wanted: Answer | None) -> Answer:
        return world.backend.messages.is_own(self.subject)


def messages() -> st.SearchStrategy[Operation]:
    """Draw operations."""
    own = ("scheduler", "scheduler.a", "schedulers", "scheduler-cancel.a", "scheduler-cancel", "$JS.API", ">", "*")
    store = st.builds(Store, st.sampled_from(_SUBJECTS), st.binary(max_size=3), st.sampled_from((None, "1", "2")))
    return mixed((4, store), (1, st.builds(IsOwn, st.sampled_from(own))))


FIRST_MESSAGES: Final[tuple[Operation, ...]] = (MakeStreams(),)

"""What is done for others on request."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is answered to a request; `code` and `problem` say why it was not done, if it was not."""

    data: bytes
    code: str | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One thing that a service does for whoever asks on its subject, with data and headers."""

    name: str
    subject: str
    metadata: Mapping[str, str]
    answer: Callable[[bytes, Mapping[str, str]], Awaitable[Answer]]


class Offers(Protocol):
    """What is done for others on request."""

    def offer(
        self, name: str, version: str, description: str, endpoints: Sequence[Endpoint]
    ) -> AbstractAsyncContextManager[None]:
        """Answer requests for as long as the context lasts, many at once; one of all who offer it answers each."""
        ...

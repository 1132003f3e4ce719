"""Answers to many questions over one wildcard subscription.

A question costs a small object and a future: no subscription, task or timer of its own. One sweep, armed only
while something is asked, ends what is overdue. Every question has the same time limit, so the oldest is always
the first of the dictionary and a sweep looks at no more than it ends. When the connection breaks, all end.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from nats.aio.subscription import Subscription

from natsched.errors import PermissionDenied, Unavailable
from natsched.jetstream.translate import translate, translated
from natsched.jetstream.wire import WireClient, status_of

SWEEPS: Final = 8
"""How many sweeps fit into the time limit: an answer is given up at most an eighth of it late."""

OUTSTANDING: Final = 4096
"""How many questions may be open; a stream's leader refuses publishes when more than 10,000 wait for it."""

UNSENT: Final = 8 * 1024 * 1024
"""How many bytes may wait to be sent."""


class Reply(NamedTuple):
    """An answer as it came; `headers` is the whole block, empty if there is none."""

    data: bytes
    headers: bytes


Answer: TypeAlias = "asyncio.Future[Reply]"


class Question:
    """One question: `future` ends with the answer, or with the last of many, the others in `parts`."""

    __slots__ = ("deadline", "future", "parts", "subject")

    def __init__(self, subject: str, future: Answer, deadline: float, parts: list[Reply] | None) -> None:
        self.subject: Final = subject
        self.future: Final = future
        self.deadline: Final = deadline
        self.parts: Final = parts


class Inbox:
    """The inbox of a connection; it stays open over reconnects."""

    def __init__(self, client: WireClient, *, timeout: float, outstanding: int = OUTSTANDING) -> None:
        self._client = client
        self._timeout = timeout
        self._outstanding = outstanding
        self._questions: dict[bytes, Question] = {}
        self._in_line: deque[asyncio.Future[None]] = deque()
        self._asked = 0
        self._prefix = ""
        self._loop: asyncio.AbstractEventLoop
        self._subscription: Subscription | None = None
        self._sweep: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._prefix = f"{self._client.new_inbox()}."
        with translated():
            self._subscription = await self._client.listen(f"{self._prefix}*", self._take)

    async def close(self) -> None:
        """Give up what is asked and end the subscription."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        self.give_up()
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            with translated():
                await self._client.unlisten(subscription)

    async def ask(
        self,
        subject: str,
        payload: bytes,
        headers: dict[str, str] | None = None,
        *,
        parts: list[Reply] | None = None,
    ) -> Reply:
        """Send, and return the answer; with `parts` they take all answers up to one with a status.

        Wait for room where too many questions are open. Raise `Unavailable` without an answer in time.
        """
        while self._is_full():
            await self._stand_in_line()
        self._asked += 1
        token = b"%d" % self._asked
        loop = self._loop
        question = Question(subject, loop.create_future(), loop.time() + self._timeout, parts)
        try:
            self._client.post(subject, payload, f"{self._prefix}{self._asked}", headers)
        except Exception as error:
            raise translate(error) from error
        self._questions[token] = question
        if self._sweep is None:
            self._sweep = loop.call_later(self._timeout / SWEEPS, self._end_overdue)
        return await question.future

    def give_up(self) -> None:
        """End all questions without an answer: the connection they were asked on is gone."""
        questions, self._questions = self._questions, {}
        for question in questions.values():
            _give_up(question, "the connection broke")
        self._let_in()

    def deny(self, is_denied: Callable[[str], bool]) -> None:
        """End the questions that the server denies."""
        for token, question in tuple(self._questions.items()):
            if is_denied(question.subject) and not question.future.done():
                del self._questions[token]
                question.future.set_exception(
                    PermissionDenied(f"{PermissionDenied.__doc__} ({question.subject})", subject=question.subject)
                )
        self._let_in()

    def _take(self, subject: bytes, _reply: bytes, data: bytes, headers: bytes) -> None:
        token = subject[len(self._prefix) :]
        question = self._questions.get(token)
        if question is None:
            return
        if question.parts is not None and not status_of(headers):
            question.parts.append(Reply(data, headers))
            return
        del self._questions[token]
        if not question.future.done():
            question.future.set_result(Reply(data, headers))
        if self._in_line:
            self._let_in()

    def _is_full(self) -> bool:
        """Say whether to wait for answers: too many are outstanding, or too much of what was asked is unsent."""
        asked = len(self._questions)
        return asked >= self._outstanding or (asked > 0 and self._client.pending_data_size > UNSENT)

    async def _stand_in_line(self) -> None:
        turn: asyncio.Future[None] = self._loop.create_future()
        self._in_line.append(turn)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self._let_in()  # it was our turn: give it to the next
            raise

    def _let_in(self) -> None:
        """Let as many of the line go on as there is room for."""
        room = self._outstanding - len(self._questions)
        while room > 0 and self._in_line:
            turn = self._in_line.popleft()
            if not turn.done():
                turn.set_result(None)
                room -= 1

    def _end_overdue(self) -> None:
        now = self._loop.time()
        overdue = []
        for token, question in self._questions.items():
            if question.deadline > now:
                break
            overdue.append(token)
        for token in overdue:
            _give_up(self._questions.pop(token), f"nothing came within {self._timeout:g} s")
        self._let_in()
        self._sweep = self._loop.call_later(self._timeout / SWEEPS, self._end_overdue) if self._questions else None


def _give_up(question: Question, why: str) -> None:
    if not question.future.done():
        question.future.set_exception(Unavailable(f"{Unavailable.__doc__} ({why})"))

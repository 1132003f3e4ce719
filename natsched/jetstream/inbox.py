"""Answers to many questions over one wildcard subscription.

A question costs a small object and a future: no subscription, task or timer of its own. One sweep, armed only
while something is asked, ends what is overdue. Every question has the same time limit, so the oldest is always
the first of the dictionary and a sweep looks at no more than it ends.
"""

import asyncio
from typing import Final, TypeAlias

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from natsched.errors import Unavailable
from natsched.jetstream.translate import translated

SWEEPS: Final = 8
"""How many sweeps fit into the time limit: an answer is given up at most an eighth of it late."""

STATUS: Final = "Status"


class Question:
    """One question: `future` ends with the answer, or with the last of many, the others in `parts`."""

    __slots__ = ("deadline", "future", "parts", "reply")

    def __init__(self, reply: str, future: "Answer", deadline: float, parts: list[Msg] | None) -> None:
        self.reply: Final = reply
        self.future: Final = future
        self.deadline: Final = deadline
        self.parts: Final = parts


Answer: TypeAlias = "asyncio.Future[Msg]"


class Inbox:
    """The inbox of a connection; it stays open over reconnects."""

    def __init__(self, client: Client, *, timeout: float) -> None:
        self._client = client
        self._timeout = timeout
        self._questions: dict[str, Question] = {}
        self._asked = 0
        self._prefix = ""
        self._loop: asyncio.AbstractEventLoop
        self._subscription: Subscription | None = None
        self._sweep: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._prefix = f"{self._client.new_inbox()}."
        with translated():
            self._subscription = await self._client.subscribe(f"{self._prefix}*", cb=self._take)

    async def close(self) -> None:
        """Give up what is asked and end the subscription, if the connection is still there."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        self.give_up()
        subscription, self._subscription = self._subscription, None
        if subscription is not None and not self._client.is_closed and not self._client.is_draining:
            with translated():
                await subscription.unsubscribe()

    def ask(self, *, parts: list[Msg] | None = None) -> Question:
        """Make ready for an answer to `reply`, or for many up to one with a status, which are put into `parts`."""
        self._asked += 1
        token = str(self._asked)
        loop = self._loop
        question = Question(self._prefix + token, loop.create_future(), loop.time() + self._timeout, parts)
        self._questions[token] = question
        if self._sweep is None:
            self._sweep = loop.call_later(self._timeout / SWEEPS, self._end_overdue)
        return question

    def forget(self, question: Question) -> None:
        """Wait no longer for an answer that nobody was asked for."""
        self._questions.pop(question.reply[len(self._prefix) :], None)

    def give_up(self) -> None:
        """End all questions without an answer: the connection they were asked on is gone."""
        questions, self._questions = self._questions, {}
        for question in questions.values():
            _give_up(question, "the connection broke")

    async def _take(self, message: Msg) -> None:
        token = message.subject[len(self._prefix) :]
        question = self._questions.get(token)
        if question is None:
            return
        if question.parts is not None and not (message.headers and STATUS in message.headers):
            question.parts.append(message)
            return
        del self._questions[token]
        if not question.future.done():
            question.future.set_result(message)

    def _end_overdue(self) -> None:
        now = self._loop.time()
        overdue = []
        for token, question in self._questions.items():
            if question.deadline > now:
                break
            overdue.append(token)
        for token in overdue:
            _give_up(self._questions.pop(token), f"nothing came within {self._timeout:g} s")
        self._sweep = self._loop.call_later(self._timeout / SWEEPS, self._end_overdue) if self._questions else None


def _give_up(question: Question, why: str) -> None:
    if not question.future.done():
        question.future.set_exception(Unavailable(f"{Unavailable.__doc__} ({why})"))

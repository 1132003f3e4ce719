"""Delivering status changes: each notice is POSTed until its receiver takes it.

The notices lie in the outbox, which hands each to one replica at a time. One that is not taken (another status
than 2xx, no answer) goes back with a growing delay, alone: it holds up no other URL, and no other change. At a
second attempt the history tells whether something newer is known; then the notice is dropped. After
`give_up_after` it is dropped too, and told.
"""

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from importlib.metadata import version
from typing import Final, Protocol
from urllib.parse import urlsplit

import anyio

from natsched.clock import Clock
from natsched.core.webhooks import Notice, delay_after, encode_body, is_overtaken, signature
from natsched.daemon.events import NoticeDropped, Observer
from natsched.daemon.options import WebhookOptions
from natsched.errors import BackendError
from natsched.logs import get_logger
from natsched.ports import Backend, NoticeDelivery, NoticeIntake
from natsched.targets.posting import PostFailed

EVENT: Final = "Natsched-Event"
SIGNATURE: Final = "Natsched-Signature"
_GOOD: Final = range(200, 300)
_CLOSE_LIMIT: Final = 2.0
_LAST_ANSWERS: Final = 3.0
_TOLD: Final = frozenset({1, 5, 20, 100})
"""After which attempts a failure is worth a warning."""

_UNREAD: Final = 10
"""After so many attempts, some ten minutes, a notice that cannot be read is dropped."""

log = get_logger(__name__)


class Poster(Protocol):
    """What sends."""

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], *, limit: float) -> int: ...
    async def close(self) -> None: ...


class Courier:
    """Takes notices from the outbox and delivers them, `concurrency` at once."""

    def __init__(
        self,
        backend: Backend,
        clock: Clock,
        options: WebhookOptions,
        poster: Poster,
        observe: Observer,
        *,
        ack_wait: timedelta,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._backend = backend
        self._clock = clock
        self._options = options
        self._poster = poster
        self._observe = observe
        self._half = ack_wait.total_seconds() / 2
        self._environment = environment
        self._intake: NoticeIntake | None = None
        self._busy = 0
        self._idle = anyio.Event()
        self._draining = False

    async def run(self) -> None:
        """Deliver for ever."""
        try:
            async with self._backend.notices() as self._intake, anyio.create_task_group() as deliveries:
                while True:
                    self._ask()
                    for delivery in await self._intake.receive():
                        if self._draining:
                            delivery.nak()
                            continue
                        self._busy += 1
                        deliveries.start_soon(self._work, delivery, name="deliver a notice")
        finally:
            self._intake, self._busy = None, 0
            with anyio.move_on_after(_CLOSE_LIMIT, shield=True):
                await self._poster.close()

    async def drain(self) -> None:
        """Take nothing more, and leave what is being sent a moment to end."""
        self._draining = True
        self._ask()
        with anyio.move_on_after(_LAST_ANSWERS):
            while self._busy:
                await self._idle.wait()

    def _ask(self) -> None:
        """Ask for as many as can be sent at once."""
        if self._intake is not None:
            self._intake.want(0 if self._draining else self._options.concurrency - self._busy)

    async def _work(self, delivery: NoticeDelivery) -> None:
        try:
            await self.deliver(delivery)
        except Exception:
            log.exception("a notice could not be handled; it goes back", action="notice_failed")
            delivery.nak(delay_after(delivery.attempts))
        except BaseException:  # the replica stops: another one goes on at once
            delivery.nak()
            raise
        self._busy -= 1
        self._ask()
        if not self._busy:
            self._idle.set()
            self._idle = anyio.Event()

    async def deliver(self, delivery: NoticeDelivery) -> None:
        """Try to deliver one notice, and answer for it."""
        notice = delivery.notice
        if notice is None:
            log.warning("a message is no notice of natsched", action="bad_notice", problem=delivery.problem)
            if delivery.attempts < _UNREAD:  # a replica of a newer version may be able to read it
                delivery.nak(delay_after(delivery.attempts))
            else:
                delivery.ack()
            return
        try:
            dropped = await self._dropped(notice, delivery.attempts)
        except BackendError as error:
            log.warning("no answer; a notice goes back", action="outage", id=notice.id, error=str(error))
            delivery.nak(delay_after(delivery.attempts))
            return
        if dropped is not None:
            self._observe(dropped)
            delivery.ack()
            return
        async with self._kept(delivery):
            problem = await self._post(notice)
        if problem is None:
            log.debug("told", action="notice_sent", id=notice.id, job=notice.job, host=_host(notice))
            delivery.ack()
            return
        tell = log.warning if delivery.attempts in _TOLD else log.debug
        tell(
            "a webhook did not take a notice; trying again",
            action="notice_again",
            id=notice.id,
            job=notice.job,
            host=_host(notice),
            attempts=delivery.attempts,
            problem=problem,
        )
        delivery.nak(delay_after(delivery.attempts))

    async def _dropped(self, notice: Notice, attempts: int) -> NoticeDropped | None:
        """Say why a notice that was tried before is not to be tried again, if that is so."""
        if attempts <= 1:
            return None
        if self._clock.now() - notice.at > self._options.give_up_after:
            reason = f"the webhook at {_host(notice)} did not take it for too long, in {attempts - 1} attempts"
            return NoticeDropped(job=notice.job, id=notice.id, reason=reason)
        if is_overtaken(notice, await self._backend.history.list(notice.job, notice.execution)):
            reason = "something newer is known of the execution"
            return NoticeDropped(job=notice.job, id=notice.id, reason=reason, outdated=True)
        return None

    async def _post(self, notice: Notice) -> str | None:
        """Send once; return what went wrong, if anything did."""
        body = encode_body(notice)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"natsched/{version('natsched')}",
            EVENT: notice.id,
        }
        if notice.secret is not None:
            secret = self._environment.get(notice.secret)
            if not secret:
                return f"{notice.secret} is not set in the environment of this replica"
            headers[SIGNATURE] = signature(secret, body, int(self._clock.now().timestamp()))
        try:
            status = await self._poster.post(notice.url, body, headers, limit=self._options.timeout.total_seconds())
        except PostFailed as error:
            return str(error)
        return None if status in _GOOD else f"it was answered with {status}"

    @asynccontextmanager
    async def _kept(self, delivery: NoticeDelivery) -> AsyncGenerator[None, None]:
        """Report the delivery as in progress for as long as the context lasts."""
        async with anyio.create_task_group() as reporting:
            reporting.start_soon(self._report, delivery)
            yield
            reporting.cancel_scope.cancel()

    async def _report(self, delivery: NoticeDelivery) -> None:
        while True:
            await self._clock.sleep(self._half)
            delivery.in_progress()


def _host(notice: Notice) -> str:
    """Return what of the URL may be told: the rest may hold a secret."""
    try:
        return urlsplit(notice.url).hostname or ""
    except ValueError:
        return ""

"""One who writes what he likes wherever natsched reads."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Final, TypeVar

from hypothesis import strategies as st

from natsched.core.documents import encode_record
from natsched.core.hints import encode_hint
from natsched.core.jobs import Job, JobId
from natsched.core.planning import plan_hint
from natsched.memory.messages import Heard
from natsched.memory.stream import Message
from tests.daemon.harness import World
from tests.factories import make_plan_hint, make_record, make_run_hint
from tests.garbage import dumped, garbage, values

T = TypeVar("T")

VICTIMS: Final = ("bad", "bad.all", "bad.primary", "bad.after", "bad.asks")
NOTICE: Final = (Path(__file__).parents[1] / "core" / "golden" / "notice.v1.json").read_bytes()
LEASE: Final = dumped({"replica": "x", "queues": {"default": 5}, "natsched": "1", "tzdata": "2025.1"})
CHECK_IN: Final = dumped({"text": "half", "data": {"rows": [1]}})


class Vandal:
    """Writes what is drawn into buckets and streams, and answers for the worker."""

    def __init__(self, world: World, data: st.DataObject) -> None:
        self._world = world
        self._data = data
        self._streams = world.backend.streams

    async def act(self) -> None:
        job = self._one_of(*VICTIMS)
        stored = (await self._world.backend.jobs.read(JobId(job))).job
        execution = next(iter(stored.status.running), "U-1") if isinstance(stored, Job) else "U-1"
        match self._one_of("job", "job", "job", "key", "record", "lock", "lock", "hint", "schedule", "notice"):
            case "job":
                self._damage(job)
            case "key":
                self._streams.jobs.put(self._one_of("a b", "a..b", ">", "ok.", "\ufffd", ""), self._any(LEASE))
            case "record":
                key = self._one_of(f"{job}.{execution}.1", f"{job}.{execution}.2", f"{job}.x.y", "x")
                self._streams.history.put(key, self._any(encode_record(make_record(job, execution))))
            case "lock":
                self._lock(job, execution)
            case "hint":
                name = self._one_of(
                    f"plan.{job}", "plan.ok", "plan", "", "run.x", f"run.U-1.{job}", "plan.a b", "x.y"
                )
                self._streams.hints.append(f"scheduler.delivery.default.{name}", self._hint(stored, job))
            case "schedule":
                subject = self._one_of(f"scheduler.schedule.{job}", f"scheduler.retry.{job}.U-1")
                at = self._world.clock.now() + timedelta(days=365)
                target = f"scheduler.delivery.default.plan.{job}"
                self._streams.hints.put(subject, self._hint(stored, job), at=at, target=target)
            case _:
                self._streams.hints.append("scheduler.webhook.x", self._any(NOTICE))

    def answer(self, heard: Heard) -> None:
        """Answer a request, or do not."""
        publish = self._world.backend.messages.publish
        match self._one_of("answer", "error", "check-in", "silence"):
            case "answer":
                publish(heard.reply, self._draw(st.binary(max_size=9) | values.map(dumped)))
            case "error":
                again = self._one_of("false", "\ufffd", "")
                publish(heard.reply, b"\xff", {"Natsched-Error": "\ufffd", "Natsched-Retryable": again})
            case "check-in":
                publish(heard.headers["natsched-progress"], self._any(CHECK_IN))

    def _damage(self, job: str) -> None:
        last = self._streams.jobs.last(job)
        if last is not None and _is_document(last):
            self._streams.jobs.put(job, self._any(last.data))

    def _lock(self, job: str, execution: str) -> None:
        leases = [one.subject for one in self._streams.locks.oldest() if one.subject.startswith("lease.r1")]
        controls = [f"control{lease.removeprefix('lease')}.{name}" for lease in leases for name in (job, "", "a b")]
        notes = [f"note.{job}.{execution}.{what}" for what in ("data", "check_in")]
        key = self._one_of("reconciler", "lease.x.1", "lease", "control.r1", "unique.a", *controls, *notes)
        self._streams.locks.put(key, self._any(LEASE, CHECK_IN), ttl=timedelta(seconds=20))

    def _hint(self, job: object, name: str) -> bytes:
        planned = plan_hint(job, 1) if isinstance(job, Job) else None
        return self._any(encode_hint(planned or make_plan_hint(name)), encode_hint(make_run_hint(name)))

    def _any(self, *documents: bytes) -> bytes:
        return self._draw(st.binary(max_size=9) | garbage(*documents))

    def _one_of(self, *names: str) -> str:
        return self._draw(st.sampled_from(names))

    def _draw(self, strategy: st.SearchStrategy[T]) -> T:
        drawn: T = self._data.draw(strategy)
        return drawn


def _is_document(message: Message) -> bool:
    try:
        return bool(json.loads(message.data)["spec"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return False

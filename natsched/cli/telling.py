"""What a replica does, as log lines: failures and losses always, the ordinary only at debug."""

from typing import Final

from natsched.client.forms import iso
from natsched.clock import Clock
from natsched.core.executions import ExecutionStatus, Record
from natsched.daemon.events import (
    Event,
    HandedBack,
    HintDropped,
    LeaseLost,
    NoticeDropped,
    Quarantined,
    Repaired,
    RunClaimed,
    RunEnded,
    RunLeftOut,
    RunStarted,
    Swept,
)
from natsched.logs import get_logger

log = get_logger(__name__)

_HOUR: Final = 3600.0
_MINUTE: Final = 60.0
_MOST: Final = 10_000


class Seldom:
    """Lets the first of equal things pass, and the next one only after `every` seconds."""

    def __init__(self, clock: Clock, *, every: float) -> None:
        self._clock = clock
        self._every = every
        self._passed: dict[tuple[str, ...], float] = {}

    def passes(self, *key: str) -> bool:
        now = self._clock.monotonic()
        if now - self._passed.get(key, float("-inf")) < self._every:
            return False
        if len(self._passed) >= _MOST:
            self._passed = {old: at for old, at in self._passed.items() if now - at < self._every}
        if len(self._passed) >= _MOST:
            self._passed.clear()
        self._passed[key] = now
        return True


class LogObserver:
    """Turns a replica's events into log lines; those on runs are left out where `runs` are shown otherwise."""

    def __init__(self, clock: Clock, *, runs: bool = True) -> None:
        self._runs = runs
        self._hourly = Seldom(clock, every=_HOUR)
        self._by_minute = Seldom(clock, every=_MINUTE)

    def __call__(self, event: Event) -> None:  # noqa: C901 - one case for each event
        match event:
            case RunClaimed() | RunStarted() | RunEnded() | RunLeftOut() if not self._runs:
                pass
            case RunClaimed() if event.died:
                log.info("run taken over: its replica died", action="run_taken_over", **_about(event))
            case RunClaimed():
                log.debug("run claimed", action="run_claimed", **_about(event), start=event.start.isoformat())
            case RunStarted():
                log.debug("run started", action="run_started", **_about(event), lag=event.lag)
            case RunEnded(record=record):
                _run_ended(record)
            case RunLeftOut(record=record):
                _left_out(record)
            case LeaseLost():
                log.warning(
                    "the lease is lost: what ran is cancelled, and goes on under a new one",
                    action="lease_lost",
                    lease=event.lease,
                    running=event.running,
                )
            case Quarantined():
                if self._hourly.passes(event.job, event.reason):
                    log.error(
                        "a document cannot be read and is left where it is",
                        action="quarantined",
                        job=event.job,
                        reason=event.reason,
                    )
            case HandedBack():
                self._handed_back(event)
            case HintDropped():
                log.debug("hint dropped", action="hint_dropped", job=event.job, reason=event.reason)
            case NoticeDropped():
                _notice_dropped(event)
            case Repaired():
                log.info("repaired", action="repaired", job=event.job, reason=event.reason)
            case Swept():
                tell = log.info if event.repairs else log.debug
                tell("swept", action="swept", jobs=event.jobs, repairs=event.repairs, seconds=round(event.seconds, 3))

    def _handed_back(self, event: HandedBack) -> None:
        if not event.reason.startswith("no "):
            log.debug("handed back", action="handed_back", job=event.job, reason=event.reason)
        elif self._by_minute.passes(event.job, event.reason):
            log.warning(
                "a run waits for a replica that has its handler: does this one's --app declare it?",
                action="no_handler",
                job=event.job,
                reason=event.reason,
            )


def _run_ended(record: Record) -> None:
    about = {
        **_about(record),
        "status": record.status.value,
        "lag": record.lag,
        "duration": record.duration,
    }
    match record.status:
        case ExecutionStatus.OK:
            log.debug("run ended", action="run_ended", **about)
        case ExecutionStatus.INTERRUPTED:
            log.info("run interrupted: it goes on elsewhere", action="run_ended", **about)
        case ExecutionStatus.CANCELLED:
            log.info("run cancelled", action="run_ended", **about, **_why(record))
        case ExecutionStatus.RETRYING:
            again = iso(record.retry_at)
            log.warning("run failed: it is tried again", action="run_ended", **about, **_why(record), retry_at=again)
        case _:
            log.warning("run failed", action="run_ended", **about, **_why(record))


def _about(event: RunClaimed | RunStarted | Record) -> dict[str, object]:
    """Return what each line on a run says: which one, and for which instant."""
    return {
        "job": event.job,
        "execution": event.execution,
        "attempt": event.attempt,
        "due": event.due.isoformat(),
    }


def _why(record: Record) -> dict[str, str]:
    told = {"error": record.error, "reason": record.reason, "exception": record.traceback}
    return {name: text for name, text in told.items() if text}


def _notice_dropped(event: NoticeDropped) -> None:
    tell = log.debug if event.outdated else log.warning
    tell("a status change is not told", action="notice_dropped", job=event.job, id=event.id, reason=event.reason)


def _left_out(record: Record) -> None:
    if record.attempt and not record.did_not_run:  # decided for a replica that died running it
        sentence, action = "a run ended with its replica", "run_buried"
    else:
        sentence, action = "runs did not happen" if record.number > 1 else "a run did not happen", "run_left_out"
    log.warning(
        sentence,
        action=action,
        **_about(record),
        status=record.status.value,
        number=record.number,
        reason=record.reason,
    )

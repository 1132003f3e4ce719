"""What a trial tells: figures, findings, and the piece of history around each."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta

from natsched.testing import Finding
from natsched.testing.findings import Kind as Broken
from natsched.testing.lives import Life, lives_of
from tests.faults.trial import Outcome

_AROUND = timedelta(seconds=15)
_SHOWN = 10
_QUANTILES = (0.5, 0.99, 1.0)


def report(outcome: Outcome) -> str:
    """Return the whole report."""
    return "\n".join([*_figures(outcome), *_problems(outcome)])


def sequence(outcome: Outcome) -> str:
    """Return what was drawn, and what befell whom in the order of time."""
    befell = sorted(outcome.notes.mishaps, key=lambda mishap: mishap.at)
    drawn = "; ".join(map(str, outcome.plan))
    return "\n".join([f"drawn: {drawn}", "what befell whom:", *(f"  {mishap}" for mishap in befell)])


def _figures(outcome: Outcome) -> Iterator[str]:
    options, history = outcome.options, outcome.history
    seconds = (history.until - outcome.began).total_seconds()
    rate = len(history.starts) / seconds
    yield f"seed {options.seed}, servers {options.servers}, jobs {options.jobs}, {seconds:.0f} s"
    befell = Counter(mishap.kind for mishap in outcome.notes.mishaps)
    yield f"troubles: {sum(befell.values())}: " + ", ".join(f"{number} x {kind}" for kind, number in befell.items())
    for kind, why in outcome.not_injected.items():
        yield f"not injected: {kind}: {why}"
    if options.older is None:
        yield "not injected: upgrade of replicas: no older version was given (--upgrade-from)"
    else:
        yield f"began as an older version: all replicas; still of that version at the end: {len(outcome.older)}"
    asked = ", ".join(f"{number} x {what}" for what, number in outcome.changer.counts.most_common())
    yield f"client: {asked}; {outcome.changer.unanswered} calls without an answer"
    ended = Counter(end.status.value for end in history.ends)
    yield f"runs checked: {len(history.starts)} begun ({rate:.0f}/s); ended: {_counts(ended)}"
    left_out = Counter[str]()
    for record in history.left_out:
        left_out[record.status.value] += record.number
    yield f"left out with a record: {_counts(left_out)}"
    yield _lags(outcome, seconds)
    held_up = outcome.notes.held_up.total_seconds()
    late = history.bounds.late.total_seconds()
    yield f"allowed for: {late:.1f} s until a run begins; this process itself was held up for {held_up:.2f} s at most"
    broken = Counter({kind.value: 0 for kind in Broken})
    broken.update(finding.kind.value for finding in outcome.findings)
    yield "broken promises: " + ", ".join(f"{kind} {number}" for kind, number in broken.items())
    yield f"else wrong: {len(outcome.wrong)}"


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{number} {what}" for what, number in counter.most_common()) or "none"


def _lags(outcome: Outcome, seconds: float) -> str:
    excused = outcome.notes.excused(outcome.history.bounds.recovery)
    held = sum((min(back, outcome.history.until) - at).total_seconds() for at, back in excused)
    lags = sorted(lag for life in lives_of(outcome.history) for lag in _calm(life))
    told = f"outside of troubles ({1 - held / seconds:.0%} of the time): {len(lags)} runs, lag "
    if not lags:
        return told + "unknown"
    marks = [lags[min(int(share * len(lags)), len(lags) - 1)] for share in _QUANTILES]
    return told + "p50 {:.1f} ms, p99 {:.1f} ms, max {:.1f} ms".format(*(1000 * mark for mark in marks))


def _calm(life: Life) -> Iterator[float]:
    """Tell the lags of the first attempts that nothing excuses and that wait for nothing."""
    for runs in life.executions.values():
        start = runs[0].start
        if not start.is_scheduled:
            continue
        instant = life.starts_of(start.due, at=start.at)[1]
        if not life.is_excused(instant, start.at) and not life.waits(instant, start.at):
            yield (start.at - instant).total_seconds()


def _problems(outcome: Outcome) -> Iterator[str]:
    yield from outcome.wrong
    for finding in outcome.findings[:_SHOWN]:
        yield f"\n{finding}"
        yield from (f"    {at:%H:%M:%S.%f} {text}" for at, text in sorted(_around(outcome, finding)))
    if len(outcome.findings) > _SHOWN:
        yield f"\nand {len(outcome.findings) - _SHOWN} more:"
        yield from (str(finding) for finding in outcome.findings[_SHOWN : 10 * _SHOWN])


def _around(outcome: Outcome, finding: Finding) -> Iterator[tuple[datetime, str]]:
    """Tell all that is known of the finding's job around its instant, and what befell whom then."""
    since, until = finding.due - _AROUND, finding.due + 2 * _AROUND
    told = [*_of_job(outcome, finding.job), *_of_troubles(outcome)]
    yield from ((at, text) for at, text in told if since <= at <= until or (at < since and "asks" in text))


def _of_job(outcome: Outcome, job: str) -> Iterator[tuple[datetime, str]]:
    history = outcome.history
    for start in [start for start in history.starts if start.job == job]:
        named = f"{start.execution} attempt {start.attempt}, generation {start.generation}"
        yield start.at, f"{start.replica} begins {named}, due {start.due:%H:%M:%S.%f}"
    for end in [end for end in history.ends if end.job == job]:
        yield end.at, f"{end.replica} ends {end.execution} attempt {end.attempt}: {end.status}"
    for record in [record for record in outcome.records if record.job == job]:
        span = f" of {record.first:%H:%M:%S.%f} to {record.last:%H:%M:%S.%f}" if record.first and record.last else ""
        why = f"{record.status}, {record.number}{span} {record.reason or ''}"
        yield record.ended_at or record.due, f"record: {record.execution} attempt {record.attempt} {why}"
    for change in [change for change in history.changes if change.job == job]:
        yield change.asked, f"the client asks for {change.spec or 'its removal'}, until {change.returned:%H:%M:%S.%f}"


def _of_troubles(outcome: Outcome) -> Iterator[tuple[datetime, str]]:
    for mishap in outcome.notes.mishaps:
        yield mishap.at, f"{mishap.kind} of {mishap.whom} until {mishap.back:%H:%M:%S.%f}"
    for absence in outcome.history.absences:
        yield absence.at, f"{absence.replica} is absent"

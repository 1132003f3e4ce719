"""Check that your jobs ran as they were asked to: give it what you asked for and what you saw, it says what is wrong.

    asked = datetime.now(UTC)
    job = await client.submit_job("metrics", Interval(minutes=1), handler="metrics")
    change = Change.to(job.document, asked=asked, returned=datetime.now(UTC))
    ...
    records = await client.executions("metrics", limit=100_000)
    findings = check(history_of(records, [change], until=datetime.now(UTC)))
    assert not findings, "\\n".join(map(str, findings))

Each later update, pause, resume and removal is a `Change` of its own, a pause that a job made itself
(`auto_pause_after`) too. Replicas that died are `Absence`s, times without a server or any replica `Outage`s: they
excuse what follows from them. With notes of your own, such as those of a handler in each process, build the
`History` from `Start`s and `End`s instead, with `Bounds.clocks` for clocks that differ.

What may have gone either way is not judged: an instant at the moment of a change, or one that was due less than
`Bounds.late` before the end. A job with `scope="all"` is held to run each instant once on some replica, and no more
than once on each.
"""

from natsched.testing.bounds import Bounds
from natsched.testing.changes import Change
from natsched.testing.checking import check
from natsched.testing.excuses import Absence, Outage
from natsched.testing.findings import Finding, Kind
from natsched.testing.histories import History, Told, history_of, left_out_by, told_by
from natsched.testing.runs import End, LeftOut, Start

__all__ = [
    "Absence",
    "Bounds",
    "Change",
    "End",
    "Finding",
    "History",
    "Kind",
    "LeftOut",
    "Outage",
    "Start",
    "Told",
    "check",
    "history_of",
    "left_out_by",
    "told_by",
]

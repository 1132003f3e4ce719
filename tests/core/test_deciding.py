"""Decisions on hints: never early, never by an old plan, never two at once, nothing silent; then named cases."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from natsched.core.changes import update
from natsched.core.deciding import decide
from natsched.core.decisions import AskLeases, AskRecord, Await, Claim, Drop, HandBack, ReadAgain, Settle, Wait
from natsched.core.documents import decode_job, encode_job
from natsched.core.endings import Outcome, finish, release
from natsched.core.executions import DID_NOT_RUN, FINAL, ExecutionStatus, Record
from natsched.core.facts import Facts
from natsched.core.hints import Hint, PlanHint
from natsched.core.jobs import (
    MAX_RUNNING,
    ExecutionId,
    Job,
    LeaseId,
    Manual,
    Plan,
    Running,
    Status,
    Stored,
    Unreadable,
)
from natsched.core.planning import start_of
from natsched.core.schedules import LONGEST_PERIOD, Cron, Interval, Once, Schedule, gap
from natsched.core.takeovers import TRUSTS
from tests.core.strategies import (
    HERE,
    JOB,
    LEASES,
    due_jobs,
    durations,
    facts_about,
    hints,
    instant_of,
    jobs,
    looks,
    moments,
    repeating,
    resolve,
    specs,
    written,
)
from tests.factories import NOON, make_job, make_plan_hint, make_record, make_run_hint, make_spec

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
FIRST = ExecutionId("BILLING_DAILY-1")
BY_HAND = ExecutionId("BILLING_DAILY-m1")
OTHER = LeaseId("lease.other.1")

ends = st.dictionaries(st.sampled_from(LEASES), st.booleans(), min_size=3).map(
    lambda drawn: dict.fromkeys(LEASES, True) | drawn
)
records = st.none() | st.builds(
    make_record, status=st.sampled_from(sorted(FINAL | {ExecutionStatus.INTERRUPTED})), ended_at=st.none() | moments
)


def left_out(job: Job) -> int:
    return sum(number for status, number in job.status.counts.items() if status in DID_NOT_RUN)


def plan_hint_of(job: Job, revision: int = 1) -> PlanHint:
    return PlanHint(job=job.id, uid=job.uid, n=job.status.plan.n, start=NOON, revision=revision)


# Properties


@given(looks(), ends, records)
def test_every_hint_finds_a_decision(
    look: tuple[Hint, Facts], live: dict[LeaseId, bool], record: Record | None
) -> None:
    hint, facts = look
    decide(hint, facts)
    resolve(hint, facts, live=live, record=record)


extreme_instants = st.sampled_from(
    (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC), NOON)
) | st.datetimes(timezones=st.just(UTC))
extreme_schedules: st.SearchStrategy[Schedule] = st.one_of(
    st.builds(Once, extreme_instants, jitter=st.sampled_from((None, LONGEST_PERIOD))),
    st.builds(
        Interval,
        st.sampled_from((timedelta(milliseconds=100), timedelta(days=3_000), LONGEST_PERIOD)),
        start_at=st.none() | extreme_instants,
        jitter=st.just(timedelta(milliseconds=100)),
        fixed_delay=st.booleans(),
    ),
    st.builds(Interval, st.just(LONGEST_PERIOD), jitter=st.just(LONGEST_PERIOD), fixed_delay=st.booleans()),
    st.builds(Cron, st.just("* * * * *"), jitter=st.sampled_from((None, LONGEST_PERIOD))),
)


@given(st.data())
def test_even_a_document_at_the_end_of_time_finds_a_decision(data: st.DataObject) -> None:
    paused = {"active": False, "paused_until": data.draw(st.none() | extreme_instants)}
    spec = data.draw(
        specs(
            extreme_schedules,
            anchor=data.draw(extreme_instants),
            tolerance=data.draw(st.sampled_from((0.0, 1e9, 1e300))),
            catch_up_limit=data.draw(st.sampled_from((-1, 0, 1, 10**9))),
            **data.draw(st.sampled_from(({}, paused))),
        )
    )
    job = data.draw(jobs(st.just(spec)))
    due, now = data.draw(st.none() | extreme_instants), data.draw(extreme_instants)
    facts = data.draw(facts_about(replace(job, status=replace(job.status, plan=Plan(n=job.status.plan.n)))))
    running = {key: replace(entry, due=data.draw(extreme_instants)) for key, entry in job.status.running.items()}
    job = replace(job, status=replace(job.status, plan=Plan(n=job.status.plan.n, due=due), running=running))
    facts = replace(facts, now=now, stored=replace(facts.stored, job=job))
    resolve(data.draw(hints(job)), facts, live=data.draw(ends), record=data.draw(records))


@given(looks(), ends, records)
def test_no_run_is_early(look: tuple[Hint, Facts], live: dict[LeaseId, bool], record: Record | None) -> None:
    hint, facts = look
    job = facts.stored.job
    assert isinstance(job, Job)
    decision = resolve(hint, facts, live=live, record=record)
    if not isinstance(decision, Claim):
        return
    assert decision.start >= decision.running.due
    due, known = decision.running.due, job.status
    if decision.execution in known.manual:
        assert due == decision.start == known.manual[decision.execution].at
    elif decision.execution in known.running:
        assert due == known.running[decision.execution].due
    else:
        assert known.plan.due is not None
        assert due == known.plan.due or known.plan.due < due <= facts.now
        assert due == known.plan.due or instant_of(job, due - timedelta(microseconds=1)) == due
        assert decision.start == start_of(job, decision.running.due)


@given(looks(), ends, records)
def test_only_the_hint_of_the_very_plan_touches_the_plan(
    look: tuple[Hint, Facts], live: dict[LeaseId, bool], record: Record | None
) -> None:
    hint, facts = look
    job = facts.stored.job
    assert isinstance(job, Job)
    decision = resolve(hint, facts, live=live, record=record)
    after = written(decision)
    if isinstance(hint, PlanHint) and (hint.uid, hint.n) == (job.uid, job.status.plan.n):
        return
    if isinstance(decision, Claim):
        assert decision.execution in {**job.status.running, **job.status.manual}
    if after is not None and after.status.plan != job.status.plan:
        assert isinstance(decision, Settle)  # the end of a run plans the next of a fixed delay
        assert job.spec.fixed_delay
        assert job.status.plan.due is None


@given(looks(), ends, records)
def test_the_number_of_the_plan_grows_with_each_change_of_it_and_only_then(
    look: tuple[Hint, Facts], live: dict[LeaseId, bool], record: Record | None
) -> None:
    hint, facts = look
    job = facts.stored.job
    assert isinstance(job, Job)
    decision = resolve(hint, facts, live=live, record=record)
    after = written(decision)
    if after is None:
        return
    before, plan = job.status.plan, after.status.plan
    assert plan == before or plan.n == before.n + 1
    assert (after.uid, after.id) == (job.uid, job.id)
    if isinstance(decision, Claim) and decision.execution == job.execution_id(before.n):
        assert plan.n == before.n + 1


@given(looks(), ends, records)
def test_no_hint_ends_without_a_write_on_a_read_that_is_older_than_the_hint(
    look: tuple[Hint, Facts], live: dict[LeaseId, bool], record: Record | None
) -> None:
    hint, facts = look
    facts = replace(facts, leases=live, record=record, record_known=True)
    stored = facts.stored
    for job in (stored.job, None, Unreadable(reason="v: 2")):
        decision = decide(hint, replace(facts, authoritative=False, stored=replace(stored, job=job)))
        if isinstance(decision, Drop):
            assert stored.revision >= hint.revision
            assert job is not None
            assert isinstance(job, Unreadable) or job.uid == hint.uid


@given(looks(), ends, records)
def test_no_run_is_claimed_beside_as_many_that_live_as_may_run_at_once(
    look: tuple[Hint, Facts], live: dict[LeaseId, bool], record: Record | None
) -> None:
    hint, facts = look
    decision = resolve(hint, facts, live=live, record=record)
    if isinstance(decision, Claim) and (limit := decision.job.spec.concurrency) is not None:
        known = {**live, **facts.leases, HERE: False}
        beside = [
            execution
            for execution, entry in decision.job.status.running.items()
            if execution != decision.execution and entry.lease is not None
            if execution in facts.mine or known[entry.lease]
        ]
        assert len(beside) < limit


@given(looks(), ends, records, st.data())
def test_what_this_replica_has_in_its_hands_it_does_not_claim_again(
    look: tuple[Hint, Facts], live: dict[LeaseId, bool], record: Record | None, data: st.DataObject
) -> None:
    """A doubled hint must not win over the first one: token and lease of both are the same."""
    hint, facts = look
    decision = resolve(hint, facts, live=live, record=record)
    if isinstance(decision, Claim):
        again = resolve(hint, replace(facts, mine={decision.execution}), live=live, record=record)
        assert isinstance(again, HandBack)


@given(looks(due_jobs(specs(history="all"))), ends, st.data())
def test_whatever_a_plan_comes_to_no_instant_is_lost_and_none_is_silent(
    look: tuple[Hint, Facts], live: dict[LeaseId, bool], data: st.DataObject
) -> None:
    _, facts = look
    job = facts.stored.job
    assert isinstance(job, Job)
    assert job.status.plan.due is not None
    decision = resolve(plan_hint_of(job), facts, live=live)
    after = written(decision)
    if not isinstance(decision, Claim | Settle) or after is None:
        assert isinstance(decision, HandBack | Wait | Await)
        return
    claimed = int(isinstance(decision, Claim))
    last = after.status.last_due
    assert last is not None
    passed = gap(job.spec.schedule, job.status.plan.due, last, anchor=job.spec.anchor, salt=job.id)
    assert passed.last == last
    records = [record for record in decision.records if record.status is not ExecutionStatus.PAUSED]
    in_pause = [record for record in decision.records if record not in records]
    assert left_out(after) - left_out(job) + claimed == passed.number + sum(record.number for record in in_pause)
    assert sum(record.number for record in records) + claimed == passed.number
    assert all(record.due < job.status.plan.due for record in in_pause)
    assert after.status.runs == job.status.runs + claimed
    for record in records:
        assert record.attempt == 0
        assert record.status in DID_NOT_RUN
        assert record.execution == job.execution_id(job.status.plan.n)
        assert after.status.counts[record.status] - job.status.counts.get(record.status, 0) == record.number
    limit = job.spec.schedule.max_runs
    if limit is not None and after.status.runs >= limit:
        assert after.status.plan.due is None
    elif job.spec.fixed_delay is None:
        assert after.status.plan.due == instant_of(job, last)


@given(due_jobs(specs(repeating, deadline=None, paused_since=None)), st.data())
def test_a_plan_that_is_not_late_runs_as_it_is(job: Job, data: st.DataObject) -> None:
    """However far its jitter moves the start from the due; only a queue makes one run of what waited."""
    assume(job.spec.overlap != "queue")
    due = job.status.plan.due
    assert due is not None
    job = replace(job, status=replace(job.status, running={}))
    late = data.draw(durations(-SECOND, timedelta(seconds=min(1.0, job.spec.tolerance))))
    facts = replace(data.draw(facts_about(job)), now=start_of(job, due) + late)
    decision = resolve(plan_hint_of(job), facts, live={})
    assert isinstance(decision, Claim)
    assert decision.running.due == due
    assert not decision.records


@given(looks(), ends, records)
def test_what_is_written_can_be_read_again(
    look: tuple[Hint, Facts], live: dict[LeaseId, bool], record: Record | None
) -> None:
    hint, facts = look
    after = written(resolve(hint, facts, live=live, record=record))
    if after is not None:
        assert decode_job(encode_job(after), key=JOB) == after


@given(looks(), ends, records)
def test_a_claim_is_held_under_the_lease_and_the_revision_it_was_read_at(
    look: tuple[Hint, Facts], live: dict[LeaseId, bool], record: Record | None
) -> None:
    hint, facts = look
    decision = resolve(hint, facts, live=live, record=record)
    if isinstance(decision, Claim):
        entry = decision.running
        assert (entry.lease, entry.token, entry.delivery) == (HERE, facts.stored.revision, facts.delivery)
        if decision.traceless:
            assert decision.execution not in decision.job.status.running
        else:
            assert decision.job.status.running[decision.execution] == entry
        assert decision.execution not in decision.job.status.manual
        assert len(decision.job.status.running) <= MAX_RUNNING


@given(looks(), ends, records)
def test_while_a_job_is_paused_only_runs_asked_for_by_hand_are_claimed(
    look: tuple[Hint, Facts], live: dict[LeaseId, bool], record: Record | None
) -> None:
    hint, facts = look
    job = facts.stored.job
    assert isinstance(job, Job)
    paused = replace(job.spec, active=False, paused_until=None)
    status = replace(job.status, plan=replace(job.status.plan, due=None))
    stored = replace(facts.stored, job=replace(job, spec=paused, status=status))
    decision = resolve(hint, replace(facts, stored=stored), live=live, record=record)
    if isinstance(decision, Claim):
        assert decision.running.manual


@given(st.integers(1, 3000), st.integers(1, 3000))
def test_what_is_handed_back_again_and_again_waits_longer_but_not_for_long(few: int, many: int) -> None:
    few, many = sorted((few, many))
    waits = [
        decide(make_plan_hint(), facts(busy(), deliveries=deliveries, leases={OTHER: True}, now=NOON))
        for deliveries in (few, many)
    ]
    delays = [wait.delay for wait in waits if isinstance(wait, HandBack)]
    assert len(delays) == 2
    assert timedelta(0) < delays[0] <= delays[1] <= timedelta(seconds=5)


def busy() -> Job:
    """A job that hands back: full."""
    running = {ExecutionId(f"x-{n}"): Running(token=1, due=NOON, lease=OTHER) for n in range(MAX_RUNNING)}
    return make_job(status=Status(plan=Plan(n=1, due=NOON), running=running), overlap="allow")


# Named cases


def facts(job: Job | Unreadable | None, *, now: datetime = NOON, revision: int = 7, **known: Any) -> Facts:
    stored = Stored(id=JOB, job=job, revision=revision)
    return Facts(now=now, stored=stored, lease=HERE, **{"authoritative": True, "delivery": 5, **known})


def running_job(entry: Running | None = None, *, n: int = 2, due: datetime | None = NOON + HOUR, **spec: Any) -> Job:
    """A job whose first execution is running, under the other replica's lease."""
    status = Status(
        plan=Plan(n=n, due=due),
        running={FIRST: entry or Running(token=3, due=NOON, lease=OTHER)},
        last_due=NOON,
        runs=1,
    )
    return make_job(status=status, **spec)


GONE: Mapping[LeaseId, bool] = {OTHER: False}
LIVES: Mapping[LeaseId, bool] = {OTHER: True}


def test_a_claim_moves_the_due_into_running_and_plans_the_next_in_one_write() -> None:
    decision = decide(make_plan_hint(), facts(make_job()))
    entry = Running(token=7, due=NOON, lease=HERE, delivery=5)
    assert decision == Claim(
        job=make_job(
            status=Status(plan=Plan(n=2, due=NOON + HOUR), running={FIRST: entry}, last_due=NOON, runs=1),
        ),
        execution=FIRST,
        running=entry,
        start=NOON,
        rehint=True,
    )


def test_the_last_instant_of_a_schedule_is_claimed_and_leaves_no_plan() -> None:
    decision = decide(make_plan_hint(), facts(make_job(schedule=Once(NOON))))
    assert isinstance(decision, Claim)
    assert decision.job.status.plan == Plan(n=2)
    assert decision.job.status.completed is None


def test_a_run_that_leaves_no_trace_only_moves_the_plan_and_may_complete_the_job() -> None:
    job = make_job(schedule=Once(NOON), overlap="allow", delivery="at_most_once")
    decision = decide(make_plan_hint(), facts(job))
    assert isinstance(decision, Claim)
    assert decision.traceless
    assert decision.job.status.running == {}
    assert decision.job.status.completed == "no further instant"


@pytest.mark.parametrize("job", [None, make_job(uid="ANOTHER"), make_job(n=3), Unreadable(reason="v: 2")])
def test_a_read_older_than_the_hint_is_read_again(job: Job | Unreadable | None) -> None:
    stale = facts(job, revision=3, authoritative=False)
    assert decide(make_plan_hint(revision=4), stale) == ReadAgain()
    assert isinstance(decide(make_plan_hint(revision=4), replace(stale, authoritative=True)), Drop | HandBack)


@pytest.mark.parametrize(
    ("job", "reason"),
    [
        (None, "job removed"),
        (make_job(uid="ANOTHER"), "job created anew"),
        (make_job(n=2), "old plan"),
        (make_job(due=None), "old plan"),
    ],
)
def test_an_old_hint_is_dropped(job: Job | None, reason: str) -> None:
    assert decide(make_plan_hint(), facts(job)) == Drop(reason=reason)


def test_a_hint_of_an_unreadable_document_goes_back_for_a_minute_and_no_longer() -> None:
    job, passed, deliveries = Unreadable(reason="v: 2"), timedelta(0), 1
    while isinstance(decision := decide(make_plan_hint(), facts(job, deliveries=deliveries)), HandBack):
        passed, deliveries = passed + decision.delay, deliveries + 1
    assert decision == Drop(reason="unreadable document")
    assert timedelta(seconds=50) < passed < timedelta(seconds=70)


def test_a_hint_of_an_execution_that_ended_is_dropped() -> None:
    ended = finish(running_job(), FIRST, Outcome(status=ExecutionStatus.OK, started_at=NOON, ended_at=NOON))
    for hint in (make_plan_hint(), make_run_hint()):
        assert decide(hint, facts(ended)) == Drop(reason="old plan")


def test_a_living_holder_that_cannot_write_the_end_that_it_recorded_is_helped_after_a_while() -> None:
    known: Any = {"leases": LIVES, "deliveries": TRUSTS + 1, "record_known": True}
    job = running_job()
    ended = make_record(execution=FIRST, status=ExecutionStatus.OK)
    assert isinstance(decide(make_plan_hint(), facts(job, **known, record=ended)), Settle)
    assert isinstance(decide(make_plan_hint(), facts(job, **known)), HandBack)


@pytest.mark.parametrize("hint", [make_plan_hint(), make_run_hint(attempt=2)])
def test_a_redelivery_under_a_live_lease_is_handed_back(hint: Hint) -> None:
    decision = decide(hint, facts(running_job(), leases=LIVES))
    assert isinstance(decision, HandBack)
    assert decision.reason == "it is running"


def test_whether_a_lease_is_over_is_asked_of_the_leader() -> None:
    assert decide(make_plan_hint(), facts(running_job())) == AskLeases(leases=frozenset({OTHER}))


@pytest.mark.parametrize("hint", [make_plan_hint(), make_run_hint(attempt=2)])
def test_a_takeover_is_the_next_attempt_of_the_same_execution(hint: Hint) -> None:
    job = running_job()
    asked = decide(hint, facts(job, leases=GONE))
    assert asked == AskRecord(execution=FIRST, attempt=1)
    decision = decide(hint, facts(job, leases=GONE, record_known=True))
    entry = Running(token=7, due=NOON, lease=HERE, attempt=2, takeovers=1, delivery=5)
    status = replace(job.status, running={FIRST: entry})
    assert decision == Claim(job=replace(job, status=status), execution=FIRST, running=entry, start=NOON, rehint=True)


def test_a_takeover_is_only_decided_on_a_read_from_the_leader() -> None:
    assert decide(make_plan_hint(), facts(running_job(), leases=GONE, authoritative=False)) == ReadAgain()


def test_an_execution_that_was_given_back_is_no_crash() -> None:
    job = release(running_job(max_crashes=0), FIRST)
    decision = resolve(make_plan_hint(), facts(job), live={})
    assert isinstance(decision, Claim)
    assert (decision.running.attempt, decision.running.takeovers) == (2, 0)


def test_this_replicas_own_lease_does_not_keep_alive_what_it_no_longer_has_in_hand() -> None:
    job = running_job(Running(token=3, due=NOON, lease=HERE))
    assert isinstance(resolve(make_plan_hint(), facts(job, mine={FIRST}), live={}), HandBack)
    decision = resolve(make_plan_hint(), facts(job), live={})
    assert isinstance(decision, Claim)
    assert decision.running.takeovers == 1


def test_what_is_in_this_replicas_hands_lives_whatever_its_lease() -> None:
    """A thread cannot be cancelled: the run of a lease that was lost may still be going on here."""
    job = running_job(due=NOON, catch_up="latest")
    held = facts(job, mine={FIRST}, leases=GONE)
    assert isinstance(resolve(make_plan_hint(), held, live={}), HandBack)
    skipped = resolve(make_plan_hint(n=2), held, live={})
    assert isinstance(skipped, Settle)
    assert skipped.reason == "skipped"


@pytest.mark.parametrize("status", sorted(FINAL - DID_NOT_RUN))
def test_a_run_that_was_recorded_is_finished_from_its_record(status: ExecutionStatus) -> None:
    job = running_job()
    record = make_record(status=status, started_at=NOON, ended_at=NOON + SECOND, error="boom")
    decision = resolve(make_plan_hint(), facts(job, now=NOON + HOUR), live=GONE, record=record)
    outcome = Outcome(status=status, started_at=NOON, ended_at=NOON + SECOND, error="boom")
    finished = finish(job, FIRST, outcome)
    assert decision == Settle(job=finished, reason="finished from its record", finished=record)
    assert decision.job.status.running == {}
    assert decision.job.status.counts == {status: 1}


def test_a_run_that_was_interrupted_is_taken_over_whatever_its_record() -> None:
    record = make_record(status=ExecutionStatus.INTERRUPTED)
    assert isinstance(resolve(make_plan_hint(), facts(running_job()), live=GONE, record=record), Claim)


def test_too_many_crashes_end_an_execution_as_dead() -> None:
    job = running_job(Running(token=3, due=NOON, lease=OTHER, attempt=4, takeovers=3), max_crashes=3)
    decision = resolve(make_plan_hint(), facts(job), live=GONE)
    assert isinstance(decision, Settle)
    assert decision.reason == "dead"
    assert decision.job.status.running == {}
    assert decision.job.status.counts == {ExecutionStatus.DEAD: 1}
    (record,) = decision.records
    assert (record.attempt, record.status, record.reason) == (4, ExecutionStatus.DEAD, "4 replicas died running it")
    once_less = replace(job, spec=replace(job.spec, max_crashes=4))
    assert isinstance(resolve(make_plan_hint(), facts(once_less), live=GONE), Claim)


def test_at_most_once_an_execution_whose_replica_died_is_lost() -> None:
    decision = resolve(make_plan_hint(), facts(running_job(delivery="at_most_once")), live=GONE)
    assert isinstance(decision, Settle)
    assert decision.job.status.running == {}
    assert decision.job.status.counts == {ExecutionStatus.LOST: 1}
    assert [record.status for record in decision.records] == [ExecutionStatus.LOST]


@pytest.mark.parametrize("overlap", ["skip", "allow"])
def test_another_run_makes_a_due_one_skipped_unless_overlap_is_allowed(overlap: str) -> None:
    job = running_job(due=NOON, overlap=overlap)
    decision = resolve(make_plan_hint(n=2), facts(job), live=LIVES)
    if overlap == "allow":
        assert isinstance(decision, Claim)
        assert len(decision.job.status.running) == 2
        return
    assert isinstance(decision, Settle)
    assert decision.job.status.running == job.status.running
    assert decision.job.status.plan == Plan(n=3, due=NOON + HOUR)
    assert decision.job.status.counts == {ExecutionStatus.SKIPPED: 1}
    (record,) = decision.records
    assert (record.status, record.attempt, record.due) == (ExecutionStatus.SKIPPED, 0, NOON)


def test_overlap_is_decided_at_the_start_not_before() -> None:
    job = running_job(due=NOON)
    early = facts(job, now=NOON - timedelta(milliseconds=20))
    assert resolve(make_plan_hint(n=2), early, live=LIVES) == Wait(until=NOON)
    assert isinstance(resolve(make_plan_hint(n=2), early, live=GONE), Claim)


def test_a_lease_that_is_over_blocks_nobody_but_its_execution_waits_while_others_run() -> None:
    job = running_job(due=NOON)
    claim = resolve(make_plan_hint(n=2), facts(job), live=GONE)
    assert isinstance(claim, Claim)
    waits = resolve(make_plan_hint(), facts(claim.job, mine={claim.execution}), live=GONE)
    assert waits == Await(execution=claim.execution, reason="another execution is running")


def test_skipping_late_tells_of_each_instant_once() -> None:
    job = running_job(due=NOON, history="all")
    decision = resolve(make_plan_hint(n=2), facts(job, now=NOON + 3 * HOUR), live=LIVES)
    assert isinstance(decision, Settle)
    assert decision.job.status.counts == {ExecutionStatus.SKIPPED: 4}
    (record,) = decision.records
    assert (record.first, record.last, record.number) == (NOON, NOON + 3 * HOUR, 4)


def test_a_late_plan_under_latest_runs_its_last_instant_and_tells_of_the_others() -> None:
    decision = decide(make_plan_hint(), facts(make_job(), now=NOON + 2.5 * HOUR))
    assert isinstance(decision, Claim)
    assert decision.running.due == NOON + 2 * HOUR
    assert decision.job.status.plan == Plan(n=2, due=NOON + 3 * HOUR)
    assert decision.job.status.counts == {ExecutionStatus.COALESCED: 2}
    (record,) = decision.records
    assert (record.first, record.last, record.number) == (NOON, NOON + HOUR, 2)
    assert (record.attempt, record.execution, record.status) == (0, FIRST, ExecutionStatus.COALESCED)


def test_a_late_plan_under_earliest_runs_its_first_instant_and_settles_the_others() -> None:
    now = NOON + 2.5 * HOUR
    decision = decide(make_plan_hint(), facts(make_job(catch_up="earliest"), now=now))
    assert isinstance(decision, Claim)
    assert decision.running.due == NOON
    assert decision.job.status.last_due == NOON + 2 * HOUR
    assert decision.job.status.plan == Plan(n=2, due=NOON + 3 * HOUR)
    (record,) = decision.records
    assert (record.first, record.last, record.number) == (NOON + HOUR, NOON + 2 * HOUR, 2)
    assert (record.status, record.reason) == (ExecutionStatus.COALESCED, "an earlier instant runs for it")
    changed = update(decision.job, make_spec(catch_up="earliest", schedule=Interval(minutes=30)), now)
    assert changed is not None
    assert (changed.records, changed.job.status.plan.due) == ((), NOON + 3 * HOUR)


@pytest.mark.parametrize("policy", ["latest", "earliest"])
def test_skipping_what_would_be_caught_up_tells_of_all_of_it_as_skipped(policy: str) -> None:
    job = running_job(due=NOON, catch_up=policy)
    decision = resolve(make_plan_hint(n=2), facts(job, now=NOON + 3.5 * HOUR), live=LIVES)
    assert isinstance(decision, Settle)
    (record,) = decision.records
    assert (record.status, record.first, record.last, record.number) == (
        ExecutionStatus.SKIPPED,
        NOON,
        NOON + 3 * HOUR,
        4,
    )
    assert decision.job.status.last_due == NOON + 3 * HOUR
    assert decision.job.status.plan == Plan(n=3, due=NOON + 4 * HOUR)


@pytest.mark.parametrize(
    ("late", "runs"), [(0.9, True), (5.0, True), (29.9, True), (30.1, False), (3599.0, False), (3601.0, True)]
)
def test_a_late_plan_under_none_runs_only_within_its_tolerance(late: float, runs: bool) -> None:
    job = make_job(catch_up="none", tolerance=30.0)
    decision = decide(make_plan_hint(), facts(job, now=NOON + timedelta(seconds=late)))
    if runs:
        assert isinstance(decision, Claim)
        assert decision.running.due == NOON + (HOUR if late > 3600 else timedelta(0))
        return
    assert isinstance(decision, Settle)
    assert decision.reason == "missed"
    assert decision.job.status.plan == Plan(n=2, due=NOON + HOUR)
    assert decision.job.status.counts == {ExecutionStatus.MISSED: 1}
    (record,) = decision.records
    assert (record.status, record.due) == (ExecutionStatus.MISSED, NOON)


def test_a_tolerance_below_a_second_holds_too() -> None:
    job = make_job(catch_up="none", tolerance=0.2)
    assert isinstance(decide(make_plan_hint(), facts(job, now=NOON + timedelta(seconds=0.1))), Claim)
    assert isinstance(decide(make_plan_hint(), facts(job, now=NOON + timedelta(seconds=0.3))), Settle)


def test_jitter_is_not_lateness() -> None:
    jitter = timedelta(minutes=50)
    for policy in ("latest", "none", "all"):
        job = make_job(schedule=Interval(HOUR, jitter=jitter), catch_up=policy, tolerance=1.0)
        start = start_of(job, NOON)
        assert start - NOON > timedelta(seconds=2)
        decision = decide(make_plan_hint(), facts(job, now=start))
        assert isinstance(decision, Claim)
        assert (decision.running.due, decision.start) == (NOON, start)


def test_what_waited_in_a_queue_is_one_run_however_short_its_wait() -> None:
    job = make_job(schedule=Interval(milliseconds=100, start_at=NOON), overlap="queue")
    decision = decide(make_plan_hint(), facts(job, now=NOON + timedelta(milliseconds=350)))
    assert isinstance(decision, Claim)
    assert decision.running.due == NOON + timedelta(milliseconds=300)
    (record,) = decision.records
    assert (record.status, record.number) == (ExecutionStatus.COALESCED, 3)


def test_under_all_a_late_run_waits_for_the_one_before_it_even_if_its_replica_is_gone() -> None:
    job = running_job(due=NOON, catch_up="all")
    for live in (LIVES, GONE):
        decision = resolve(make_plan_hint(n=2), facts(job, now=NOON + 2 * HOUR), live=live)
        assert isinstance(decision, HandBack)
        assert decision.reason == "waits for the run before it"


def test_under_all_each_instant_runs_in_order() -> None:
    job, now, runs = make_job(catch_up="all"), NOON + 3.5 * HOUR, []
    while job.status.plan.due is not None and job.status.plan.due <= now:
        decision = decide(plan_hint_of(job), facts(job, now=now))
        assert isinstance(decision, Claim)
        runs.append(decision.running.due)
        outcome = Outcome(status=ExecutionStatus.OK, started_at=now, ended_at=now)
        job = finish(decision.job, decision.execution, outcome)
    assert runs == [NOON + number * HOUR for number in range(4)]
    assert job.status.counts == {ExecutionStatus.OK: 4}


def test_a_job_that_is_full_hands_back() -> None:
    decision = decide(make_plan_hint(), facts(busy()))
    assert isinstance(decision, HandBack)
    assert decision.reason == "too many executions are running"


def test_a_paused_jobs_takeover_is_dropped_but_one_asked_for_by_hand_goes_on() -> None:
    paused = running_job(due=None, active=False)
    assert resolve(make_run_hint(attempt=2), facts(paused), live=GONE) == Drop(reason="paused")
    by_hand = running_job(Running(token=3, due=NOON, lease=OTHER, manual=True), due=None, active=False)
    assert isinstance(resolve(make_run_hint(attempt=2), facts(by_hand), live=GONE), Claim)


def test_a_pause_that_is_over_hinders_nothing_and_its_first_run_ends_it() -> None:
    job = make_job(active=False, paused_until=NOON)
    decision = decide(make_plan_hint(), facts(job))
    assert isinstance(decision, Claim)
    assert decision.job.spec.active
    assert decision.job.spec.paused_until is None


def test_a_run_asked_for_by_hand_leaves_the_plan_alone_and_has_its_own_payload() -> None:
    status = Status(plan=Plan(n=1, due=NOON + HOUR), manual={BY_HAND: Manual(at=NOON, payload={"user": 42})})
    job = make_job(status=status, active=False)
    decision = decide(make_run_hint(execution=BY_HAND), facts(job))
    assert isinstance(decision, Claim)
    assert decision.job.status.plan == job.status.plan
    assert decision.job.status.manual == {}
    assert decision.running == Running(token=7, due=NOON, lease=HERE, delivery=5, manual=True, payload={"user": 42})
    again = decide(make_run_hint(execution=BY_HAND), facts(decision.job, mine={BY_HAND}))
    assert isinstance(again, HandBack)


def test_a_run_asked_for_by_hand_waits_its_turn() -> None:
    job = replace(running_job(), status=replace(running_job().status, manual={BY_HAND: Manual(at=NOON)}))
    hint = make_run_hint(execution=BY_HAND)
    assert isinstance(resolve(hint, facts(job), live=LIVES), HandBack)
    assert isinstance(resolve(hint, facts(job), live=GONE), Claim)
    full = replace(busy(), status=replace(busy().status, manual={BY_HAND: Manual(at=NOON)}))
    assert isinstance(resolve(hint, facts(full), live={}), HandBack)


def test_jitter_moves_no_run_that_was_asked_for_by_hand() -> None:
    entry = Running(token=3, due=NOON, lease=OTHER, manual=True)
    status = Status(plan=Plan(n=1, due=NOON + HOUR), running={BY_HAND: entry})
    job = make_job(status=status, schedule=Interval(HOUR, jitter=HOUR))
    decision = resolve(make_run_hint(execution=BY_HAND, attempt=2), facts(job), live=GONE)
    assert isinstance(decision, Claim)
    assert decision.start == NOON


DELAY = Interval(HOUR, fixed_delay=True, max_runs=2)


def test_a_fixed_delay_counts_from_the_end_of_each_run() -> None:
    claim = decide(make_plan_hint(), facts(make_job(schedule=DELAY)))
    assert isinstance(claim, Claim)
    assert claim.job.status.plan == Plan(n=2)
    end = NOON + timedelta(minutes=7)
    outcome = Outcome(status=ExecutionStatus.FAILED, started_at=NOON, ended_at=end)
    ended = finish(claim.job, FIRST, outcome)
    assert ended.status.plan == Plan(n=3, due=end + HOUR)
    second = decide(make_plan_hint(n=3), facts(ended, now=end + HOUR))
    assert isinstance(second, Claim)
    done = finish(second.job, second.execution, replace(outcome, ended_at=end + 2 * HOUR))
    assert done.status.plan.due is None
    assert done.status.completed == "max_runs reached"


def test_a_skipped_run_of_a_fixed_delay_counts_from_now() -> None:
    entry = Running(token=3, due=NOON, lease=OTHER, manual=True)
    status = Status(plan=Plan(n=1, due=NOON), running={BY_HAND: entry})
    now = NOON + timedelta(minutes=3)
    decision = resolve(make_plan_hint(), facts(make_job(status=status, schedule=DELAY), now=now), live=LIVES)
    assert isinstance(decision, Settle)
    assert decision.job.status.plan == Plan(n=2, due=now + HOUR)


def test_a_missed_run_of_a_fixed_delay_counts_from_now() -> None:
    now = NOON + timedelta(minutes=3)
    job = make_job(schedule=DELAY, catch_up="none", tolerance=60)
    decision = decide(make_plan_hint(), facts(job, now=now))
    assert isinstance(decision, Settle)
    assert decision.reason == "missed"
    assert decision.job.status.plan == Plan(n=2, due=now + HOUR)


@pytest.mark.parametrize("live", [LIVES, GONE])
def test_the_end_of_a_dead_run_plans_the_next_of_a_fixed_delay(live: Mapping[LeaseId, bool]) -> None:
    job = running_job(schedule=DELAY, due=None, max_crashes=0)
    decision = resolve(make_plan_hint(), facts(job, now=NOON + HOUR), live=live)
    if live is LIVES:
        assert isinstance(decision, HandBack)
        return
    assert isinstance(decision, Settle)
    assert decision.reason == "dead"
    assert decision.job.status.plan == Plan(n=3, due=NOON + 2 * HOUR)


@pytest.mark.parametrize("history", ["all", "failures", "none"])
def test_whatever_is_kept_a_decision_tells_of_what_does_not_run(history: str) -> None:
    decision = decide(make_plan_hint(), facts(make_job(history=history), now=NOON + 2 * HOUR))
    assert isinstance(decision, Claim)
    assert [record.number for record in decision.records] == [2]
    assert decision.job.status.counts == {ExecutionStatus.COALESCED: 2}

"""One job and three replicas under fire: whatever is lost, doubled, late or dead, the promises hold.

The rules are what can happen between any two steps of a replica (see `world`); the ledger checks the promises of
the design after each of them, and after a calm in which all live and sweeps run that all which was owed is done.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from natsched.core import changes
from natsched.core.backoff import RetryPolicy
from natsched.core.jobs import Spec
from natsched.core.schedules import Cron, Interval, Once, Schedule
from tests.core.strategies import policies
from tests.core.world import Luck, World
from tests.factories import NOON

SCHEDULES: Sequence[Schedule] = (
    Interval(seconds=4),
    Interval(seconds=20),
    Interval(seconds=20, jitter=4),
    Interval(seconds=35, max_runs=4),
    Interval(seconds=15, fixed_delay=True),
    Interval(seconds=15, fixed_delay=True, max_runs=3),
    Interval(seconds=25, end_at=NOON + timedelta(minutes=4)),
    Cron("*/30 * * * * *"),
    Cron("* * * * *"),
    Once(NOON + timedelta(seconds=50)),
)
schedules = st.sampled_from(SCHEDULES)
lucks = st.sampled_from((Luck.FINE, Luck.FINE, Luck.FINE, Luck.STALE, Luck.LOST))
passing = st.sampled_from((0.02, 0.5, 1.0, 3.0, 5.0, 12.0, 20.0, 61.0, 130.0)).map(lambda s: timedelta(seconds=s))
which = st.integers(0, 5)


@st.composite
def job_specs(draw: st.DrawFn) -> Spec:
    drawn: dict[str, Any] = {
        "schedule": draw(schedules),
        "catch_up_limit": draw(st.sampled_from((1, 3))),
        "tolerance": draw(st.sampled_from((0.5, 30.0))),
        "deadline": draw(st.sampled_from((None, None, 4.5, 40.0))),
        "catch_up_window": draw(st.sampled_from((None, None, 2.0, 30.0))),
        "max_crashes": draw(st.sampled_from((0, 1, 3))),
        **draw(policies),
    }
    drawn["overlap"] = draw(st.sampled_from((drawn["overlap"], drawn["overlap"], "replace")))
    drawn["max_concurrency"] = draw(st.sampled_from((None, None, 2)))
    if drawn["delivery"] == "at_least_once":
        drawn["retry"] = draw(st.sampled_from((None, None, RetryPolicy(max_attempts=2, base=7.0))))
    return Spec(anchor=NOON, **drawn)


class Scheduler(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    @initialize(spec=job_specs(), takes=st.sampled_from((0, 0, 9, 30)))
    def begin(self, spec: Spec, takes: int) -> None:
        """Create the job; what it does takes that many seconds, maybe longer than its period."""
        self.world.takes = timedelta(seconds=takes)
        self.world.create(spec, Luck.FINE)

    # Time, the server and the replicas' work

    @rule(time=passing)
    def time_passes(self, time: timedelta) -> None:
        self.world.now += time
        self.world.fire()

    @rule(things=st.integers(1, 4), drawn=st.lists(lucks, min_size=1, max_size=9))
    def the_next_thing_falls_due_and_all_go_on(self, things: int, drawn: list[Luck]) -> None:
        for _ in range(things):
            self.world.now = min((at for at in self.world.waiting() if at > self.world.now), default=self.world.now)
            for luck in drawn:
                self.world.go_on(luck)

    @precondition(lambda self: self.world.deliveries)
    @rule(number=which, drawn=st.lists(lucks, min_size=1, max_size=12))
    def hints_are_taken(self, number: int, drawn: list[Luck]) -> None:
        world = self.world
        for message in world.ready():
            number += 1
            world.take(world.replicas[number % 3], message)
        self.replicas_work(number, drawn)

    @rule(number=which, drawn=st.lists(lucks, min_size=1, max_size=12))
    def replicas_work(self, number: int, drawn: list[Luck]) -> None:
        """One task goes on for some steps."""
        world = self.world
        tasks = [(replica, task) for replica in world.replicas for task in replica.tasks]
        if tasks:
            replica, task = tasks[number % len(tasks)]
            for luck in drawn:
                if task in replica.tasks and not world.step(replica, task, luck):
                    world.now = max(world.now, task.until or world.now)

    # What goes wrong

    @precondition(lambda self: self.world.deliveries)
    @rule(number=which)
    def a_held_hint_is_delivered_again(self, number: int) -> None:
        message = self.world.deliveries[number % len(self.world.deliveries)]
        message.held = False

    @precondition(lambda self: self.world.deliveries)
    @rule(number=which)
    def a_hint_is_lost(self, number: int) -> None:
        self.world.deliveries.pop(number % len(self.world.deliveries))

    @precondition(lambda self: self.world.schedules)
    @rule(number=which)
    def a_schedule_is_lost_or_doubled(self, number: int) -> None:
        subject = sorted(self.world.schedules)[number % len(self.world.schedules)]
        message = self.world.schedules[subject]
        if number % 2:
            del self.world.schedules[subject]
        else:
            self.world.deliveries.append(type(message)(message.hint, self.world.number(), message.at))

    @rule(number=which, drawn=st.lists(lucks, max_size=9), at_once=st.booleans())
    def a_replica_dies_at_some_step_of_what_falls_due_next(
        self, number: int, drawn: list[Luck], at_once: bool
    ) -> None:
        self.the_next_thing_falls_due_and_all_go_on(1, drawn)
        busy = self.world.busy()
        if busy:
            self.world.crash(busy[number % len(busy)])
        if at_once:
            self.the_leases_of_the_dead_end()

    @precondition(lambda self: self.world.busy())
    @rule(number=which)
    def a_replica_is_suspended_past_its_lease(self, number: int) -> None:
        busy = self.world.busy()
        self.world.suspend(busy[number % len(busy)])

    @precondition(lambda self: self.world.busy())
    @rule(number=which)
    def a_replica_shuts_down(self, number: int) -> None:
        busy = self.world.busy()
        self.world.shut_down(busy[number % len(busy)])

    @rule()
    def the_leases_of_the_dead_end(self) -> None:
        self.world.live.intersection_update({replica.lease for replica in self.world.replicas})

    # Clients

    @rule(wanted=schedules, luck=lucks)
    def a_client_changes_the_schedule(self, wanted: Schedule, luck: Luck) -> None:
        job = self.world.job
        if job is not None:
            self.world.change(changes.update(job, replace(job.spec, schedule=wanted), self.world.now), luck)

    @rule(luck=lucks, number=which)
    def a_client_changes_the_handler(self, luck: Luck, number: int) -> None:
        job = self.world.job
        if job is not None:
            wanted = replace(job.spec, handler=f"h{number}")
            self.world.change(changes.update(job, wanted, self.world.now), luck)

    @rule(luck=lucks, until=st.none() | passing)
    def a_client_pauses(self, luck: Luck, until: timedelta | None) -> None:
        job, now = self.world.job, self.world.now
        if job is not None:
            self.world.change(changes.pause(job, now, None if until is None else now + until), luck)

    @rule(luck=lucks)
    def a_client_resumes(self, luck: Luck) -> None:
        if self.world.job is not None:
            self.world.change(changes.resume(self.world.job, self.world.now), luck)

    @rule(luck=lucks)
    def a_client_asks_for_a_run(self, luck: Luck) -> None:
        if self.world.job is not None:
            self.world.trigger(self.world.job, luck)

    @rule(luck=lucks, back=st.sampled_from((9, 40)))
    def a_client_asks_for_what_is_past(self, luck: Luck, back: int) -> None:
        if self.world.job is not None:
            self.world.backfill(self.world.job, timedelta(seconds=back), luck)

    @rule(luck=lucks, number=which)
    def a_client_cancels(self, luck: Luck, number: int) -> None:
        if self.world.job is not None:
            self.world.cancel(self.world.job, number, luck)

    @rule(spec=job_specs(), luck=lucks)
    def a_client_removes_and_creates(self, spec: Spec, luck: Luck) -> None:
        self.world.write(None, expected=self.world.stored.revision)
        self.world.create(spec, luck)

    # Repair, and what must hold

    @rule(luck=lucks)
    def a_sweep_runs(self, luck: Luck) -> None:
        self.world.sweep(luck)

    @rule()
    def all_is_calm(self) -> None:
        self.world.calm()
        self.world.ledger.check_calm(self.world.job)

    @invariant()
    def the_promises_hold(self) -> None:
        self.world.ledger.check(self.world.job)

    def teardown(self) -> None:
        self.all_is_calm()


TestScheduler = Scheduler.TestCase
TestScheduler.settings = settings(
    max_examples=400,
    stateful_step_count=50,
    derandomize=True,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

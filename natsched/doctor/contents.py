"""What natsched keeps: documents, schedules, deliveries, records, leases; compared as the reconciler does."""

from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence
from itertools import islice
from typing import Final

from natsched.core.backlog import backlogs
from natsched.core.hints import Pending
from natsched.core.jobs import Job, JobId, Stored, Unreadable
from natsched.core.sweeping import Delete, Rehint, Sight, inspect, inspect_schedule
from natsched.doctor.findings import Finding, ok, problem, warning
from natsched.doctor.patient import Patient
from natsched.protocol.leases import living
from natsched.protocol.leases import replicas as replicas_of

_CHUNK: Final = 256
_RECORDS: Final = 10_000
_SWEEP: Final = "the reconciler repairs it within two sweeps, if a replica is up; look again in a minute"
_SHOWN: Final = 3
_NO_PLACE: Final = "raise the queue's concurrency, start more replicas, or see why its runs take so long"
_NO_HANDLER: Final = (
    "its replicas have places free: has one of them the jobs' handler (`no_handler` in their logs says who has not)? "
    "Or do they wait for others of their concurrency_key?"
)


async def replicas(patient: Patient) -> AsyncIterator[Finding]:
    """See who is up, and what they agree on."""
    found = await replicas_of(patient.backend.locks)
    if not found:
        yield problem("replicas", "no replica is up: nothing runs", "start one: `natsched serve --app ...`")
        return
    queues = {queue for one in found for queue in one.queues}
    text = f"{len(found)} up ({', '.join(one.name for one in found)}), serving {', '.join(sorted(queues))}"
    leader = next((one.name for one in found if one.is_primary), None)
    if leader is None:
        cure = "look again in 10 s; if it stays, at the replicas' logs"
        yield warning("replicas", f"{text}; none reconciles", cure)
    else:
        yield ok("replicas", f"{text}; {leader} reconciles")
    versions = {one.natsched: [who.name for who in found if who.natsched == one.natsched] for one in found}
    if len(versions) > 1:
        words = "; ".join(
            f"{version or 'an older one'} on {', '.join(sorted(set(who)))}" for version, who in versions.items()
        )
        yield warning("natsched", words, "install one version everywhere, where this is no upgrade under way")
    else:
        yield ok("natsched", f"version {next(iter(versions))} everywhere")
    zones = {one.tzdata: [who.name for who in found if who.tzdata == one.tzdata] for one in found if one.tzdata}
    if len(zones) > 1:
        words = "; ".join(f"{version} on {', '.join(sorted(set(who)))}" for version, who in sorted(zones.items()))
        yield warning("zone data", words, "install one version of tzdata everywhere: they may disagree on instants")
    elif zones:
        yield ok("zone data", f"tzdata {next(iter(zones))} everywhere")


async def documents(patient: Patient) -> AsyncIterator[Finding]:
    """Go through the jobs as a sweep does, and repair nothing."""
    backend, total = patient.backend, 0
    grace = patient.settings.scheduler.reconciler_grace_period
    unreadable: list[Stored] = []
    wrong: Counter[str] = Counter()
    waiting: Counter[str] = Counter()
    delivered = {found.job for found in await backend.hints.deliveries()}
    sight = Sight(now=patient.clock.now(), grace=grace, live=await living(backend.locks))
    async for chunk in backend.jobs.scan(chunk=_CHUNK):
        total += len(chunk)
        unreadable += [one for one in chunk if isinstance(one.job, Unreadable)]
        waiting.update(one.job.spec.queue for one in chunk if isinstance(one.job, Job) and one.job.spec.active)
        scheduled = await backend.hints.scheduled_of([one.id for one in chunk])
        for stored in chunk:
            for repair in inspect(stored, scheduled.get(stored.id), sight):
                if isinstance(repair, Rehint) and stored.id not in delivered and not await _waits(patient, repair):
                    wrong[repair.reason] += 1
    for one in unreadable[:_SHOWN]:
        assert isinstance(one.job, Unreadable)
        yield problem(
            "jobs", f"{one.id} cannot be read: {one.job.reason}", "write it again with `natsched job ensure`"
        )
    if len(unreadable) > _SHOWN:
        yield problem("jobs", f"{len(unreadable) - _SHOWN} more cannot be read", "`natsched job ensure` them again")
    if not unreadable:
        yield ok("jobs", f"{total} can be read")
    for reason, number in sorted(wrong.items()):
        yield warning("schedules", f"{number} of {total} jobs: {reason}", _SWEEP)
    if not wrong:
        yield ok("schedules", "each job's next run has its message")
    found = await replicas_of(backend.locks)
    served = {queue for one in found for queue in one.queues}
    lonely = ", ".join(f"{queue} ({number} jobs)" for queue, number in sorted(waiting.items()) if queue not in served)
    if found and lonely:
        yield problem("queues", f"no replica serves {lonely}", "name the queue in [queues] of a replica")


async def _waits(patient: Patient, repair: Rehint) -> bool:
    """Whether the message is there after all: another subject than its plan's, or it came meanwhile."""
    (found,) = await patient.backend.hints.scheduled([repair.hint])
    return found is not None and found.hint is not None and found.hint.key == repair.hint.key


async def strays(patient: Patient) -> AsyncIterator[Finding]:
    """Find schedules that are stuck in the server, and those of jobs that are gone."""
    backend, now = patient.backend, patient.clock.now()
    grace = patient.settings.scheduler.reconciler_grace_period
    total, stuck = 0, 0
    wrong: Counter[str] = Counter()
    async for chunk in backend.hints.walk(chunk=_CHUNK):
        total += len(chunk)
        stuck += sum(1 for one in chunk if one.at is not None and now - one.at > grace)
        wrong.update([repair.reason async for repair in _judged(patient, chunk)])
    if stuck:
        cure = "replicas replace them within two sweeps; a server that does this again and again wants an upgrade"
        yield problem("stuck schedules", f"{stuck} of {total} are past and were not fired", cure)
    for reason, number in sorted(wrong.items()):
        yield warning("stray schedules", f"{number} of {total}: {reason}", "every tenth sweep deletes them")
    if not stuck and not wrong:
        yield ok("stray schedules", f"none stuck or left over among {total}")


async def _judged(patient: Patient, chunk: Sequence[Pending]) -> AsyncIterator[Delete]:
    stored = await patient.backend.jobs.read_many(list({one.job for one in chunk}))
    for one in chunk:
        repair = inspect_schedule(one, stored[one.job])
        if repair is not None:
            yield repair


async def deliveries(patient: Patient) -> AsyncIterator[Finding]:
    """See what waits for a replica, and for how long; what runs is delivered, too, but does not wait."""
    pending = [one for one in await patient.backend.hints.deliveries() if one.hint is not None]
    running = await _running(patient, {one.job for one in pending})
    waiting = [one for one in pending if one.hint is not None and one.hint.execution not in running.get(one.job, ())]
    found = backlogs(waiting, patient.clock.now())
    if not found:
        yield ok("deliveries", "nothing waits for a replica")
        return
    before = patient.clock.now() - patient.settings.scheduler.reconciler_grace_period
    late: dict[str, dict[JobId, None]] = {}
    for one in waiting:
        if one.hint is not None and one.hint.start < before and one.job not in running:
            late.setdefault(one.hint.queue, {})[one.job] = None
    there = await replicas_of(patient.backend.locks)
    free = {queue for one in there for queue, places in one.queues.items() if one.running.get(queue, 0) < places}
    for queue, backlog in sorted(found.items()):
        text = f"{backlog.number} in queue {queue}, the oldest due {backlog.oldest:.1f} s ago"
        jobs = list(late.get(queue, ()))
        if not jobs:
            yield ok("deliveries", text)
            continue
        more = f" and {len(jobs) - _SHOWN} more" if len(jobs) > _SHOWN else ""
        cure = _NO_HANDLER if queue in free else _NO_PLACE
        yield warning("deliveries", f"{text}; not begun: {', '.join(jobs[:_SHOWN])}{more}", cure)


async def _running(patient: Patient, jobs: Collection[JobId]) -> dict[JobId, frozenset[str]]:
    """Return the executions that live replicas run, of those of the jobs that have any."""
    live, found, names = await living(patient.backend.locks), dict[JobId, frozenset[str]](), iter(jobs)
    while part := list(islice(names, _CHUNK)):
        for job, stored in (await patient.backend.jobs.read_many(part)).items():
            if isinstance(stored.job, Job):
                held = frozenset(name for name, one in stored.job.status.running.items() if one.lease in live)
                found |= {job: held} if held else {}
    return found


async def records(patient: Patient) -> AsyncIterator[Finding]:
    """See whether the newest records belong to jobs that are there; those of removed ones are kept for a while."""
    found = await patient.backend.history.list(limit=_RECORDS)
    jobs = Counter(record.job for record in found)
    there: set[str] = set()
    names = iter(jobs)
    while part := list(islice(names, _CHUNK)):
        stored = await patient.backend.jobs.read_many([JobId(name) for name in part])
        there |= {one.id for one in stored.values() if one.job is not None}
    orphans = sum(number for name, number in jobs.items() if name not in there)
    newest = "the newest " if len(found) == _RECORDS else ""
    gone = f", {orphans} of jobs that are gone: they end with their retention" if orphans else ""
    yield ok("records", f"{newest}{len(found)} can be read{gone}")

"""Make what must exist in NATS exist, in phases with a time limit each.

Theory of operation. Read all assets at once and compare; where nothing differs nothing is written and no lock
is taken. Else the caller's `exclusively` (the once lock, whose bucket is created first, by a plain create that
stands races) runs the comparison again and applies what is left; then all is read again, since another replica
may have done it, or undone it. What contradicts the configuration is an error that names the field and is
never written over. An answer that does not come may be a write that happened: everything here may be repeated.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeAlias, TypeVar

from anyio import create_task_group, fail_after, move_on_after, sleep

from natsched.clock import Clock
from natsched.errors import BackendError, Conflict, LockLost, NatschedError, TopologyConflict, Unavailable
from natsched.jetstream.api import call
from natsched.jetstream.connection import Connection
from natsched.jetstream.topology import (
    Asset,
    Change,
    Create,
    Incompatible,
    Kind,
    Topology,
    Update,
    diff,
    fingerprint,
)
from natsched.jetstream.translate import NotFound
from natsched.jetstream.versions import check_version
from natsched.logs import get_logger

T = TypeVar("T")
Answers: TypeAlias = Mapping[str, Mapping[str, Any] | None]
Exclusively: TypeAlias = Callable[[Callable[[], Awaitable[None]], str], Awaitable[object]]
"""Runs work under the distributed lock, or returns when another replica did the same: same fingerprint."""

_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 0.5
_ROUNDS: Final = 10
_LOOK: Final = 2.0  # what has no leader yet does not answer at all: rather ask again
_NO_PEERS: Final = 10005
_EXISTS: Final = frozenset({10013, 10058, 10148})
_CURES: Final = {
    10065: "another stream takes these subjects: choose another `subject_prefix`, or delete that stream",
    10074: "this server is no cluster: set `replicas = 1`, or connect to a cluster",
    10099: "a consumer that is not ours takes everything from the stream: delete it",
    10100: "a consumer that is not ours takes the same deliveries: delete it, or choose another name",
    10113: "the account requires limits of size: lift that for natsched, its streams must have none",
}
_log: Final = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long each phase may take."""

    jetstream_ready: timedelta = timedelta(seconds=30)
    start_phase: timedelta = timedelta(seconds=30)
    stream_ready: timedelta = timedelta(seconds=30)


async def provision(
    connection: Connection,
    topology: Topology,
    exclusively: Exclusively,
    clock: Clock,
    *,
    limits: Limits | None = None,
) -> tuple[Change, ...]:
    """Make the topology exist and return what this call changed (the bucket of the locks: it or others).

    Raise `ServerTooOld`, `TopologyConflict`, or `Unavailable` naming the phase that took too long.
    """
    return await _Provisioning(connection, topology, clock, limits or Limits()).run(exclusively)


async def provision_consumer(
    connection: Connection, topology: Topology, queue: str | None, *, limit: timedelta = timedelta(seconds=10)
) -> None:
    """Make the consumer of one queue, or of the notices, exist; harmless to repeat and to do at once with others."""
    asset = topology.webhooks() if queue is None else topology.consumer(queue)
    last = Unavailable(f"The {asset.title} keeps changing: do others provision it with another configuration?")
    with move_on_after(limit.total_seconds()):
        for _ in range(_ROUNDS):
            try:
                changes = _compare((asset,), {asset.title: await read(connection, asset)})
                if not changes:
                    return
                for change in changes:
                    await _apply(connection, change)
            except Unavailable as error:
                last = error
                await sleep(_LONGEST_PAUSE)
    raise last


class _Provisioning:
    def __init__(self, connection: Connection, topology: Topology, clock: Clock, limits: Limits) -> None:
        self._connection = connection
        self._topology = topology
        self._clock = clock
        self._limits = limits
        self._assets = topology.assets()
        self._applied: list[Change] = []

    async def run(self, exclusively: Exclusively) -> tuple[Change, ...]:
        warning = check_version(self._connection.server_version)
        if warning:
            _log.warning(warning, action="check_version")
        limits = self._limits
        await self._phase("wait for JetStream", limits.jetstream_ready, self._probe)
        changes = await self._phase("read the topology", limits.start_phase, self._differences)
        if changes:
            await self._phase("prepare the lock", limits.start_phase, self._prepare_lock)
            await self._phase("provision", limits.start_phase, lambda: self._settle(exclusively))
        await self._phase("wait for the streams", limits.stream_ready, self._see_leaders)
        return tuple(self._applied)

    async def _probe(self) -> None:
        await call(self._connection, "INFO", timeout=_LOOK)

    async def _differences(self) -> tuple[Change, ...]:
        return _compare(self._assets, await self._read_all())

    async def _prepare_lock(self) -> None:
        """Bring the bucket of the lock up without a lock, and wait until it is as it is to be.

        All who do this at once write the same. While a bucket gets its copies it may not answer for seconds.
        """
        locks = self._topology.locks()
        answer = await read(self._connection, locks)
        for change in _compare((locks,), {locks.title: answer}):
            await self._apply(change)
        _check_leader(locks, await read(self._connection, locks), copied=True)

    async def _settle(self, exclusively: Exclusively) -> None:
        """Apply under the lock until nothing differs."""
        for _ in range(_ROUNDS):
            await exclusively(self._change, fingerprint(self._topology))
            if not await self._differences():
                return
        raise Unavailable("the topology keeps changing: do others provision it with another configuration?")

    async def _change(self) -> None:
        for change in await self._differences():
            await self._apply(change)

    async def _apply(self, change: Change) -> None:
        if await _apply(self._connection, change):
            self._applied.append(change)

    async def _see_leaders(self) -> None:
        answers = await self._read_all()
        for asset in self._assets:
            _check_leader(asset, answers[asset.title])

    async def _read_all(self) -> Answers:
        answers: dict[str, Mapping[str, Any] | None] = {}
        failures: list[NatschedError] = []

        async def ask(asset: Asset) -> None:
            try:
                answers[asset.title] = await read(self._connection, asset)
            except NatschedError as error:
                failures.append(error)

        async with create_task_group() as tasks:
            for asset in self._assets:
                tasks.start_soon(ask, asset, name=f"read {asset.title}")
        for failure in failures:
            raise failure
        return answers

    async def _phase(self, name: str, limit: timedelta, step: Callable[[], Awaitable[T]]) -> T:
        """Repeat the step while NATS does not answer, within the limit."""
        started = self._clock.monotonic()
        last: NatschedError | None = None
        pause = _FIRST_PAUSE
        try:
            with fail_after(limit.total_seconds()):
                while True:
                    try:
                        result = await step()
                        break
                    except (Unavailable, LockLost) as error:
                        last = error
                        _log.debug("A phase of the start is tried again.", phase=name, error=str(error))
                    await self._clock.sleep(pause)
                    pause = min(pause * 2, _LONGEST_PAUSE)
        except TimeoutError:
            seconds = f"{limit.total_seconds():g} s"
            _log.error("A phase of the start took too long.", phase=name, limit=seconds, error=str(last))
            reason = last or "no answer"
            raise Unavailable(f"At the start, to {name} took longer than {seconds}: {reason}") from last
        except NatschedError as error:
            _log.error("A phase of the start failed.", phase=name, error=str(error))
            raise
        _log.debug("A phase of the start is done.", phase=name, seconds=self._clock.monotonic() - started)
        return result


def _compare(assets: tuple[Asset, ...], answers: Answers) -> tuple[Change, ...]:
    """Return what to change; raise `TopologyConflict` for what must not be."""
    changes = diff(assets, {title: answer and answer["config"] for title, answer in answers.items()})
    conflicts = [change for change in changes if isinstance(change, Incompatible)]
    if conflicts:
        first = conflicts[0]
        raise TopologyConflict(
            "\n".join(str(conflict) for conflict in conflicts),
            asset=first.asset.name,
            field=first.field,
            found=first.found,
            wanted=first.wanted,
        )
    return changes


def _check_leader(asset: Asset, answer: Mapping[str, Any] | None, *, copied: bool = False) -> None:
    """Raise `Unavailable` unless it has a leader, and with `copied` all its copies, most of them current."""
    if answer is None:
        raise Unavailable(f"the {asset.title} is gone")
    cluster = answer.get("cluster")
    if cluster is None:  # a server alone has none
        return
    if not cluster.get("leader"):
        raise Unavailable(f"the {asset.title} has no leader")
    copies = cluster.get("replicas", ())
    current = 1 + sum(1 for copy in copies if copy["current"])
    wanted = answer["config"]["num_replicas"]
    if copied and (1 + len(copies) < wanted or 2 * current <= wanted):
        raise Unavailable(f"the {asset.title} is being copied")


async def read(connection: Connection, asset: Asset) -> Mapping[str, Any] | None:
    """Return what the server says of an asset; None if it does not exist."""
    verb = f"STREAM.INFO.{asset.name}"
    if asset.kind is Kind.CONSUMER:
        verb = f"CONSUMER.INFO.{asset.stream}.{asset.name}"
    try:
        return await call(connection, verb, timeout=_LOOK)
    except NotFound:
        return None


async def _apply(connection: Connection, change: Change) -> bool:
    """Apply one change; False if another replica was faster, or at something else."""
    match change:
        case Create(asset=asset):
            config, verb, action = asset.config(), "CREATE", "create"
        case Update(asset=asset):
            config, verb, action = dict(change.config), "UPDATE", "update"
        case _:
            raise AssertionError(change)
    body: dict[str, Any] = {**config, "name": asset.name}
    if asset.kind is Kind.CONSUMER:
        verb = f"CREATE.{asset.stream}"
        body = {"stream_name": asset.stream, "config": config, "action": action}
    try:
        await call(connection, f"{asset.kind.upper()}.{verb}.{asset.name}", body)
    except (Unavailable, Conflict):
        raise
    except NotFound as error:
        raise Unavailable(f"The {asset.title} cannot be made: {error}.") from error  # its stream is just gone
    except BackendError as error:
        return _refused(change, error)
    _log.info("Changed the topology.", asset=asset.title, action=action, fields=_fields(change))
    return True


def _refused(change: Create | Update, error: BackendError) -> bool:
    code = error.details.get("err_code")
    if code in _EXISTS:
        return False
    text = f"The {change.asset.title} cannot be made as it must be: {error.details.get('description') or error}"
    if code == _NO_PEERS:  # a cluster that is only just starting has them soon
        raise Unavailable(f"{text}: are there as many servers as replicas?") from error
    if cure := _CURES.get(code or 0):
        raise TopologyConflict(f"{text}: {cure}.", asset=change.asset.name, field="", **error.details) from error
    raise type(error)(f"{text}.", **error.details) from error


def _fields(change: Create | Update) -> dict[str, object]:
    return {} if isinstance(change, Create) else {name: new for name, (_, new) in change.fields.items()}

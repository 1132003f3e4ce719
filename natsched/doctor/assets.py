"""The streams, buckets and consumers: as natsched wants them, led, copied, and nobody else at work on them."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from natsched.doctor.findings import Finding, ok, problem, warning
from natsched.doctor.patient import Patient
from natsched.jetstream.api import call
from natsched.jetstream.provisioning import Answers, read
from natsched.jetstream.topology import Create, Incompatible, Kind, Update, diff

_NEARLY_FULL: Final = 0.9
_SERVE: Final = "start a replica (`natsched serve`) as a user who may create them"


async def assets(patient: Patient) -> AsyncIterator[Finding]:
    """Compare what exists with what is wanted, and look at who leads and copies it."""
    answers = await answers_of(patient)
    changes = diff(patient.topology.assets(), {title: one and one["config"] for title, one in answers.items()})
    for change in changes:
        match change:
            case Create(asset=asset):
                yield problem(asset.title, "does not exist", _SERVE)
            case Update(asset=asset, fields=fields):
                words = ", ".join(f"{name} is {found}, wanted is {new}" for name, (found, new) in fields.items())
                yield warning(asset.title, words, "the next start of a replica that may change it sets it")
            case Incompatible(asset=asset):
                yield problem(asset.title, str(change), change.cure)
    differing = {change.asset.title for change in changes}
    for title, answer in answers.items():
        if answer is not None:
            found = list(_cluster(title, answer))
            for finding in found:
                yield finding
            if not found and title not in differing:
                yield ok(title, _about(answer))


async def answers_of(patient: Patient) -> Answers:
    """Read what there is of the streams, buckets and consumers, by their titles."""
    return {asset.title: await read(patient.connection, asset) for asset in patient.topology.assets()}


async def strangers(patient: Patient) -> AsyncIterator[Finding]:
    """Find consumers of the stream that are not natsched's: one that takes schedules deletes them."""
    names = patient.topology.names
    listed = await call(patient.connection, f"CONSUMER.LIST.{names.stream}")
    known = {asset.name for asset in patient.topology.assets() if asset.kind is Kind.CONSUMER}
    others = [one for one in listed.get("consumers") or () if one["name"] not in known]
    queues = [one["name"] for one in others if one["name"].startswith(f"{names.consumer}-")]
    strange = [one["name"] for one in others if one["name"] not in queues]
    if strange:
        yield problem(
            "consumers",
            f"{', '.join(strange)} of {names.stream} is not natsched's: what it acknowledges is lost to natsched",
            f"delete it: `nats consumer rm {names.stream} {strange[0]}`",
        )
    else:
        text = f"; {', '.join(queues)} serve queues that this configuration does not name" if queues else ""
        yield ok("consumers", f"{len(known)} of {names.stream} are natsched's, and no others take from it{text}")


async def limits(patient: Patient) -> AsyncIterator[Finding]:
    """See whether the account is about to run full."""
    answer = await call(patient.connection, "INFO")
    limit, used = answer["limits"]["max_storage"], answer["storage"]
    text = f"{used / 1e6:.1f} MB stored"
    if limit <= 0:
        yield ok("storage", f"{text}, the account has no limit of its own")
    elif used < _NEARLY_FULL * limit:
        yield ok("storage", f"{text} of {limit / 1e6:.0f} MB that the account may store")
    else:
        yield problem(
            "storage",
            f"{text} of {limit / 1e6:.0f} MB that the account may store: when it is full, nothing runs",
            "raise the account's limit, or keep records for a shorter time ([history] retention)",
        )


def _cluster(title: str, answer: Mapping[str, Any]) -> list[Finding]:
    cluster = answer.get("cluster")
    if not cluster or not cluster.get("name"):
        return []
    if not cluster.get("leader"):
        return [problem(title, "has no leader", "see whether most of the servers that hold it are up")]
    copies = cluster.get("replicas") or ()
    away = [copy["name"] for copy in copies if copy.get("offline") or not copy.get("current")]
    if away:
        cure = "see whether these servers are up and catch up"
        return [warning(title, f"{', '.join(away)} of {1 + len(copies)} copies is offline or behind", cure)]
    if not copies:
        cure = "set `replicas = 3` in [scheduler]"
        return [warning(title, "a cluster holds a single copy: it is gone with its server", cure)]
    return []


def _about(answer: Mapping[str, Any]) -> str:
    cluster = answer.get("cluster") or {}
    copies = f"{1 + len(cluster['replicas'])} copies, {cluster['leader']} leads, " if cluster.get("replicas") else ""
    if "state" in answer:
        return f"as wanted, {copies}{answer['state']['messages']} messages"
    waiting = f"{answer.get('num_pending', 0)} waiting, {answer.get('num_ack_pending', 0)} unacknowledged"
    return f"as wanted, {copies}{waiting}"

"""What must exist in NATS, and how what exists differs from it: values in, values out.

Each asset says what it is created with and what becomes of a difference in what exists: `fixed` fields cannot
or must not be changed, `adjusted` ones are ours to set, `at_least` ones may be larger. All else (placement,
compression, a description, more limits) is the operator's and is left alone.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from natsched.jetstream.naming import DEFAULT_QUEUE, Names

Config: TypeAlias = Mapping[str, Any]

_SECOND: Final = 1_000_000_000
_KEY_LIFE_MARKER: Final = 60 * _SECOND  # who looks for what ran out must come by within this time
_LOSES_SCHEDULES: Final = "it deletes schedules silently: remove the limit"
_NOT_OURS: Final = "it belongs to something else, so choose another name in `[scheduler]`, or delete it"


class Kind(StrEnum):
    STREAM = "stream"
    CONSUMER = "consumer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """The configuration of all assets; all replicas and clients must agree on it."""

    names: Names = field(default_factory=Names)
    queues: tuple[str, ...] = (DEFAULT_QUEUE,)
    replicas: int = 1
    duplicates_window: timedelta = timedelta(minutes=2)
    ack_wait: timedelta = timedelta(seconds=5)
    max_ack_pending: int = 100_000

    def assets(self) -> tuple["Asset", ...]:
        """Return what must exist, in the order to create it."""
        names = self.names
        return (
            self.locks(),
            _bucket(names, names.jobs, self.replicas, lives=True),
            _bucket(names, names.executions, self.replicas, lives=False),
            _stream(self),
            *(self.consumer(queue) for queue in self.queues),
            self.webhooks(),
        )

    def locks(self) -> "Asset":
        return _bucket(self.names, self.names.locks, self.replicas, lives=True)

    def consumer(self, queue: str) -> "Asset":
        """Return the durable consumer of a queue's deliveries; it is replicated as its stream is."""
        return self._consumer(self.names.consumer_of(queue), self.names.deliveries_of(queue))

    def webhooks(self) -> "Asset":
        """Return the durable consumer of the notices. Any job may bring a webhook, so there is always one."""
        return self._consumer(self.names.webhook_consumer, self.names.notices)

    def _consumer(self, name: str, filter_subject: str) -> "Asset":
        fixed = {
            "durable_name": name,
            "filter_subject": filter_subject,
            "filter_subjects": (),
            "deliver_policy": "all",
            "deliver_subject": "",
            "ack_policy": "explicit",
            "priority_policy": "",
        }
        adjusted = {
            "ack_wait": _nanoseconds(self.ack_wait),
            "backoff": (),
            "max_deliver": -1,
            "headers_only": False,
            "inactive_threshold": 0,
        }
        return Asset(
            kind=Kind.CONSUMER,
            name=name,
            stream=self.names.stream,
            extra={"name": name, "replay_policy": "instant"},
            fixed=fixed,
            adjusted=adjusted,
            at_least={"max_ack_pending": self.max_ack_pending},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One stream (a bucket is one too) or consumer as wanted; `cures` says what to do about a fixed field."""

    kind: Kind
    name: str
    stream: str
    extra: Config = field(default_factory=dict)
    fixed: Config
    adjusted: Config
    at_least: Config = field(default_factory=dict)
    cures: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """What it is called in messages."""
        return f"{self.kind} {self.name}"

    def config(self) -> dict[str, Any]:
        """Return what to create it with."""
        wanted = {**self.extra, **self.fixed, **self.adjusted, **self.at_least}
        return {name: value for name, value in wanted.items() if not _empty(value) or value == -1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """It is missing."""

    asset: Asset


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """Some fields are to be set; `config` is all of it as it then is. `fields` maps to (found, wanted)."""

    asset: Asset
    config: Config
    fields: Mapping[str, tuple[object, object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Incompatible:
    """It exists and contradicts what is wanted in a way that is not ours to change."""

    asset: Asset
    field: str
    found: object
    wanted: object
    cure: str

    def __str__(self) -> str:
        return (
            f"The {self.asset.title} exists with {self.field} = {_shown(self.found)} where natsched needs "
            f"{_shown(self.wanted)}: {self.cure}."
        )


Change: TypeAlias = Create | Update | Incompatible


def diff(wanted: Sequence[Asset], found: Mapping[str, Config | None]) -> tuple[Change, ...]:
    """Compare with the configurations found, by the assets' titles; what is None there does not exist."""
    changes: list[Change] = []
    for asset in wanted:
        config = found.get(asset.title)
        if config is None:
            changes.append(Create(asset=asset))
            continue
        conflicts = _conflicts(asset, config)
        fields = _adjustments(asset, config)
        if conflicts:
            changes += conflicts
        elif fields:
            merged = {**config, **{name: new for name, (_, new) in fields.items()}}
            changes.append(Update(asset=asset, config=merged, fields=fields))
    return tuple(changes)


def fingerprint(topology: Topology) -> str:
    """Return a short digest of all that is wanted."""
    wanted = [(asset.title, asset.config()) for asset in topology.assets()]
    return hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()[:16]


def _stream(topology: Topology) -> Asset:
    limits = {"max_age": 0, "max_msgs": -1, "max_bytes": -1, "max_msgs_per_subject": -1}
    return Asset(
        kind=Kind.STREAM,
        name=topology.names.stream,
        stream=topology.names.stream,
        extra={"description": "natsched: schedules and deliveries"},
        fixed={
            "subjects": (f"{topology.names.prefix}.>",),
            "retention": "workqueue",
            "storage": "file",
            "discard": "old",
            **limits,
            **_PLAIN,
            "deny_delete": False,
        },
        adjusted={
            "num_replicas": topology.replicas,
            "duplicate_window": _nanoseconds(topology.duplicates_window),
            "allow_direct": True,
            "allow_msg_ttl": True,
            "allow_msg_schedules": True,
        },
        cures={
            **dict.fromkeys(limits, _LOSES_SCHEDULES),
            "discard": "a schedule whose firing is refused gets stuck: set it to `old`",
            "deny_delete": "natsched deletes schedules: allow it, or delete the stream",
        },
    )


def _bucket(names: Names, bucket: str, replicas: int, *, lives: bool) -> Asset:
    """A KV bucket as a stream; with `lives`, a key that runs out leaves a marker for who follows it."""
    limits = {"max_age": 0, "max_msgs": -1}
    return Asset(
        kind=Kind.STREAM,
        name=names.bucket_stream(bucket),
        stream=names.bucket_stream(bucket),
        extra={"deny_delete": True},
        fixed={
            "subjects": (names.key(bucket, ">"),),
            "retention": "limits",
            "storage": "file",
            "discard": "new",
            "max_msgs_per_subject": 1,
            **limits,
            **_PLAIN,
        },
        adjusted={
            "num_replicas": replicas,
            "allow_direct": True,
            "allow_msg_ttl": True,
            "allow_rollup_hdrs": True,
        },
        at_least={"subject_delete_marker_ttl": _KEY_LIFE_MARKER} if lives else {},
        cures=dict.fromkeys(limits, "it deletes what is still needed: remove the limit"),
    )


_PLAIN: Final[Config] = MappingProxyType(
    {"mirror": None, "sources": (), "subject_transform": None, "sealed": False, "no_ack": False}
)


def _conflicts(asset: Asset, found: Config) -> list[Change]:
    return [
        Incompatible(
            asset=asset,
            field=name,
            found=found.get(name),
            wanted=wanted,
            cure=asset.cures.get(name, _NOT_OURS),
        )
        for name, wanted in asset.fixed.items()
        if not _same(found.get(name), wanted)
    ]


def _adjustments(asset: Asset, found: Config) -> dict[str, tuple[object, object]]:
    fields = {
        name: (found.get(name), wanted)
        for name, wanted in asset.adjusted.items()
        if not _same(found.get(name), wanted)
    }
    for name, least in asset.at_least.items():
        value = found.get(name) or 0
        if 0 <= value < least:
            fields[name] = (value, least)
    return fields


def _same(found: object, wanted: object) -> bool:
    if isinstance(found, list) and isinstance(wanted, tuple):
        return sorted(found) == sorted(wanted)
    return found == wanted or (_empty(found) and _empty(wanted))


def _empty(value: object) -> bool:
    """Say whether the server takes the value for "not set"."""
    return not value or value == -1 or value == "none"


def _shown(value: object) -> str:
    return "nothing" if value is None else json.dumps(value)


def _nanoseconds(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1) * 1000

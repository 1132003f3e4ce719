"""What a user of NATS may publish, and what natsched publishes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from natsched.jetstream.naming import Names


@dataclass(frozen=True, slots=True, kw_only=True)
class Permissions:
    """Subjects that may be published; `allow` None: all but those of `deny`."""

    allow: tuple[str, ...] | None
    deny: tuple[str, ...]

    @classmethod
    def read(cls, found: Mapping[str, Any] | None) -> Self:
        """Read what the server says of a user."""
        publish = (found or {}).get("publish") or {}
        allow = publish.get("allow")
        return cls(allow=None if allow is None else tuple(allow), deny=tuple(publish.get("deny") or ()))

    def missing(self, subjects: Sequence[str]) -> list[str]:
        """Return those of the subjects that may not be published."""
        return [subject for subject in subjects if not self._may(subject)]

    def _may(self, subject: str) -> bool:
        if any(covers(pattern, subject) for pattern in self.deny):
            return False
        return self.allow is None or any(covers(pattern, subject) for pattern in self.allow)


def covers(pattern: str, subject: str) -> bool:
    """Whether all that a subject (or a pattern of subjects) stands for matches a pattern."""
    wanted, parts = pattern.split("."), subject.split(".")
    for index, part in enumerate(wanted):
        if part == ">":
            return len(parts) > index
        if index >= len(parts) or parts[index] == ">" or part not in ("*", parts[index]):
            return False
    return len(wanted) == len(parts)


def needed(names: Names) -> Mapping[str, Sequence[str]]:
    """Return what each role publishes, the most able first."""
    api, stream = names.api, names.stream
    buckets = [names.bucket_stream(bucket) for bucket in (names.jobs, names.executions, names.locks)]
    reads = [f"{api}.INFO"]
    reads += [f"{api}.STREAM.INFO.{one}" for one in (stream, *buckets)]
    reads += [f"{api}.STREAM.MSG.GET.{one}" for one in (buckets[0], buckets[2])]
    reads += [f"{api}.DIRECT.GET.{one}" for one in buckets[:2]]
    writes = [
        *(names.key_to_publish(bucket, ">") for bucket in (names.jobs, names.executions)),
        names.key_to_publish(names.locks, "control.>"),
        *(f"{names.prefix}.{kind}.>" for kind in ("schedule", "retry", "delivery", "webhook")),
        f"{api}.STREAM.MSG.GET.{stream}",
        f"{api}.STREAM.MSG.DELETE.{stream}",
        f"{api}.CONSUMER.CREATE.{buckets[1]}",
    ]
    runs = [
        names.key_to_publish(names.locks, ">"),
        f"{api}.CONSUMER.MSG.NEXT.{stream}.{names.consumer}",
        f"{api}.CONSUMER.CREATE.{buckets[0]}",
        f"{api}.CONSUMER.CREATE.{buckets[2]}",
        f"{names.prefix}-cancel.>",
    ]
    client_only = f"{api}.CONSUMER.CREATE.{buckets[1]}"
    return {
        "replica": [*reads, *(one for one in writes if one != client_only), *runs],
        "client": [*reads, *writes],
        "reader": reads,
    }

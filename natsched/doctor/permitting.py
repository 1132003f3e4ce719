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
    """Return what each role publishes, the most able first; acknowledgements, of which there are two forms, aside."""
    api, stream = names.api, names.stream
    jobs, records, locks = (names.bucket_stream(one) for one in (names.jobs, names.executions, names.locks))
    consumers = [f"{stream}.{one}" for one in (names.consumer, names.webhook_consumer)]
    reads = [
        f"{api}.INFO",
        *(f"{api}.STREAM.INFO.{one}" for one in (stream, jobs, records, locks)),
        *(f"{api}.CONSUMER.INFO.{one}" for one in consumers),
        *(f"{api}.STREAM.MSG.GET.{one}" for one in (jobs, locks)),
        *(f"{api}.DIRECT.GET.{one}" for one in (stream, jobs, records, locks)),
    ]
    writes = [
        *(names.key_to_publish(bucket, ">") for bucket in (names.jobs, names.executions)),
        *(names.key_to_publish(names.locks, f"{kind}.>") for kind in ("control", "unique")),
        *(f"{names.prefix}.{kind}.>" for kind in ("schedule", "retry", "delivery", "webhook")),
        *(f"{api}.STREAM.MSG.{verb}.{stream}" for verb in ("GET", "DELETE")),
        *_followed(api, records),
    ]
    runs = [
        names.key_to_publish(names.locks, ">"),
        *(f"{api}.CONSUMER.MSG.NEXT.{one}" for one in consumers),
        *_followed(api, jobs),
        *_followed(api, locks),
        f"{api}.STREAM.MSG.GET.{records}",
        f"{names.prefix}-cancel.>",
    ]
    return {"replica": [*reads, *writes, *runs], "client": [*reads, *writes], "reader": reads}


def _followed(api: str, stream: str) -> Sequence[str]:
    return (
        f"{api}.CONSUMER.CREATE.{stream}",
        *(f"{api}.CONSUMER.{verb}.{stream}.*" for verb in ("MSG.NEXT", "DELETE")),
    )

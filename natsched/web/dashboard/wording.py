"""What pages say of statuses and states: the word, and the tone that colour and sign follow."""

from collections.abc import Mapping
from typing import Final

from natsched.core.executions import DID_NOT_RUN, FAILED_FOR_GOOD, TRANSITIONS, Event, ExecutionStatus, Record

_TONES: Final[Mapping[str, str]] = {
    "ok": "good",
    "running": "busy",
    "active": "good",
    "completed": "off",
    "planned": "off",
    "cancelled": "off",
    "interrupted": "wait",
    "retrying": "wait",
    "paused": "wait",
    **{status.value: "bad" for status in FAILED_FOR_GOOD},
    **{status.value: "miss" for status in DID_NOT_RUN - {ExecutionStatus.PAUSED}},
}

_RETRYABLE: Final = {status for status, row in TRANSITIONS.items() if Event.RETRY_BY_HAND in row}


def label(record: Record) -> str:
    """Return a record's status as a word or two."""
    return words(record.status.value)


def words(status: str) -> str:
    return status.replace("_", " ")


def tone(record: Record) -> str:
    """Return the tone of a record's status."""
    return tone_of(record.status.value)


def tone_of(status: str) -> str:
    return _TONES.get(status, "off")


def can_be_retried(record: Record) -> bool:
    return record.status in _RETRYABLE and bool(record.attempt)

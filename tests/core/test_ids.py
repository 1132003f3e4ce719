"""Ids: which are allowed, and ULIDs."""

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natsched.core.ids import MAX_ID, job_id, manual_execution, token, ulid
from natsched.errors import InvalidJob
from tests.core.strategies import durations, moments

bits = st.integers(0, 2**80 - 1)


@given(
    st.from_regex(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+){0,5}", fullmatch=True).filter(lambda text: len(text) <= MAX_ID)
)
def test_tokens_joined_by_dots_are_an_id(text: str) -> None:
    assert job_id(text) == text


@given(st.text())
def test_an_id_is_a_subject_as_it_is_or_is_refused(text: str) -> None:
    with suppress(InvalidJob):
        job_id(text)
        assert re.fullmatch(r"[A-Za-z0-9_.-]+", text)
        assert all(text.split("."))
        return
    with pytest.raises(InvalidJob, match="id: "):
        job_id(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "a job needs an id"),
        ("a..b", "'a..b' is no job id"),
        (".a", "is no job id"),
        ("a.", "is no job id"),
        ("a b", "is no job id"),
        ("a.*", "is no job id"),
        ("a.>", "is no job id"),
        ("a\n", "is no job id"),
        ("ä", "is no job id"),
        ("a" * 201, "201 characters are too many: 200 at most"),
        (7, "a job's id is text, not int"),
    ],
)
def test_an_id_that_is_refused_says_why(text: object, reason: str) -> None:
    with pytest.raises(InvalidJob, match=re.escape(reason)) as caught:
        job_id(text)
    assert caught.value.field == "id"


@pytest.mark.parametrize("text", ["", "a.b", "a b", "q" * 201, None])
def test_a_name_is_a_single_token(text: object) -> None:
    with pytest.raises(InvalidJob, match="is no name") as caught:
        token(text, field="queue")
    assert caught.value.field == "queue"
    assert token("slow_1-a", field="queue") == "slow_1-a"


@given(moments, bits, bits)
def test_ulids_of_one_instant_differ_by_their_random_bits(now: datetime, a: int, b: int) -> None:
    assert (ulid(now, a) == ulid(now, b)) == (a == b)
    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{26}", ulid(now, a))


@given(moments, durations(timedelta(milliseconds=2), timedelta(days=900)), bits, bits)
def test_a_later_ulid_sorts_later(now: datetime, later: timedelta, a: int, b: int) -> None:
    assert ulid(now, a) < ulid(now + later, b)


def test_the_ulid_of_the_specifications_example() -> None:
    instant = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=1_469_918_176_385)
    assert ulid(instant, 0) == "01ARYZ6S410000000000000000"
    assert ulid(instant, 2**80 - 1) == "01ARYZ6S41ZZZZZZZZZZZZZZZZ"


def test_an_execution_asked_for_by_hand_is_told_from_a_planned_one() -> None:
    assert manual_execution("01JD", "01JE") == "01JD-m01JE"

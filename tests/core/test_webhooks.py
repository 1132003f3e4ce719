"""Status hooks: who is told what, in what order, signed how."""

import hashlib
import hmac
import json
import re
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natsched.core.documents import decode_record
from natsched.core.executions import FINAL, TRANSITIONS, Event, ExecutionStatus
from natsched.core.jobs import JobId
from natsched.core.specs import make_spec
from natsched.core.webhooks import (
    Subscription,
    Webhook,
    decode_notice,
    delay_after,
    encode_body,
    encode_notice,
    is_overtaken,
    notices,
    revision_of,
    signature,
)
from natsched.errors import DocumentError, InvalidJob
from tests.core.strategies import moments, words
from tests.factories import HOURLY, NOON, make_job, make_record

S = ExecutionStatus
HOOK = Webhook(url="https://a.example/hook")
TOLD = [status for status in S if status is not S.PLANNED]


# Properties


@given(
    status=st.sampled_from(TOLD),
    attempt=st.integers(0, 99),
    at=moments,
    error=st.none() | st.text(),
    reason=st.none() | words,
    secret=st.none() | st.just("NATSCHED_SECRET_A"),
)
def test_a_notice_is_read_as_it_was_written(secret: str | None, at: Any, **record: Any) -> None:
    (notice,) = notices(make_record("a.b", ended_at=at, **record), Webhook(url=HOOK.url, secret=secret), ())
    assert decode_notice(encode_notice(notice)) == notice
    assert encode_body(decode_notice(encode_notice(notice))) == encode_body(notice)
    assert " " not in notice.key
    assert notice.key.isascii()


@given(
    st.binary() | st.sampled_from([b"{}", b"[]", b'{"v":1}', b'{"v":1,"url":"u","secret":null,"body":{"at":"x"}}'])
)
def test_other_bytes_are_a_document_error(data: bytes) -> None:
    with pytest.raises(DocumentError):
        decode_notice(data)


@given(st.data())
def test_whatever_an_execution_goes_through_each_change_has_a_higher_revision(data: st.DataObject) -> None:
    """Walk the table of transitions: a claim is the next attempt, all else happens within one.

    What is done by hand between two attempts may be taken back and done again: there it stays as it is.
    """
    status, attempt, revisions = S.PLANNED, 0, [-1]
    for _ in range(12):
        steps = TRANSITIONS.get(status, {})
        if not steps:
            break
        event = data.draw(st.sampled_from(sorted(steps)))
        by_hand = event is Event.RETRY_BY_HAND or (status is S.RETRYING and event is Event.CANCEL)
        status = steps[event]
        attempt += event is Event.CLAIM
        revisions.append(revision_of(make_record(attempt=attempt, status=status), attempt if by_hand else None))
        assert revisions[-1] > revisions[-2] or (by_hand and revisions[-1] == revisions[-2])


@given(st.text(), st.binary(), st.integers(0, 1 << 40))
def test_a_signature_is_an_hmac_over_time_and_body(secret: str, body: bytes, seconds: int) -> None:
    wanted = hmac.new(secret.encode(), str(seconds).encode() + b"." + body, hashlib.sha256).hexdigest()
    assert signature(secret, body, seconds) == f"t={seconds},v1={wanted}"


@given(st.integers(-5, 10_000))
def test_delays_grow_within_their_limits(attempts: int) -> None:
    delay = delay_after(attempts)
    assert timedelta(seconds=1) <= delay <= delay_after(attempts + 1) <= timedelta(minutes=5)


# Named cases


def test_notices_of_version_1_are_made_of_a_record_and_read_today_as_they_were() -> None:
    golden = Path(__file__).parent / "golden"
    data = (golden / "notice.v1.json").read_bytes()
    record = decode_record((golden / "record-run.v1.json").read_bytes())
    (notice,) = notices(record, Webhook(url="https://host/hook", secret="NATSCHED_SECRET_HOOK"), ())
    assert json.loads(encode_notice(notice)) == json.loads(data)
    assert decode_notice(data) == notice


def test_the_documentation_verifies_signatures() -> None:
    text = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text(encoding="utf-8")
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "def is_genuine" in block)
    names: dict[str, Any] = {}
    exec(code, names)
    body, now = b'{"id":"x"}', int(time.time())
    assert names["is_genuine"]("s3cret", signature("s3cret", body, now), body)
    assert not names["is_genuine"]("another", signature("s3cret", body, now), body)
    assert not names["is_genuine"]("s3cret", signature("s3cret", body, now), body + b" ")
    assert not names["is_genuine"]("s3cret", signature("s3cret", body, now - 3600), body)


@pytest.mark.parametrize(
    ("jobs", "job", "covered"),
    [("", "a", True), ("a", "a", True), ("a", "a.b", True), ("a", "ab", False), ("a.b", "a", False)],
)
def test_a_prefix_covers_whole_tokens(jobs: str, job: str, covered: bool) -> None:
    assert Subscription(webhook=HOOK, jobs=jobs).covers(job) is covered


def test_each_url_is_told_once() -> None:
    other = Webhook(url="https://b.example/")
    subscriptions = [Subscription(webhook=hook) for hook in (HOOK, other, other)]
    found = notices(make_record("a", ended_at=NOON), HOOK, subscriptions)
    assert [notice.url for notice in found] == [HOOK.url, other.url]
    assert len({notice.key for notice in found}) == 2
    assert len({notice.id for notice in found}) == 1


def test_only_the_statuses_asked_for_are_told() -> None:
    hook = Webhook(url=HOOK.url, statuses=(S.DEAD, S.FAILED))
    told = [status for status in TOLD if notices(make_record(status=status), hook, ())]
    assert told == [S.FAILED, S.DEAD]


def test_a_gap_tells_how_many_instants_it_had() -> None:
    record = make_record(status=S.MISSED, attempt=0, first=NOON, last=NOON, number=7, ended_at=NOON, reason="late")
    (notice,) = notices(record, HOOK, ())
    assert (notice.body["number"], notice.body["first"]) == (7, "2026-01-01T12:00:00Z")
    assert "number" not in notices(make_record(ended_at=NOON), HOOK, ())[0].body


@pytest.mark.parametrize(
    ("told", "known", "overtaken"),
    [
        ((1, S.RUNNING), (1, S.OK), True),
        ((1, S.RUNNING), (1, S.INTERRUPTED), True),
        ((1, S.RUNNING), (0, S.SKIPPED), False),
        ((2, S.RUNNING), (1, S.RETRYING), False),
        ((1, S.RETRYING), (1, S.RETRYING), False),
        ((1, S.RETRYING), (2, S.DEAD), True),
        ((1, S.OK), (1, S.OK), False),
        ((0, S.SKIPPED), (1, S.OK), True),
    ],
)
def test_what_overtakes_what(told: tuple[int, S], known: tuple[int, S], overtaken: bool) -> None:
    (notice,) = notices(make_record(attempt=told[0], status=told[1]), HOOK, ())
    assert is_overtaken(notice, [make_record(attempt=known[0], status=known[1])]) is overtaken
    assert not is_overtaken(notice, [])


def test_final_statuses_come_last_within_an_attempt() -> None:
    assert {revision_of(make_record(attempt=3, status=status)) for status in FINAL} == {14}


def test_a_url_alone_is_a_webhook() -> None:
    assert make_spec(HOURLY, anchor=NOON, webhook=HOOK.url).webhook == HOOK
    assert make_spec(HOURLY, anchor=NOON, webhook={"url": HOOK.url, "statuses": ["ok"]}).webhook == Webhook(
        url=HOOK.url, statuses=(S.OK,)
    )
    assert make_job(JobId("a")).spec.webhook is None


@pytest.mark.parametrize(
    ("webhook", "field"),
    [
        ("", "webhook.url"),
        ("host/path", "webhook.url"),
        ("ftp://host", "webhook.url"),
        ("https://", "webhook.url"),
        ("https://a b", "webhook.url"),
        ({"url": HOOK.url, "secret": "s3cret"}, "webhook.secret"),
        ({"url": HOOK.url, "secret": "NATSCHED_SECRET_"}, "webhook.secret"),
        ({"url": HOOK.url, "secret": "NATSCHED_SECRET_A B"}, "webhook.secret"),
        ({"url": HOOK.url, "statuses": ["ok", "planned"]}, "webhook.statuses.1"),
        ({"url": HOOK.url, "statuses": ["maybe"]}, "webhook.statuses.0"),
        ({"secret": "NATSCHED_SECRET_A"}, "webhook.url"),
        ({"url": HOOK.url, "color": "red"}, "webhook.color"),
    ],
)
def test_a_webhook_that_could_never_be_told_names_its_field(webhook: Any, field: str) -> None:
    with pytest.raises(InvalidJob) as caught:
        make_spec(HOURLY, anchor=NOON, webhook=webhook)
    assert caught.value.field == field
    assert "s3cret" not in str(caught.value)

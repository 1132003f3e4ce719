"""From keywords to a spec: what is checked, and how a refusal reads."""

from contextlib import suppress
from dataclasses import fields
from datetime import timedelta
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from natsched.core.changes import create
from natsched.core.documents import decode_job, encode_job
from natsched.core.jobs import MAX_PAYLOAD, JobId, Spec
from natsched.core.schedules import Interval
from natsched.core.specs import MAX_DEPTH, OPTIONS, JobOptions, check_payload, make_spec
from natsched.core.targets import Http, NatsRequest, Publish, Shell, describe_target
from natsched.errors import InvalidJob
from tests.core.strategies import JOB, payloads
from tests.factories import HOURLY, NOON

anything = payloads | st.text() | st.timedeltas() | st.floats() | st.binary(max_size=3)
options = st.fixed_dictionaries({}, optional=dict.fromkeys(OPTIONS, anything))


def refusal(**options: Any) -> InvalidJob:
    with pytest.raises(InvalidJob) as caught:
        make_spec(HOURLY, anchor=NOON, **options)
    return caught.value


@given(options | st.tuples(st.sampled_from(OPTIONS), anything).map(lambda pair: dict([pair])))
def test_whatever_is_asked_for_is_a_spec_that_can_be_stored_or_refused_by_name(options: dict[str, Any]) -> None:
    with suppress(InvalidJob):
        spec = make_spec(HOURLY, anchor=NOON, **cast("JobOptions", options))
        job = create(JobId(JOB), "01JE", spec, NOON)
        assert decode_job(encode_job(job), key=JOB) == job
        return
    assert refusal(**options).field.split(".")[0] in {*options, "payload"}


def test_what_is_not_said_has_its_default() -> None:
    assert make_spec(HOURLY, anchor=NOON) == Spec(schedule=HOURLY, anchor=NOON)


def test_the_options_of_a_job_are_those_of_its_spec() -> None:
    assert set(OPTIONS) == set(JobOptions.__annotations__)
    assert set(OPTIONS) < {field.name for field in fields(Spec)}


def test_durations_are_seconds() -> None:
    spec = make_spec(HOURLY, anchor=NOON, timeout=timedelta(minutes=5), tolerance=timedelta(seconds=1.5))
    assert (spec.timeout, spec.tolerance) == (300.0, 1.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"handeler": "x"}, "handeler: there is no such option: did you mean `handler`?"),
        ({"colour": "red"}, "colour: there is no such option: a job takes handler, target, queue"),
        ({"generation": 2}, "generation: there is no such option"),
        ({"overlap": "maybe"}, "overlap: Input should be 'skip', 'queue', 'replace' or 'allow'"),
        ({"handler": " "}, "handler: ' ' names no handler"),
        ({"handler": "\ud800"}, "handler: '\\ud800' names no handler"),
        ({"handler": 7}, "handler: Input should be a valid string"),
        ({"queue": "a.b"}, "queue: 'a.b' is no name"),
        ({"timeout": 0}, "timeout: 0.0 s is no time limit"),
        ({"timeout": float("inf")}, "timeout: Input should be a finite number"),
        ({"timeout": float("nan")}, "timeout: Input should be a finite number"),
        ({"tolerance": -1}, "tolerance: -1.0 s is no tolerance"),
        ({"deadline": 0}, "deadline: 0 s is out of range: take more than 0 and up to 31536000, or None for none"),
        ({"deadline": float("nan")}, "deadline: Input should be a finite number"),
        ({"catch_up_window": 1e9}, "catch_up_window: 1e+09 s is out of range"),
        ({"catch_up_window": 5, "catch_up": "none"}, 'catch_up_window: nothing is made up for with catch_up "none"'),
        ({"catch_up": "first"}, "catch_up: Input should be 'latest', 'earliest', 'none' or 'all'"),
        ({"catch_up_limit": 0}, "catch_up_limit: 0 is too few: take 1 or more"),
        ({"max_crashes": -1}, "max_crashes: -1 is too few: take 0 or more"),
        (
            {"target": {"kind": "ftp"}},
            "target: Input tag 'ftp' found using 'kind' does not match",
        ),
        ({"target": Shell(argv=("ls",)), "handler": "h"}, "target: it has a handler too: leave one of the two out"),
        ({"target": Shell(argv=())}, "target.argv: name a program"),
        ({"target": Shell(argv=("ls", "wc"), shell=True)}, "target.argv: with `shell` it is one text"),
        ({"target": Shell(argv=("a", "b\0"))}, "target.argv.1: 'b\\x00' cannot be an argument"),
        ({"target": Shell(argv=("a",), env={"A=B": ""})}, "target.env.A=B: 'A=B' cannot be a variable"),
        ({"target": Shell(argv=("a",), grace=-1)}, "target.grace: -1.0 s is out of range"),
        ({"target": {"kind": "shell", "argv": "ls"}}, "target.shell.argv: Input should be a valid tuple"),
        ({"target": Http(url="ftp://a")}, "target.url: 'ftp://a' is no URL: write it like https://host/path"),
        ({"target": Http(url="http://a/ b")}, "target.url: 'http://a/ b' is no URL"),
        ({"target": Http(url="http://[a")}, "target.url: 'http://[a' is no URL"),
        ({"target": Http(url="http://a", method="get")}, "target.method: 'get' is none of GET, HEAD"),
        ({"target": Http(url="http://a", headers={"a b": ""})}, "target.headers.a b: 'a b' cannot be a header"),
        ({"target": Http(url="http://a", headers={"a": "b\r\nc: d"})}, "target.headers.a: 'a' cannot be a header"),
        ({"target": Http(url="http://a", expect=(600,))}, "target.expect.0: 600 is no HTTP status"),
        ({"target": NatsRequest(subject="")}, "target.subject: '' is no subject: write tokens with single dots"),
        ({"target": NatsRequest(subject="a..b")}, "target.subject: 'a..b' is no subject"),
        ({"target": NatsRequest(subject=".a")}, "target.subject: '.a' is no subject"),
        ({"target": NatsRequest(subject="a b")}, "target.subject: 'a b' is no subject"),
        ({"target": NatsRequest(subject="a\r\nPUB b")}, "is no subject"),
        ({"target": NatsRequest(subject="a\ud800")}, "is no subject"),
        ({"target": NatsRequest(subject="a.ü")}, "target.subject: 'a.ü' is no subject"),
        ({"target": NatsRequest(subject="a.*")}, "target.subject: 'a.*' has a wildcard: name one subject"),
        ({"target": Publish(subject="a.>")}, "target.subject: 'a.>' has a wildcard: name one subject"),
        ({"target": Publish(subject="$JS.API.STREAM.DELETE.A")}, "belongs to the server"),
        ({"target": Publish(subject="a" * 256)}, "target.subject: it has 256 characters: 255 at most"),
        (
            {"target": NatsRequest(subject="a", heartbeat=0)},
            "target.heartbeat: 0.0 s is out of range: take 0.1 to 86400",
        ),
        (
            {"target": NatsRequest(subject="a", heartbeat=float("nan"))},
            "target.nats.heartbeat: Input should be a finite number",
        ),
        ({"target": NatsRequest(subject="a", headers={"a": "ü"})}, "target.headers.a: 'a' cannot be a header"),
        (
            {"target": Publish(subject="a", headers={"nats-msg-id": "1"})},
            "target.headers.nats-msg-id: natsched sets 'nats-msg-id' itself: leave it out",
        ),
        ({"target": NatsRequest(subject="a", headers={"Natsched-Job": "b"})}, "natsched sets 'Natsched-Job' itself"),
        ({"target": NatsRequest(subject=cast("str", 7))}, "target.nats.subject: Input should be a valid string"),
        (
            {"target": NatsRequest(subject="a", heartbeat=cast("float", "soon"))},
            "target.nats.heartbeat: Input should",
        ),
        ({"target": {"kind": "nats"}}, "target.nats.subject: Field required"),
        ({"retry": {"max_attempts": 0}}, "retry.max_attempts: 0 is out of range: take 1 to 1000"),
        ({"retry": {"factor": 0.5}}, "retry.factor: 0.5 is out of range: take 1 to 1000"),
        ({"retry": {"jitter": float("nan")}}, "retry.jitter: Input should be a finite number"),
        ({"retry": {"backoff": "linear"}}, "retry.backoff: Input should be 'fixed' or 'exponential'"),
        ({"retry": {"tries": 3}}, "retry.tries: Unexpected keyword argument"),
        ({"retry": {"retry_on": ["no name"]}}, "retry.retry_on.0: 'no name' is neither the name of an exception"),
        ({"retry": {}, "delivery": "at_most_once"}, 'retry: a job of delivery "at_most_once" is not tried again'),
        ({"auto_pause_after": 0}, "auto_pause_after: 0 is too few: take 1 or more"),
        ({"max_concurrency": 0}, "max_concurrency: 0 is too few: take 1 or more"),
        ({"max_concurrency": 257}, "max_concurrency: 257 is too many: take 256 at most"),
        ({"payload": float("nan")}, "payload: it is not JSON"),
        ({"payload": "\ud800"}, "payload: it is not JSON"),
        ({"payload": {1: 2}}, "payload"),
        ({"payload": "x" * MAX_PAYLOAD}, "payload: 65,"),
        ({"payload": "x" * 40_000, "metadata": {"y": "x" * 40_000}}, "payload: 80,"),
        ({"metadata": None}, "metadata: Input should be"),
    ],
)
def test_a_refusal_names_the_field_and_the_cure(options: dict[str, Any], message: str) -> None:
    assert message in str(refusal(**options))


def test_a_deadline_has_to_be_longer_than_the_jitter() -> None:
    with pytest.raises(InvalidJob, match="deadline: 30 s is no longer than the jitter of 30 s"):
        make_spec(Interval(hours=1, jitter=30), anchor=NOON, deadline=30)
    spec = make_spec(Interval(hours=1, jitter=30), anchor=NOON, deadline=timedelta(seconds=31), catch_up_window=9)
    assert (spec.deadline, spec.catch_up_window) == (31.0, 9.0)


def test_what_is_no_schedule_is_refused() -> None:
    with pytest.raises(InvalidJob, match=r"schedule: '@daily' is no schedule: take Cron"):
        make_spec(cast("Any", "@daily"), anchor=NOON)


def nested(depth: int) -> JsonValue:
    value: JsonValue = 1
    for level in range(depth - 1):
        value = [value] if level % 2 else {"in": value}
    return value


def test_a_payload_as_deep_as_allowed_can_be_read_again_and_a_deeper_one_is_refused() -> None:
    """A document that is nested too deep for the JSON reader could not even be removed any more."""
    spec = make_spec(HOURLY, anchor=NOON, payload=nested(MAX_DEPTH - 1))
    job = create(JobId(JOB), "01JE", spec, NOON)
    assert decode_job(encode_job(job), key=JOB) == job
    check_payload(nested(MAX_DEPTH), field="payload")
    with pytest.raises(InvalidJob, match="payload: it is nested 101 deep: 100 at most"):
        check_payload(nested(MAX_DEPTH + 1), field="payload")
    with pytest.raises(InvalidJob, match="payload: it is not JSON"):
        check_payload(nested(100_000), field="payload")


def test_a_payload_is_measured_as_it_is_stored() -> None:
    check_payload("ä" * (MAX_PAYLOAD // 2 - 1), field="payload")
    with pytest.raises(InvalidJob, match="65,538 bytes are too many"):
        check_payload("ä" * (MAX_PAYLOAD // 2), field="payload")


def test_a_message_as_target_is_read_from_its_fields_and_told_in_short() -> None:
    request = make_spec(
        HOURLY, anchor=NOON, target={"kind": "nats", "subject": "reports.render", "heartbeat": 30}
    ).target
    assert isinstance(request, NatsRequest)
    assert request == NatsRequest(subject="reports.render", heartbeat=30)
    assert describe_target(request) == "nats: reports.render"
    message = make_spec(
        HOURLY, anchor=NOON, target={"kind": "publish", "subject": "orders.expired", "body": [1]}
    ).target
    assert isinstance(message, Publish)
    assert message == Publish(subject="orders.expired", body=[1])
    assert describe_target(message) == "publish: orders.expired"

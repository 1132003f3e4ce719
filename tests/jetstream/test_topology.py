import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from natsched.jetstream.naming import Names
from natsched.jetstream.topology import Asset, Create, Incompatible, Topology, Update, diff, fingerprint

TOPOLOGY = Topology(queues=("default", "mail"))
STREAM = "stream SCHEDULER"
JOBS = "stream KV_SCHEDULER_JOBS"
LOCKS = "stream KV_SCHEDULER_LOCKS"
CONSUMER = "consumer scheduler-worker"


def as_found(topology: Topology = TOPOLOGY) -> dict[str, dict[str, Any]]:
    """What a server tells of a topology that exists: with its own defaults, and as JSON knows it."""
    stream = {
        "max_consumers": -1,
        "max_msg_size": -1,
        "max_msgs": -1,
        "max_bytes": -1,
        "max_msgs_per_subject": -1,
        "max_age": 0,
        "compression": "none",
        "deny_delete": False,
        "metadata": {"_nats.ver": "2.15.1"},
    }
    consumer = {"max_waiting": 512, "num_replicas": 0}
    return {
        asset.title: json.loads(json.dumps((stream if asset.kind == "stream" else consumer) | asset.config()))
        for asset in topology.assets()
    }


def test_the_assets_are_those_of_the_design() -> None:
    assert [asset.title for asset in TOPOLOGY.assets()] == [
        LOCKS,
        JOBS,
        "stream KV_SCHEDULER_EXECUTIONS",
        STREAM,
        CONSUMER,
        "consumer scheduler-worker-mail",
        "consumer scheduler-webhooks",
    ]


def test_the_stream_keeps_schedules_whatever_happens() -> None:
    config = _asset(STREAM).config()
    assert config["subjects"] == ("scheduler.>",)
    assert (config["retention"], config["storage"], config["discard"]) == ("workqueue", "file", "old")
    assert config["allow_msg_schedules"]
    assert config["allow_msg_ttl"]
    assert config["allow_direct"]
    assert config["duplicate_window"] == 120 * 10**9
    assert not {"max_age"} & set(config)
    assert {config[limit] for limit in ("max_msgs", "max_bytes", "max_msgs_per_subject")} == {-1}


def test_a_bucket_is_one_for_the_tools_of_nats_too() -> None:
    config = _asset(JOBS).config()
    assert config["subjects"] == ("$KV.SCHEDULER_JOBS.>",)
    assert (config["discard"], config["max_msgs_per_subject"]) == ("new", 1)
    for flag in ("allow_rollup_hdrs", "deny_delete", "allow_direct", "allow_msg_ttl"):
        assert config[flag]


def test_only_the_history_leaves_no_marker_where_a_key_ran_out() -> None:
    lives = {asset.title: asset.config().get("subject_delete_marker_ttl", 0) for asset in TOPOLOGY.assets()}
    assert lives[LOCKS] == lives[JOBS] == 60 * 10**9
    assert lives["stream KV_SCHEDULER_EXECUTIONS"] == 0


def test_a_consumer_takes_the_deliveries_of_its_queue_alone() -> None:
    config = TOPOLOGY.consumer("mail").config()
    assert config["filter_subject"] == "scheduler.delivery.mail.>"
    assert (config["ack_policy"], config["ack_wait"], config["max_deliver"]) == ("explicit", 5 * 10**9, -1)
    assert config["max_ack_pending"] == 100_000


def test_nothing_differs_from_itself() -> None:
    assert diff(TOPOLOGY.assets(), as_found()) == ()


def test_what_is_missing_is_created_in_order() -> None:
    changes = diff(TOPOLOGY.assets(), dict.fromkeys(as_found()))
    assert changes == tuple(Create(asset=asset) for asset in TOPOLOGY.assets())


@pytest.mark.parametrize(
    ("title", "field", "value"),
    [
        (STREAM, "retention", "limits"),
        (STREAM, "retention", "interest"),
        (STREAM, "storage", "memory"),
        (STREAM, "discard", "new"),
        (STREAM, "subjects", ["orders.>"]),
        (STREAM, "subjects", ["scheduler.>", "orders.>"]),
        (STREAM, "max_age", 3600 * 10**9),
        (STREAM, "max_msgs", 1000),
        (STREAM, "max_bytes", 1 << 30),
        (STREAM, "max_msgs_per_subject", 1),
        (STREAM, "sealed", True),
        (STREAM, "no_ack", True),
        (STREAM, "deny_delete", True),
        (STREAM, "mirror", {"name": "OTHER"}),
        (STREAM, "sources", [{"name": "OTHER"}]),
        (JOBS, "max_msgs_per_subject", 5),
        (JOBS, "max_age", 3600 * 10**9),
        (JOBS, "storage", "memory"),
        (CONSUMER, "filter_subject", "scheduler.>"),
        (CONSUMER, "filter_subjects", ["scheduler.delivery.a.>", "scheduler.delivery.b.>"]),
        (CONSUMER, "ack_policy", "none"),
        (CONSUMER, "deliver_policy", "new"),
        (CONSUMER, "deliver_subject", "push.me"),
        (CONSUMER, "durable_name", ""),
    ],
)
def test_what_must_not_be_changed_is_a_conflict_that_names_the_field(title: str, field: str, value: object) -> None:
    found = as_found()
    found[title][field] = value
    (conflict,) = diff(TOPOLOGY.assets(), found)
    assert isinstance(conflict, Incompatible)
    assert (conflict.asset.title, conflict.field, conflict.found) == (title, field, value)
    assert title in str(conflict)
    assert f"{field} = {json.dumps(value)}" in str(conflict)
    assert conflict.cure in str(conflict)


@pytest.mark.parametrize(
    ("title", "field", "value"),
    [
        (STREAM, "num_replicas", 3),
        (STREAM, "duplicate_window", 10**9),
        (STREAM, "allow_direct", False),
        (STREAM, "allow_msg_schedules", False),
        (STREAM, "allow_msg_ttl", False),
        (JOBS, "num_replicas", 3),
        (JOBS, "allow_direct", False),
        (LOCKS, "subject_delete_marker_ttl", 10**9),
        (LOCKS, "allow_msg_ttl", False),
        (CONSUMER, "ack_wait", 30 * 10**9),
        (CONSUMER, "backoff", [10**9]),
        (CONSUMER, "max_deliver", 5),
        (CONSUMER, "max_ack_pending", 1000),
        (CONSUMER, "inactive_threshold", 10**9),
    ],
)
def test_what_is_ours_is_updated_and_the_rest_stays(title: str, field: str, value: object) -> None:
    found = as_found()
    found[title] |= {field: value, "description": "the operator's"}
    (update,) = diff(TOPOLOGY.assets(), found)
    assert isinstance(update, Update)
    wanted = {**_asset(title).adjusted, **_asset(title).at_least}[field]
    assert update.fields == {field: (value, wanted)}
    assert update.config == {**found[title], field: wanted}


def test_raising_and_lowering_the_replication_are_updates_of_every_stream() -> None:
    for before, after in ((1, 3), (3, 1)):
        changes = diff(replace(TOPOLOGY, replicas=after).assets(), as_found(replace(TOPOLOGY, replicas=before)))
        assert [type(change) for change in changes] == [Update] * 4


@pytest.mark.parametrize(
    ("title", "fields"),
    [
        (STREAM, {"description": "jobs", "placement": {"cluster": "east"}, "compression": "s2"}),
        (STREAM, {"metadata": {"team": "core"}, "max_consumers": 20}),
        (JOBS, {"max_bytes": 1 << 40, "description": "jobs", "max_msg_size": 1 << 20}),
        ("stream KV_SCHEDULER_LOCKS", {"subject_delete_marker_ttl": 3600 * 10**9}),
        (CONSUMER, {"max_ack_pending": 500_000, "description": "workers", "max_waiting": 2048}),
        (CONSUMER, {"max_ack_pending": -1, "num_replicas": 1, "metadata": {"team": "core"}}),
    ],
)
def test_what_the_operator_may_choose_is_left_alone(title: str, fields: dict[str, Any]) -> None:
    found = as_found()
    found[title] |= fields
    assert diff(TOPOLOGY.assets(), found) == ()


def test_a_conflict_hides_the_updates_of_its_asset_but_not_those_of_others() -> None:
    found = as_found()
    found[STREAM] |= {"storage": "memory", "duplicate_window": 10**9}
    found[JOBS]["allow_direct"] = False
    changes = diff(TOPOLOGY.assets(), found)
    assert {(type(change), change.asset.title) for change in changes} == {(Incompatible, STREAM), (Update, JOBS)}


@pytest.mark.parametrize(
    "other",
    [
        replace(TOPOLOGY, replicas=3),
        replace(TOPOLOGY, queues=("default",)),
        replace(TOPOLOGY, duplicates_window=timedelta(minutes=3)),
        replace(TOPOLOGY, ack_wait=timedelta(seconds=6)),
        replace(TOPOLOGY, names=Names(prefix="other")),
        replace(TOPOLOGY, names=Names(stream="OTHER")),
    ],
)
def test_the_fingerprint_tells_topologies_apart(other: Topology) -> None:
    assert fingerprint(TOPOLOGY) == fingerprint(Topology(queues=("default", "mail")))
    assert fingerprint(TOPOLOGY) != fingerprint(other)


def _asset(title: str) -> Asset:
    return next(asset for asset in TOPOLOGY.assets() if asset.title == title)

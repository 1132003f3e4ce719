"""Which subjects a user's permissions cover."""

import pytest

from natsched.doctor.permitting import Permissions, covers, needed
from natsched.jetstream.naming import Names
from tests.deploy.roles import allowed

NAMES = Names()
ASIDE = (
    "$JS.API.STREAM.CREATE.",
    "$JS.API.STREAM.UPDATE.",
    "$JS.API.CONSUMER.CREATE.SCHEDULER.",
    "$JS.ACK.",
    "$SYS.",
)
"""What a role is permitted that it can do without, has in two forms, or is for the doctor."""


@pytest.mark.parametrize(
    ("pattern", "subject", "answer"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a", False),
        ("a", "a.b", False),
        ("a.*", "a.b", True),
        ("a.*", "a.b.c", False),
        ("a.*", "a.>", False),
        ("a.>", "a.b.c", True),
        ("a.>", "a.>", True),
        ("a.>", "a.*", True),
        ("a.>", "a", False),
        ("*.b", "a.b", True),
        (">", "a.>", True),
        ("a.b", "a.*", False),
    ],
)
def test_a_pattern_covers_all_that_a_subject_stands_for(pattern: str, subject: str, answer: bool) -> None:
    assert covers(pattern, subject) is answer


def test_who_has_no_permissions_said_may_do_everything() -> None:
    assert all(not Permissions.read(None).missing(subjects) for subjects in needed(NAMES).values())


def test_what_is_denied_is_missing_although_it_is_allowed() -> None:
    found = Permissions.read({"publish": {"allow": [">"], "deny": ["$KV.SCHEDULER_JOBS.>"]}})
    roles = {role: found.missing(subjects) for role, subjects in needed(NAMES).items()}
    assert roles == {"replica": ["$KV.SCHEDULER_JOBS.>"], "client": ["$KV.SCHEDULER_JOBS.>"], "reader": []}


@pytest.mark.parametrize(
    ("role", "listed"), [("replica", "REPLICA_PUBLISH"), ("client", "CLIENT"), ("reader", "READER")]
)
def test_a_role_needs_just_what_the_shipped_permissions_give_it(role: str, listed: str) -> None:
    subjects, given = needed(NAMES)[role], allowed(listed)
    assert Permissions(allow=tuple(given), deny=()).missing(subjects) == []
    assert [one for one in given if not any(covers(subject, one) for subject in subjects)] == [
        one for one in given if one.startswith(ASIDE)
    ]

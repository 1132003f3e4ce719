import pytest

from natsched.errors import ServerTooOld
from natsched.jetstream.versions import check_version


@pytest.mark.parametrize("text", ["2.11.11", "2.10.26", "1.4.1", "v2.11.0-RC.1"])
def test_a_server_before_2_12_is_refused_and_told_the_cure(text: str) -> None:
    with pytest.raises(ServerTooOld, match=r"natsched needs 2\.12 or newer.*upgrade") as raised:
        check_version(text)
    assert raised.value.details["found"] in text


@pytest.mark.parametrize("text", ["", "unknown", "2.12", "two.twelve.zero"])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(ServerTooOld, match="is no version of nats-server"):
        check_version(text)


@pytest.mark.parametrize(
    ("text", "bugs", "cure"),
    [
        ("2.12.0", ("#8085", "#8240", "#8269"), "2.12.12"),
        ("2.12.8", ("#8085", "#8240", "#8269"), "2.12.12"),
        ("2.12.9", ("#8240", "#8269"), "2.12.12"),
        ("2.12.11", ("#8269",), "2.12.12"),
        ("2.14.1", ("#8240", "#8269", "#8308"), "2.14.3"),
        ("2.14.2", ("#8269", "#8308"), "2.14.3"),
    ],
)
def test_known_bugs_are_named_with_the_version_that_has_none(text: str, bugs: tuple[str, ...], cure: str) -> None:
    warning = check_version(text)
    assert warning is not None
    assert f"Upgrade to {cure} or newer." in warning
    assert [bug for bug in ("#8085", "#8240", "#8269", "#8308") if bug in warning] == list(bugs)


@pytest.mark.parametrize("text", ["2.12.12", "2.12.15", "2.14.3", "2.15.1", "2.15.0-dev", "3.0.0", "2.14.6+build.7"])
def test_a_good_server_is_not_warned_of(text: str) -> None:
    assert check_version(text) is None

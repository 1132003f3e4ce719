"""POSTs of webhooks to a server of the test."""

import pytest

from natsched.targets.posting import HttpPoster, PostFailed
from tests.receiving import receiving

pytestmark = pytest.mark.anyio
SECRET = "NATSCHED_SECRET_KEY"


async def posted(url: str, *, limit: float = 20) -> int:
    poster = HttpPoster()
    try:
        return await poster.post(url, b'{"a":1}', {"Natsched-Event": "x"}, limit=limit)
    finally:
        await poster.close()


@pytest.mark.parametrize("status", [200, 204, 302, 410, 500])
async def test_the_status_is_returned_and_no_redirect_followed(status: int) -> None:
    with receiving() as receiver:
        receiver.status = status
        assert await posted(f"{receiver.url}/hook") == status
        ((headers, body),) = receiver.asked
    assert (headers["Natsched-Event"], body) == ("x", b'{"a":1}')


async def test_a_receiver_that_does_not_answer_is_left_in_time() -> None:
    with receiving() as receiver:
        receiver.silent.set()
        with pytest.raises(PostFailed, match=r"no answer within 0\.2 s"):
            await posted(receiver.url, limit=0.2)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1:9/s3cret", "ConnectError"),
        ("http://a:s3cret", "InvalidURL"),
        ("s3cret", "UnsupportedProtocol"),
    ],
)
async def test_nobody_there_is_told_without_the_url(url: str, said: str) -> None:
    with pytest.raises(PostFailed) as caught:
        await posted(url)
    assert str(caught.value) == said


async def test_a_secret_of_the_environment_may_stand_in_the_url(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setenv(SECRET, "s3cret")
    with receiving() as receiver:
        assert await posted(f"{receiver.url}/${{{SECRET}}}") == 204
    assert "s3cret" not in caplog.text
    monkeypatch.delenv(SECRET)
    with pytest.raises(PostFailed, match=f"{SECRET}.* is not set"):
        await posted(f"http://127.0.0.1:9/${{{SECRET}}}")

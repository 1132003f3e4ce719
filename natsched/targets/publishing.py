"""Publishing to a stream of others."""

from functools import partial

from pydantic import JsonValue

from natsched.core.targets import Publish
from natsched.errors import Unavailable
from natsched.ports import Messages
from natsched.targets.context import Context
from natsched.targets.headers import encoded, joined, told
from natsched.targets.registry import Handler
from natsched.targets.signals import Abort, TargetFailed


class NotStored(TargetFailed):
    """No stream said that it has the message."""


class Publisher:
    """Publishes what jobs have to say."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages

    def handler(self, target: Publish) -> Handler:
        """Return the message as something to call, as a handler is."""
        return partial(self._store, target)

    async def _store(self, target: Publish, context: Context) -> JsonValue:
        """Publish and return where the message is kept, or raise `NotStored`."""
        if self._messages.is_own(target.subject):
            raise Abort(f"{target.subject!r} is natsched's own: publish on another subject")
        headers = {**joined(told(context), target.headers), "Nats-Msg-Id": context.execution_id}
        body = target.body if target.body is not None else context.payload
        try:
            kept = await self._messages.store(target.subject, encoded(body), headers)
        except Unavailable as error:
            raise NotStored(
                f"no stream took a message on {target.subject!r}: is there one for it? {error}"
            ) from error
        return {"stream": kept.stream, "seq": kept.seq, "duplicate": kept.duplicate}

"""What a handler may raise to say what is to follow; any other exception leaves that to the job's retry policy."""

from datetime import timedelta


class Retry(Exception):
    """Ask for another attempt, whatever the job's `retry_on` says, as long as any are left.

    `after` is how much later, in seconds or as a timedelta; None leaves it to the job's backoff. A job without a
    retry policy gets the default one.
    """

    def __init__(self, message: str = "", *, after: float | timedelta | None = None) -> None:
        super().__init__(message or "its handler asks for another attempt")
        self.after = after.total_seconds() if isinstance(after, timedelta) else after


class TargetFailed(Exception):
    """A command or a request did not go well; what raised it says nothing more of the reason than its text."""


class Abort(Exception):
    """Say that no other attempt is of any use: the execution is dead at once."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or "its handler gives up")

"""What versions of nats-server can do, and which are known to lose schedules."""

import re
from dataclasses import dataclass
from typing import Final, Self

from natsched.errors import ServerTooOld

_FORM: Final = re.compile(r"v?(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+.*)?", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """A server's version; what comes before a release (`2.15.0-dev`) sorts as the release."""

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> Self:
        found = _FORM.fullmatch(text.strip())
        if found is None:
            raise ServerTooOld(
                f"{text!r} is no version of nats-server: natsched needs 2.12 or newer.",
                found=text,
            )
        return cls(*(int(part) for part in found.groups()[:3]))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


OLDEST: Final = Version(2, 12, 0)
# first version that has it, first that is well again, what happens (nats-server pull requests)
_KNOWN: Final = (
    (Version(2, 12, 0), Version(2, 12, 9), "a schedule's subject can be corrupted by a restart (#8085)"),
    (Version(2, 12, 0), Version(2, 12, 10), "a schedule whose firing is rejected gets stuck (#8240)"),
    (Version(2, 12, 0), Version(2, 12, 12), "damaged schedule state is accepted at a restart (#8269)"),
    (Version(2, 14, 0), Version(2, 14, 2), "a schedule whose firing is rejected gets stuck (#8240)"),
    (Version(2, 14, 0), Version(2, 14, 3), "damaged schedule state is accepted at a restart (#8269)"),
    (Version(2, 14, 0), Version(2, 14, 3), "the next time of a schedule loses its fraction (#8308)"),
)
_CURES: Final = {12: "2.12.12", 14: "2.14.3"}


def check_version(text: str) -> str | None:
    """Return what to warn of, or None; raise `ServerTooOld` below 2.12."""
    version = Version.parse(text)
    if version < OLDEST:
        raise ServerTooOld(
            f"The server is nats-server {version}, natsched needs {OLDEST.major}.{OLDEST.minor} or newer "
            '(message schedules): upgrade it, or `pip install -U "natsched[server]"` for the one that '
            "`natsched dev` starts.",
            found=str(version),
        )
    bugs = [words for since, until, words in _KNOWN if since <= version < until]
    if not bugs:
        return None
    cure = _CURES.get(version.minor, "the newest release")
    return f"nats-server {version} has known bugs: {'; '.join(bugs)}. Upgrade to {cure} or newer."

"""What of a job is not shown where changes are listed: a value that may be a secret, wherever it stands."""

import re
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from natsched.core.targets import REFERENCE

MASK: Final = "********"

_TELLING: Final = re.compile(
    r"pass(word|wd|phrase)?$|secret|token|api[-_]?key|private|credential|authorization|cookie|signature",
    re.IGNORECASE,
)
_GUARDED: Final = (("target", "headers"), ("target", "env"))
_NAMES: Final = frozenset({("webhook", "secret")})
"""Fields that hold the name of a variable, not what it holds."""


def shown(path: tuple[str, ...], value: object) -> object:
    """Return the value at the path as it may be shown.

    Headers and variables of a target are masked unless they are references, which name a variable; elsewhere what
    is called like a secret is. Of a URL the identity and the values of its query are.
    """
    if value is None or path in _NAMES or (isinstance(value, str) and _is_reference(value)):
        return value
    if isinstance(value, dict):
        return {name: shown((*path, str(name)), inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [shown(path, inner) for inner in value]
    if path[:2] in _GUARDED or any(_TELLING.search(part) for part in path):
        return MASK
    if isinstance(value, str) and path[-1] == "url":
        return shown_url(value)
    return value


def shown_url(url: str) -> str:
    """Return a URL without who asks and without the values of its query, but for references."""
    parts = urlsplit(url)
    identity, at, host = parts.netloc.rpartition("@")
    if at:
        parts = parts._replace(netloc=f"{identity.partition(':')[0] if ':' in identity else ''}:{MASK}@{host}")
    if parts.query and not _is_reference(parts.query):
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        kept = [(name, value if _is_reference(value) else MASK) for name, value in pairs]
        parts = parts._replace(query=urlencode(kept, safe="*${}") if kept else MASK)
    return parts.geturl()


def _is_reference(text: str) -> bool:
    """Whether a text is a reference to a variable, after a word such as `Bearer` at most."""
    word, _, rest = text.rpartition(" ")
    return REFERENCE.fullmatch(rest) is not None and (not word or word.isalpha())

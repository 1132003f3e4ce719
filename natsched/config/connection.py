"""How to reach NATS: servers, TLS and one way to say who one is."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Annotated, Any, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator
from pydantic_core import PydanticCustomError

from natsched.config.durations import Duration, lasting
from natsched.config.fields import MASK, ExistingFile, Name, Secret, Section, Text, Tokens, listed

_SCHEMES = ("nats", "tls", "ws", "wss")
_WEBSOCKET = ("ws", "wss")


def server_url(value: object) -> str:
    """Return a server's URL, with `nats://` where the scheme is left out.

    Errors never repeat the text: it may hold a password.
    """
    if not isinstance(value, str):
        raise ValueError('should be text, such as "nats://127.0.0.1:4222"')
    url = value.strip() if "://" in value else f"nats://{value.strip()}"
    try:
        parts = urlsplit(url)
        complete = bool(parts.hostname) and parts.port != 0
    except ValueError:
        complete = False
    if not complete or any(character.isspace() or not character.isprintable() for character in url):
        raise ValueError('is not the URL of a server: write it like "nats://host:4222"')
    if parts.scheme not in _SCHEMES:
        raise ValueError(f"is of another scheme: take one of {', '.join(f'{name}://' for name in _SCHEMES)}")
    if parts.path.strip("/") and parts.scheme not in _WEBSOCKET:
        raise ValueError('has a path: write only scheme, host and port, like "nats://host:4222"')
    if parts.password == MASK or parts.username == MASK:
        raise ValueError("has the mask that `natsched config show` prints: write the secret itself")
    return url


def masked_url(url: str) -> str:
    """Return the URL without its password, or without its token, which stands alone before the @."""
    parts = urlsplit(url)
    if not has_identity(parts):
        return url
    identity, _, host = parts.netloc.rpartition("@")
    user, colon, _ = identity.partition(":")
    return parts._replace(netloc=f"{user}:{MASK}@{host}" if colon else f"{MASK}@{host}").geturl()


def has_identity(parts: SplitResult) -> bool:
    """Say whether the URL names a user or a token."""
    return "@" in parts.netloc


def _masked_urls(urls: Iterable[str]) -> list[str]:
    return [masked_url(url) for url in urls]


Servers = Annotated[
    tuple[Annotated[str, BeforeValidator(server_url)], ...],
    BeforeValidator(listed),
    Field(min_length=1),
    PlainSerializer(_masked_urls, list[str], when_used="json"),
]


class Tls(Section):
    """TLS to the servers; it is on where anything is set here or a server is `tls://` or `wss://`."""

    ca: ExistingFile | None = None
    cert: ExistingFile | None = None
    key: ExistingFile | None = None
    hostname: Text | None = None

    @model_validator(mode="after")
    def _check_pair(self) -> Self:
        if (self.cert is None) != (self.key is None):
            given, absent = ("cert", "key") if self.key is None else ("key", "cert")
            raise PydanticCustomError("together", f"{given} is set without {absent}: set both", {"fields": (given,)})
        return self


class Nats(Section):
    """The connection to NATS."""

    servers: Servers = ("nats://127.0.0.1:4222",)
    name: Text = "natsched"
    connect_timeout: Annotated[Duration, lasting("100ms", "5m")] = timedelta(seconds=5)
    request_timeout: Annotated[Duration, lasting("100ms", "5m")] = timedelta(seconds=5)
    ping_interval: Annotated[Duration, lasting("1s", "10m")] = timedelta(seconds=10)
    reconnect_max_delay: Annotated[Duration, lasting("100ms", "5m")] = timedelta(seconds=5)
    credentials: ExistingFile | None = None
    nkey: ExistingFile | None = None
    user: Text | None = None
    password: Secret | None = None
    token: Secret | None = None
    inbox_prefix: Tokens = "_INBOX"
    domain: Name | None = None
    tls: Tls = Tls()

    @model_validator(mode="after")
    def _check_identity(self) -> Self:
        kinds = [kind for kind in ("credentials", "nkey", "user", "token") if getattr(self, kind) is not None]
        if any(has_identity(urlsplit(url)) for url in self.servers):
            kinds.append("servers")
        if self.password is not None and self.user is None:
            raise PydanticCustomError("together", "password is set without user: set both", {"fields": ("password",)})
        if len(kinds) > 1:
            names = " and ".join("a user in servers" if kind == "servers" else kind for kind in kinds)
            raise PydanticCustomError("exclusive", f"{names} are set: keep one", {"fields": tuple(kinds)})
        return self

    @model_validator(mode="after")
    def _check_schemes(self) -> Self:
        websocket = {urlsplit(url).scheme in _WEBSOCKET for url in self.servers}
        if len(websocket) > 1:
            raise PydanticCustomError(
                "mixed", "servers mix ws:// with nats://: take one of them for all", {"fields": ("servers",)}
            )
        return self

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Show the fields without the passwords in URLs."""
        for name, value in super().__repr_args__():
            yield name, tuple(_masked_urls(value)) if name == "servers" else value

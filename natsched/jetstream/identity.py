"""Who we are to NATS: TLS, and one of a credentials file, an nkey, user and password, or a token."""

import base64
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import nats.errors
import nkeys  # type: ignore[import-untyped]

from natsched.errors import ConfigError

_SECTIONS: Final = re.compile(rb"-{3,}BEGIN [^\n-]+-{3,}\s+(\S+)\s+-{3,}END", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Secrets and files; files are read again at each connection, so they may be rotated."""

    credentials: Path | None = None
    nkey: Path | None = None
    user: str | None = None
    password: str | None = None
    token: str | None = None

    def __repr__(self) -> str:
        return "Identity(...)"

    @property
    def given(self) -> bool:
        return any((self.credentials, self.nkey, self.user, self.token))

    def arguments(self) -> dict[str, Any]:
        """Return what nats-py's `connect` wants; raise `ConfigError` for a file that cannot be used."""
        if self.credentials is not None:
            path = self.credentials
            _check("credentials", path, lambda: (_credential(path, 0), _sign(_credential(path, 1), "")))
            return {
                "user_jwt_cb": lambda: _credential(path, 0),
                "signature_cb": lambda nonce: _sign(_credential(path, 1), nonce),
            }
        if self.nkey is not None:
            seed = self.nkey
            _check("nkey", seed, lambda: _sign(seed.read_bytes().strip(), ""))
            return {"nkeys_seed": str(seed)}
        return {"user": self.user, "password": self.password, "token": self.token}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """TLS to the servers: on where anything is set, or where a server's URL says so."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    hostname: str | None = None

    @property
    def given(self) -> bool:
        return any((self.ca, self.cert, self.key, self.hostname))

    def context(self) -> ssl.SSLContext:
        """Return the context; raise `ConfigError` for files that cannot be used."""
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.cert is not None:
                context.load_cert_chain(self.cert, self.key)
        except (OSError, ssl.SSLError) as error:
            files = ", ".join(str(path) for path in (self.ca, self.cert, self.key) if path)
            raise ConfigError(f"The TLS files cannot be used ({files}): {error}") from error
        return context


def _check(name: str, path: Path, use: Callable[[], object]) -> None:
    try:
        use()
    except (OSError, ValueError, nats.errors.Error, nkeys.NkeysError) as error:
        raise ConfigError(f"The {name} file {path} cannot be used: {error or type(error).__name__}") from error


def _credential(path: Path, index: int) -> bytes:
    """Read the JWT (0) or the seed (1) from a credentials file."""
    sections = _SECTIONS.findall(path.read_bytes())
    if len(sections) <= index:
        raise nats.errors.InvalidUserCredentialsError
    return bytes(sections[index])


def _sign(seed: bytes, nonce: str) -> bytes:
    pair = nkeys.from_seed(bytearray(seed))
    try:
        return base64.b64encode(pair.sign(nonce.encode()))
    finally:
        pair.wipe()

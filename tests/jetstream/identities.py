"""Users of a nats-server for tests: keys, and the JWTs of an operator with one account and one user."""

import base64
import hashlib
import json
import os
from dataclasses import dataclass
from typing import Any

import nkeys  # type: ignore[import-untyped]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """`config` is for the server, `credentials` what the user's file holds."""

    config: str
    credentials: str


def make_key(prefix: int = nkeys.PREFIX_BYTE_USER) -> tuple[str, str]:
    """Return a new seed and its public key."""
    seed = bytes(nkeys.encode_seed(os.urandom(32), prefix))
    return seed.decode(), nkeys.from_seed(bytearray(seed)).public_key.decode()


def make_operator() -> Operator:
    """Make an operator, an account with the operator's consent and a user with the account's."""
    operator_seed, operator = make_key(nkeys.PREFIX_BYTE_OPERATOR)
    account_seed, account = make_key(nkeys.PREFIX_BYTE_ACCOUNT)
    _, system = make_key(nkeys.PREFIX_BYTE_ACCOUNT)
    user_seed, user = make_key()
    limits = {"subs": -1, "data": -1, "payload": -1, "conn": -1, "leaf": -1, "imports": -1, "exports": -1}
    operator_jwt = _jwt(operator_seed, operator, {"type": "operator", "version": 2})
    account_claims = {"type": "account", "version": 2, "limits": limits}
    accounts = "\n".join(f"{key}: {_jwt(operator_seed, key, account_claims)}" for key in (account, system))
    user_jwt = _jwt(account_seed, user, {"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1})
    return Operator(
        config=(
            f"operator: {operator_jwt}\nsystem_account: {system}\n"
            f"resolver: MEMORY\nresolver_preload: {{\n{accounts}\n}}\n"
        ),
        credentials=(
            f"-----BEGIN NATS USER JWT-----\n{user_jwt}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{user_seed}\n------END USER NKEY SEED------\n"
        ),
    )


def _jwt(issuer_seed: str, subject: str, claims: dict[str, Any]) -> str:
    issuer = nkeys.from_seed(bytearray(issuer_seed.encode()))
    body = {"iat": 1, "iss": issuer.public_key.decode(), "name": subject, "sub": subject, "nats": claims}
    body["jti"] = base64.b32encode(hashlib.sha256(json.dumps(body).encode()).digest()).decode().rstrip("=")
    head = {"typ": "JWT", "alg": "ed25519-nkey"}
    text = ".".join(_base64(json.dumps(part).encode()) for part in (head, body))
    return f"{text}.{_base64(issuer.sign(text.encode()))}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")

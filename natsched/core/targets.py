"""What a job runs besides a handler of the application: a command, an HTTP request, a message over NATS."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias
from urllib.parse import urlsplit

from natsched.core.executions import STORED, Json
from natsched.errors import InvalidJob

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
SECRETS: Final = "NATSCHED_SECRET_"
"""What the names of the environment variables begin with that a target may refer to; none of them is a setting."""

REFERENCE: Final = re.compile(r"\$\{([^}]*)\}")
"""How a URL or a header refers to such a variable."""

LONGEST_GRACE: Final = 3600.0
SHORTEST_HEARTBEAT: Final = 0.1
LONGEST_HEARTBEAT: Final = 86_400.0
LONGEST_SUBJECT: Final = 255
_UNFIT: Final = frozenset("\0\r\n")
_SET: Final = frozenset({"nats-msg-id"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """Run a command. Replicas do so only where `targets.shell.enabled` allows it.

    `argv` is the program and its arguments; with `shell` it is one text for `/bin/sh -c`. `env` is set besides
    what the replica lets through, `cwd` is the working directory. A run that is to end gets SIGTERM, its whole
    process group, and SIGKILL after `grace` seconds.
    """

    __pydantic_config__ = STORED

    argv: tuple[str, ...]
    shell: bool = False
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None
    grace: float = 5.0
    kind: Literal["shell"] = "shell"


@dataclass(frozen=True, slots=True, kw_only=True)
class Http:
    """Send an HTTP request, with the execution id as its `Idempotency-Key`.

    `body` is sent as JSON, the job's payload if it is None. `expect` are the statuses that count as success; any
    from 200 to 299 if it is empty. `${NAME}` in the URL or a header is the replica's environment variable of
    that name, which has to begin with `NATSCHED_SECRET_`: so no secret is stored in a job.
    """

    __pydantic_config__ = STORED

    url: str
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Json = None
    expect: tuple[int, ...] = ()
    kind: Literal["http"] = "http"


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsRequest:
    """Ask a worker over NATS, in any language: `docs/workers.md` says what it is told and how it answers.

    The job's payload is sent as JSON to `subject`. A worker that neither checks in nor answers for `heartbeat`
    seconds counts as dead; without it only the job's timeout ends a request that nobody answers any more.
    """

    __pydantic_config__ = STORED

    subject: str
    headers: Mapping[str, str] = field(default_factory=dict)
    heartbeat: float | None = None
    kind: Literal["nats"] = "nats"


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """Publish to a JetStream stream, with the execution id as `Nats-Msg-Id`: a retried attempt is not stored twice.

    `body` is sent as JSON, the job's payload if it is None. The result says where it was stored.
    """

    __pydantic_config__ = STORED

    subject: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Json = None
    kind: Literal["publish"] = "publish"


Target: TypeAlias = Shell | Http | NatsRequest | Publish


def describe_target(target: Target) -> str:
    """Short text for tables: `shell: rsync -a from to`, `http: POST https://host/path`, `nats: reports.render`."""
    match target:
        case Shell(argv=argv, shell=shell):
            return f"shell: {argv[0] if shell else shlex.join(argv)}"
        case Http(method=method, url=url):
            return f"http: {method} {url}"
        case NatsRequest(subject=subject) | Publish(subject=subject):
            return f"{target.kind}: {subject}"


def check(target: Target) -> None:
    """Raise InvalidJob with the field if the target could never run."""
    match target:
        case Shell():
            _check_shell(target)
        case Http():
            _check_http(target)
        case NatsRequest(heartbeat=heartbeat):
            _check_message(target)
            if heartbeat is not None and not SHORTEST_HEARTBEAT <= heartbeat <= LONGEST_HEARTBEAT:
                limits = f"{SHORTEST_HEARTBEAT:g} to {LONGEST_HEARTBEAT:g}"
                raise InvalidJob(f"{heartbeat} s is out of range: take {limits}", field="target.heartbeat")
        case Publish():
            _check_message(target)


def _check_shell(target: Shell) -> None:
    if not target.argv or not target.argv[0].strip():
        raise InvalidJob("name a program, as in ['rsync', '-a', 'from', 'to']", field="target.argv")
    if target.shell and len(target.argv) != 1:
        raise InvalidJob("with `shell` it is one text, as in ['ls | wc -l']", field="target.argv")
    for index, text in enumerate(target.argv):
        if "\0" in text or not _is_utf8(text):
            raise InvalidJob(f"{text!r} cannot be an argument", field=f"target.argv.{index}")
    for name, value in target.env.items():
        if not name or "=" in name or "\0" in name + value or not _is_utf8(name + value):
            raise InvalidJob(f"{name!r} cannot be a variable with that value", field=f"target.env.{name}")
    if not 0 <= target.grace <= LONGEST_GRACE:
        raise InvalidJob(f"{target.grace} s is out of range: take 0 to {LONGEST_GRACE:g}", field="target.grace")


def problem_of_url(url: str) -> str | None:
    """Say why nothing can be sent to a URL, if that is so."""
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        is_url = False
    if is_url and url.isprintable() and " " not in url:
        return None
    return f"{url!r} is no URL: write it like https://host/path"


def problem_of_references(text: str) -> str | None:
    """Say which `${NAME}` in a text no replica would ever put in, if there is one."""
    for name in REFERENCE.findall(text):
        if not name.startswith(SECRETS):
            return f"${{{name}}} is not let out: only variables that begin with {SECRETS} are"
    return None


def _check_http(target: Http) -> None:
    problem = problem_of_url(target.url) or problem_of_references(target.url)
    if problem is not None:
        raise InvalidJob(problem, field="target.url")
    for name, value in target.headers.items():
        problem = problem_of_references(value)
        if problem is not None:
            raise InvalidJob(problem, field=f"target.headers.{name}")
    if target.method not in METHODS:
        raise InvalidJob(f"{target.method!r} is none of {', '.join(METHODS)}", field="target.method")
    _check_headers(target.headers)
    for index, status in enumerate(target.expect):
        if not 100 <= status <= 599:
            raise InvalidJob(f"{status} is no HTTP status", field=f"target.expect.{index}")


def _check_message(target: NatsRequest | Publish) -> None:
    subject = target.subject
    if not all(subject.split(".")) or not subject.isascii() or not subject.isprintable() or " " in subject:
        raise InvalidJob(
            f"{subject!r} is no subject: write tokens with single dots between, such as reports.render",
            field="target.subject",
        )
    if len(subject) > LONGEST_SUBJECT:
        raise InvalidJob(f"it has {len(subject)} characters: {LONGEST_SUBJECT} at most", field="target.subject")
    if "*" in subject or ">" in subject:
        raise InvalidJob(f"{subject!r} has a wildcard: name one subject", field="target.subject")
    if subject.startswith("$"):
        raise InvalidJob(
            f"{subject!r} belongs to the server: name one that does not begin with $", field="target.subject"
        )
    _check_headers(target.headers)
    for name in target.headers:
        if name.lower() in _SET or name.lower().startswith("natsched-"):
            raise InvalidJob(f"natsched sets {name!r} itself: leave it out", field=f"target.headers.{name}")


def _check_headers(headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if not _is_token(name) or not _UNFIT.isdisjoint(value) or not value.isascii():
            raise InvalidJob(f"{name!r} cannot be a header with that value", field=f"target.headers.{name}")


def _is_token(name: str) -> bool:
    return bool(name) and all(char.isascii() and (char.isalnum() or char in "!#$%&'*+-.^_`|~") for char in name)


def _is_utf8(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)

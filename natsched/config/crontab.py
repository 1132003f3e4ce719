"""Crontabs as jobs that run commands, with a remark on each line that was not, or not wholly, taken.

Read as crontab(5) of Vixie cron and cronie has it. Its fields mean the same here, that of days included: where
neither day-of-month nor day-of-week begins with a star one of them is enough.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final

from natsched.config.jobs import read_job
from natsched.core.cron import ALIASES
from natsched.core.schedules import Cron
from natsched.errors import ConfigError, ScheduleError

_SETTING: Final = re.compile(r"""(["']?)([A-Za-z_][A-Za-z0-9_]*)\1\s*=\s*(.*)""")
_ENTRY: Final = re.compile(r"(?P<quiet>-?)(?P<when>@\S+|\S+(?:\s+\S+){4})\s+(?P<rest>\S.*)")
_CHANGE_FOLDER: Final = re.compile(r"cd\s+\S+\s*(?:&&|;)\s*")
_UNFIT: Final = re.compile(r"[^A-Za-z0-9_-]+")
_BRACES: Final = frozenset({"sh", "bash", "dash", "ksh", "zsh"})
_SH: Final = "/bin/sh"
_LONGEST_NAME: Final = 40
_MAIL: Final = frozenset({"MAILTO", "MAILFROM", "CONTENT_TYPE", "CONTENT_TRANSFER_ENCODING"})

NO_MAIL: Final = "no output is mailed: a webhook tells of what fails"
NO_USER: Final = "it runs as the user of the replica that runs it"
REBOOT: Final = "nothing runs because a machine starts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """What is to be said of a line; `taken` is false where nothing came of it."""

    line: int
    text: str
    reason: str
    taken: bool

    def __str__(self) -> str:
        return f"line {self.line}, {self.text!r}: {'' if self.taken else 'not taken, '}{self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """The tables of the jobs, in the order of the lines, and the remarks."""

    jobs: tuple[Mapping[str, Any], ...]
    remarks: tuple[Remark, ...]


def read_crontab(text: str, *, timezone: str, prefix: str, system: bool = False) -> Imported:
    """Read a crontab whose times are of that zone; with `system` it has a column for the user."""
    reader = _Reader(prefix=prefix, system=system, timezone=timezone)
    for number, line in enumerate(text.split("\n"), start=1):
        reader.read(number, line.strip())
    reader.drop_comments()
    return Imported(jobs=tuple(reader.jobs), remarks=tuple(sorted(reader.remarks, key=lambda remark: remark.line)))


@dataclass(slots=True, kw_only=True)
class _Reader:
    """Goes through the lines; a setting holds for those below it."""

    prefix: str
    system: bool
    timezone: str
    shell: str = _SH
    folder: str | None = None
    jitter: str | None = None
    variables: dict[str, str] = field(default_factory=dict)
    comments: list[tuple[int, str]] = field(default_factory=list)
    jobs: list[Mapping[str, Any]] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)
    names: dict[str, int] = field(default_factory=dict)

    def read(self, number: int, line: str) -> None:
        if line.startswith("#"):
            self._comment(number, line)
        elif not line:
            self.drop_comments()
        elif setting := _SETTING.fullmatch(line):
            self.drop_comments()
            self._set(number, line, setting[2], _unquoted(setting[3].strip()))
        else:
            self._entry(number, line)

    def drop_comments(self) -> None:
        """Remark on the comments that no job followed."""
        for number, line in self.comments:
            self._remark(number, line, "a comment that stands above no job", taken=False)
        self.comments.clear()

    def _comment(self, number: int, line: str) -> None:
        entry = _ENTRY.fullmatch(line.lstrip("# \t"))
        if entry is not None and _problem(entry["when"]) is None:
            self._remark(number, line, "it is commented out", taken=False)
        else:
            self.comments.append((number, line))

    def _set(self, number: int, line: str, name: str, value: str) -> None:
        match name:
            case "CRON_TZ":
                self.timezone = value
            case "SHELL":
                self.shell = value
            case "RANDOM_DELAY":
                self.jitter = f"{value}m" if value.isdecimal() and int(value) else None
                self._remark(number, line, "each run is delayed by a time of its own up to that", taken=True)
            case "LOGNAME" | "USER":
                self._remark(number, line, NO_USER, taken=False)
            case _ if name in _MAIL:
                self._remark(number, line, NO_MAIL, taken=name == "MAILTO" and not value)
            case _:
                self.variables[name] = value
                self.folder = value if name == "HOME" else self.folder
                if name == "TZ":
                    self._remark(number, line, "set for the commands; it says nothing of the times", taken=True)

    def _entry(self, number: int, line: str) -> None:
        entry = _ENTRY.fullmatch(line)
        if entry is None:
            self._remark(number, line, "it has no five fields and a command", taken=False)
            self.drop_comments()
            return
        when, rest, user = entry["when"], entry["rest"], None
        if self.system:
            user, rest = (*rest.split(maxsplit=1), "")[:2]
        problem = _problem(when, self.timezone) if rest else "it has a user, but no command"
        try:
            table = {} if problem else self._table(when, rest, user)
        except ValueError as error:
            problem = str(error)
        if problem is not None:
            self._remark(number, line, problem, taken=False)
            self.drop_comments()
            return
        for reason in self._notes(entry["quiet"], user, rest):
            self._remark(number, line, reason, taken=True)
        self.jobs.append(table)
        self.comments.clear()

    def _table(self, when: str, rest: str, user: str | None) -> Mapping[str, Any]:
        """Return the job of an entry; ValueError if there can be none."""
        command = _command(rest, self.shell)
        is_sh = self.shell == _SH
        target: dict[str, Any] = {"kind": "shell", "argv": [command] if is_sh else [self.shell, "-c", command]}
        target |= {"shell": True} if is_sh else {}
        target |= {"env": dict(self.variables)} if self.variables else {}
        target |= {"cwd": self.folder} if self.folder else {}
        about = {"description": " ".join(text.lstrip("# \t") for _, text in self.comments).strip(), "user": user}
        metadata = {name: text for name, text in about.items() if text}
        table: dict[str, Any] = {"id": self._name(rest), "cron": when}
        table |= {"timezone": self.timezone} if self.timezone != "UTC" else {}
        table |= {"jitter": self.jitter} if self.jitter else {}
        table |= {"metadata": metadata} if metadata else {}
        table["target"] = target
        try:
            read_job(table)
        except ConfigError as error:
            raise ValueError("; ".join(map(str, error.details["problems"]))) from None
        return table

    def _notes(self, quiet: str, user: str | None, rest: str) -> Iterator[str]:
        if quiet:
            yield "runs are logged all the same"
        if user is not None:
            yield f"it ran as {user}, here {NO_USER}"
        if len(_parts(rest)) > 1:
            yield "what follows % is given to it by printf"

    def _name(self, command: str) -> str:
        """Return an id after the program; the second one of a name ends in -2."""
        program = _CHANGE_FOLDER.sub("", command, count=1).lstrip("( \t").split()[0]
        name = _UNFIT.sub("-", PurePosixPath(program.strip("'\"")).name).strip("-")[:_LONGEST_NAME] or "job"
        self.names[name] = number = self.names.get(name, 0) + 1
        return f"{self.prefix}.{name}" if number == 1 else f"{self.prefix}.{name}-{number}"

    def _remark(self, number: int, line: str, reason: str, *, taken: bool) -> None:
        self.remarks.append(Remark(line=number, text=line, reason=reason, taken=taken))


def _problem(when: str, timezone: str = "UTC") -> str | None:
    """Say why there can be no schedule, if so."""
    if when == "@reboot":
        return REBOOT
    if when.startswith("@") and when not in ALIASES:
        return f"there is no {when}"
    try:
        Cron(when, timezone=timezone)
    except ScheduleError as error:
        return error.message
    return None


def _parts(rest: str) -> list[str]:
    r"""Split a command at each %; \% is one that is meant."""
    return [part.replace("\\%", "%") for part in re.split(r"(?<!\\)%", rest)]


def _command(rest: str, shell: str) -> str:
    """Return what the shell is to run; the lines after % become its input."""
    command, *lines = _parts(rest)
    if lines and not lines[-1]:
        del lines[-1]
    if not lines:
        return command
    if PurePosixPath(shell).name not in _BRACES:
        raise ValueError(f"what follows % is its input, which {shell} is not given: write it as a script")
    return f"printf '%s\\n' {shlex.join(lines)} | {{ {command}\n}}"


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value

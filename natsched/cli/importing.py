"""`natsched import crontab`."""

import sys
from pathlib import Path
from typing import Final

import typer

from natsched.cli.applying import write_text
from natsched.cli.flags import Where
from natsched.cli.output import Output
from natsched.config.crontab import read_crontab
from natsched.config.exporting import dump_tables
from natsched.core.ids import job_id
from natsched.core.zones import load_zone
from natsched.errors import InvalidJob, ScheduleError

_LOCAL: Final = Path("/etc/localtime")
_HEAD: Final = """\
From a crontab. Unlike cron, a run that would begin while the last one goes on is left out (overlap = "allow" to have
both), and after an outage the latest run missed is made up for (catch_up = "none" not to). Replicas run commands only
where targets.shell.enabled is true, as their own user and in their own folder."""


def import_crontab(
    where: Where, file: Path, out: Path | None, *, system: bool, prefix: str, owner: str | None, timezone: str | None
) -> None:
    """Write the crontab's jobs as a file and tell what was not taken."""
    for field, name in (("--prefix", prefix), ("--owner", owner)):
        if name is not None:
            _check(name, field)
    zone = timezone or host_zone()
    try:
        load_zone(zone)
    except ScheduleError as error:
        raise InvalidJob(error.message, field="--timezone") from None
    found = read_crontab(_read(file), timezone=zone, prefix=prefix, system=system)
    text = dump_tables(found.jobs, head=_HEAD, owner=owner)
    output = Output(json=where.json)
    if out is not None:
        write_text(out, text)
    if where.json:
        report = [
            {"line": remark.line, "text": remark.text, "taken": remark.taken, "reason": remark.reason}
            for remark in found.remarks
        ]
        output.value({"jobs": len(found.jobs), "timezone": zone, "report": report, "text": text})
    elif out is None:
        typer.echo(text, nl=False)
    for remark in found.remarks:
        output.note(str(remark))
    output.note(f"{len(found.jobs)} jobs, their times are of {zone}; {len(found.remarks)} remarks")


def host_zone() -> str:
    """Return the zone of this host, or UTC if none is set that has a name."""
    try:
        target = _LOCAL.resolve(strict=True).as_posix()
    except OSError:
        return "UTC"
    _, found, name = target.partition("/zoneinfo/")
    return name if found and name else "UTC"


def _read(file: Path) -> str:
    try:
        data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidJob(f"{file} is no UTF-8 text", field="FILE") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidJob(f"{file} cannot be read: {reason}", field="FILE") from None


def _check(name: str, field: str) -> None:
    try:
        job_id(name)
    except InvalidJob as error:
        raise InvalidJob(error.message.removeprefix("id: "), field=field) from None

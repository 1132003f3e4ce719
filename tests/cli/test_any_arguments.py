"""Whatever the arguments: an exit code that is documented, and never a traceback."""

import contextlib
import io

import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from natsched.cli.main import app, run
from natsched.memory import MemoryBackend

DOCUMENTED = {0, 1, 2, 3, 4, 5, 6}
_VERBS = [
    ["job", "list"], ["job", "show"], ["job", "next"], ["job", "ensure"], ["job", "submit"], ["job", "remove"],
    ["job", "pause"], ["job", "resume"], ["job", "trigger"], ["job", "backfill"], ["execution", "list"],
    ["execution", "show"], ["execution", "retry"], ["execution", "cancel"], ["execution", "pause"],
    ["execution", "resume"], ["config", "check"], ["config", "show"], ["config", "reference"], ["schema", "job"],
    ["schema", "record"], ["doctor"], ["top"], ["version"], ["job"], [], ["schema", "jobs"], ["apply"], ["export"],
    ["import", "crontab"], ["plugins"], ["backup"], ["restore"],
    ["execution", "logs"],
]  # fmt: skip
_FLAGS = [
    "--json", "--debug", "--config", "--server", "--set", "--limit", "--all", "--yes", "--until", "--payload",
    "--wait", "--timeout", "--missed", "--file", "--cron", "--every", "--at", "--timezone", "--handler", "--queue",
    "--metadata", "--overlap", "--delivery", "--catch-up", "--history", "--jitter", "--max-runs", "--start-at",
    "--end-at", "--fixed-delay", "--skipped", "--repeated", "--tolerance", "--catch-up-limit", "--max-crashes",
    "--retry", "--max-concurrency", "--auto-pause-after", "--status", "--since", "--dead", "--reason", "--webhook",
    "--concurrency-key", "--scope", "--primary-only", "--priority", "--after", "--on", "--unique-key", "--unique-for",
    "--from", "--to", "--dry-run", "--deadline", "--catch-up-window", "--monitoring", "--once", "--help", "--",
    "--prune", "--take-over", "--detailed-exitcode", "--output", "--system", "--overwrite", "--prefix", "--owner",
    "--attempt",
]  # fmt: skip
_VALUES = [
    "a.b", "10s", "100ms", "@daily", "0 3 * * *", "H H * * *", "2026-12-01T08:00:00Z", "UTC", "allow", "3", "-1", "0",
    "a=b", "=", "", ".", "{}", '"\\ud800"', "null", "1e400", "scheduler.lead=2s", "nats=3", "nats.servers=x",
    "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "1e9d", "\udcff", "\x1b[31m", "[bold]", "{0}",
    "NaN", "[1e400]", "9" * 400, "40001d", "9" * 30 + "s", "x" * 200, "x" * 201,
    '"' + "x" * 70_000 + '"', "[" * 150 + "]" * 150,
    "https://host/hook", '{"url": "https://host/hook", "statuses": ["dead"]}', '{"url": 1}',
]  # fmt: skip
_WORDS = (
    st.sampled_from(_FLAGS)
    | st.sampled_from(_VALUES)
    | st.text(alphabet=st.characters(exclude_characters="/\\\0"), max_size=12).filter(
        lambda word: not word.startswith(("--install", "--show-c"))
    )
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(verb=st.sampled_from(_VERBS), words=st.lists(_WORDS, max_size=8))
def test_any_arguments_end_in_a_documented_way(stored: MemoryBackend, verb: list[str], words: list[str]) -> None:
    if "--wait" in words:
        words = [*words, "--timeout", "10ms"]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([*verb, *words])
    assert code in DOCUMENTED, err.getvalue()
    if "--debug" not in words:
        assert "Traceback" not in err.getvalue()
        assert "internal error" not in err.getvalue()
    for text in (out, err):
        text.getvalue().encode("utf-8", "backslashreplace")


def test_every_command_is_fuzzed_and_takes_the_common_flags() -> None:
    """A new command has to be put into the list above."""
    group = typer.main.get_command(app)
    names: set[tuple[str, ...]] = set()
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        below = getattr(command, "commands", None)
        names |= {(name, verb) for verb in below} if below else {(name,)}
        for one in below.values() if below else [command]:
            options = {option for parameter in one.params for option in parameter.opts}
            assert {"--json", "--debug"} <= options, one.name
    assert names - {tuple(verb) for verb in _VERBS} == {
        ("serve",),
        ("dev",),
        ("config", "init"),
        ("execution", "watch"),  # it goes on until it is told to stop
    }

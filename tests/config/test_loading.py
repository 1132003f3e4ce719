"""Loading: which source wins, and what is said of keys that nobody knows."""

from datetime import timedelta
from pathlib import Path

import pytest

from natsched.config import Queue, Settings, load
from natsched.errors import ConfigError
from tests.config.writing import loaded, refusal, toml


def test_without_any_source_the_settings_are_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(environ={}) == Settings()


def test_the_settings_themselves_read_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Settings()
    monkeypatch.setenv("NATSCHED_MODE", "local")
    monkeypatch.setenv("MODE", "local")
    assert Settings() == before


def test_a_file_is_over_defaults_the_environment_over_the_file_and_flags_over_all(tmp_path: Path) -> None:
    text = '[scheduler]\nlead = "2s"\nack_wait = "2s"\nprefetch = 2\nreplicas = 3\n'
    settings = loaded(
        tmp_path,
        text,
        {"scheduler.prefetch": 4, "scheduler.ack_wait": None},
        NATSCHED_SCHEDULER__ACK_WAIT="3s",
        NATSCHED_SCHEDULER__PREFETCH="3",
    )
    scheduler = settings.scheduler
    assert scheduler.lease_ttl == Settings().scheduler.lease_ttl
    assert (scheduler.lead, scheduler.ack_wait) == (timedelta(seconds=2), timedelta(seconds=3))
    assert (scheduler.prefetch, scheduler.replicas) == (4, 3)


def test_the_process_environment_is_read_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NATSCHED_NATS__NAME", "from-outside")
    assert load(toml(tmp_path, "")).nats.name == "from-outside"


def test_the_file_is_the_one_given_then_the_variables_then_that_of_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    toml(tmp_path, '[nats]\nname = "folder"\n')
    named = toml(tmp_path, '[nats]\nname = "variable"\n', "named.toml")
    given = toml(tmp_path, '[nats]\nname = "given"\n', "given.toml")
    environ = {"NATSCHED_CONFIG": str(named)}
    assert load(given, environ=environ).nats.name == "given"
    assert load(environ=environ).nats.name == "variable"
    assert load(environ={"NATSCHED_CONFIG": ""}).nats.name == "folder"


@pytest.mark.parametrize("servers", ["nats://a:4222, b:4222,", '["nats://a:4222", "b:4222"]'])
def test_servers_in_a_variable_are_a_comma_list_or_json(tmp_path: Path, servers: str) -> None:
    assert loaded(tmp_path, NATSCHED_NATS__SERVERS=servers).nats.servers == ("nats://a:4222", "nats://b:4222")


def test_a_variable_can_hold_a_whole_table_and_others_refine_it(tmp_path: Path) -> None:
    settings = loaded(
        tmp_path,
        NATSCHED_QUEUES='{"mail": {"concurrency": 5}, "web": {}}',
        NATSCHED_QUEUES__WEB__CONCURRENCY="7",
    )
    assert settings.queues == {"mail": Queue(concurrency=5), "web": Queue(concurrency=7)}


def test_queues_that_are_named_replace_the_default_one(tmp_path: Path) -> None:
    assert loaded(tmp_path, "[queues.mail]\n").queues == {"mail": Queue()}


def test_empty_variables_and_others_programs_variables_say_nothing(tmp_path: Path) -> None:
    assert loaded(tmp_path, NATSCHED_NATS__TOKEN="", NATSCHED_APP=" ", NATS_URL="x", HOME="/") == Settings()


def test_flags_may_be_lists_and_an_empty_one_was_not_given(tmp_path: Path) -> None:
    assert loaded(tmp_path, flags={"nats.servers": ["a"]}).nats.servers == ("nats://a",)
    assert loaded(tmp_path, flags={"nats.servers": []}) == Settings()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("nast = 1", 'nast ({file}): unknown key: did you mean "nats"?'),
        ("[nats]\nservrs = []", 'nats.servrs ({file}): unknown key: did you mean "servers"?'),
        ("[scheduler]\nack-wait = 1", 'scheduler.ack-wait ({file}): unknown key: did you mean "ack_wait"?'),
        (
            "[queues.mail]\nconcurency = 1",
            'queues.mail.concurency ({file}): unknown key: did you mean "concurrency"?',
        ),
        ('lead = "1s"', 'lead ({file}): unknown key: did you mean "scheduler.lead"?'),
        ("[nats.tls]\nxyz = 1", "nats.tls.xyz ({file}): unknown key"),
        ("_env_file = 1", "_env_file ({file}): unknown key"),
        ('"[key]" = 1', '"[key]" ({file}): unknown key'),
        ("'' = 1", '"" ({file}): unknown key'),
        ('"a\\nb.c" = 1', '"a\\nb.c" ({file}): unknown key'),
    ],
)
def test_an_unknown_key_is_named_with_its_file_and_what_was_meant(tmp_path: Path, text: str, problem: str) -> None:
    (_, line) = refusal(tmp_path, text).splitlines()
    assert line == "  " + problem.format(file=tmp_path / "natsched.toml")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("NATSCHED_NAST__SERVERS", "NATSCHED_NATS__SERVERS"),
        ("NATSCHED_SCHEDULER_LEAD", "NATSCHED_SCHEDULER__LEAD"),
        ("NATSCHED_QUEUES__MAIL__CONCURENCY", "NATSCHED_QUEUES__MAIL__CONCURRENCY"),
        ("NATSCHED_SERVERS", "NATSCHED_NATS__SERVERS"),
        ("NATSCHED_XYZZY", None),
        ("NATSCHED_", None),
        ("NATSCHED__ENV_FILE", None),
    ],
)
def test_an_unknown_variable_is_named_with_what_was_meant(tmp_path: Path, name: str, meant: str | None) -> None:
    (_, line) = refusal(tmp_path, "", None, **{name: "1"}).splitlines()
    hint = f': did you mean "{meant}"?' if meant else ""
    assert line.endswith(f" ({name}): unknown variable{hint}")


def test_a_secret_for_jobs_is_no_setting() -> None:
    assert load(None, {}, {"NATSCHED_SECRET_HOOK": "x", "NATSCHED_SCHEDULER__LEAD": "2s"}).scheduler.lead.seconds == 2


def test_an_unknown_key_inside_a_variables_json_is_a_key_not_a_variable(tmp_path: Path) -> None:
    message = refusal(tmp_path, NATSCHED_NATS='{"servrs": []}')
    assert 'nats.servrs (NATSCHED_NATS): unknown key: did you mean "servers"?' in message


def test_an_unknown_flag_is_said_to_be_from_the_command_line(tmp_path: Path) -> None:
    message = refusal(tmp_path, flags={"nats.sever": "x"})
    assert 'nats.sever (command line): unknown key: did you mean "servers"?' in message


def test_an_unknown_key_that_another_source_overrules_is_still_an_error(tmp_path: Path) -> None:
    message = refusal(tmp_path, "[logs]\nlevl = 1", NATSCHED_LOGS__LEVL="info")
    assert "natsched.toml): unknown key" in message
    assert "(NATSCHED_LOGS__LEVL): unknown variable" in message


def test_all_problems_are_told_at_once_one_a_line_each_with_its_source(tmp_path: Path) -> None:
    text = '[scheduler]\nlead = "soon"\nprefetch = 5\nbukket = 1\n'
    message = refusal(tmp_path, text, {"mode": "remote"}, NATSCHED_SCHEDULER__PREFETCH="0", NATSCHED_NAST="1")
    headline, *lines = message.splitlines()
    assert headline == "The configuration is not valid:"
    file = tmp_path / "natsched.toml"
    assert sorted(line.split(":")[0] for line in lines) == [
        "  mode (command line)",
        "  nast (NATSCHED_NAST)",
        f"  scheduler.bukket ({file})",
        f"  scheduler.lead ({file})",
        "  scheduler.prefetch (NATSCHED_SCHEDULER__PREFETCH)",
    ]


def test_a_problem_is_data_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, NATSCHED_LOGS__LEVEL="loud")
    (problem,) = caught.value.details["problems"]
    assert (problem.path, problem.source) == ("logs.level", "NATSCHED_LOGS__LEVEL")


def test_a_variable_that_is_no_table_is_not_hidden_by_one_below_it(tmp_path: Path) -> None:
    message = refusal(tmp_path, NATSCHED_LOGS="5", NATSCHED_LOGS__LEVEL="info")
    assert "logs (NATSCHED_LOGS, NATSCHED_LOGS__LEVEL): should be a table" in message


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no file .*absent\.toml: `natsched config init .*` writes one"):
        load(tmp_path / "absent.toml", environ={})
    with pytest.raises(ConfigError, match=r"no file .*absent\.toml"):
        load(environ={"NATSCHED_CONFIG": str(tmp_path / "absent.toml")})


def test_a_folder_cannot_be_read_as_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path, environ={})


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('mode = "nats"\nlead = = 1\n', r"natsched\.toml, line 2, column 8: Invalid value\."),
        ('mode = "nats', r"natsched\.toml, line 1, column 13: .+\."),
        ("a = 1\na = 2\n", r"natsched\.toml, line 2, column \d+: Cannot overwrite a value\."),
        ("a = " + "[" * 5000, r"natsched\.toml is nested too deeply\."),
        ("a = " + "9" * 5000, r"natsched\.toml is no valid TOML: .+"),
    ],
)
def test_a_syntax_error_is_told_with_file_line_and_column(tmp_path: Path, text: str, place: str) -> None:
    with pytest.raises(ConfigError, match=place):
        loaded(tmp_path, text)


def test_a_file_that_is_not_utf_8_is_told_with_the_byte(tmp_path: Path) -> None:
    path = tmp_path / "latin.toml"
    path.write_bytes(b'mode = "\xe4"')
    with pytest.raises(ConfigError, match="not UTF-8 text, from byte 8 on"):
        load(path, environ={})

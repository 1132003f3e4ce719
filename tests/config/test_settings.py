"""Settings: each bad value is refused with its path and the cure."""

from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from natsched.config import Settings
from tests.config.writing import loaded, refusal


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('mode = "cloud"', "mode: should be 'nats' or 'local'"),
        ("mode = 5", "mode: should be 'nats' or 'local'"),
        ('app = "billing.jobs"', "app: write it as package.module:registry"),
        ("app = 5", "app: should be text"),
        ("nats = 5", "nats: should be a table"),
        ("[nats]\nservers = []", "nats.servers: "),
        ("[nats]\nservers = 5", "nats.servers: should be a list"),
        ("[nats]\nservers = [5]", 'nats.servers.0: should be text, such as "nats://127.0.0.1:4222"'),
        ('[nats]\nservers = "http://a"', "nats.servers.0: is of another scheme: take one of nats://, tls://"),
        ('[nats]\nservers = "nats://"', "nats.servers.0: is not the URL of a server"),
        ('[nats]\nservers = "nats://a:x"', "nats.servers.0: is not the URL of a server"),
        ('[nats]\nservers = "nats://a b"', "nats.servers.0: is not the URL of a server"),
        ('[nats]\nservers = "nats://[a"', "nats.servers.0: is not the URL of a server"),
        ('[nats]\nservers = "[nats://a"', "nats.servers: is no JSON array"),
        ('[nats]\nservers = "nats://a/b"', "nats.servers.0: has a path: write only scheme, host and port"),
        ('[nats]\nservers = ["nats://a", "ws://b"]', "nats: servers mix ws:// with nats://"),
        ('[nats]\nname = ""', "nats.name: is empty: leave the key out instead"),
        (
            '[nats]\ninbox_prefix = "a.*"',
            "nats.inbox_prefix: take letters, digits, - and _, with single dots",
        ),
        ('[nats]\ndomain = "a.b"', "nats.domain: take 1 to 64 letters, digits, - and _"),
        ("[nats]\nconnect_timeout = 0", "nats.connect_timeout: 0s is out of range: take 100ms to 5m"),
        ('[nats]\npassword = "p"', "nats: password is set without user: set both"),
        ('[nats.tls]\ncert = "/dev/null/x"', 'nats.tls.cert: there is no file "/dev/null/x"'),
        ('[nats.tls]\nca = "~nobody-at-all/x"', 'nats.tls.ca: there is no file "~nobody-at-all/x"'),
        ('[nats.tls]\nca = "a\\u0000b"', "nats.tls.ca: there is no file"),
        (f'[nats]\nnkey = "{"n" * 5000}"', "nats.nkey: there is no file"),
        ("[nats]\ncredentials = 5", "nats.credentials: should be the path of a file"),
        ('[scheduler]\nstream_name = "A.B"', "scheduler.stream_name: take 1 to 64 letters, digits, - and _"),
        ('[scheduler]\nconsumer_name = "a b"', "scheduler.consumer_name: take 1 to 64 letters"),
        ('[scheduler]\njob_bucket = ""', "scheduler.job_bucket: take 1 to 64 letters"),
        ('[scheduler]\nsubject_prefix = "a..b"', "scheduler.subject_prefix: take letters, digits"),
        ('[scheduler]\nsubject_prefix = ">"', "scheduler.subject_prefix: take letters, digits"),
        ('[scheduler]\nonce_key = "lease.a"', 'scheduler.once_key: keys under "lease." belong to replicas'),
        ('[scheduler]\nonce_key = ".a"', "scheduler.once_key: take letters, digits"),
        (
            '[scheduler]\nlock_bucket = "SCHEDULER_JOBS"',
            "scheduler: job_bucket and lock_bucket are the same bucket",
        ),
        ("[scheduler]\nreplicas = 2", "scheduler.replicas: take 1, 3 or 5"),
        ("[scheduler]\nreplicas = true", "scheduler.replicas: should be a number, not true or false"),
        ('[scheduler]\nlead = "61s"', "scheduler.lead: 1m1s is out of range: take 100ms to 60s"),
        ('[scheduler]\nlead = "99ms"', "scheduler.lead: 99ms is out of range: take 100ms to 60s"),
        ('[scheduler]\nack_wait = "900ms"', "scheduler.ack_wait: 900ms is out of range: take 1s to 10m"),
        ('[scheduler]\nlease_ttl = "1s"', "scheduler.lease_ttl: 1s is out of range: take 2s to 10m"),
        (
            '[scheduler]\nlease_ttl = "2500ms"',
            "scheduler.lease_ttl: 2s500ms is not whole seconds, as NATS expires",
        ),
        ("[scheduler]\nprefetch = 0", "scheduler.prefetch: should be greater than or equal to 1"),
        ("[scheduler]\nprefetch = 1.5", "scheduler.prefetch: should be a whole number"),
        ("[scheduler.publish_retry]\nattempts = 0", "scheduler.publish_retry.attempts: should be greater"),
        ("queues = {}", "queues: name at least one queue, such as [queues.default]"),
        ('[queues."a.b"]', 'queues."a.b": take 1 to 64 letters, digits, - and _'),
        ("[queues]\nmail = 5", "queues.mail: should be a table"),
        ("[queues.mail]\nconcurrency = false", "queues.mail.concurrency: should be a number"),
        ("[queues.mail]\nconcurrency = 'many'", "queues.mail.concurrency: should be a whole number"),
        ("[history]\nretention = -5", 'history.retention: -5 is negative: write it like "30s"'),
        ("[history]\nretention = 2026-01-01", "history.retention: a date is not a duration"),
        ('[replica]\nname = "host.example"', "replica.name: take 1 to 64 letters"),
        ("[replica]\nthread_limit = 0", "replica.thread_limit: should be greater"),
        ('[http]\naddress = "0.0.0.0"', "http: address can be reached from other machines"),
        ('[http]\naddress = "::"', "http: address can be reached from other machines"),
        ('[http]\naddress = "natsched.internal"', "http: address can be reached from other machines"),
        ("[http]\nport = 65536", "http.port: should be less than or equal to 65535"),
        ("[http]\nport = true", "http.port: should be a number, not true or false"),
        ('[http]\ntoken = ""', "http.token: is empty: leave the key out instead"),
        ('[http.tls]\ncert = "/dev/null/x"', 'http.tls.cert: there is no file "/dev/null/x"'),
        ('[logs]\nlevel = "trace"', "logs.level: should be 'debug', 'info', 'warning' or 'error'"),
        ('[logs]\nformat = "xml"', "logs.format: should be 'console', 'json' or 'auto'"),
    ],
)
def test_a_bad_value_is_refused_with_its_path_and_the_cure(tmp_path: Path, text: str, problem: str) -> None:
    message = refusal(tmp_path, text).replace(f" ({tmp_path / 'natsched.toml'})", "")
    assert f"\n  {problem}" in message


def test_two_ways_to_say_who_one_is_are_refused_naming_both_and_their_sources(tmp_path: Path) -> None:
    seed = tmp_path / "seed.nk"
    seed.touch()
    message = refusal(tmp_path, f"[nats]\nnkey = '{seed}'\n", NATSCHED_NATS__TOKEN="t")
    source = f"{tmp_path / 'natsched.toml'}, NATSCHED_NATS__TOKEN"
    assert f"nats ({source}): nkey and token are set: keep one" in message
    message = refusal(tmp_path, NATSCHED_NATS__SERVERS="nats://u:p@a", NATSCHED_NATS__TOKEN="t")
    assert "token and a user in servers are set: keep one" in message


@pytest.mark.parametrize(("given", "absent"), [("cert", "key"), ("key", "cert")])
def test_a_certificate_and_its_key_go_together(tmp_path: Path, given: str, absent: str) -> None:
    (tmp_path / "x.pem").touch()
    message = refusal(tmp_path, f"[nats.tls]\n{given} = '{tmp_path}/x.pem'")
    assert f"{given} is set without {absent}: set both" in message


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_on_this_machine_http_needs_no_token(tmp_path: Path, address: str) -> None:
    assert loaded(tmp_path, f'[http]\naddress = "{address}"').http.is_local


def test_on_another_address_http_needs_a_token_or_certificates_of_clients(tmp_path: Path) -> None:
    (tmp_path / "x.pem").touch()
    pair = f"cert = '{tmp_path}/x.pem'\nkey = '{tmp_path}/x.pem'"
    anywhere = '[http]\naddress = "0.0.0.0"\n'
    message = refusal(tmp_path, f"{anywhere}[http.tls]\n{pair}")
    assert f"http ({tmp_path / 'natsched.toml'}): address can be reached" in message
    assert "set token (best as NATSCHED_HTTP__TOKEN) or all of [http.tls] cert, key and ca" in message
    assert loaded(tmp_path, anywhere, NATSCHED_HTTP__TOKEN="t").http.token is not None
    assert loaded(tmp_path, f"{anywhere}[http.tls]\n{pair}\nca = '{tmp_path}/x.pem'").http.token is None
    assert not loaded(tmp_path, f"{anywhere}enabled = false").http.enabled


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("cert", "cert is set without key: set both"),
        ("key", "key is set without cert: set both"),
        ("ca", "ca is set without cert: set both, and key"),
    ],
)
def test_the_certificates_of_http_go_together(tmp_path: Path, given: str, problem: str) -> None:
    (tmp_path / "x.pem").touch()
    assert problem in refusal(tmp_path, f"[http.tls]\n{given} = '{tmp_path}/x.pem'")


def test_every_way_to_say_who_one_is_can_be_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "me.creds").touch()
    assert loaded(tmp_path, '[nats]\ncredentials = "~/me.creds"').nats.credentials == tmp_path / "me.creds"
    assert loaded(tmp_path, '[nats]\nnkey = "~/me.creds"').nats.nkey == tmp_path / "me.creds"
    nats = loaded(tmp_path, '[nats]\nuser = "u"\npassword = "p"').nats
    assert nats.user == "u"
    assert nats.password is not None
    assert nats.password.get_secret_value() == "p"


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("a", "nats://a"),
        ("a:4222", "nats://a:4222"),
        ("tls://a:4222", "tls://a:4222"),
        ("nats://[::1]:4222", "nats://[::1]:4222"),
        ("wss://a/nats", "wss://a/nats"),
    ],
)
def test_a_server_without_scheme_is_a_nats_server(tmp_path: Path, given: str, url: str) -> None:
    assert loaded(tmp_path, f'[nats]\nservers = ["{given}"]').nats.servers == (url,)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().nats.name = "other"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        Settings().mode = "local"  # type: ignore[misc]


def test_the_defaults_are_those_of_the_reference_configuration() -> None:
    scheduler = Settings().scheduler
    assert (scheduler.stream_name, scheduler.subject_prefix) == ("SCHEDULER", "scheduler")
    assert (scheduler.consumer_name, scheduler.once_key) == ("scheduler-worker", "scheduler.init")
    assert (scheduler.job_bucket, scheduler.exec_bucket) == ("SCHEDULER_JOBS", "SCHEDULER_EXECUTIONS")
    assert (scheduler.lock_bucket, scheduler.replicas) == ("SCHEDULER_LOCKS", 1)
    assert scheduler.duplicates_window == timedelta(minutes=2)
    assert scheduler.reconciler_interval == scheduler.reconciler_grace_period == timedelta(seconds=30)
    assert scheduler.stream_ready_timeout == scheduler.jetstream_ready_timeout == timedelta(seconds=30)
    assert scheduler.start_phase_timeout == timedelta(seconds=30)
    assert scheduler.add_job_retry_budget == scheduler.ack_wait == scheduler.lease_ttl == timedelta(seconds=5)
    assert (scheduler.publish_retry.attempts, scheduler.publish_retry.initial_backoff) == (
        3,
        timedelta(seconds=1),
    )

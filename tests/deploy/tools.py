"""What checks the files of `deploy/`: tools of `natsched[deploy]`, systemd, promtool of Debian's package prometheus.

Not everybody who runs the tests has them: without one its tests are skipped, with `CI=true` they fail.
"""

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest


def tool(name: str) -> str:
    """Return the path of an executable, next to this Python or on the PATH."""
    folders = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    return shutil.which(name, path=folders) or _without(name)


def module(name: str) -> Any:
    """Return a module of `natsched[deploy]`."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return _without(name)


def run(name: str, *arguments: str | Path, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a tool in a folder, with these variables and a PATH as its environment."""
    environ: Mapping[str, str] = {"PATH": os.environ.get("PATH", ""), "HOME": str(folder), **variables}
    return subprocess.run(
        [tool(name), *arguments],
        cwd=folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _without(name: str) -> Any:
    reason = f"there is no {name} here"
    assert os.environ.get("CI") != "true", reason
    pytest.skip(reason)

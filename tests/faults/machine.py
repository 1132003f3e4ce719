"""What of this machine the troubles need: small disks that can be full, and a library that sets clocks wrong."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

SIZE: Final = "256m"
_LIBRARY: Final = "usr/lib/*/faketime/libfaketime.so.1"


@contextmanager
def small_disks(*places: Path) -> Iterator[str | None]:
    """Mount a small disk at each place, and give the reason if that cannot be."""
    with ExitStack() as stack:
        for place in places:
            place.mkdir(parents=True)
            command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(place)]
            mounted = subprocess.run(command, capture_output=True, text=True, check=False)
            if mounted.returncode:
                yield f"no small disk can be mounted here: {mounted.stderr.strip()}"
                return
            stack.callback(subprocess.run, ["umount", "--lazy", str(place)], check=True)
        yield None


def fill(place: Path) -> Path:
    """Write until nothing more goes on the disk, and return what is to be deleted to make room again."""
    ballast = place / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (2**20, 2**12, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return ballast


def faketime() -> Path | None:
    """Return libfaketime, if it is installed."""
    return next(iter(sorted(Path("/").glob(_LIBRARY))), None)


def wrong_clock(library: Path, offset: Path) -> dict[str, str]:
    """Return the variables that set a process's wall clock, and no other, wrong by what the file says at the time."""
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }

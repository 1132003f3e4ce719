"""Build the images of `deploy/` and run a replica in one: `python -m tests.deploy.image`.

It takes root, buildah and debootstrap (packages of Debian). It asks no registry of images: a small Debian with Python
stands in for the base image. All else is as `docker build` does it.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from natsched.jetstream.server import EmbeddedServer, ServerOptions
from tests.cli.running import CHECKOUT
from tests.deploy.roles import DEPLOY
from tests.deploy.test_image import health_command

BASE = "localhost/base"
IMAGE = "localhost/natsched"
APP = "localhost/app"
PACKAGES = "python3,python3-venv,ca-certificates"
SERVES = 20
"""Seconds until the replica is told to stop."""


class Builder:
    """buildah, with all it keeps in one folder and nothing of a daemon."""

    def __init__(self, folder: Path) -> None:
        self._command = ["buildah", "--root", str(folder / "storage"), "--runroot", str(folder / "run")]
        self._environ = {**os.environ, "BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": "vfs"}

    def __call__(self, *arguments: str) -> str:
        """Run it to its end, which has to be good, and return what it says."""
        ran = subprocess.run(
            [*self._command, *arguments], env=self._environ, stdout=subprocess.PIPE, text=True, check=True
        )
        return ran.stdout.strip()

    def start(self, *arguments: str, stderr: int | None = None) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*self._command, *arguments], env=self._environ, stderr=stderr)

    def build(self, file: Path, context: Path, tag: str, base: Mapping[str, str]) -> None:
        """Build as `docker build` does, with this machine's way to the package registry."""
        mounts = [
            part
            for path in ("/etc/ssl/certs", "/etc/pip.conf")
            if Path(path).exists()
            for part in ("-v", f"{path}:{path}:ro")
        ]
        given = [part for item in base.items() for part in ("--build-arg", "=".join(item))]
        flags = ["-q", "--pull-never", "--network", "host", "--format", "docker", *mounts, *given]
        self("bud", *flags, "-f", str(file), "-t", tag, str(context))


def main() -> None:
    """Build, look, serve and stop."""
    folder = Path(tempfile.mkdtemp(prefix="natsched-image-"))
    try:
        buildah = Builder(folder)
        _base(buildah, folder)
        buildah.build(DEPLOY / "Dockerfile", CHECKOUT, IMAGE, {"PYTHON": BASE})
        buildah.build(DEPLOY / "Dockerfile.app", _context(folder), APP, {"NATSCHED": IMAGE})
        print(f"{folder}: built")
        container = buildah("from", "--pull-never", APP)
        _looks_right(buildah, container)
        with EmbeddedServer(ServerOptions(store=folder / "nats")) as server:
            _serves(buildah, container, server.url)
        print("1 passed, 0 failed")
    finally:
        shutil.rmtree(folder)


def _base(buildah: Builder, folder: Path) -> None:
    root = folder / "root"
    command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(root)]
    subprocess.run([*command, "http://deb.debian.org/debian"], check=True, stdout=subprocess.DEVNULL)
    container = buildah("from", "scratch")
    buildah("add", "-q", container, str(root), "/")
    buildah("config", "--env", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", container)
    buildah("commit", "-q", container, BASE)


def _context(folder: Path) -> Path:
    """Lay out an application of a user."""
    context = folder / "app"
    context.mkdir()
    shutil.copy(DEPLOY / "compose" / "app.py", context)
    (context / "natsched.toml").write_text('app = "app:registry"\n')
    (context / "requirements.txt").write_text("sortedcontainers\n")
    return context


def _looks_right(buildah: Builder, container: str) -> None:
    """Who runs in it is not root, writes nowhere, and has what is in the wheel and what the application asked for."""
    for command, said in (
        ("id -u", "10001"),
        ("pwd; ls", "/app\napp.py\nnatsched.toml\nrequirements.txt"),
        ("touch /app/x /opt/natsched/x 2>/dev/null || echo denied", "denied"),
        ("python -c 'import natsched, sortedcontainers; print(natsched.__file__.split(\"/\")[2])'", "natsched"),
        ("natsched config check >/dev/null && echo good", "good"),
    ):
        found = buildah("run", container, "--", "sh", "-c", command)
        assert found == said, (command, found)


def _serves(buildah: Builder, container: str, url: str) -> None:
    """It is healthy by its own health check, and SIGTERM ends it well; `timeout` is what sends that."""
    serve = ["timeout", "--preserve-status", f"{SERVES}s", "natsched", "serve"]
    process = buildah.start("run", "--env", f"NATSCHED_NATS__SERVERS={url}", container, "--", *serve)
    try:
        until = time.monotonic() + SERVES - 5
        while not _is_healthy(buildah, container, health_command()):
            assert time.monotonic() < until, "it is not healthy"
            assert process.poll() is None, "it ended"
        assert process.wait(SERVES + 30) == 0
    finally:
        process.kill()


def _is_healthy(buildah: Builder, container: str, command: Sequence[str]) -> bool:
    return buildah.start("run", container, "--", *command, stderr=subprocess.DEVNULL).wait() == 0


if __name__ == "__main__":
    main()

"""Files of jobs that a replica applies when it starts, by the rules of `natsched apply`.

Replicas that start at once with the same file do not fight: whoever comes second finds the job as it wants it. One
that finds another change than it laid out lays out anew: nobody was shown the plan.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from natsched.config import FileOfJobs, load_file
from natsched.errors import ConfigError, JobChanged
from natsched.logs import get_logger
from natsched.protocol.applying import Applier
from natsched.targets.registry import Registry

_ROUNDS: Final = 5

log = get_logger(__name__)


def load_files(paths: Iterable[Path], registry: Registry) -> Sequence[FileOfJobs]:
    """Load files of jobs; ConfigError names the file, the job and the key that are wrong."""
    files = [load_file(path.expanduser()) for path in paths]
    declared = {job.id for job in registry.declared()}
    for file in files:
        for job in file.jobs:
            if job["id"] in declared:
                raise ConfigError(f"{file.path}: the application declares {job['id']}, too: keep it in one place")
    return files


async def apply_files(applier: Applier, files: Sequence[FileOfJobs], *, prune: bool = False) -> None:
    """Apply files, at the start or whenever they are read again."""
    if not files:
        return
    for _ in range(_ROUNDS):
        laid_out = await applier.outline(files, prune=prune)
        done = await applier.apply(laid_out)
        log.info(
            "applied files of jobs",
            action="files_applied",
            files=[str(file.path) for file in files],
            created=len(done.created),
            updated=len(done.updated),
            pruned=len(done.pruned),
            unchanged=len(laid_out.unchanged),
        )
        if not done.changed:
            return
    raise JobChanged(f"{'; '.join(done.changed)}: others keep changing what the files define")

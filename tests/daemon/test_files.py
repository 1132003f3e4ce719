"""Files of jobs that replicas apply when they start: all at once, over and over, and beside other changes."""

from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from natsched.config import FileOfJobs, load_file
from natsched.core.jobs import JobId
from natsched.core.schedules import Interval
from natsched.daemon import files
from natsched.daemon.files import apply_files
from natsched.errors import JobOwned
from natsched.protocol.applying import Applier
from tests.daemon.harness import World, in_a_world, world
from tests.virtual import run_virtual

MINUTE = timedelta(minutes=1)


def file_of(folder: Path, *jobs: str, owner: str = "o", more: str = "") -> FileOfJobs:
    path = folder / "jobs.toml"
    tables = "".join(f'[[job]]\nid = "{job}"\nevery = "1m"\nhandler = "h"\n{more}\n' for job in jobs)
    path.write_text(f'owner = "{owner}"\n{tables}', encoding="utf-8")
    return load_file(path)


def test_replicas_that_start_at_once_with_one_file_do_not_fight(tmp_path: Path) -> None:
    async def main() -> None:
        async with world() as one:
            one.handler()
            one.options = type(one.options)(name="r", files=[file_of(tmp_path, *"abc")])
            async with anyio.create_task_group() as starting:
                for number in range(5):
                    starting.start_soon(one.start, f"r{number}")
            uids = {job: (await one.client.get_job(job)).document for job in "abc"}
            assert {document.spec.generation for document in uids.values()} == {1}
            await one.clock.sleep(125)
            await one.start("late")
            assert {job: (await one.client.get_job(job)).document.uid for job in "abc"} == {
                job: document.uid for job, document in uids.items()
            }
            assert Counter(call.job_id for call in one.calls) == dict.fromkeys("abc", 2)

    run_virtual(main)


def test_files_that_change_and_prune_are_applied_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with world() as one:
            applier = Applier(one.backend, one.operations)
            await apply_files(applier, [file_of(tmp_path, "a", "b")])
            await one.client.submit_job("theirs", Interval(MINUTE))
            await apply_files(applier, [file_of(tmp_path, "b", more="timeout = 5")])
            assert (await one.client.get_job("b")).document.spec.timeout == 5
            assert len((await one.client.list_jobs()).jobs) == 3
            await apply_files(applier, [file_of(tmp_path, "b")], prune=True)
            assert sorted(view.id for view in (await one.client.list_jobs()).jobs) == ["b", "theirs"]
            with pytest.raises(JobOwned, match='b belongs to "o"'):
                await apply_files(applier, [file_of(tmp_path, "b", owner="other")])
            await apply_files(applier, [])

    run_virtual(main)


def test_two_versions_of_a_file_at_once_leave_one_of_the_two(tmp_path: Path) -> None:
    async def main() -> None:
        async with world() as one:
            new, old = file_of(tmp_path, *"abcd", more="timeout = 5"), file_of(tmp_path, *"abcd")
            await apply_files(Applier(one.backend, one.operations), [file_of(tmp_path, *"abcd", more="timeout = 7")])
            async with anyio.create_task_group() as both:
                for number in range(6):
                    applier = Applier(one.backend, one.operations)
                    both.start_soon(apply_files, applier, [new if number % 2 else old])
            timeouts = {(await one.client.get_job(job)).document.spec.timeout for job in "abcd"}
            assert timeouts <= {None, 5.0}

    run_virtual(main)


@in_a_world
async def test_a_change_between_the_two_steps_is_laid_out_anew(one: World) -> None:
    class Meddling(Applier):
        times = 0

        async def apply(self, laid_out: Any, progress: Any = None) -> Any:
            self.times += 1
            if self.times < files._ROUNDS:
                await one.client.ensure_job("a", Interval(MINUTE), handler="h", timeout=self.times, owner="o")
            return await super().apply(laid_out, progress)

    folder = Path(__file__).parent
    wanted = {"id": "a", "schedule": Interval(MINUTE), "handler": "h", "owner": "o"}
    file = FileOfJobs(path=folder, owner="o", jobs=(wanted,))
    applier = Meddling(one.backend, one.operations)
    await apply_files(applier, [file])
    assert applier.times == files._ROUNDS
    assert (await one.backend.jobs.read(JobId("a"))).job is not None
    assert (await one.client.get_job("a")).document.spec.timeout is None

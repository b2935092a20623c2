"""What the files of an outbox do together: steps of the journal, syncs, and jobs that make no more requests."""

import asyncio
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from attachsync.durable import Steps, alone, in_step
from attachsync.errors import StorageError
from attachsync.index import Index
from attachsync.index.uploads import Upload, Uploads
from attachsync.model import Digest, Draft
from attachsync.outbox.crew import Crew, Job
from attachsync.outbox.journal import Journal
from attachsync.outbox.journey import Ending

OUTBOX = "/outbox"


@pytest.fixture
def uploads(tmp_path: Path) -> Iterator[Uploads]:
    """The journal of an index on the disk."""
    index = Index.open(tmp_path)
    yield index.uploads
    index.close()


def beginning(uploads: Uploads, name: str) -> Callable[[], Upload]:
    """The step that begins an upload."""
    return partial(uploads.begin, OUTBOX, name, Draft(name, name, "text/plain", 1, Digest("")), 1.0)


def begun(uploads: Uploads) -> list[str]:
    return [row.name for row in uploads.unfinished(OUTBOX)]


# --- the journal ------------------------------------------------------------------------------------------------------


async def test_steps_that_come_together_are_written_in_their_order(uploads: Uploads) -> None:
    journal = Journal(uploads)
    names = [f"{number}.txt" for number in range(20)]
    rows = await asyncio.gather(*(journal.write(beginning(uploads, name)) for name in names))
    assert [row.name for row in rows] == names == begun(uploads)
    assert [row.id for row in rows] == sorted(row.id for row in rows)
    await asyncio.gather(*(journal.write(partial(uploads.end, row, "sent", 2.0), durable=False) for row in rows))
    assert begun(uploads) == []


async def test_a_step_that_fails_befalls_no_other(uploads: Uploads) -> None:
    """A second one of the same name is refused by the index itself."""
    journal = Journal(uploads)
    steps = [beginning(uploads, name) for name in ("a", "b", "a", "c")]
    ends = await asyncio.gather(*(journal.write(step) for step in steps), return_exceptions=True)
    assert [type(end) for end in ends] == [Upload, Upload, StorageError, Upload]
    assert begun(uploads) == ["a", "b", "c"]


async def test_a_step_that_is_cancelled_is_not_written(uploads: Uploads) -> None:
    journal = Journal(uploads)
    kept, dropped = (asyncio.create_task(journal.write(beginning(uploads, name))) for name in ("kept", "dropped"))
    await asyncio.sleep(0)  # both wait for the transaction
    dropped.cancel()
    await asyncio.wait({kept, dropped})
    assert dropped.cancelled()
    assert begun(uploads) == ["kept"]


# --- syncs ------------------------------------------------------------------------------------------------------------


def writing(path: Path, said: list[str], *, fail: bool = False) -> Steps[None]:
    """Makes a file, and says when it was synced, and when its folder was."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        os.write(descriptor, b"x")
        yield descriptor
        said.append(f"{path.name} written")
        if fail:
            raise FileExistsError(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            yield folder
        finally:
            os.close(folder)
        said.append(f"{path.name} named")
    finally:
        os.close(descriptor)
        said.append(f"{path.name} closed")


def test_works_go_on_in_step(tmp_path: Path) -> None:
    said: list[str] = []
    errors = in_step([writing(tmp_path / name, said, fail=name == "b") for name in "abc"])
    assert [type(error) for error in errors] == [type(None), FileExistsError, type(None)]
    assert said == ["a written", "b written", "b closed", "c written", "a named", "a closed", "c named", "c closed"]


def test_a_sync_that_fails_befalls_all_who_wait_for_it(tmp_path: Path) -> None:
    """A pipe cannot be synced."""

    def piped() -> Steps[None]:
        ends = os.pipe()
        try:
            yield ends[0]
        finally:
            for end in ends:
                os.close(end)

    said: list[str] = []
    errors = in_step([piped(), writing(tmp_path / "a", said)])
    assert all(isinstance(error, OSError) for error in errors)
    assert said == ["a closed"]
    with pytest.raises(OSError, match="Invalid argument"):
        alone(piped())


# --- the crew ---------------------------------------------------------------------------------------------------------


async def test_a_job_that_asks_no_more_lets_the_next_one_begin() -> None:
    """But only so many: what they still have to do must not pile up."""
    begun: list[str] = []
    asked: dict[str, Callable[[], None]] = {}
    changed, over = asyncio.Event(), asyncio.Event()

    async def do(job: Job, no_more: Callable[[], None]) -> None:
        begun.append(job.name)
        asked[job.name] = no_more
        changed.set()
        await over.wait()

    async def until(count: int) -> None:
        while len(begun) < count:
            await changed.wait()
            changed.clear()

    async def run(_asked: Callable[[], None]) -> Ending:
        return Ending.SENT

    crew = Crew(do, lambda: 2, lambda _name: None)
    working = asyncio.create_task(crew.work())
    crew.add(Job(str(number), None, run) for number in range(20))
    await until(2)
    for count in range(3, 9):
        asked[begun[-1]]()
        asked[begun[-1]]()  # to say it twice changes nothing
        await until(count)
    for no_more in asked.values():
        no_more()
    for _ in range(10):
        await asyncio.sleep(0)
    assert begun == [str(number) for number in range(8)]
    over.set()
    await crew.idle()
    assert len(begun) == 20
    working.cancel()

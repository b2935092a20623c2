"""What the files of an outbox do together: steps of the journal, syncs, and jobs that make no more requests."""

import asyncio
import contextlib
import ctypes
import io
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from attachsync.clock import Clock
from attachsync.durable import Syncing, synced, synced_together
from attachsync.errors import StorageError
from attachsync.index import Index
from attachsync.index.uploads import Upload, Uploads
from attachsync.model import Digest, Draft
from attachsync.outbox.crew import Crew, Job
from attachsync.outbox.journal import Journal
from attachsync.outbox.journey import Ending
from attachsync.outbox.requests import GRACE, Requests
from attachsync.sources.sunshine.sender import SunshineSender

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


async def test_of_files_that_come_close_together_the_first_to_arrive_goes_first(uploads: Uploads) -> None:
    """Whichever was looked at first: it is written, and told, first."""
    journal, told = Journal(uploads), list[str]()

    async def begin(number: int) -> None:
        told.append((await journal.write(beginning(uploads, str(number)), rank=(number,))).name)

    await asyncio.gather(*(begin(number) for number in (3, 1, 4, 0, 2)))
    assert told == begun(uploads) == ["0", "1", "2", "3", "4"]


async def test_what_is_wrong_with_one_is_told_all_of_them_and_nothing_is_written(uploads: Uploads) -> None:
    """A second one of the same name is refused by the index itself. What comes later is another matter."""
    journal = Journal(uploads)
    steps = [beginning(uploads, name) for name in ("a", "b", "a")]
    ends = await asyncio.gather(*(journal.write(step) for step in steps), return_exceptions=True)
    assert [type(end) for end in ends] == [StorageError, StorageError, StorageError]
    assert begun(uploads) == []
    await journal.write(beginning(uploads, "a"))
    assert begun(uploads) == ["a"]


async def test_a_step_that_is_cancelled_is_not_written(uploads: Uploads) -> None:
    journal = Journal(uploads)
    kept, dropped = (asyncio.create_task(journal.write(beginning(uploads, name))) for name in ("kept", "dropped"))
    await asyncio.sleep(0)  # both wait for the transaction
    dropped.cancel()
    await asyncio.wait({kept, dropped})
    assert dropped.cancelled()
    assert begun(uploads) == ["kept"]


async def test_a_cancellation_that_comes_too_late_and_too_early_undoes_the_step(uploads: Uploads) -> None:
    """It is written, and nobody has heard of it."""
    journal, undone = Journal(uploads), list[Upload]()

    def begin() -> Upload:
        asyncio.get_running_loop().call_soon(task.cancel)  # before who waits for it
        return beginning(uploads, "a")()

    task = asyncio.create_task(journal.write(begin, undo=undone.append))
    await asyncio.wait({task})
    assert task.cancelled()
    assert [row.name for row in undone] == begun(uploads) == ["a"]


async def test_no_request_begins_after_a_cancellation(uploads: Uploads) -> None:
    """And what was to be sent may be, the next time, without a word of an earlier copy."""

    class Untouched(SunshineSender):
        def __init__(self) -> None:
            """It has nothing that it could send with."""

    journal = Journal(uploads)
    requests = Requests(Untouched(), uploads, journal, Clock(), lambda: GRACE)

    def begin() -> Upload:
        asyncio.get_running_loop().call_soon(task.cancel)
        return beginning(uploads, "a")()

    task = asyncio.create_task(requests.upload(begin, (0, 0, "a"), io.BytesIO()))
    await asyncio.wait({task})
    assert task.cancelled()
    [row] = uploads.unfinished(OUTBOX)
    assert (row.state, row.possible_orphan) == ("retry", False)


@pytest.mark.parametrize("durable", [(True, False), (False, True), (False, False)])
async def test_if_one_is_to_be_durable_all_are(tmp_path: Path, durable: tuple[bool, bool]) -> None:
    """And they are one transaction."""
    commits = list[bool]()

    class Noting(Uploads):
        def together(self, *, durable: bool) -> contextlib.AbstractContextManager[None]:
            commits.append(durable)
            return super().together(durable=durable)

    index = Index.open(tmp_path)
    uploads = Noting(index.database)
    journal = Journal(uploads)
    one, other = durable
    await asyncio.gather(
        journal.write(beginning(uploads, "a"), durable=one), journal.write(beginning(uploads, "b"), durable=other)
    )
    assert commits == [one or other]
    assert begun(uploads) == ["a", "b"]
    index.close()


# --- syncs ------------------------------------------------------------------------------------------------------------


def writing(path: Path, said: list[str], *, fail: bool = False) -> Syncing[None]:
    """Makes a file, and says when it was synced, and when its folder was."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        os.write(descriptor, b"x")
        yield [descriptor]
        said.append(f"{path.name} written")
        if fail:
            raise FileExistsError(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            yield [folder]
        finally:
            os.close(folder)
        said.append(f"{path.name} named")
    finally:
        os.close(descriptor)
        said.append(f"{path.name} closed")


def test_works_go_on_synced_together(tmp_path: Path) -> None:
    said: list[str] = []
    errors = synced_together([writing(tmp_path / name, said, fail=name == "b") for name in "abc"])
    assert [type(error) for error in errors] == [type(None), FileExistsError, type(None)]
    assert said == ["a written", "b written", "b closed", "c written", "a named", "a closed", "c named", "c closed"]


def piped() -> Syncing[None]:
    """Wants a pipe to be synced, which cannot be."""
    ends = os.pipe()
    try:
        yield [ends[0]]
    finally:
        for end in ends:
            os.close(end)


def test_a_sync_that_fails_befalls_who_waits_for_it(tmp_path: Path) -> None:
    said: list[str] = []
    errors = synced_together([piped(), writing(tmp_path / "a", said)])
    assert [type(error) for error in errors] == [OSError, type(None)]
    assert said == ["a written", "a named", "a closed"]
    with pytest.raises(OSError, match="Invalid argument"):
        synced(piped())


def test_only_what_is_known_to_write_all_of_itself_is_asked_to() -> None:
    """Pipes are on a file system of their own, on which syncfs says yes and does nothing."""
    assert [type(error) for error in synced_together([piped() for _ in range(9)])] == [OSError] * 9


@dataclass
class Syncs:
    """What was synced: inodes, and devices of whole file systems."""

    files: list[int]
    disks: list[int]


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> Syncs:
    """Takes note of each sync that is made."""
    noted, fsync, getitem = Syncs([], []), os.fsync, ctypes.CDLL.__getitem__

    def fsynced(descriptor: int) -> None:
        noted.files.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    def syncfs(descriptor: int) -> int:
        noted.disks.append(os.fstat(descriptor).st_dev)
        return 0

    def found(library: ctypes.CDLL, name: str) -> object:
        return syncfs if name == "syncfs" else getitem(library, name)

    monkeypatch.setattr(os, "fsync", fsynced)
    monkeypatch.setattr(ctypes.CDLL, "__getitem__", found)
    return noted


def test_each_file_is_synced_and_a_folder_once(tmp_path: Path, syncs: Syncs) -> None:
    assert synced_together([writing(tmp_path / name, []) for name in "abcd"]) == [None] * 4
    assert syncs.files == [*((tmp_path / name).stat().st_ino for name in "abcd"), tmp_path.stat().st_ino]
    assert syncs.disks == []


def test_many_files_are_synced_by_the_disks_that_they_are_on(tmp_path: Path, syncs: Syncs) -> None:
    """One by one on those that may not write all of themselves."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        for folder in (tmp_path, Path(memory)):
            files = [folder / str(number) for number in range(5)]
            assert synced_together([writing(file, []) for file in [*files, Path(memory, "other")]]) == [None] * 6
            inodes = {file.stat().st_ino for file in files}
            assert folder.stat().st_dev in syncs.disks or inodes <= set(syncs.files)
            assert {folder.stat().st_ino, os.stat(memory).st_ino} <= set(syncs.files)
        assert os.stat(memory).st_dev in syncs.disks


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
    crew.add(Job(str(number), None, run) for number in range(40))
    await until(2)
    for count in range(3, 27):
        asked[begun[-1]]()
        asked[begun[-1]]()  # to say it twice changes nothing
        await until(count)
    for no_more in asked.values():
        no_more()
    for _ in range(10):
        await asyncio.sleep(0)
    assert begun == [str(number) for number in range(26)]
    over.set()
    await crew.idle()
    assert len(begun) == 40
    working.cancel()

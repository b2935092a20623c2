"""A process of its own for the disk: it does the same, and its loss is no loss."""

import hashlib
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from attachsync.linking import Linker, Modes, Placing
from attachsync.model import Digest
from attachsync.objects import Landing, Objects
from attachsync.worker import Worker

MANY = 200


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker()
    yield made
    made.close()


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    for folder in ("sha256", ".attachsync/tmp", "files"):
        (tmp_path / folder).mkdir(parents=True)
    return Objects(str(tmp_path))


def bodies(word: str) -> list[Landing]:
    texts = [f"{word} {number}".encode() for number in range(MANY)]
    return [Landing(Digest(hashlib.sha256(text).hexdigest()), len(text), (text,)) for text in texts]


def pids(items: Sequence[object]) -> list[int]:
    """Who does it."""
    return [os.getpid()] * len(items)


def refused(items: Sequence[object]) -> None:
    raise PermissionError(13, "no", f"{len(items)} items")


def lost(items: Sequence[int]) -> list[int]:
    """The process goes away in the midst of it; where the test itself runs, it is done."""
    if os.getpid() != items[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    return pids(items)


def started(worker: Worker) -> int:
    """Its process id: the first time, it is only begun."""
    assert set(worker.do(pids, range(MANY))) == {os.getpid()}
    (pid,) = set(worker.do(pids, range(MANY)))
    assert pid != os.getpid()
    return pid


def test_bytes_and_names_are_the_same_wherever_it_is_done(worker: Worker, objects: Objects) -> None:
    """Here the first time, by the other process the second; both again, which changes nothing."""
    linker = Linker(objects, "hardlink", Modes())
    for _ in range(2):
        for word in ("here", "there"):
            half = len(landed := bodies(word)) // 2
            assert worker.do(objects.land, landed[:half]) == [None] * half
            names = [f"files/a/{word}/{body.content[0].decode()}" for body in landed]
            stored = [Placing(path, body.digest) for path, body in zip(names[:half], landed[:half], strict=True)]
            coming = [Placing(path, body.digest, body) for path, body in zip(names[half:], landed[half:], strict=True)]
            assert worker.do(linker.show, stored + coming).errors == [None] * MANY
            for path, body in zip(names, landed, strict=True):
                file = Path(objects.location(body.digest))
                assert hashlib.sha256(file.read_bytes()).hexdigest() == body.digest
                assert file.stat().st_mode & 0o777 == objects.mode
                assert Path(objects.root, path).samefile(file)
    assert list(Path(objects.root, ".attachsync/tmp").iterdir()) == []


def test_few_are_done_here(worker: Worker) -> None:
    """It would take longer there."""
    assert started(worker)
    assert worker.do(pids, [1]) == [os.getpid()]


def test_what_it_raises_is_raised_here(worker: Worker) -> None:
    """As it was."""
    started(worker)
    with pytest.raises(PermissionError, match=f"{MANY} items") as error:
        worker.do(refused, range(MANY))
    assert error.value.errno == 13


def test_what_it_had_begun_when_it_was_lost_is_done_here(worker: Worker) -> None:
    """And so is all that follows."""
    started(worker)
    for _ in range(2):
        assert set(worker.do(lost, [os.getpid()] * MANY)) == {os.getpid()}


def test_signals_for_all_of_a_group_do_not_end_it(worker: Worker) -> None:
    """A terminal and a service manager send them to every process; it ends when nobody needs it any more."""
    pid = started(worker)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(pid, number)
    assert set(worker.do(pids, range(MANY))) == {pid}
    worker.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_it_is_started_again_after_a_rest(worker: Worker) -> None:
    """At rest, there is one process."""
    pid = started(worker)
    worker.close()
    assert started(worker) != pid

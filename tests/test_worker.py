"""A process of its own for the disk: it does the same, and its loss is no loss."""

import hashlib
import os
import signal
import subprocess
import sys
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


def test_it_does_not_take_the_processor_from_who_is_at_work(worker: Worker) -> None:
    assert os.sched_getscheduler(started(worker)) == os.SCHED_BATCH


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


# --- as a copy of a process that has loaded everything ----------------------------------------------------------------


def copied(script: str, path: Path) -> list[str]:
    """What a process of its own prints, which has one thread. All that it leaves behind must have ended, too."""
    text = f"import os, signal, sys, threading\nfrom tests.test_worker import *\npath = {str(path)!r}\n{script}"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""  # which a copy has, too: it is read to its end
    return done.stdout.split()


def test_a_copy_is_ready_at_once_and_has_nothing_of_what_it_is_a_copy_of(tmp_path: Path) -> None:
    path = tmp_path / "held"
    path.touch()
    found = copied(
        """
held, worker = open(path), Worker()
worker.fork()
(pid,) = set(worker.do(pids, range(MANY)))
opened = [os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")]
print(pid != os.getpid(), path in opened, opened.count("/dev/null") >= 2, os.getpgid(pid) == pid)
worker.close()
print(os.path.exists(f"/proc/{pid}"), worker.do(pids, [1]) == [os.getpid()])
""",
        path,
    )
    assert found == ["True", "False", "True", "True", "False", "True"]


def test_a_copy_is_not_ended_by_signals_for_all_of_a_group(tmp_path: Path) -> None:
    found = copied(
        """
worker = Worker()
worker.fork()
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    worker.interrupt(number)  # before it is ready, nothing is sent
worker.ready()
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    worker.interrupt(number)
print(set(worker.do(pids, range(MANY))) != {os.getpid()})
worker.close()
""",
        tmp_path,
    )
    assert found == ["True"]


@pytest.mark.parametrize("moment", ["at once", "when it is ready"])
def test_a_copy_ends_with_what_it_is_a_copy_of(tmp_path: Path, moment: str) -> None:
    """However that ends."""
    script = f"""
worker = Worker()
worker.fork()
if {moment!r} != "at once":
    worker.ready()
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert copied(script, tmp_path) == []


def test_where_there_are_threads_nothing_is_copied(tmp_path: Path) -> None:
    """It is begun anew then, when it is needed."""
    found = copied(
        """
over, worker = threading.Event(), Worker()
threading.Thread(target=over.wait).start()
worker.fork()
print(worker.do(pids, [1] * 9) == [os.getpid()] * 9)
over.set()
worker.close()
""",
        tmp_path,
    )
    assert found == ["True"]

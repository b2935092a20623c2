"""One at a time: the kernel's own lock, held for life, with who holds it; never stale (contract 4)."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from attachsync import lock
from attachsync.errors import MirrorHeldError, StorageError

HOLD = """
import subprocess, sys
from pathlib import Path
from attachsync import lock
with lock.held(Path(sys.argv[1]), Path(sys.argv[2]), "run", 0.0):
    child = subprocess.Popen(["sleep", "60"], close_fds=False)
    print(child.pid, flush=True)
    sys.stdin.read()
"""
"""Holds a mirror, with a child of its own, until it is told to end."""


@contextlib.contextmanager
def holder(mirror: Path, state: Path | None = None) -> "Iterator[subprocess.Popen[str]]":
    """Another process that holds a mirror; its child, which outlives it, ends with the test."""
    arguments = [sys.executable, "-c", HOLD, str(mirror), str(state or mirror / ".attachsync")]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        child = int(running.stdout.readline())
        try:
            yield running
        finally:
            running.kill()
            os.kill(child, signal.SIGKILL)


def take(mirror: Path, state: Path | None = None) -> None:
    """Hold a mirror for a moment."""
    with lock.held(mirror, state or mirror / ".attachsync", "sync", 0.0):
        pass


def test_a_second_one_hears_who_holds_it(tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    with holder(mirror) as running:
        who = rf"`attachsync run` \(process {running.pid} on .*, since 1970-01-01T00:00:00"
        with pytest.raises(MirrorHeldError, match=who):
            take(mirror)
        assert str(running.pid) in str(lock.holder(mirror / ".attachsync"))


def test_kill_9_frees_it_at_once_whatever_children_live_on(tmp_path: Path) -> None:
    """The words that a dead holder left stand for nothing."""
    mirror = tmp_path / "mirror"
    with holder(mirror) as running:
        running.kill()
        running.wait()
        assert str(running.pid) in (mirror / ".attachsync/lock").read_text()
        assert lock.holder(mirror / ".attachsync") is None
        take(mirror)


@pytest.mark.parametrize("words", ["", "no words", '{"pid": 1}', "[]", '{"pid": 1, "command": "run", "host": "x"}'])
def test_left_words_are_never_in_the_way(tmp_path: Path, words: str) -> None:
    own = tmp_path / ".attachsync"
    own.mkdir()
    (own / "lock").write_text(words)
    assert lock.holder(own) is None
    take(tmp_path)


def test_removing_or_replacing_the_file_lets_nobody_in(tmp_path: Path) -> None:
    mirror, file = tmp_path / "mirror", tmp_path / "mirror/.attachsync/lock"
    with holder(mirror):
        file.unlink()
        with pytest.raises(MirrorHeldError, match="another process"):
            take(mirror)
        file.unlink()
        file.write_text("{}\n")
        with pytest.raises(MirrorHeldError, match="another process"):
            take(mirror)
        assert str(lock.holder(file.parent)) == "another process"


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    own, elsewhere = tmp_path / ".attachsync", tmp_path / "precious"
    own.mkdir()
    elsewhere.write_text("precious")
    (own / "lock").symlink_to(elsewhere)
    with pytest.raises(StorageError):
        take(tmp_path)
    assert elsewhere.read_text() == "precious"


def test_with_its_state_elsewhere_both_are_held(tmp_path: Path) -> None:
    """Neither the same mirror with another state, nor another mirror with the same state."""
    mirror, state = tmp_path / "mirror", tmp_path / "state"
    with holder(mirror, state):
        with pytest.raises(MirrorHeldError, match=str(mirror)):
            take(mirror, tmp_path / "other")
        with pytest.raises(MirrorHeldError, match=str(state)):
            take(tmp_path / "other", state)
        assert lock.holder(state) is not None
    take(mirror, state)


def test_a_marker_that_is_lost_is_made_again_by_what_is_said(tmp_path: Path) -> None:
    """Not so in an empty folder, as a mount point is."""
    mirror, known = tmp_path / "a mirror", list[str]()
    own = mirror / ".attachsync"
    own.mkdir(parents=True)
    lock.marked(mirror, None, known.append)
    (own / "marker").unlink()
    with pytest.raises(StorageError, match="is its disk mounted") as caught:
        lock.recognised(mirror, known[0])
    subprocess.run(["sh", "-c", str(caught.value).partition("if only that is gone: ")[2]], check=True)
    assert lock.recognised(mirror, known[0]) == known[0]
    shutil.rmtree(own)
    with pytest.raises(StorageError, match=r"Nothing was written$"):
        lock.recognised(mirror, known[0])


def test_who_only_looks_keeps_nobody_out(tmp_path: Path) -> None:
    """Looking takes the lock for an instant; the one who takes it tries again."""
    own = tmp_path / ".attachsync"
    own.mkdir()
    assert lock.holder(own) is None
    assert list(own.iterdir()) == []
    take(tmp_path)
    assert lock.holder(own) is None

"""The outbox directory by descriptor: scanning, opening, locking, filing; and who has a file open for writing."""

import errno
import os
import signal
import stat
import subprocess
import sys

import pytest

from attachsync import folders, writers
from attachsync.durable import synced
from attachsync.errors import MirrorHeldError
from attachsync.filing import Filing
from attachsync.spool import Spool, digest, stamp_of
from tests.namespaces import other_disk


@pytest.fixture
def spool(tmp_path):
    """An open, locked outbox."""
    (tmp_path / "outbox").mkdir()
    opened = Spool.open(tmp_path / "outbox", ["*.part"], lock=True)
    yield opened
    opened.close()


@pytest.fixture
def root(spool):
    """Its path."""
    return spool.directory


def opened(path):
    """A descriptor such as the outbox opens."""
    return os.open(path, os.O_RDONLY)


def test_scan_finds_files_with_their_stamps(spool, root):
    """Files at any depth, by their path, with what a change would change."""
    (root / "a/b").mkdir(parents=True)
    for name in ("x.txt", "a/y.txt", "a/b/ü.txt"):
        (root / name).write_text(name)
    found = spool.scan()
    assert set(found.files) == {"x.txt", "a/y.txt", "a/b/ü.txt"}
    assert found.files["x.txt"] == stamp_of((root / "x.txt").stat())
    assert found.odd == {}


def test_a_deep_tree_needs_no_more_descriptors(spool, root):
    """Hundreds of folders inside each other are scanned without recursion or a descriptor each."""
    name = "/".join(["d"] * 300)
    folders.make(spool.descriptor, [b"d"] * 300, 0o755)
    (root / name / "deep.txt").write_text("deep")
    assert set(spool.scan().files) == {f"{name}/deep.txt"}


def test_names_that_are_not_utf8_are_reported(spool, root):
    """Files and folders alike; what is in such a folder is not looked at."""
    os.mkdir(os.fsencode(root) + b"/\xff")
    os.close(os.open(os.fsencode(root) + b"/\xff/x.txt", os.O_CREAT))
    os.close(os.open(os.fsencode(root) + b"/\xe9.txt", os.O_CREAT))
    found = spool.scan()
    assert found.files == {}
    assert set(found.odd) == {"\\xff", "\\xe9.txt"}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_a_folder_that_cannot_be_read_is_reported(open_path):
    """The rest is scanned; the folder is named."""
    root = open_path / "outbox"
    root.mkdir()
    (root / "closed").mkdir(mode=0o700)
    (root / "x.txt").write_text("x")
    code = f"""
import os
from pathlib import Path
from attachsync.spool import Spool
os.setuid(65534)
found = Spool.open(Path({str(root)!r}), lock=False).scan()
print(sorted(found.files), sorted(found.odd))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "['x.txt'] ['closed']", done.stderr


def test_a_link_put_in_place_of_a_file_is_not_opened(spool, root, tmp_path):
    """Neither a link in place of the file nor of its folder is followed; a pipe does not block."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/x.txt").write_text("secret")
    (root / "link.txt").symlink_to(tmp_path / "secret/x.txt")
    (root / "linked").symlink_to(tmp_path / "secret")
    os.mkfifo(root / "pipe.txt")
    for name in ("link.txt", "linked/x.txt", "pipe.txt", "nothing.txt", "no/such/folder.txt"):
        assert spool.open_file(name) is None


def test_only_the_file_that_was_seen_is_opened(spool, root):
    """A file that changed since the scan is another file."""
    path = root / "x.txt"
    path.write_text("one")
    stamp = spool.scan().files["x.txt"]
    with spool.open_seen("x.txt", stamp) as file:
        assert digest(file.fileno()) == "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
    path.write_text("two!")
    assert spool.open_seen("x.txt", stamp) is None


def test_the_lock_is_for_one(spool, root):
    """A second opener is told who is in the way; without the lock it may look."""
    with pytest.raises(MirrorHeldError, match="another attachsync holds the outbox"):
        Spool.open(root, lock=True)
    Spool.open(root, lock=False).close()


def test_the_lock_ends_with_its_process(tmp_path):
    """A killed process leaves no lock."""
    (tmp_path / "outbox").mkdir()
    code = f"""
import os, signal
from pathlib import Path
from attachsync.spool import Spool
Spool.open(Path({str(tmp_path / "outbox")!r}), lock=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -signal.SIGKILL
    Spool.open(tmp_path / "outbox", lock=True).close()


def test_it_notices_that_its_path_leads_elsewhere(spool, root, tmp_path):
    """Renamed away, or replaced."""
    assert spool.is_current()
    root.rename(tmp_path / "old")
    assert not spool.is_current()
    root.mkdir()
    assert not spool.is_current()


# --- filing ---------------------------------------------------------------------------------------------------------


def test_a_document_is_written_once(spool, root):
    """The same document again is fine; another one is not overwritten. No temporary name is left."""
    filing = Filing(spool.descriptor)
    synced(filing.putting("sent/a/x.txt", b"one", None))
    synced(filing.putting("sent/a/x.txt", b"one", None))
    with pytest.raises(FileExistsError):
        synced(filing.putting("sent/a/x.txt", b"two", None))
    assert os.listdir(root / "sent/a") == ["x.txt.toml"]
    assert (root / "sent/a/x.txt.toml").read_bytes() == b"one"
    assert stat.S_IMODE((root / "sent/a/x.txt.toml").stat().st_mode) == 0o600


def test_moving_the_open_file(spool, root):
    """The very file that is open is moved; moved again, nothing happens."""
    filing = Filing(spool.descriptor)
    (root / "x.txt").write_text("x")
    inode = (root / "x.txt").stat().st_ino
    synced(filing.putting("sent/x.txt", b"", None))
    with spool.open_file("x.txt") as file:
        assert synced(filing.moving("x.txt", "sent/x.txt", file)) is True
        assert synced(filing.moving("x.txt", "sent/x.txt", file)) is True
    assert not (root / "x.txt").exists()
    assert (root / "sent/x.txt").stat().st_ino == inode


def test_a_file_that_took_the_name_stays(spool, root):
    """Replaced or deleted meanwhile: the open file's bytes are copied with their time, the new file is not touched."""
    filing = Filing(spool.descriptor)
    synced(filing.putting("sent/x.txt", b"", None))
    (root / "x.txt").write_text("old")
    os.utime(root / "x.txt", (1_000_000, 1_000_000))
    with spool.open_file("x.txt") as file:
        (root / "new").write_text("new")
        (root / "new").rename(root / "x.txt")
        assert synced(filing.moving("x.txt", "sent/x.txt", file)) is False
    assert (root / "x.txt").read_text() == "new"
    assert (root / "sent/x.txt").read_text() == "old"
    assert (root / "sent/x.txt").stat().st_mtime == 1_000_000
    with spool.open_file("x.txt") as file:
        (root / "x.txt").unlink()
        with pytest.raises(FileExistsError):
            synced(filing.moving("x.txt", "sent/x.txt", file))
        assert synced(filing.moving("x.txt", "sent/y.txt", file)) is True  # nothing has its name
    assert (root / "sent/y.txt").read_text() == "new"


def test_a_sub_folder_on_another_file_system(spool, root):
    """A mount inside the outbox: its file is copied to sent/, durably, and then removed."""
    with other_disk(root / "mounted"):
        (root / "mounted/x.txt").write_text("other disk")
        assert set(spool.scan().files) == {"mounted/x.txt"}
        filing = Filing(spool.descriptor)
        synced(filing.putting("sent/mounted/x.txt", b"", None))
        with spool.open_file("mounted/x.txt") as file:
            assert synced(filing.moving("mounted/x.txt", "sent/mounted/x.txt", file)) is True
        assert (root / "sent/mounted/x.txt").read_text() == "other disk"
        assert os.listdir(root / "mounted") == []


def test_renaming_never_overwrites(spool, root):
    """RENAME_NOREPLACE."""
    (root / "a").write_text("a")
    (root / "b").write_text("b")
    with pytest.raises(FileExistsError):
        folders.rename_new(spool.descriptor, b"a", spool.descriptor, b"b")
    assert (root / "b").read_text() == "b"


def test_removing_only_the_very_file(spool, root):
    """Another file of the same name is kept, also one that a kill left aside."""
    (root / "a").write_text("a")
    wanted = folders.identity_at(spool.descriptor, b"a")
    (root / "b").write_text("b")
    assert folders.remove_only(spool.descriptor, b"b", wanted) is False
    assert folders.remove_only(spool.descriptor, b"a", wanted) is True
    assert os.listdir(root) == ["b"]


def test_a_write_that_fails_leaves_nothing(spool, root):
    """The disk is full: no half-written document has a name."""

    def full(_descriptor):
        raise OSError(errno.ENOSPC, "full")

    with pytest.raises(OSError, match="full"):
        synced(folders.writing_new(spool.descriptor, b"x", full, 0o600))
    assert os.listdir(root) == []


def test_a_copy_may_be_left_half_done(spool, root):
    """As one of a large file to another disk is when the process is to stop: nothing of it has a name."""
    (root / "large").write_bytes(b"x" * 3 * 1024 * 1024)
    with (root / "large").open("rb") as large:
        work = folders.writing_new(spool.descriptor, b"x", lambda copy: folders.copying(large.fileno(), copy), 0o600)
        assert [next(work), next(work)] == [(), ()]
        work.close()
        assert os.listdir(root) == ["large"]
        synced(folders.writing_new(spool.descriptor, b"x", lambda copy: folders.copying(large.fileno(), copy), 0o600))
    assert (root / "x").read_bytes() == (root / "large").read_bytes()


def test_a_name_of_255_bytes_has_room_for_its_receipt(spool, root):
    """The place of an over-long name is cut, its extension kept."""
    name = "é" * 125 + "x.txt"
    place = Filing(spool.descriptor).place("sent", name)
    assert place.endswith(".txt")
    assert len(place.encode()) <= len("sent/") + 250


# --- writers --------------------------------------------------------------------------------------------------------


def test_a_writer_is_seen_and_forgotten(tmp_path):
    """By lease and by /proc: while it is open for writing, and no longer; reading does not count."""
    path = tmp_path / "x"
    path.write_text("x")
    ours, other = opened(path), opened(path)
    for look in (writers.being_written, writers._seen_in_proc):
        assert look(ours) is False
        with path.open("a"):
            assert look(ours) is True
        assert look(ours) is False
    os.close(ours)
    os.close(other)


def test_another_process_that_writes_is_seen(tmp_path):
    """Both ways see a writer in another process."""
    path = tmp_path / "x"
    path.write_text("x")
    code = f"f = open({str(path)!r}, 'a'); print('open', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        writer.stdout.readline()
        ours = opened(path)
        assert writers.being_written(ours) is True
        assert writers._seen_in_proc(ours) is True
        writer.communicate(b"\n")
    assert writers.being_written(ours) is False
    os.close(ours)


def test_a_file_system_without_leases(tmp_path):
    """Where a lease is refused for good, /proc decides (a directory stands for such a file)."""
    ours = opened(tmp_path)
    assert writers.being_written(ours) is False
    os.close(ours)


def test_the_lease_cannot_kill(tmp_path):
    """Thousands of openings for writing against thousands of leases: the signal of a broken lease does no harm."""
    path = tmp_path / "x"
    path.write_text("x")
    code = f"""
import os, sys
from attachsync import writers
ours = os.open({str(path)!r}, os.O_RDONLY)
if os.fork() == 0:
    for _ in range(5000):
        os.close(os.open({str(path)!r}, os.O_WRONLY))
    os._exit(0)
found = {{writers.being_written(ours) for _ in range(20000)}}
os.wait()
print("alive", writers.being_written(ours))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.strip() == "alive False", done.stderr
    assert done.returncode == 0

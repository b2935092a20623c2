"""Making what was written survive a power loss: file by file, or all of a file system at once. All of it blocks.

One sync of a whole file system costs about as much as that of a few files, and is for any number of them.
"""

import contextlib
import ctypes
import os
import stat
from collections import defaultdict
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from attachsync.threads import Steps, at_once

T = TypeVar("T")

Wanted = Collection[int | str]
"""What is to be made durable, all on one disk: the content of files, the entries of folders. Descriptors, or paths of
folders."""
Syncing = Generator[Wanted, None, T]
"""Work on a disk. It yields what is to be durable before it goes on. Who runs it has that synced, in another thread
where there is something else to do meanwhile; if it cannot be, the work is to be closed."""

_FEW = 4
"""So many files or folders are synced one by one."""
_WHOLE = frozenset({0xEF53, 0x58465342, 0x9123683E, 0xF2F52010, 0x01021994})
"""File systems that are known to write all of themselves when asked to: ext4 and its ancestors, XFS, Btrfs, F2FS, tmpfs
(man 2 statfs). Of FUSE and of what lies on a network it is not sure."""
_WRITE_OUT = 2
"""SYNC_FILE_RANGE_WRITE (man 2 sync_file_range)."""


def synced(work: Syncing[T]) -> T:
    """Do all of it, here."""
    return at_once(syncing(work))


def syncing(work: Syncing[T]) -> Steps[T]:
    """Do all of it, a step at a time."""
    with contextlib.closing(work):
        try:
            while True:
                sync(next(work))
                yield
        except StopIteration as end:
            result: T = end.value
            return result


def synced_together(works: Sequence[Syncing[object]]) -> list[Exception | None]:
    """Do all of several, here, in step: what they want at the same time is synced at once. The error of each."""
    errors: list[Exception | None] = [None] * len(works)
    going = dict(enumerate(works))
    while going:
        wanted: dict[int, Wanted] = {}
        for number, work in going.items():
            try:
                wanted[number] = next(work)
            except StopIteration:
                pass
            except Exception as error:  # its own alone
                errors[number] = error
        failed = _unsynced([one for some in wanted.values() for one in some])
        for number, some in wanted.items():
            errors[number] = next((failed[one] for one in some if one in failed), None)
            if errors[number] is not None:
                going[number].close()
        going = {number: going[number] for number in wanted if errors[number] is None}
    return errors


def sync(wanted: Wanted) -> None:
    """Make all of it durable."""
    if len(wanted) <= _FEW or not _sync_whole(next(iter(wanted))):
        for one in wanted:
            _fsync(one)


def _unsynced(wanted: Iterable[int | str]) -> dict[int | str, OSError]:
    """Make all of it durable, on whatever disks; what could not be, and why. A folder may have several descriptors."""
    disks = defaultdict[int, dict[object, list[int | str]]](lambda: defaultdict(list))
    failed: dict[int | str, OSError] = {}
    for one in wanted:
        try:
            found = os.stat(one)
        except OSError as error:  # what was open on a server may be gone
            failed[one] = error
        else:
            disks[found.st_dev][(found.st_ino,) if stat.S_ISDIR(found.st_mode) else one].append(one)
    for disk in disks.values():
        if len(disk) <= _FEW or not _sync_whole(next(iter(disk.values()))[0]):
            for same in disk.values():
                try:
                    _fsync(same[0])
                except OSError as error:
                    failed |= dict.fromkeys(same, error)
    return failed


def _fsync(one: int | str) -> None:
    if isinstance(one, int):
        os.fsync(one)
    else:
        fsync_folder(one)


def _sync_whole(one: int | str) -> bool:
    """Sync the file system that this is on; whether that was done. If not, each file by itself will say why."""
    library, answer = ctypes.CDLL(None), ctypes.create_string_buffer(256)
    with contextlib.suppress(OSError), contextlib.nullcontext(one) if isinstance(one, int) else _opened(one) as it:
        if library.fstatfs(it, answer) == 0:
            kind = ctypes.c_long.from_buffer(answer).value  # the first word of the answer
            return kind in _WHOLE and library.syncfs(it) == 0
    return False


def fsync_folder(folder: str | Path) -> None:
    """Make the entries of a folder durable."""
    with _opened(folder) as descriptor:
        os.fsync(descriptor)


def make_folder(folder: Path, mode: int, root: Path) -> None:
    """Make `folder` below `root` with `mode` (whatever the umask), parents too, durably; existing ones stay as is."""
    for changed in make_folders(str(folder), mode, str(root)):
        fsync_folder(changed)


def give_mode(folder: str, mode: int) -> None:
    """Give a folder another mode, and before it all folders below: who is broken off begins anew.

    Those of somebody else stay as they are, and so do the set-group-ID and sticky bits of all. On a disk that keeps no
    modes there is nothing to be done.
    """
    before = _permissions(folder)
    if before == mode:
        return
    set_mode(folder, mode)
    if _permissions(folder) == mode:
        set_mode(folder, before | 0o700)
        for below, _, _ in os.walk(folder, topdown=False):
            with contextlib.suppress(PermissionError):
                set_mode(below, mode)


def set_mode(folder: str, mode: int) -> None:
    """Set who may do what in a folder; what is made in it belongs to the group that it did."""
    os.chmod(folder, os.stat(folder).st_mode & 0o7000 | mode)


def _permissions(folder: str) -> int:
    return os.stat(folder).st_mode & 0o777


def make_folders(folder: str, mode: int, root: str) -> list[str]:
    """The same, but for being durable: it is when the folders that are returned are synced."""
    try:
        os.mkdir(folder, mode)
    except FileExistsError:
        if not os.path.isdir(folder):
            raise
        return []
    except FileNotFoundError:
        if folder == root:
            raise
        above = make_folders(os.path.dirname(folder), mode, root)
        return [*above, *make_folders(folder, mode, root)]
    os.chmod(folder, mode)
    return [os.path.dirname(folder)]


def private(path: str, flags: int) -> int:
    """Open a file, new ones for nobody else (an `opener`); no link is followed, and nobody at a pipe's other end waited
    for."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)


def write_out(descriptor: int, start: int, size: int) -> None:
    """Have a range of a file written to the disk soon: what is left for the sync at its end is less."""
    library = ctypes.CDLL(None)
    library.sync_file_range(
        ctypes.c_int(descriptor), ctypes.c_int64(start), ctypes.c_int64(size), ctypes.c_uint(_WRITE_OUT)
    )


@contextlib.contextmanager
def _opened(folder: str | Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)

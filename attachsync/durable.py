"""Making what was written survive a power loss: file by file, or all of a file system at once. All of it blocks.

One sync of a whole file system costs about as much as that of a few files, and is for any number of them.
"""

import contextlib
import ctypes
import functools
import os
from collections import defaultdict
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

Syncing = Generator[Callable[[], None], None, None]
"""Work on a disk. It yields each sync, which only waits, to be called by who runs it: in another thread, where there is
something else to do meanwhile. If that raises, the work is to be closed."""

Steps = Generator[int, None, T]
"""Work on a disk. It yields each descriptor whose file or folder is to be synced before the work goes on."""

_FEW = 4
"""So many files or folders are synced one by one."""
_WHOLE = frozenset({0xEF53, 0x58465342, 0x9123683E, 0xF2F52010, 0x01021994})
"""File systems that are known to write all of themselves when asked to: ext4 and its ancestors, XFS, Btrfs, F2FS, tmpfs
(man 2 statfs). Of FUSE and of what lies on a network it is not sure."""
_WRITE_OUT = 2
"""SYNC_FILE_RANGE_WRITE (man 2 sync_file_range)."""


def synced(work: Syncing) -> None:
    """Do all of it, here."""
    with contextlib.closing(work):
        for sync in work:
            sync()


def alone(work: Steps[T]) -> T:
    """Do all of it, here."""
    with contextlib.closing(work):
        try:
            while True:
                os.fsync(next(work))
        except StopIteration as end:
            result: T = end.value
            return result


def in_step(works: Sequence[Steps[object]]) -> list[Exception | None]:
    """Do several works at once, here: what they want to be synced at the same time is. The error of each, if any."""
    errors: list[Exception | None] = [None] * len(works)
    going, trouble = dict(enumerate(works)), None
    while going:
        wanted = []
        for number, work in list(going.items()):
            try:
                wanted.append(next(work) if trouble is None else work.throw(trouble))
            except StopIteration:
                del going[number]
            except Exception as error:  # its own alone
                errors[number] = error
                del going[number]
        trouble = _synced(wanted)
    return errors


def _synced(descriptors: Iterable[int]) -> OSError | None:
    """Sync each file and folder, once; what goes wrong is everybody's."""
    disks = defaultdict[int, dict[int, int]](dict)
    try:
        for descriptor in descriptors:
            found = os.fstat(descriptor)
            disks[found.st_dev][found.st_ino] = descriptor
        for on_one in disks.values():
            _sync([*on_one.values()])
    except OSError as error:
        return error
    return None


def _sync(descriptors: Sequence[int]) -> None:
    """Make the content of files, and the entries of folders, durable, all of one disk."""
    if len(descriptors) > 1 and _kind(descriptors[0]) in _WHOLE:
        _sync_whole(descriptors[0])
    else:
        for descriptor in descriptors:
            os.fsync(descriptor)


def fsync_folder(folder: str | Path) -> None:
    """Make the entries of a folder durable."""
    with _opened(folder) as descriptor:
        os.fsync(descriptor)


def make_folder(folder: Path, mode: int, root: Path) -> None:
    """Make `folder` below `root` with `mode` (whatever the umask), parents too, durably; existing ones stay as is."""
    for changed in make_folders(str(folder), mode, str(root)):
        fsync_folder(changed)


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


def write_out(descriptor: int, start: int, size: int) -> None:
    """Have a range of a file written to the disk soon: what is left for the sync at its end is less."""
    library = ctypes.CDLL(None)
    library.sync_file_range(
        ctypes.c_int(descriptor), ctypes.c_int64(start), ctypes.c_int64(size), ctypes.c_uint(_WRITE_OUT)
    )


class Disk:
    """The file system that a folder is on."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    @functools.cached_property
    def _syncs_whole(self) -> bool:
        with _opened(self._folder) as descriptor:
            return _kind(descriptor) in _WHOLE

    def sync_files(self, descriptors: Collection[int]) -> None:
        """Make the content of open files durable."""
        if self._syncs_whole and len(descriptors) > _FEW:
            self._sync_all()
        else:
            for descriptor in descriptors:
                os.fsync(descriptor)

    def sync_folders(self, folders: Collection[str]) -> None:
        """Make the entries of folders durable."""
        if self._syncs_whole and len(folders) > _FEW:
            self._sync_all()
        else:
            for folder in folders:
                fsync_folder(folder)

    def _sync_all(self) -> None:
        with _opened(self._folder) as descriptor:
            _sync_whole(descriptor)


@contextlib.contextmanager
def _opened(folder: str | Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _kind(descriptor: int) -> int:
    """The magic number of a file system: the first word that statfs answers. 0 where it cannot be had."""
    answer = ctypes.create_string_buffer(256)
    if ctypes.CDLL(None).fstatfs(descriptor, answer):
        return 0
    return ctypes.c_long.from_buffer(answer).value


def _sync_whole(descriptor: int) -> None:
    """Sync the file system that an open file or folder is on."""
    if ctypes.CDLL(None, use_errno=True).syncfs(descriptor):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))

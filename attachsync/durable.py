"""Making what was written survive a power loss: file by file, or all of a file system at once. All of it blocks.

One sync of a whole file system costs about as much as that of a few files, and is for any number of them.
"""

import contextlib
import ctypes
import functools
import os
from collections.abc import Callable, Collection, Generator
from pathlib import Path

Syncing = Generator[Callable[[], None], None, None]
"""Work on a disk. It yields each sync, which only waits, to be called by who runs it: in another thread, where there is
something else to do meanwhile. If that raises, the work is to be closed."""

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


def fsync_folder(folder: str | Path) -> None:
    """Make the entries of a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
        return _kind(self._folder) in _WHOLE

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
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            if ctypes.CDLL(None, use_errno=True).syncfs(descriptor):
                code = ctypes.get_errno()
                raise OSError(code, os.strerror(code), self._folder)
        finally:
            os.close(descriptor)


def _kind(folder: str) -> int:
    """The magic number of a folder's file system: the first word that statfs answers. 0 where it cannot be had."""
    answer = ctypes.create_string_buffer(256)
    if ctypes.CDLL(None).statfs(os.fsencode(folder), answer):
        return 0
    return ctypes.c_long.from_buffer(answer).value

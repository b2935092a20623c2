"""Folders by descriptor: nothing here follows a link, overwrites a file, or shows a half-written one.

Names are bytes, as the system has them. All of it is blocking and raises OSError.
"""

import contextlib
import ctypes
import errno
import hashlib
import itertools
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence

from attachsync.durable import Syncing, synced
from attachsync.threads import Steps

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_BLOCK = 1024 * 1024
_RENAME_NOREPLACE = 1
_NO_UNNAMED = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT, errno.EPERM, errno.EMLINK})
"""Refusals of O_TMPFILE, or of linking what it made, that mean: this file system (or a missing /proc) cannot do it."""

_COARSE = 2_000_000_000
"""Times of change are kept no more exactly than this (ns) by some disks (FAT)."""

Identity = tuple[int, int]
Fill = Callable[[int], Iterable[object] | None]
"""Writes to a descriptor: at once, or in steps."""


def split(path: str) -> tuple[list[bytes], bytes]:
    """Folders and last part of a relative path."""
    *folders, base = path.encode().split(b"/")
    return folders, base


@contextlib.contextmanager
def below(root: int, parts: Sequence[bytes]) -> Iterator[int]:
    """A descriptor of its own for the folder `parts` below `root`, opened part by part without following a link."""
    current = os.open(b".", FOLDER, dir_fd=root)
    try:
        for part in parts:
            following = os.open(part, FOLDER, dir_fd=current)
            os.close(current)
            current = following
        yield current
    finally:
        os.close(current)


def make(root: int, parts: Sequence[bytes], mode: int) -> None:
    """Make the folders `parts` below `root`, durably; those that are there stay as they are."""
    for count, part in enumerate(parts):
        with below(root, parts[:count]) as parent:
            try:
                os.mkdir(part, mode, dir_fd=parent)
            except FileExistsError:
                continue
            os.fsync(parent)
            with below(parent, [part]) as made:
                os.fchmod(made, mode)  # whatever the umask


def identity(found: os.stat_result) -> Identity:
    """What makes a file this very file."""
    return found.st_dev, found.st_ino


def identity_at(folder: int, base: bytes) -> Identity | None:
    """The identity of what has this name, a link not followed; None if nothing has."""
    try:
        return identity(os.stat(base, dir_fd=folder, follow_symlinks=False))
    except FileNotFoundError:
        return None


def names(folder: int) -> set[str]:
    """All names in a folder that are UTF-8."""
    found = set()
    with os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(UnicodeDecodeError):
                found.add(os.fsencode(entry.name).decode())
    return found


def rename_new(source: int, old: bytes, target: int, new: bytes) -> None:
    """Rename, but never over anything: FileExistsError. Atomic where the file system knows RENAME_NOREPLACE."""
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is not None:
        if function(source, old, target, new, _RENAME_NOREPLACE) == 0:
            return
        code = ctypes.get_errno()
        if code not in (errno.EINVAL, errno.ENOSYS):
            raise OSError(code, os.strerror(code), os.fsdecode(old), None, os.fsdecode(new))
    if identity_at(target, new) is not None:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fsdecode(new))
    os.rename(old, new, src_dir_fd=source, dst_dir_fd=target)


def remove_only(folder: int, base: bytes, wanted: Identity) -> bool:
    """Remove a name if it still is this very file; what came in its place meanwhile keeps the name."""
    aside = _hidden(base)
    if identity_at(folder, aside) is None:  # else a kill came between the two steps below
        if identity_at(folder, base) != wanted:
            return False
        rename_new(folder, base, folder, aside)
    if identity_at(folder, aside) != wanted:
        with contextlib.suppress(FileExistsError):
            rename_new(folder, aside, folder, base)
        return False
    os.unlink(aside, dir_fd=folder)
    return True


def copied_from(folder: int, base: bytes, copy: int) -> Syncing[Identity | None]:
    """The file that an open one, on another disk, is a copy of: under its name, or on its way out (`remove_only`)."""
    for name in (_hidden(base), base):
        source = _opened(name, folder)
        if source is not None:
            try:
                if (yield from _is_copy(source, copy)):
                    return identity(os.fstat(source))
            finally:
                os.close(source)
    return None


def _is_copy(source: int, copy: int) -> Syncing[bool]:
    one, other = os.fstat(source), os.fstat(copy)
    same_time = abs(one.st_mtime_ns - other.st_mtime_ns) < _COARSE
    if one.st_dev == other.st_dev or one.st_size != other.st_size or not same_time:
        return False
    for left, right in itertools.zip_longest(blocks(source), blocks(copy)):
        if left != right:
            return False
        yield ()
    return True


def writing_new(folder: int, base: bytes, fill: Fill, mode: int) -> Syncing[None]:
    """Make a file with what `fill` writes, durable before it has a name. FileExistsError if the name is taken."""
    try:
        unnamed = os.open(b".", os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, mode, dir_fd=folder)
        try:
            yield [(yield from _filled(unnamed, fill, mode))]
            os.link(f"/proc/self/fd/{unnamed}", base, dst_dir_fd=folder, follow_symlinks=True)
        finally:
            os.close(unnamed)
    except OSError as error:
        if error.errno not in _NO_UNNAMED:
            raise
        yield from _writing_hidden(folder, base, fill, mode)
        rename_new(folder, _hidden(base), folder, base)
    yield [folder]


def replace(folder: int, base: bytes, content: bytes, mode: int) -> None:
    """Give a file other content, atomically and durably."""
    synced(_writing_hidden(folder, base, lambda descriptor: write_all(descriptor, content), mode))
    os.rename(_hidden(base), base, src_dir_fd=folder, dst_dir_fd=folder)
    os.fsync(folder)


def _hidden(base: bytes) -> bytes:
    """The temporary name of a file: the same each time, so that what a kill left is found and written again."""
    return b".attachsync-" + hashlib.sha256(base).hexdigest()[:16].encode()


def _writing_hidden(folder: int, base: bytes, fill: Fill, mode: int) -> Syncing[None]:
    name = _hidden(base)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode, dir_fd=folder)
    try:
        yield [(yield from _filled(descriptor, fill, mode))]
    finally:
        os.close(descriptor)


def _filled(descriptor: int, fill: Fill, mode: int) -> Syncing[int]:
    """The descriptor of a file that has been written, and has its mode, whatever the umask."""
    for _ in fill(descriptor) or ():
        yield ()
    os.fchmod(descriptor, mode)
    return descriptor


def write_all(descriptor: int, content: bytes) -> None:
    """Write all of `content`."""
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def blocks(descriptor: int) -> Iterator[bytes]:
    """A file's bytes from its start, its offset left alone."""
    at = 0
    while block := os.pread(descriptor, _BLOCK, at):
        yield block
        at += len(block)


def copying(source: int, target: int) -> Steps[None]:
    """Copy a file's bytes, and its time."""
    for block in blocks(source):
        write_all(target, block)
        yield
    found = os.fstat(source)
    os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))


def read_small(folder: int, base: bytes, limit: int = 64 * 1024) -> bytes | None:
    """The bytes of a small regular file; None if it is none, too long, or not there."""
    descriptor = _opened(base, folder)
    if descriptor is None:
        return None
    try:
        return os.pread(descriptor, limit, 0) if os.fstat(descriptor).st_size <= limit else None
    finally:
        os.close(descriptor)


def _opened(base: bytes, folder: int) -> int | None:
    """A descriptor of a regular file; None if it is none, or not there."""
    try:
        descriptor = os.open(base, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO):
            return None
        raise
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    return None

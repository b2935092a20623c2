"""One outbox directory, by descriptor: its lock, what is in it, and the opening of a file that was seen (contract 3).

Blocking; raises OSError, and MirrorHeldError where another attachsync holds the outbox.
"""

import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import BinaryIO

from attachsync import folders
from attachsync.errors import MirrorHeldError
from attachsync.folders import Identity
from attachsync.model import Digest
from attachsync.settle import Stamp
from attachsync.threads import Steps, at_once

RESERVED = frozenset({"sent", "failed"})
"""Top-level folders that are ours."""

_VANISHED = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO})
"""What opening says of a file or folder that is no longer the one the scan saw."""
_NO_LOCKS = frozenset({errno.EBADF, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS})


@dataclass(frozen=True, slots=True)
class Found:
    """What one scan saw. `odd` says of what is never touched why a person should look at it."""

    files: dict[str, Stamp] = field(default_factory=dict)
    folders: dict[str, Identity] = field(default_factory=dict)
    """Sub-folders, those that are ours left out."""
    odd: dict[str, str] = field(default_factory=dict)


def stamp_of(found: os.stat_result) -> Stamp:
    """What a change of a file would change."""
    return Stamp(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def digesting(descriptor: int) -> Steps[Digest]:
    """The SHA-256 of a file's bytes, its offset left alone."""
    running = hashlib.sha256()
    for block in folders.blocks(descriptor):
        running.update(block)
        yield
    return Digest(running.hexdigest())


def digest(descriptor: int) -> Digest:
    """The same, at once."""
    return at_once(digesting(descriptor))


class Spool:
    """An open outbox directory."""

    def __init__(self, directory: Path, descriptor: int, ignore: Sequence[str]) -> None:
        self.directory = directory
        self.descriptor = descriptor
        self._ignore = tuple(ignore)

    @classmethod
    def open(cls, directory: Path, ignore: Sequence[str] = (), *, lock: bool, make: bool = False) -> "Spool":
        """Open the directory, with `lock` for this process alone; `make` one (mode 0700) where there is none."""
        if make:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The outbox's own path may lead over links: the config's owner chose it.
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if lock:
                _lock(descriptor, directory)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(directory, descriptor, ignore)

    def close(self) -> None:
        """Close it, and give up the lock."""
        os.close(self.descriptor)

    def is_current(self) -> bool:
        """Whether the path still leads to the directory that is open (B3: a watcher would not say)."""
        try:
            return folders.identity(os.stat(self.directory)) == folders.identity(os.fstat(self.descriptor))
        except OSError:
            return False

    def scan(self) -> Found:
        """All files that may be sent some day. Hidden and ignored names, links, devices, pipes are passed over."""
        found = Found()
        waiting: list[tuple[str, ...]] = [()]
        while waiting:
            parts = waiting.pop()
            try:
                with folders.below(self.descriptor, [part.encode() for part in parts]) as folder:
                    waiting += self._look(folder, parts, found)
                    if parts:
                        found.folders["/".join(parts)] = folders.identity(os.fstat(folder))
            except OSError as error:
                if not parts or (error.errno not in _VANISHED and error.errno not in (errno.EACCES, errno.EPERM)):
                    raise
                if error.errno not in _VANISHED:
                    found.odd["/".join(parts)] = f"the folder cannot be read: {error.strerror}"
        return found

    def _look(self, folder: int, parts: tuple[str, ...], found: Found) -> list[tuple[str, ...]]:
        """Take up the files of one folder; its folders."""
        inner = []
        with os.scandir(folder) as entries:
            for entry in entries:
                raw = os.fsencode(entry.name)
                if raw.startswith(b"."):
                    continue
                path = "/".join((*parts, raw.decode(errors="backslashreplace")))
                try:
                    name = raw.decode()
                    seen = entry.stat(follow_symlinks=False)
                except UnicodeDecodeError:
                    found.odd[path] = "its name is not UTF-8: rename it"
                    continue
                except FileNotFoundError:
                    continue
                if self._passed_over(name, top=not parts):
                    continue
                if stat.S_ISREG(seen.st_mode):
                    found.files[path] = stamp_of(seen)
                elif stat.S_ISDIR(seen.st_mode):
                    inner.append((*parts, name))
        return inner

    def _passed_over(self, name: str, *, top: bool) -> bool:
        return (top and name in RESERVED) or any(fnmatchcase(name, pattern) for pattern in self._ignore)

    def open_file(self, name: str) -> BinaryIO | None:
        """A file below the outbox, unbuffered; None if it is not there, or no regular file."""
        parts, base = folders.split(name)
        try:
            with folders.below(self.descriptor, parts) as folder:
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
                descriptor = os.open(base, flags, dir_fd=folder)
        except OSError as error:
            if error.errno in _VANISHED:
                return None
            raise
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            return None
        return os.fdopen(descriptor, "rb", buffering=0)

    def open_seen(self, name: str, stamp: Stamp) -> BinaryIO | None:
        """The very file that a scan saw, unchanged since; None if it is another by now."""
        file = self.open_file(name)
        if file is not None and stamp_of(os.fstat(file.fileno())) != stamp:
            file.close()
            return None
        return file

    def has(self, name: str) -> bool:
        """Whether anything has this name."""
        parts, base = folders.split(name)
        try:
            with folders.below(self.descriptor, parts) as folder:
                return folders.identity_at(folder, base) is not None
        except OSError as error:
            if error.errno in _VANISHED:
                return False
            raise


def _lock(descriptor: int, directory: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise MirrorHeldError(f"another attachsync holds the outbox {directory}: stop it first") from None
    except OSError as error:
        # NFS locks no folder that is open for reading. The mirror's own lock covers the usual case.
        if error.errno not in _NO_LOCKS:
            raise

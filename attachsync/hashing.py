"""Files hashed once more, at the disk's speed, without pushing everybody's pages out of the cache. Blocking."""

import hashlib
import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from attachsync.model import Digest

BLOCK = 1024 * 1024
_DROP = 16 * BLOCK
"""What was read is given back to the page cache in pieces of this."""


_local = threading.local()


def _buffer() -> memoryview:
    """This thread's own: making one for each file would take longer than hashing a small one."""
    try:
        found: memoryview = _local.buffer
    except AttributeError:
        found = _local.buffer = memoryview(bytearray(BLOCK))
    return found


class Hashing:
    """One file being hashed. Raises OSError; a link is not followed."""

    def __init__(self, path: str | Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        self._running = hashlib.sha256()
        self._dropped = 0
        self.size = 0
        os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._drop()
        os.close(self._descriptor)

    def step(self) -> int:
        """Read and hash the next block: how many bytes; 0 at the end."""
        buffer = _buffer()
        count = os.readv(self._descriptor, [buffer])
        self._running.update(buffer[:count])
        self.size += count
        if self.size - self._dropped >= _DROP:
            self._drop()
        return count

    def _drop(self) -> None:
        os.posix_fadvise(self._descriptor, self._dropped, self.size - self._dropped, os.POSIX_FADV_DONTNEED)
        self._dropped = self.size

    @property
    def digest(self) -> Digest:
        """The SHA-256 of what was read so far."""
        return Digest(self._running.hexdigest())


def hashed(path: str | Path) -> tuple[Digest, int]:
    """(SHA-256, size) of a file. Raises OSError."""
    with Hashing(path) as hashing:
        while hashing.step():
            pass
        return hashing.digest, hashing.size

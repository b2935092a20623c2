"""Bytes by digest: the only writer of `sha256/`. All in it is complete, durable, read-only and named by its hash.

Blocking work runs in the store's own threads; a hop that has begun is always waited for, so that after a cancellation
nothing is still being written and no descriptor is reused under a writer.
"""

import asyncio
import contextlib
import errno
import hashlib
import itertools
import os
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from attachsync.errors import MismatchError, NoRoomError, RefusedError, StorageError, UnavailableError
from attachsync.model import Digest
from attachsync.partials import Part, Partials
from attachsync.pins import Pin, Pins
from attachsync.threads import in_thread
from attachsync.units import human_size

T = TypeVar("T")

_BLOCK = 1024 * 1024
"""Bodies up to this size take one hop to a thread; larger ones are hashed and written in blocks of it."""
_MUCH = 16 * 1024 * 1024
"""A body is not read further than this (bytes) beyond twice its stated size: it may have no end."""
_THREADS = 8
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Expected:
    """What the service states of the bytes: every digest it states (there should be one), and the size."""

    digests: frozenset[str] = frozenset()
    size: int | None = None

    def fault(self, digest: str, size: int) -> str | None:
        """Why bytes of this digest and size are not what was stated; None if they are."""
        if self.size is not None and size != self.size:
            return f"{size} bytes came, {self.size} are stated"
        others = sorted(self.digests - {digest})
        return f"SHA-256 is {digest}, stated is {' and '.join(others)}" if others else None


_HINTS = {
    errno.ENOSPC: "; make room",
    errno.EDQUOT: "; make room",
    errno.EROFS: "; mount its disk for writing",
    errno.EACCES: "; is it another user's? chown it to the one that runs attachsync",
    errno.ENOENT: "; is its disk mounted?",
}
"""What to do about a refusal of the disk."""


@contextlib.contextmanager
def storage_errors(place: Path) -> Iterator[None]:
    """Turn the disk's own refusals into StorageError, naming the place; NoRoomError where one file is too large."""
    try:
        yield
    except OSError as error:
        what = os.strerror(error.errno) if error.errno else str(error)
        if error.errno == errno.EFBIG:
            raise NoRoomError(f"larger than a file may be on the disk of {place}") from error
        hint = _HINTS.get(error.errno or 0, "")
        raise StorageError(f"{error.filename or place}: {what}{hint}") from error


def fsync_folder(folder: str | Path) -> None:
    """Make the entries of a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path, mode: int, root: Path) -> None:
    """Make `folder` below `root` with `mode` (whatever the umask), parents too, durably; existing ones stay as is."""
    if folder.is_dir():
        return
    if folder != root:
        make_folder(folder.parent, mode, root)
    try:
        folder.mkdir(mode)
    except FileExistsError:
        return
    folder.chmod(mode)
    fsync_folder(folder.parent)


class Store:
    """The folder `sha256/` of one mirror, and its `tmp/`, `partial/` and `quarantine/`."""

    def __init__(self, mirror: Path, *, file_mode: int = 0o440, store_mode: int = 0o700, min_free: int = 0) -> None:
        self.mirror = mirror
        self.objects = mirror / "sha256"
        self.tmp = mirror / ".attachsync" / "tmp"
        self.quarantined = mirror / ".attachsync" / "quarantine"
        self.partials = Partials(mirror / ".attachsync" / "partial")
        self.pins = Pins()
        self._file_mode = file_mode
        self._store_mode = store_mode
        self._min_free = min_free
        self._coming: dict[_Incoming, int] = {}
        self._counter = itertools.count(1)  # its `next` is one step for all threads; `+= 1` is not
        self._threads = ThreadPoolExecutor(_THREADS, "store")

    def prepare(self) -> None:
        """Make the folders, and sweep what a killed process left in `tmp/`. Raises StorageError."""
        with storage_errors(self.mirror):
            for folder, mode in ((self.objects, self._store_mode), (self.tmp, 0o700), (self.quarantined, 0o700)):
                make_folder(folder, mode, self.mirror)
                folder.chmod(mode)
            for left in os.scandir(self.tmp):
                os.unlink(left.path)
            self.partials.prepare()

    def close(self) -> None:
        """Wait for the threads."""
        self._threads.shutdown()

    def path(self, digest: str) -> Path:
        """Where the bytes of a digest are, or would be."""
        return self.objects / digest[:2] / digest

    def has(self, digest: str, size: int | None = None) -> bool:
        """Whether the bytes of a digest are stored (and of that size, when given)."""
        try:
            found = self.path(digest).stat()
        except OSError:
            return False
        return size is None or found.st_size == size

    def free(self) -> int:
        """Bytes free for this user on the mirror's file system. Raises StorageError."""
        with storage_errors(self.mirror):
            found = os.statvfs(self.mirror)
        return found.f_bavail * found.f_frsize

    async def add(
        self, chunks: AsyncIterator[bytes], expected: Expected, limit: int, pin: Pin, part: Part | None = None
    ) -> tuple[Digest, int]:
        """Store a body: (digest, size), durable when this returns, and pinned. `chunks` follow what is held of `part`.

        Raises MismatchError (the bytes are then in quarantine), RefusedError `too_large`, StorageError, and whatever
        `chunks` raises: what has come is then kept in `part`, if it can be continued.
        """
        incoming = _Incoming(self, expected, pin, part)
        rest = max((expected.size or 0) - incoming.size, 0)
        self.check_room(rest)
        with self._reserved(rest, incoming):
            return await self._receive(chunks, incoming, expected, limit)

    @contextlib.contextmanager
    def _reserved(self, size: int, incoming: "_Incoming") -> Iterator[None]:
        """Count what is still to come of a body as taken."""
        self._coming[incoming] = size
        try:
            yield
        finally:
            del self._coming[incoming]

    async def _receive(
        self, chunks: AsyncIterator[bytes], incoming: "_Incoming", expected: Expected, limit: int
    ) -> tuple[Digest, int]:
        held = bytearray()
        total = incoming.size
        try:
            async for chunk in chunks:
                total += len(chunk)
                if total > limit:
                    raise RefusedError(f"larger than max_size ({human_size(limit)})", code="too_large")
                if expected.size is not None and total > 2 * expected.size + _MUCH:
                    raise MismatchError(f"{expected.size} bytes are stated, and more than twice as many came")
                held += chunk
                if len(held) >= _BLOCK:
                    await self.run(incoming.write, bytes(held))
                    self._coming[incoming] = max((expected.size or 0) - total, 0)
                    held.clear()
                    self.check_room(0)
            return await self.run(incoming.finish, bytes(held))
        except (UnavailableError, asyncio.CancelledError):
            incoming.keep()
            raise
        finally:
            incoming.discard()

    async def run(self, function: Callable[..., T], *values: object) -> T:
        """Run blocking work of the mirror in a thread; a cancellation waits for it to end."""
        with storage_errors(self.mirror):
            return await in_thread(function, *values, pool=self._threads)

    def temporary(self) -> Path:
        """A name in `tmp/` that nothing uses."""
        return self.tmp / f"{os.getpid()}-{next(self._counter)}"

    def place(self, temporary: Path, digest: str, pin: Pin) -> None:
        """Give written and synced bytes their name, pinned (blocking). Bytes that are there already stay."""
        target = self.path(digest)
        pin.add(digest)
        if self.has(digest, temporary.stat().st_size):
            temporary.unlink()
        else:
            make_folder(target.parent, self._store_mode, self.objects)
            os.rename(temporary, target)
        fsync_folder(target.parent)  # whoever came first may not have got to it yet

    def set_aside(self, temporary: Path, digest: str) -> None:
        """Put bytes that are not what was stated in quarantine (blocking)."""
        temporary.chmod(0o400)
        os.rename(temporary, self.quarantined / digest)
        fsync_folder(self.quarantined)

    async def quarantine(self, digest: str, is_needed: Callable[[], bool] = lambda: False) -> None:
        """Move stored bytes to quarantine, unless they are needed: what turned bad, in a scan or on the disk."""
        await self._take(digest, self.quarantined / digest, self._secure, is_needed)

    async def delete(self, digest: str, is_needed: Callable[[], bool]) -> None:
        """Delete stored bytes, unless they are needed."""
        await self._take(digest, self.temporary(), os.unlink, is_needed)

    async def _take(self, digest: str, to: Path, then: Callable[[Path], None], is_needed: Callable[[], bool]) -> None:
        """Move bytes out of `sha256/`, unless they are needed; not before all who have pinned them are done."""
        source = self.path(digest)
        while source.exists() and not is_needed():
            if self.pins.has(digest):
                await self.pins.released()
            elif self._moved(digest, source, to):  # on the event loop: what `is_needed` read in the index still holds
                await self.run(then, to)
                await self.run(fsync_folder, source.parent)

    def _moved(self, digest: str, source: Path, to: Path) -> bool:
        """Whether bytes could be moved; False, and back again, if a thread has come to pin them meanwhile."""
        with storage_errors(self.mirror):
            os.rename(source, to)
            source.unlink(missing_ok=True)  # of one file in both places, as a crash may leave it, rename moves none
            if not self.pins.has(digest):
                return True
            os.rename(to, source)
            fsync_folder(source.parent)
            return False

    def _secure(self, path: Path) -> None:
        path.chmod(0o400)
        fsync_folder(path.parent)

    def discard(self, path: str) -> None:
        """Delete a file that nothing accounts for, by its path in the mirror (blocking)."""
        target = self.mirror / path
        target.unlink(missing_ok=True)
        fsync_folder(target.parent)

    def read_only(self, descriptor: int) -> None:
        """Give an open temporary file the mode that stored files have."""
        os.fchmod(descriptor, self._file_mode)

    def digests(self) -> Iterator[Path]:
        """Every file below `sha256/`, whatever its name (blocking), folder by folder."""
        for folder in sorted(self.objects.iterdir()):
            if folder.is_dir() and not folder.is_symlink():
                yield from sorted(folder.iterdir())
            else:
                yield folder

    def check_room(self, size: int) -> None:
        """Raise StorageError when the disk is too full for anything, NoRoomError when it is for `size` more bytes."""
        taken = sum(self._coming.values())
        free = self.free() - taken
        if free - size < self._min_free:
            with storage_errors(self.mirror):
                self.partials.sweep(0)  # they are in nobody's way
            free = self.free() - taken
        words = f"less than min_free ({human_size(self._min_free)}) would be left; make room, or lower min_free"
        if free < self._min_free:
            raise StorageError(f"{self.mirror}: the disk is full: {words}")
        if free - size < self._min_free:
            raise NoRoomError(f"{human_size(size)} do not fit on the disk of {self.mirror}: {words}")


class _Incoming:
    """One body being received: a file, hashed as it is written. Its methods block."""

    def __init__(self, store: Store, expected: Expected, pin: Pin, part: Part | None) -> None:
        self._store = store
        self._expected = expected
        self._pin = pin
        self._part = part
        self._continued = part is not None and part.held is not None
        self._hash = part.hash if part else hashlib.sha256()
        self.size = part.held.size if part and part.held else 0
        self._path: Path | None = None
        self._descriptor = -1

    def write(self, block: bytes) -> None:
        if self._path is None:
            self._path = self._part.path if self._part else self._store.temporary()
            self._descriptor = self._part.opened() if self._part else os.open(self._path, _NEW, 0o600)
        self._hash.update(block)
        view = memoryview(block)
        while view:
            view = view[os.write(self._descriptor, view) :]
        self.size += len(block)
        if self._part:
            self._part.came(self.size, self._hash)

    def finish(self, block: bytes) -> tuple[Digest, int]:
        self.write(block)
        assert self._path is not None
        digest = Digest(self._hash.hexdigest())
        fault = self._expected.fault(digest, self.size)
        if fault and self._continued:
            raise MismatchError(f"{fault}, continued from what was kept")  # of two readings: no evidence of anything
        self._store.read_only(self._descriptor)
        os.fsync(self._descriptor)
        if fault:
            self._store.set_aside(self._path, digest)
        else:
            self._store.place(self._path, digest, self._pin)
        self._path = None
        if self._part:
            self._part.forget()
        if fault:
            raise MismatchError(fault)
        return digest, self.size

    def keep(self) -> None:
        """What has come stays, if it can be continued, and the disk lets us say what it is."""
        if self._part and self._path is not None:
            with contextlib.suppress(OSError):
                self._part.came(self.size, self._hash, over=True)
                self._path = None

    def discard(self) -> None:
        """Close the file and, unless it got its name or is kept, remove it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        if self._path is not None:
            with contextlib.suppress(OSError):  # a disk that became read-only: what is left is swept at the next start
                self._path.unlink()
            self._path = None
            if self._part:
                self._part.forget()

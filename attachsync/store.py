"""Bytes by digest: the only writer of `sha256/`. All in it is complete, durable, read-only and named by its hash.

Blocking work runs in the store's own threads; a hop that has begun is always waited for, so that after a cancellation
nothing is still being written and no descriptor is reused under a writer.
"""

import asyncio
import contextlib
import errno
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from attachsync.durable import fsync_folder, give_mode, make_folder
from attachsync.errors import MismatchError, NoRoomError, RefusedError, StorageError, UnavailableError
from attachsync.groups import Groups
from attachsync.incoming import Expected, Incoming
from attachsync.linking import no_link
from attachsync.model import Digest
from attachsync.objects import Objects
from attachsync.partials import Part, Partials
from attachsync.pins import Pin, Pins
from attachsync.room import Room
from attachsync.threads import in_thread
from attachsync.units import human_size
from attachsync.worker import Worker

T = TypeVar("T")

_BLOCK = 1024 * 1024
"""Bodies are hashed and written in blocks of this (bytes)."""
_SMALL = 256 * 1024
"""Bodies up to this size are hashed where they are, and written by the group that they land in."""
_IN_MEMORY = 8 * 1024 * 1024
"""So many bytes of them wait for that in memory."""
_GROUP = 256
_THREADS = 8
_GLANCE = 0.2
"""While there is ample room, the disk is asked for it so often (seconds): each body asks,"""
_AMPLE = 1024 * 1024 * 1024
"""and there is if so many bytes would be left besides."""

_IN_ITS_PLACE = frozenset({errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY, errno.EEXIST, errno.ELOOP})
"""Refusals of the disk because something else has the name."""
_HINTS = {
    errno.ENOSPC: "; make room",
    errno.EDQUOT: "; make room",
    errno.EROFS: "; mount its disk for writing",
    errno.EACCES: "; is it another user's? chown it to the one that runs attachsync",
    errno.ENOENT: "; is its disk mounted?",
    **dict.fromkeys(_IN_ITS_PLACE, ": something else is in its place, move that away"),
}
"""What to do about a refusal of the disk."""


def storage_error(error: OSError, place: Path) -> StorageError | NoRoomError:
    """The disk's own refusal, naming the place; NoRoomError where one file is too large."""
    if error.errno == errno.EFBIG:
        return NoRoomError(f"larger than a file may be on the disk of {place}")
    what = os.strerror(error.errno) if error.errno else str(error)
    return StorageError(f"{_name(error) or place}: {what}{_HINTS.get(error.errno or 0, '')}")


def item_error(error: OSError, place: Path) -> StorageError | NoRoomError:
    """The same of what befell one of many files or entries: NoRoomError, too, where something else has its name."""
    found = storage_error(error, place)
    return NoRoomError(str(found)) if error.errno in _IN_ITS_PLACE else found


def _name(error: OSError) -> str | None:
    """What a refusal is about; of two names the one that is taken."""
    name: str | None = (error.filename2 if error.errno in _IN_ITS_PLACE else None) or error.filename
    return name


@contextlib.contextmanager
def storage_errors(place: Path) -> Iterator[None]:
    """Turn the disk's own refusals into such errors."""
    try:
        yield
    except OSError as error:
        raise storage_error(error, place) from error


class Store:
    """The folder `sha256/` of one mirror, and its `tmp/`, `partial/` and `quarantine/`."""

    def __init__(self, mirror: Path, *, file_mode: int = 0o440, store_mode: int = 0o700, min_free: int = 0) -> None:
        self.mirror = mirror
        self.objects = Objects(str(mirror), file_mode, store_mode)
        self.tmp = mirror / ".attachsync" / "tmp"
        self.quarantined = mirror / ".attachsync" / "quarantine"
        self.partials = Partials(mirror / ".attachsync" / "partial")
        self.pins = Pins()
        self._min_free = min_free
        self._rooms: set[Room] = set()
        self._in_memory = 0
        self._ample = 0
        self._look_again_at = 0.0
        self.threads = ThreadPoolExecutor(_THREADS, "store")
        self.worker = Worker()
        self._groups = Groups(self._land, self.threads, most=_GROUP)

    def prepare(self) -> None:
        """Make the folders, and sweep what a killed process left in `tmp/`. Raises StorageError."""
        with storage_errors(self.mirror):
            objects = Path(self.objects.folder), self.objects.folder_mode
            for folder, mode in (objects, (self.tmp, 0o700), (self.quarantined, 0o700)):
                make_folder(folder, mode, self.mirror)
                give_mode(str(folder), mode)
            self._check_disk()
            for left in os.scandir(self.tmp):
                if left.is_dir(follow_symlinks=False):
                    shutil.rmtree(left.path)
                else:
                    os.unlink(left.path)
            self.partials.prepare()

    def _check_disk(self) -> None:
        """What is written in one place, and renamed into another, is to be on one disk. Raises StorageError."""
        for place in (Path(self.objects.folder), self.mirror / "files"):
            if place.exists() and place.stat().st_dev != self.tmp.stat().st_dev:
                raise StorageError(f"{place} is on another disk than {self.tmp}: all of a mirror is to be on one disk")

    def close(self) -> None:
        """Wait for the threads, and for the other process."""
        self.threads.shutdown()
        self.worker.close()

    def path(self, digest: str) -> Path:
        """Where the bytes of a digest are, or would be."""
        return Path(self.objects.location(digest))

    def has(self, digest: str, size: int | None = None) -> bool:
        """Whether the bytes of a digest are stored (and of that size, when given)."""
        return self.objects.has(digest, size)

    def free(self) -> int:
        """Bytes free for this user on the mirror's file system. Raises StorageError."""
        try:
            found = os.statvfs(self.objects.root)
        except OSError as error:
            raise storage_error(error, self.mirror) from error
        return found.f_bavail * found.f_frsize

    def has_room(self, size: int) -> bool:
        """Whether so many more bytes would leave `min_free`; nothing gives way for it. Raises StorageError."""
        return self._left() - size >= self._min_free

    def _left(self) -> int:
        """What will be free when all that is coming is here."""
        return self.free() - sum(room.coming for room in self._rooms)

    @contextlib.contextmanager
    def room(self, size: int, *, only_once: bool = False) -> Iterator[Room]:
        """Room for a body of so many more bytes, kept for it within. Raises as `check_room` does."""
        self.check_room(size)
        room = Room(size, only_once=only_once)
        self._rooms.add(room)
        try:
            yield room
        finally:
            self._rooms.discard(room)

    def widen(self, room: Room, size: int) -> None:
        """A body that is about to begin turned out to be of so many bytes. Raises as `check_room` does."""
        self.check_room(max(size - room.size, 0), room)
        room.size = size

    # --- bodies -------------------------------------------------------------------------------------------------

    async def add(
        self, chunks: AsyncIterator[bytes], expected: Expected, limit: int, pin: Pin, part: Part | None = None
    ) -> tuple[Digest, int]:
        """Store a body: (digest, size), durable when this returns. Raises as `receive` and `land` do."""
        with self.room(expected.size or 0) as room:
            incoming = await self.receive(chunks, expected, limit, pin, room, part)
        await self.land(incoming)
        return incoming.digest, incoming.size

    async def receive(
        self,
        chunks: AsyncIterator[bytes] | bytes,
        expected: Expected,
        limit: int,
        pin: Pin,
        room: Room,
        part: Part | None = None,
    ) -> Incoming:
        """Take a body into its `room`: it is what was stated, is pinned, and is to be landed. `chunks`, or all of it at
        once, follow what is held of `part`.

        Raises MismatchError (the bytes are then in quarantine), RefusedError `too_large`, NoRoomError, StorageError,
        and whatever `chunks` raises: what has come is then kept in `part`, if it can be continued.
        """
        incoming, is_whole = Incoming(self, expected, part), False
        room.takes(incoming)
        try:
            await self._receive(chunks, incoming, limit, room)
            if part or incoming.path or incoming.held > min(_SMALL, _IN_MEMORY - self._in_memory) or incoming.fault():
                await self.run(incoming.complete)
            pin.add(incoming.digest)
            if part:
                await self._groups.add(incoming)  # while it is in our hand
            is_whole = True
        except (UnavailableError, asyncio.CancelledError):
            incoming.keep()
            raise
        finally:
            if not is_whole:
                incoming.discard()
        return incoming

    async def _receive(self, chunks: AsyncIterator[bytes] | bytes, incoming: Incoming, limit: int, room: Room) -> None:
        if isinstance(chunks, bytes):
            _hold(incoming, chunks, limit)
            return
        async for chunk in chunks:
            _hold(incoming, chunk, limit)
            if incoming.held >= _BLOCK:
                try:
                    await self.run(incoming.write)
                    self.check_room(0, room)
                except StorageError as error:
                    if room.taken and isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.ENOSPC:
                        raise NoRoomError(f"{error}: it does not fit, though smaller ones may") from error
                    raise

    async def land(self, incoming: Incoming) -> None:
        """Give a body that was received its name in `sha256/`, durably, with others that come at the same time."""
        with self.landing(incoming):
            await self._groups.add(incoming)

    @contextlib.contextmanager
    def landing(self, incoming: Incoming | None) -> Iterator[None]:
        """A body that was received (None: there is none) is stored within; it is let go of at the end."""
        held = incoming.held if incoming else 0
        self._in_memory += held
        try:
            yield
        finally:
            self._in_memory -= held
            if incoming:
                incoming.discard()

    def _land(self, bodies: Sequence[Incoming]) -> list[Exception | None]:
        with storage_errors(self.mirror):
            errors = self.worker.do(self.objects.land, [body.landing() for body in bodies])
        for body in bodies:
            body.discard()
        return [error and item_error(error, self.mirror) for error in errors]

    async def run(self, function: Callable[..., T], *values: object) -> T:
        """Run blocking work of the mirror in a thread; a cancellation waits for it to end."""
        with storage_errors(self.mirror):
            return await in_thread(function, *values, pool=self.threads)

    def temporary(self) -> Path:
        """A name in `tmp/` that nothing uses."""
        return Path(self.objects.temporary())

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
        """Move bytes out of `sha256/`, unless they are needed; not before all who have pinned them are done.

        On the event loop, where they are pinned and their rows are written: what was looked up still holds.
        """
        source = self.path(digest)
        while source.exists() and not is_needed():
            if self.pins.has(digest):
                await self.pins.released()
                continue
            with storage_errors(self.mirror):
                os.rename(source, to)
                source.unlink(missing_ok=True)  # of one file in both places, as a crash may leave it, rename moves none
            await self.run(then, to)
            await self.run(fsync_folder, source.parent)

    def _secure(self, path: Path) -> None:
        path.chmod(0o400)
        fsync_folder(path.parent)

    def discard(self, path: str) -> None:
        """Delete a file that nothing accounts for, by its path in the mirror (blocking)."""
        target = self.mirror / path
        no_link(str(target.parent), str(self.mirror))
        target.unlink(missing_ok=True)
        fsync_folder(target.parent)

    def read_only(self, descriptor: int) -> None:
        """Give an open temporary file the mode that stored files have."""
        self.objects.read_only(descriptor)

    def digests(self) -> Iterator[Path]:
        """Every file below `sha256/`, whatever its name (blocking), folder by folder."""
        for folder in sorted(Path(self.objects.folder).iterdir()):
            if folder.is_dir() and not folder.is_symlink():
                yield from sorted(folder.iterdir())
            else:
                yield folder

    def check_room(self, size: int, room: Room | None = None) -> None:
        """Raise StorageError when the disk is too full for anything, NoRoomError when it is for `size` more bytes, or
        would not be if what has taken `room` were not there; neither where that can be had only once, and has come."""
        self._ample -= size
        if self._ample > 0 and time.monotonic() < self._look_again_at:
            return
        free = self._left()
        if free - size < self._min_free:
            with storage_errors(self.mirror):
                self.partials.sweep(0)  # they are in nobody's way
            free = self._left()
        self._ample, self._look_again_at = free - size - self._min_free - _AMPLE, time.monotonic() + _GLANCE
        if room and room.only_once:
            return
        words = f"less than min_free ({human_size(self._min_free)}) would be left; make room, or lower min_free"
        taken = room.coming + room.taken if room else 0
        if free + taken < self._min_free:
            raise StorageError(f"{self.mirror}: the disk is full: {words}")
        if free - size < self._min_free:
            raise NoRoomError(f"{human_size(size + taken)} do not fit on the disk of {self.mirror}: {words}")


def _hold(incoming: Incoming, chunk: bytes, limit: int) -> None:
    incoming.hold(chunk)
    if incoming.size > limit:
        raise RefusedError(f"larger than max_size ({human_size(limit)})", code="too_large")
    if incoming.has_no_end:
        raise MismatchError(f"{incoming.expected.size} bytes are stated, and more than twice as many came")

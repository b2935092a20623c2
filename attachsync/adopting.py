"""What was sent is kept for the mirror: its bytes go into the store, so that showing them needs no download.

Only a convenience: whatever goes wrong here is logged, and the mirror downloads the file as it would anybody's.
"""

import asyncio
import hashlib
import os
from pathlib import Path

import structlog

from attachsync.errors import NoRoomError, StorageError
from attachsync.outbox import Notice
from attachsync.store import Store, storage_errors

log = structlog.get_logger()

_BLOCK = 1024 * 1024


class Adopter:
    """Copies sent files into one store, in its threads. Links would not do: people may change what is in sent/."""

    def __init__(self, store: Store, max_size: int) -> None:
        self._store = store
        self._max_size = max_size
        self._copying: set[asyncio.Task[None]] = set()

    def heard(self, notice: Notice) -> None:
        """Begin to copy the file that a notice says was sent."""
        if notice.event != "sent":
            return
        task = asyncio.get_running_loop().create_task(self._adopt(notice))
        self._copying.add(task)
        task.add_done_callback(self._copying.discard)

    async def finish(self) -> None:
        """Wait for the copies that were begun: the store is about to be closed."""
        await asyncio.gather(*self._copying)

    async def _adopt(self, notice: Notice) -> None:
        file = Path(notice.outbox) / notice.filed_as
        digest, size = str(notice.document["sha256"]), int(str(notice.document["size"]))
        if size > self._max_size or self._store.has(digest, size):
            return
        try:
            self._store.check_room(size)
            await self._store.run(self._copy, file, digest, size)
        except (NoRoomError, StorageError, OSError) as error:
            log.warning("sent_not_kept", file=notice.filed_as, error=str(error), note="the mirror will download it")

    def _copy(self, file: Path, digest: str, size: int) -> None:
        """Copy what is of this digest (blocking). Raises StorageError, also if it is not what was sent any more."""
        temporary = self._store.temporary()
        try:
            found = self._written(file, temporary, size)
            if found != digest:
                raise StorageError(f"{file} is not what was sent any more")
            self._store.place(temporary, digest)
        finally:
            temporary.unlink(missing_ok=True)

    def _written(self, file: Path, temporary: Path, size: int) -> str:
        """Copy at most `size` bytes and one, durably: the SHA-256 of them."""
        sha256, left = hashlib.sha256(), size + 1
        source = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with storage_errors(file), open(source, "rb", buffering=0) as sent, open(temporary, "xb") as target:
            os.fchmod(target.fileno(), 0o600)
            while left and (block := sent.read(min(_BLOCK, left))):
                sha256.update(block)
                target.write(block)
                left -= len(block)
            target.flush()
            self._store.read_only(target.fileno())
            os.fsync(target.fileno())
        return sha256.hexdigest()

"""What was sent is kept for the mirror: its bytes go into the store, so that showing them needs no download.

Only a convenience: whatever goes wrong here is logged, and the mirror downloads the file as it would anybody's.
"""

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path

from attachsync.errors import MismatchError, NoRoomError, RefusedError, StorageError
from attachsync.incoming import Expected
from attachsync.logger import structlog
from attachsync.outbox import Notice
from attachsync.pins import Pin
from attachsync.spool import digesting
from attachsync.store import Store, storage_errors
from attachsync.threads import in_strides, in_thread

log = structlog.get_logger()

_BLOCK = 1024 * 1024
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Adopter:
    """Copies sent files into one store. Links would not do: people may change what is in sent/."""

    def __init__(self, store: Store, max_size: int) -> None:
        self._store = store
        self._max_size = max_size
        self._waiting: deque[Notice] = deque()
        self._news = asyncio.Event()

    def heard(self, notice: Notice) -> None:
        """Take note of the file that a notice says was sent."""
        if notice.event == "sent":
            self._waiting.append(notice)
            self._news.set()

    async def keep(self) -> None:
        """Copy what is heard of, for ever."""
        while True:
            await self._news.wait()
            self._news.clear()
            await self.finish()

    async def finish(self) -> None:
        """Copy what was heard of so far."""
        while self._waiting:
            await self._adopt(self._waiting.popleft())

    async def _adopt(self, notice: Notice) -> None:
        file = Path(notice.outbox) / notice.filed_as
        stated, size = str(notice.document["sha256"]), int(str(notice.document["size"]))
        if size > self._max_size or self._store.has(stated, size):
            return
        try:
            with storage_errors(file), os.fdopen(os.open(file, _FLAGS), "rb", buffering=0) as sent:
                found = await in_strides(digesting(sent.fileno()))
                if found != stated:  # else the store would set it aside as evidence
                    raise StorageError(f"{file} is not what was sent any more")
                expected = Expected(frozenset({stated}), size)
                await self._store.add(_chunks(sent.fileno()), expected, self._max_size, Pin())
        except (MismatchError, NoRoomError, RefusedError, StorageError) as error:
            whose = {"account": notice.account, "outbox": notice.outbox, "file": notice.filed_as}
            log.warning("sent_not_kept", **whose, error=str(error), note="the mirror will download it")


async def _chunks(descriptor: int) -> AsyncIterator[bytes]:
    at = 0
    while block := await in_thread(os.pread, descriptor, _BLOCK, at):
        yield block
        at += len(block)

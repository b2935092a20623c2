"""`SHA256SUMS` at the top of the mirror: what `sha256sum -c` needs to check files/ (contract 3)."""

import asyncio
import os
from pathlib import Path

from attachsync.index import Index
from attachsync.store import Store, fsync_folder

NAME = "SHA256SUMS"


class Manifest:
    """Writes the list anew from the index, whole or not at all. `state` is the index's folder."""

    def __init__(self, store: Store, state: Path) -> None:
        self._store = store
        self._state = state
        self._lock = asyncio.Lock()

    async def publish(self) -> None:
        """Bring the list up to date. Raises StorageError."""
        async with self._lock:
            await self._store.run(self._write)

    def _write(self) -> None:
        index = Index.peek(self._state)  # a connection of this thread's own
        temporary = self._store.temporary()
        try:
            with open(temporary, "x", encoding="utf-8") as file:
                for path, digest in index.attachments.shown():
                    file.write(f"{digest}  {path}\n")
                file.flush()
                self._store.read_only(file.fileno())
                os.fsync(file.fileno())
            os.rename(temporary, self._store.mirror / NAME)
        finally:
            index.close()
            temporary.unlink(missing_ok=True)
        fsync_folder(self._store.mirror)

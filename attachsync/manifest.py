"""`SHA256SUMS` at the top of the mirror: what `sha256sum -c` needs to check files/ (contract 3)."""

import asyncio
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from attachsync.durable import fsync_folder
from attachsync.index import Index
from attachsync.store import Store

NAME = "SHA256SUMS"
_NOTE = "manifest"
_OUTDATED, _CURRENT = "outdated", "current"


class Manifest:
    """Writes the list anew from the index, whole or not at all. `state` is the index's folder.

    That it is outdated is noted before what outdates it, so that a crash in between is made good; and it stays so while
    anything is still changing, which a list written meanwhile may lack.
    """

    def __init__(self, store: Store, index: Index, state: Path) -> None:
        self._store = store
        self._index = index
        self._state = state
        self._lock = asyncio.Lock()
        self._changing = 0
        self._is_outdated = index.database.noted(_NOTE) == _OUTDATED

    @contextlib.contextmanager
    def outdated(self) -> Iterator[None]:
        """Something under `files/`, and its row, are about to change within."""
        if not self._is_outdated:
            self._index.database.note(_NOTE, _OUTDATED)
            self._is_outdated = True
        self._changing += 1
        try:
            yield
        finally:
            self._changing -= 1

    async def publish(self) -> None:
        """Bring the list up to date, if it is not. Raises StorageError."""
        async with self._lock:
            if not self._is_outdated and (self._store.mirror / NAME).exists():
                return
            self._is_outdated = self._changing > 0  # what changes from here on outdates it again
            try:
                await self._store.run(self._write)
            except BaseException:
                self._is_outdated = True
                raise
            if not self._is_outdated:
                self._index.database.note(_NOTE, _CURRENT)

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

"""`SHA256SUMS` at the top of the mirror: what `sha256sum -c` needs to check files/ (contract 3)."""

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Self

from attachsync.clock import Clock
from attachsync.growing import Growing
from attachsync.index import Index
from attachsync.store import Store, storage_error

NAME = "SHA256SUMS"
_NOTE = "manifest"
_OUTDATED, _CURRENT = "outdated", "current "
"""What is noted of the list; what it looked like when it was left goes with the second."""
_MUCH = 1000
"""So many new lines do not wait for the end of the work that brings them,"""
_A_MOMENT = 10.0
"""and fewer not longer than this (seconds)."""
_A_WHILE = 600.0
"""In the midst of work the whole list is not written more often than this (seconds)."""


class Change:
    """What happens within `outdated`: unless all of it is told, entries may have changed or left."""

    __slots__ = ("_add", "_ended", "_untold")

    def __init__(self, entries: int, add: Callable[[str], None], ended: Callable[[bool], None]) -> None:
        self._untold = entries
        self._add = add
        self._ended = ended

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._ended(not self._untold and error is None)

    def nothing(self) -> None:
        """Nothing happens to an entry."""
        self._untold -= 1

    def shows(self, path: str, digest: str, before: str | None) -> None:
        """All that happens to an entry: `path` shows these bytes; `before` is what it showed. Told with its row."""
        if before is None:
            self._add(line(path, digest))
        self._untold -= before in (None, digest)


class Manifest:
    """Keeps the list: new entries are added, and it is written anew when others changed or left. `state` is the
    index's folder. `report` hears, once, of what is in its way.

    That it is outdated is noted before what outdates it, so that a crash in between is made good; and it stays so while
    anything is still changing, which the list may lack. One that looks other than it was left is written anew.
    """

    def __init__(
        self, store: Store, index: Index, state: Path, clock: Clock, report: Callable[[str], None] = lambda _: None
    ) -> None:
        self._store = store
        self._index = index
        self._state = state
        self._clock = clock
        self._file = Growing(store.mirror / NAME, store.mirror / ".attachsync" / NAME, store.temporary, store.read_only)
        self._lock = asyncio.Lock()
        self._changing = 0
        self._lines: list[str] = []
        noted = index.database.noted(_NOTE)
        self._is_outdated = noted == _OUTDATED
        self._left = noted.removeprefix(_CURRENT) if noted and noted.startswith(_CURRENT) else None
        self._is_wrong = self._left is None
        """Whether it takes more than adding lines."""
        self._written_at = clock.monotonic()
        self._report = report
        self._hindrance = ""

    def outdated(self, entries: int = 1) -> Change:
        """Something under `files/`, and its row, are about to change within; so many, if it is told of each."""
        if not self._is_outdated:
            self._index.database.note(_NOTE, _OUTDATED)
            self._is_outdated = True
        self._changing += 1
        return Change(entries, self._add, self._changed)

    def _changed(self, is_told: bool) -> None:
        self._changing -= 1
        self._is_wrong = self._is_wrong or not is_told

    def _add(self, line: str) -> None:
        if not self._is_wrong:  # else all of it is to be written
            self._lines.append(line)

    async def publish(self) -> None:
        """Bring the list up to date, if it is not, and nothing is in its way. Raises StorageError."""
        async with self._lock:
            if self._file.look() != self._left:
                self._is_wrong = True
            elif not self._is_outdated:
                return
            if self._is_hindered():
                return
            try:
                await self._write()
            except BaseException:
                self._is_wrong = True
                raise
            self._written_at, self._left = self._clock.monotonic(), self._file.look()
            self._is_outdated = self._changing > 0 or self._is_wrong or bool(self._lines)
            if not self._is_outdated:
                self._index.database.note(_NOTE, _CURRENT + self._left)

    def _is_hindered(self) -> bool:
        """Whether something is in the list's way; told once. All of it is written when that is gone."""
        before, self._hindrance = self._hindrance, in_the_way(self._store.mirror)
        if self._hindrance and not before:
            self._report(self._hindrance)
        return bool(self._hindrance)

    async def keep_up(self) -> None:
        """Bring the list up to date in the midst of work, if it is worth it. Raises StorageError."""
        rest = _A_WHILE if self._is_wrong else _A_MOMENT
        is_due = self._is_outdated and self._clock.monotonic() - self._written_at >= rest
        if is_due or len(self._lines) >= _MUCH:
            await self.publish()

    async def _write(self) -> None:
        lines, self._lines = self._lines, []
        if not self._is_wrong:
            if lines:
                await self._store.run(self._file.add, lines)
            return
        if not Index.is_in(self._state):
            return  # somebody took it away; what it knew is found again at the next start
        self._is_wrong = False
        index = Index.peek(self._state)
        try:
            index.database.pin()  # what is written from here on is not in it, and comes as a line, or makes it wrong
            shown = index.attachments.shown()
            await self._store.run(self._file.replace, (line(path, digest) for path, digest in shown))
        finally:
            index.close()


def line(path: str, digest: str) -> str:
    """An entry's line."""
    return f"{digest}  {path}\n"


def current(index: Index) -> str:
    """What is noted of a list that has all that is shown, as far as we know: another word whenever it was written.

    Empty where it lacks something.
    """
    noted = index.database.noted(_NOTE) or ""
    return noted if noted.startswith(_CURRENT) else ""


def in_the_way(mirror: Path) -> str:
    """What is in the list's place, which keeps it back and nothing else, and what to do; empty where nothing is."""
    place = mirror / NAME
    if os.path.islink(place) or not os.path.isdir(place):
        return ""  # anything else is replaced
    return str(storage_error(IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(place)), place))


def doubt(index: Index) -> None:
    """Have the list written anew by whoever next opens the mirror."""
    index.database.note(_NOTE, _OUTDATED)

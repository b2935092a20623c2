"""Is everything that should be on the disk there, and unchanged? (`verify`, contract 4). Blocking; reads only."""

import contextlib
import os
import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from attachsync import manifest
from attachsync.durable import private
from attachsync.hashing import Hashing
from attachsync.index import Index
from attachsync.model import is_digest
from attachsync.store import Store, storage_errors

_FRESH = 600.0
"""While a daemon runs, an object younger than this (seconds) may simply not be recorded yet."""
_THREADS = 2
_AHEAD = 16
"""So many files are handed to the threads before the first of them is waited for."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be. `path` is relative to the mirror.

    `kind`: `corrupt` (bytes not those of the name), `misnamed` (no digest as name), `missing` (recorded, not there),
    `stray` (there, not recorded), `edited` (an entry of files/ shows other bytes), `absent` (an entry is not there),
    `contradicted` (the service states another hash or size).
    """

    kind: str
    path: str
    digest: str | None = None
    detail: str = ""


class Verifier:
    """Checks one mirror. `progress(bytes)` hears of what was read, in threads of ours; `chosen` picks what is
    re-hashed (a sample, say); `good(digest)` hears of each object that was, and is what its name says.
    """

    def __init__(
        self,
        store: Store,
        index: Index,
        *,
        progress: Callable[[int], None] = lambda _: None,
        chosen: Callable[[str], bool] = lambda _: True,
        good: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._index = index
        self._progress = progress
        self._chosen = chosen
        self._good = good
        self._stopped = False
        self.objects = 0
        self.bytes = 0

    def findings(self, *, beside_daemon: bool, now: float) -> Iterator[Finding]:
        """Everything that is wrong, store first, then records, then files/. Raises StorageError."""
        with storage_errors(self._store.mirror):
            yield from self._stored(now if beside_daemon else None)
            yield from self._recorded()
            yield from self._shown()
            yield from self._unknown_entries()
            yield from self._summed()

    def _stored(self, now: float | None) -> Iterator[Finding]:
        """Two threads hash, a few files ahead of what is told here; findings keep the order of the names."""
        waiting: deque[tuple[Path, Future[str] | None]] = deque()
        pool = ThreadPoolExecutor(_THREADS, "verify")
        try:
            for path in self._store.digests():
                fault = self._misnamed(path)
                if fault is not None:
                    yield fault
                    continue
                self.objects += 1
                waiting.append((path, pool.submit(self._hash, path) if self._chosen(path.name) else None))
                if len(waiting) >= _AHEAD:
                    yield from self._object(*waiting.popleft(), now)
            while waiting:
                yield from self._object(*waiting.popleft(), now)
        finally:
            self._stopped = True  # if this ends early, so does what the threads are at
            pool.shutdown(cancel_futures=True)
            self._stopped = False

    def _misnamed(self, path: Path) -> Finding | None:
        with contextlib.suppress(FileNotFoundError):  # it was removed meanwhile
            if not is_digest(path.name) or not stat.S_ISREG(path.lstat().st_mode):
                return Finding("misnamed", self._relative(path), detail="not a file named by a SHA-256")
            if path.parent.name != path.name[:2]:
                return Finding("misnamed", self._relative(path), path.name, "in another digest's folder")
        return None

    def _object(self, path: Path, hashing: "Future[str] | None", now: float | None) -> Iterator[Finding]:
        try:
            found = path.stat()
        except FileNotFoundError:
            return  # it was removed meanwhile; if it should not have been, the records tell
        if hashing is not None:
            digest = hashing.result()
            if digest == path.name:
                self.bytes += found.st_size
                self._good(path.name)
            elif path.exists():
                yield Finding("corrupt", self._relative(path), path.name, f"its SHA-256 is {digest}")
        is_fresh = now is not None and now - found.st_mtime < _FRESH
        if not self._index.reports.holds(path.name) and not is_fresh:
            yield Finding("stray", self._relative(path), path.name, "no attachment is known to have these bytes")

    def _relative(self, path: Path) -> str:
        return str(path.relative_to(self._store.mirror))

    def _recorded(self) -> Iterator[Finding]:
        # Asked about again once the list is through: a daemon may have removed one meanwhile.
        for digest in [one for one in self._index.reports.digests() if not self._store.has(one)]:
            if not self._store.has(digest) and self._index.reports.holds(digest):
                place = self._store.path(digest).relative_to(self._store.mirror)
                yield Finding("missing", str(place), digest, "known to be mirrored, but not in the store")
        for path, digest, stated in self._index.reports.contradictions():
            yield Finding("contradicted", path, digest, f"the service states {stated}")
        for what, why in self._index.reports.lost():
            yield Finding("missing", what, detail=f"it was mirrored, and could not be fetched again: {why}")

    def _shown(self) -> Iterator[Finding]:
        # Asked about again once the list is through, as above.
        for finding in [found for one in self._index.attachments.shown() if (found := self._entry(*one))]:
            if self._index.upkeep.is_shown(finding.path, finding.digest):
                yield finding

    def _entry(self, path: str, digest: str) -> Finding | None:
        entry = self._store.mirror / path
        try:
            found = entry.stat()
        except OSError:
            kind = "dangling link" if entry.is_symlink() else "not there"
            return Finding("absent", path, digest, kind)
        stored = self._store.path(digest)
        if stored.exists() and os.path.samestat(found, stored.stat()):
            return None
        actual = self._hash(entry) if entry.is_file() else "none: not a file"
        return None if actual == digest else Finding("edited", path, digest, f"its SHA-256 is {actual}")

    def _unknown_entries(self) -> Iterator[Finding]:
        mirror = self._store.mirror
        for folder, folders, files in os.walk(mirror / "files"):
            links = (name for name in folders if os.path.islink(os.path.join(folder, name)))
            for name in sorted([*files, *links]):
                raw = os.fsencode(os.path.relpath(os.path.join(folder, name), mirror))
                path = raw.decode(errors="backslashreplace")
                if path.encode() != raw or self._index.reports.showing(path) is None:
                    yield Finding("stray", path, detail="shown by no attachment")

    def _summed(self) -> Iterator[Finding]:
        """Whether SHA256SUMS has a line for each entry and no other, in whatever order."""
        if hindrance := manifest.in_the_way(self._store.mirror):
            yield Finding("edited", manifest.NAME, detail=hindrance)
            return
        current = manifest.current(self._index)
        if not current:
            return  # work is under way, or was broken off: it is written in a moment, or by the next pass
        known = _sum(manifest.line(*one).encode() for one in self._index.attachments.shown())
        try:
            with open(self._store.mirror / manifest.NAME, "rb", opener=private) as file:
                listed = _sum(file) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else None
        except OSError as error:
            kind = "absent" if isinstance(error, FileNotFoundError) else "edited"
            yield Finding(kind, manifest.NAME, detail=os.strerror(error.errno or 0))
            return
        if listed != known and manifest.current(self._index) == current:  # else it was written meanwhile
            detail = "not a file" if listed is None else "it does not list what files/ shows"
            yield Finding("edited", manifest.NAME, detail=detail)

    def _hash(self, path: Path) -> str:
        try:
            with Hashing(path) as hashing:
                while not self._stopped and (count := hashing.step()):
                    self._progress(count)
                return hashing.digest
        except OSError as error:
            return f"unknown ({error.strerror})"


def _sum(lines: Iterable[bytes]) -> tuple[int, int]:
    """(how many, a sum) of lines, the same in whatever order they come."""
    count = total = 0
    for line in lines:
        count, total = count + 1, total + hash(line)
    return count, total

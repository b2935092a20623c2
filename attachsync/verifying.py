"""Is everything that should be on the disk there, and unchanged? (`verify`, contract 4). Blocking; reads only."""

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from attachsync.index import Index
from attachsync.store import Store

_BLOCK = 1024 * 1024
_FRESH = 600.0
"""While a daemon runs, an object younger than this (seconds) may simply not be recorded yet."""


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
    """Checks one mirror. `progress(bytes)` hears of what was read; `chosen` picks the objects to re-hash (a sample)."""

    def __init__(
        self, store: Store, index: Index, progress: Callable[[int], None], chosen: Callable[[str], bool]
    ) -> None:
        self._store = store
        self._index = index
        self._progress = progress
        self._chosen = chosen
        self.objects = 0
        self.bytes = 0

    def findings(self, *, beside_daemon: bool, now: float) -> Iterator[Finding]:
        """Everything that is wrong, store first, then records, then files/."""
        yield from self._stored(now if beside_daemon else None)
        yield from self._recorded()
        yield from self._shown()
        yield from self._unknown_entries()

    def _stored(self, now: float | None) -> Iterator[Finding]:
        for path in self._store.digests():
            relative = str(path.relative_to(self._store.mirror))
            if path.is_symlink() or not path.is_file() or not re.fullmatch(r"[0-9a-f]{64}", path.name):
                yield Finding("misnamed", relative, detail="not a file named by a SHA-256")
                continue
            if path.parent.name != path.name[:2]:
                yield Finding("misnamed", relative, path.name, "in another digest's folder")
                continue
            self.objects += 1
            if self._chosen(path.name):
                digest = self._hash(path)
                if digest != path.name:
                    yield Finding("corrupt", relative, path.name, f"its SHA-256 is {digest}")
            if not self._index.reports.holds(path.name) and not (now and now - path.stat().st_mtime < _FRESH):
                yield Finding("stray", relative, path.name, "no attachment is known to have these bytes")

    def _recorded(self) -> Iterator[Finding]:
        for digest in self._index.reports.digests():
            if not self._store.has(digest):
                place = self._store.path(digest).relative_to(self._store.mirror)
                yield Finding("missing", str(place), digest, "known to be mirrored, but not in the store")
        for path, digest, stated in self._index.reports.contradictions():
            yield Finding("contradicted", path, digest, f"the service states {stated}")

    def _shown(self) -> Iterator[Finding]:
        for path, digest in self._index.attachments.shown():
            entry = self._store.mirror / path
            try:
                found = entry.stat()
            except OSError:
                kind = "dangling link" if entry.is_symlink() else "not there"
                yield Finding("absent", path, digest, kind)
                continue
            stored = self._store.path(digest)
            if stored.exists() and os.path.samestat(found, stored.stat()):
                continue
            actual = self._hash(entry) if entry.is_file() else "none: not a file"
            if actual != digest:
                yield Finding("edited", path, digest, f"its SHA-256 is {actual}")

    def _unknown_entries(self) -> Iterator[Finding]:
        mirror = self._store.mirror
        for folder, _, files in os.walk(mirror / "files"):
            for name in sorted(files):
                path = os.path.relpath(os.path.join(folder, name), mirror)
                if self._index.reports.showing(path) is None:
                    yield Finding("stray", os.fsencode(path).decode(errors="replace"), detail="shown by no attachment")

    def _hash(self, path: Path) -> str:
        digest = hashlib.sha256()
        try:
            with open(path, "rb", buffering=0) as file:
                while block := file.read(_BLOCK):
                    digest.update(block)
                    self.bytes += len(block)
                    self._progress(len(block))
        except OSError as error:
            return f"unknown ({error.strerror})"
        return digest.hexdigest()

"""One body on its way into the store: hashed as it comes, then given the name that its hash is."""

import contextlib
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from attachsync.durable import write_out
from attachsync.errors import MismatchError
from attachsync.folders import write_all
from attachsync.model import JSON, Digest
from attachsync.objects import Landing
from attachsync.partials import Part

_LARGE = 1024 * 1024
"""A body of more bytes than this is made durable by itself: it must not keep a group of small ones waiting."""
_MUCH = 16 * 1024 * 1024
"""A body is not read further than this (bytes) beyond twice its stated size: it may have no end."""
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Expected:
    """What the service states of the bytes: every digest it states (there should be one), and the size."""

    digests: frozenset[str] = frozenset()
    size: int | None = None

    def fault(self, digest: str, size: int) -> str | None:
        """Why bytes of this digest and size are not what was stated; None if they are."""
        if self.size is not None and size != self.size:
            return f"{size} bytes came, {self.size} are stated; SHA-256 is {digest}"
        others = sorted(self.digests - {digest})
        return f"SHA-256 is {digest}, stated is {' and '.join(others)}" if others else None


class Place(Protocol):
    """Where bodies are put: the store. All of it blocks."""

    def temporary(self) -> Path:
        """A name in `tmp/` that nothing uses."""

    def read_only(self, descriptor: int) -> None:
        """Give an open temporary file the mode that stored files have."""

    def set_aside(self, temporary: Path, digest: str) -> None:
        """Put bytes that are not what was stated in quarantine."""


class Incoming:
    """A body being received. Pieces are held in memory until `write` or `complete`, which block, put them in a file."""

    def __init__(self, place: Place, expected: Expected, part: Part | None) -> None:
        self.expected = expected
        self.size = part.held.size if part and part.held else 0
        """Bytes so far, those in a file included."""
        self.path: Path | None = None
        """The temporary file, if there is one; None again once it has its name."""
        self.descriptor = -1
        self.is_durable = False
        self._place = place
        self._part = part
        self._continued = part is not None and part.held is not None
        self._hash = part.hash if part else hashlib.sha256()
        self._held: list[bytes] = []
        self._written = self.size
        self._digest: Digest | None = None

    @property
    def held(self) -> int:
        """How many bytes are in memory only."""
        return self.size - self._written

    @property
    def written(self) -> int:
        """How many bytes are in a file."""
        return self._written

    @property
    def has_no_end(self) -> bool:
        """Whether far more came than was stated."""
        return self.expected.size is not None and self.size > 2 * self.expected.size + _MUCH

    @property
    def digest(self) -> Digest:
        """SHA-256 of all of it. Of what is in memory only it is made here: let it be little."""
        if self._digest is None:
            self._hash_held()
            self._digest = Digest(self._hash.hexdigest())
        return self._digest

    def fault(self) -> str | None:
        """Why it is not what was stated; None if it is."""
        return self.expected.fault(self.digest, self.size)

    def hold(self, chunk: bytes) -> None:
        """Take the next piece."""
        self._held.append(chunk)
        self.size += len(chunk)

    def write(self) -> None:
        """Hash and write what is held."""
        if self.path is None:
            self.path = self._part.path if self._part else self._place.temporary()
            self.descriptor = self._part.opened() if self._part else os.open(self.path, _NEW, 0o600)
        if self._digest is None:
            self._hash_held()
        for chunk in self._held:
            write_all(self.descriptor, chunk)
        if self._written:
            write_out(self.descriptor, self._written, self.held)
        self._written, self._held = self.size, []
        if self._part:
            self._part.came(self.size, self._hash)

    def _hash_held(self) -> None:
        for chunk in self._held:
            self._hash.update(chunk)

    def complete(self) -> None:
        """All has come: have it in a file; a large one is durable then, and ready for its name.

        Raises MismatchError for what is not what was stated; it is in quarantine then.
        """
        if self.path is None or self.held:
            self.write()
        fault = self.fault()
        if fault and self._continued:
            raise MismatchError(f"{fault}, continued from what was kept")  # of two readings: no evidence of anything
        if fault or self._part or self.size > _LARGE:
            self._place.read_only(self.descriptor)
            os.fsync(self.descriptor)
            self.is_durable = True
        if fault and self.path:
            self._place.set_aside(self.path, self.digest)
            self._let_go()
            raise MismatchError(fault)

    def landing(self) -> Landing:
        """What is to get the name of its digest."""
        path = None if self.path is None else str(self.path)
        assert self.held == (self.size if path is None else 0)  # all of it in one place
        return Landing(self.digest, self.size, tuple(self._held), path, self.is_durable)

    def _let_go(self) -> None:
        """The file is not ours any more."""
        self.path = None
        if self._part:
            self._part.forget()

    def keep(self) -> None:
        """What has come stays, if it can be continued, and the disk lets us say what it is."""
        if self._part and self.path is not None:
            with contextlib.suppress(OSError):
                self._part.came(self._written, self._hash, over=True)
                self.path = None

    def discard(self) -> None:
        """Let go of it. The file is removed, unless it got its name or is kept."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
        if self.path is not None:
            with contextlib.suppress(OSError):  # a disk that became read-only: what is left is swept at the next start
                self.path.unlink()
            self._let_go()


@dataclass(frozen=True, slots=True)
class Bytes:
    """Bytes that are in the store: what they are, and whether they were fetched for this."""

    digest: Digest
    size: int
    media_type: str | None
    fetched: bool
    record: Mapping[str, JSON] = field(default_factory=dict)
    """What the source wants kept of the reading."""
    incoming: Incoming | None = None
    """They are not in the store yet: they are what was stated, and are to be landed."""

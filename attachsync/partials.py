"""Large bodies that broke off, kept so that the next try need not begin at zero, across restarts and kill -9.

What is there counts as far as the sidecar beside it vouches for it: so many bytes with this SHA-256, of a body with
this total and validator. Nothing is synced: what a power cut tore has another SHA-256, and is thrown away. Blocking,
but for what says otherwise.
"""

import contextlib
import functools
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from attachsync.model import Body, Held
from attachsync.retry import DAY

LEAST = 8 * 1024 * 1024
"""Bodies smaller than this (bytes) are fetched anew."""
_STEP = 8 * 1024 * 1024
"""The sidecar is written again after so many bytes."""
_KEPT = 7 * DAY
"""What nobody went on with for this long (seconds) is removed."""
_BLOCK = 1024 * 1024
_STRIDE = 64 * 1024 * 1024
"""So much (bytes) is hashed again in one go: whoever stops us waits for that only."""
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_NAME = re.compile(r"[0-9a-f]{32}")


Identity = tuple[str, ...]
"""What a body is known by: its account, key and version."""


def _name_of(identity: Identity) -> str:
    """The name under which a body is kept."""
    return hashlib.sha256("\0".join(identity).encode()).hexdigest()[:32]


class Part:
    """One body's beginning. `held` is what there is of it when it is taken up; None: nothing sound."""

    def __init__(self, folder: Path, name: Callable[[], str], *, may_be_there: bool = True) -> None:
        self.held: Held | None = None
        self._stated: tuple[Held, str] | None = None
        self._hashed = 0
        self._of: tuple[int, str] | None = None
        self._marked = 0
        self._folder = folder
        self._name = name
        self.may_be_there = may_be_there
        """Whether there can be anything of it on the disk."""

    @functools.cached_property
    def hash(self) -> "hashlib._Hash":
        """Of what is held."""
        return hashlib.sha256()

    @functools.cached_property
    def path(self) -> Path:
        """The file. Its name takes some making, and mostly nobody asks for it."""
        return self._folder / self._name()

    @property
    def sidecar(self) -> Path:
        """What vouches for it."""
        return self.path.with_suffix(".json")

    def is_there(self) -> bool:
        """Whether there is something to recover. Fast."""
        return self.may_be_there and self.sidecar.exists()

    def recover(self) -> bool:
        """Find out what of it is sound, by its hash: one short step of it, and whether there is more to do."""
        try:
            if self._stated is None:
                self._stated = _stated(self.sidecar)
            held, digest = self._stated
            self._hashed += _hash(self.path, self.hash, self._hashed, held.size)
        except (OSError, ValueError, KeyError, TypeError):
            self.forget()
            return False
        if self._hashed < held.size:
            return True
        if self.hash.hexdigest() == digest:
            self.held, self._marked = held, held.size
        else:
            self.forget()
        return False

    def begins(self, body: Body) -> bool:
        """A body is coming: whether to keep it here. Unless it is the rest of what is held, that is of no use."""
        if self.held is not None and body.start == self.held.size:
            self._of = (self.held.total, self.held.validator)
            return True
        if self.held is not None:
            self.forget()
        if body.validator is None or body.size is None or body.size < LEAST:
            return False
        self._of = (body.size, body.validator)
        return True

    def opened(self) -> int:
        """A descriptor at the end of what is held, which is all there is then."""
        self.may_be_there = True
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        size = self.held.size if self.held else 0
        os.ftruncate(descriptor, size)
        os.lseek(descriptor, size, os.SEEK_SET)
        return descriptor

    def came(self, size: int, digest: "hashlib._Hash", *, over: bool = False) -> None:
        """So many bytes are written; vouch for them if that is due. `over`: for now no more will come."""
        if self._of is None or size - self._marked < (1 if over else _STEP):
            return
        total, validator = self._of
        said = {"size": size, "total": total, "validator": validator, "sha256": digest.hexdigest()}
        fresh = self.path.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w") as file:
            json.dump(said, file)
        os.rename(fresh, self.sidecar)
        self._marked = size

    def forget(self) -> None:
        """Remove all of it. Where the disk does not let us, it is overwritten next time."""
        self.held, self.hash, self._marked = None, hashlib.sha256(), 0
        for path in (self.sidecar, self.path):
            with contextlib.suppress(OSError):
                path.unlink()


class Partials:
    """The folder of them. Each is in one hand at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._taken: set[Identity] = set()
        self._is_empty = False

    def prepare(self) -> None:
        """Make the folder, and sweep what is of no use any more."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        self.sweep()

    @contextlib.contextmanager
    def taken(self, identity: Identity) -> Iterator[Part | None]:
        """Have one for oneself; None if another has it. Does not block; what is sound of it, `recover` tells."""
        if identity in self._taken:
            yield None
            return
        self._taken.add(identity)
        part = Part(self.folder, functools.partial(_name_of, identity), may_be_there=not self._is_empty)
        try:
            yield part
        finally:
            self._is_empty = self._is_empty and not part.may_be_there
            self._taken.discard(identity)

    def drop(self, identity: Identity) -> None:
        """Remove one that nobody has. Fast enough for the event loop: mostly there is none."""
        if not self._is_empty and identity not in self._taken:
            Part(self.folder, functools.partial(_name_of, identity)).forget()

    def sweep(self, older: float = _KEPT) -> None:
        """Remove what nobody has and nobody went on with for so many seconds, and what nothing vouches for."""
        before, taken = time.time() - older, {_name_of(one) for one in self._taken}
        entries = list(os.scandir(self.folder))
        self._is_empty = not entries
        for entry in entries:
            name, _, kind = entry.name.partition(".")
            sidecar = Path(self.folder, f"{name}.json")
            if name in taken:
                continue
            if not _NAME.fullmatch(name) or kind not in ("", "json"):
                os.unlink(entry.path)
            elif not sidecar.exists() or sidecar.stat().st_mtime <= before:
                Part(self.folder, functools.partial(str, name)).forget()


def _stated(sidecar: Path) -> tuple[Held, str]:
    """What a sidecar vouches for, and its SHA-256. Raises OSError, ValueError, KeyError, TypeError."""
    said = json.loads(sidecar.read_bytes())
    held = Held(int(said["size"]), int(said["total"]), str(said["validator"]))
    if not 0 < held.size < held.total or not held.validator.isprintable():
        raise ValueError("a sidecar that makes no sense")
    return held, str(said["sha256"])


def _hash(path: Path, digest: "hashlib._Hash", start: int, end: int) -> int:
    """Go on hashing a file's first bytes: how many more of them are in. Raises OSError if it has fewer."""
    done, stop = start, min(end, start + _STRIDE)
    with open(os.open(path, _READ), "rb", buffering=0) as file:
        file.seek(start)
        while done < stop:
            block = file.read(min(stop - done, _BLOCK))
            if not block:
                raise OSError("it is shorter than its sidecar says")
            digest.update(block)
            done += len(block)
    return done - start

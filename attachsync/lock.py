"""Who holds a mirror: locks that the kernel frees when their holder dies, and words about the holder (contract 4).

The folder is locked by its own descriptor, which no removed or replaced file in it gets around; the file `lock`, which
holds the words, is locked too: a network file system may pass on locks of files, but not of folders. No descriptor is
inherited by a child process, which would hold the mirror beyond its holder's death.
"""

import fcntl
import json
import os
import shlex
import socket
import stat
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from attachsync.durable import fsync_folder, make_folder
from attachsync.errors import MirrorHeldError, StorageError
from attachsync.store import storage_errors
from attachsync.units import rfc3339

LOCK = "lock"
MARKER = "marker"
MARK = "mirror"
"""The index remembers the mirror's marker by this name; one that does not was never held."""
_COMING = "marker.new"


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds a mirror; `since` is RFC 3339. Nothing but that it is another one may be known of it."""

    command: str = ""
    pid: int | None = None
    host: str = ""
    since: str | None = None

    def __str__(self) -> str:
        if self.pid is None:
            return "another process"
        return f"`attachsync {self.command}` (process {self.pid} on {self.host}, since {self.since})"


@contextmanager
def held(mirror: Path, state: Path, command: str, now: float) -> Iterator[None]:
    """Hold a mirror exclusively. Raises MirrorHeldError, saying who holds it, and StorageError.

    The mirror's own `.attachsync/` is locked, and the state directory too where that is elsewhere.
    """
    own = mirror / ".attachsync"
    with ExitStack() as stack:
        for folder, what in {state: state, own: mirror}.items():
            with storage_errors(folder):
                make_folder(folder, 0o700, Path(folder.anchor))
            stack.enter_context(_locked(folder, what, command, now))
        yield


@contextmanager
def _locked(folder: Path, what: Path, command: str, now: float) -> Iterator[None]:
    path = folder / LOCK
    with ExitStack() as stack:
        with storage_errors(path):
            descriptors = [stack.enter_context(_opened(one, flags)) for one, flags in _parts(folder)]
        try:
            for descriptor in descriptors:
                _take(descriptor)
        except BlockingIOError:
            raise MirrorHeldError(f"{what} is held by {_words(path)}; stop it, or wait") from None
        except OSError as error:
            raise StorageError(
                f"{path}: cannot be locked: {error.strerror}; put state_directory on a local disk"
            ) from None
        words = {"pid": os.getpid(), "command": command, "host": socket.gethostname(), "since": rfc3339(now)}
        with storage_errors(path):
            os.ftruncate(descriptors[-1], 0)
            os.pwrite(descriptors[-1], json.dumps(words).encode() + b"\n", 0)
        yield


def _parts(folder: Path) -> tuple[tuple[Path, int], ...]:
    """What is locked, in this order, with how it is opened."""
    return (folder, os.O_RDONLY | os.O_DIRECTORY), (folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _take(descriptor: int) -> None:
    """Take a lock; one that `holder` has for an instant, to look, is no reason to give up."""
    for _ in range(5):
        with suppress(BlockingIOError):
            return _flock(descriptor, fcntl.LOCK_EX)
        time.sleep(0.02)
    return _flock(descriptor, fcntl.LOCK_EX)


def _flock(descriptor: int, kind: int) -> None:
    """Lock at once or not at all. A folder of a file system that locks only files (NFS) is passed over."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise


def holder(state: Path) -> Holder | None:
    """Who holds the lock in `state` now; None when nobody does. Changes nothing."""
    for path, flags in _parts(state):
        with suppress(OSError), _opened(path, flags & (os.O_DIRECTORY | os.O_NOFOLLOW)) as one:
            try:
                _flock(one, fcntl.LOCK_SH)
            except BlockingIOError:
                return _words(state / LOCK)
    return None


def _words(path: Path) -> Holder:
    try:
        words = json.loads(path.read_text())
        return Holder(str(words["command"]), int(words["pid"]), str(words["host"]), words["since"])
    except (OSError, ValueError, KeyError, TypeError):
        return Holder()


def recognised(mirror: Path, known: str | None) -> str | None:
    """The mirror's identity, kept in a marker; None where there is none yet. Raises StorageError for a wrong folder.

    `known` is the identity that the index remembers: a folder without that marker is an empty mount point, or another
    mirror.
    """
    path = mirror / ".attachsync" / MARKER
    found = _read(path)
    if known is not None and known not in (found, _read(path.with_name(_COMING))):
        hint = f"; if only that is gone: echo {known} > {shlex.quote(str(path))}"
        raise StorageError(
            f"{mirror} is not the folder this index belongs to ({path} {'differs' if found else 'is missing'}): "
            f"is its disk mounted? Nothing was written{'' if found or not path.parent.is_dir() else hint}"
        )
    return known or found


def marked(mirror: Path, known: str | None, remember: Callable[[str], None]) -> None:
    """See that mirror and index have one identity. Raises StorageError for a wrong folder.

    A new one is written beside, then remembered (durably) by the index, then takes its place: whatever a crash leaves
    of that, a marker in place means that there was an index.
    """
    path = mirror / ".attachsync" / MARKER
    coming, found = path.with_name(_COMING), recognised(mirror, known)
    with storage_errors(path):
        if found is None:
            found = str(uuid.uuid4())
            descriptor = os.open(coming, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with open(descriptor, "w") as file:
                file.write(found + "\n")
                file.flush()
                os.fsync(descriptor)
            fsync_folder(path.parent)
        if known is None:
            remember(found)
        if _read(path) != found:
            os.rename(coming, path)
            fsync_folder(path.parent)


def _read(path: Path) -> str | None:
    """A marker; None where there is none, or an empty one, which a crash may leave."""
    with storage_errors(path):
        return (path.read_text().strip() if path.exists() else "") or None

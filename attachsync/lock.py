"""Who holds a mirror: an flock that the kernel frees when its holder dies, and words about the holder (contract 4)."""

import fcntl
import json
import os
import pwd
import shlex
import socket
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from attachsync.errors import ConfigError, MirrorHeldError, StorageError
from attachsync.store import storage_errors
from attachsync.units import rfc3339

LOCK = "lock"
MARKER = "marker"


def refuse_foreign(mirror: Path) -> None:
    """Root must not write into a mirror of another user (contract 4). Raises ConfigError with the line to use."""
    if os.geteuid() == 0 and mirror.exists() and mirror.stat().st_uid != 0:
        owner = mirror.stat().st_uid
        try:
            name = pwd.getpwuid(owner).pw_name
        except KeyError:
            name = f"'#{owner}'"
        line = f"sudo -u {name} {shlex.join(sys.argv)}"
        raise ConfigError([f"{mirror} belongs to {name}; run this as that user: {line}"])


@contextmanager
def held(mirror: Path, state: Path, command: str, now: float) -> Iterator[None]:
    """Hold a mirror exclusively. Raises MirrorHeldError, saying who holds it, and StorageError.

    The mirror's own `.attachsync/` is locked, and the state directory too where that is elsewhere.
    """
    own = mirror / ".attachsync"
    with ExitStack() as stack:
        for folder, what in {state: state, own: mirror}.items():
            with storage_errors(folder):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            stack.enter_context(_locked(folder / LOCK, what, command, now))
        yield


@contextmanager
def _locked(path: Path, what: Path, command: str, now: float) -> Iterator[None]:
    with storage_errors(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            _take(descriptor)
        except BlockingIOError:
            raise MirrorHeldError(f"{what} is held by {_words(path)}; stop it, or wait") from None
        except OSError as error:
            raise StorageError(
                f"{path}: cannot be locked: {error.strerror}; put state_directory on a local disk"
            ) from None
        words = {"pid": os.getpid(), "command": command, "host": socket.gethostname(), "since": rfc3339(now)}
        with storage_errors(path):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(words).encode() + b"\n", 0)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int) -> None:
    """Take the lock; one that `holder` has for an instant, to look, is no reason to give up."""
    for _ in range(5):
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(0.02)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def holder(state: Path) -> str | None:
    """Who holds the lock in `state` now, in words; None when nobody does. Does not touch it."""
    try:
        descriptor = os.open(state / LOCK, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return _words(state / LOCK)
    else:
        return None
    finally:
        os.close(descriptor)


def _words(path: Path) -> str:
    try:
        words = json.loads(path.read_text())
        return f"`attachsync {words['command']}` (process {words['pid']} on {words['host']}, since {words['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def marked(mirror: Path, known: str | None) -> str:
    """The mirror's identity, kept in a marker; made where there is none. Raises StorageError for a wrong folder.

    `known` is the identity that the index remembers: a folder without that marker is an empty mount point, or another
    mirror.
    """
    path = mirror / ".attachsync" / MARKER
    with storage_errors(path):
        found = path.read_text().strip() if path.exists() else None
        if known is not None and found != known:
            raise StorageError(
                f"{mirror} is not the folder this index belongs to ({path} differs): is its disk mounted?"
            )
        if found is None:
            found = str(uuid.uuid4())
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(descriptor, "w") as file:
                file.write(found + "\n")
                file.flush()
                os.fsync(descriptor)
    return found

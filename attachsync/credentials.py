"""Secret files: who may read them, what they hold, and when they changed (contract 2). Values stay in memory only."""

import dataclasses
import math
import os
import shlex
import stat
import time
from pathlib import Path

from attachsync.errors import AuthFailedError

_LONGEST = 64 * 1024
_GLANCE = 0.5
"""The file is looked at again this often (seconds): each request asks for its value."""


def refusal(path: Path) -> str | None:
    """Why `path` cannot be a secret file, with the command that mends it; None if it can."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return f"secret file {path} does not exist"
    except OSError as error:
        return f"secret file {path} cannot be read: {error.strerror}"
    if not stat.S_ISREG(found.st_mode):
        return f"secret file {path} is not a regular file"
    if stat.S_IMODE(found.st_mode) & 0o077:
        return f"secret file {path} can be read by others; run: chmod 600 {shlex.quote(str(path))}"
    if not os.access(path, os.R_OK):
        return f"secret file {path} cannot be read by this user"
    return None


class Secret:
    """A secret file, read again when it changes. Its value appears in no repr, log or error."""

    __slots__ = ("_look_at", "_seen", "_value", "path", "trusted")

    def __init__(self, path: Path, *, trusted: bool = False) -> None:
        self.path = path
        self.trusted = trusted
        self._seen: tuple[int, int, int] | None = None
        self._look_at = -math.inf
        self._value = ""

    def __repr__(self) -> str:
        return f"Secret({str(self.path)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and (self.path, self.trusted) == (other.path, other.trusted)

    def __hash__(self) -> int:
        return hash((self.path, self.trusted))

    async def value(self, *, fresh: bool = False) -> str:
        """The file's text without surrounding white space; read again if the file changed, or if `fresh`.

        Raises AuthFailedError when the file is missing, too open, empty or too long: the account cannot sign in.
        """
        if not fresh and time.monotonic() < self._look_at:
            return self._value
        fault = None if self.trusted else refusal(self.path)
        if fault:
            raise AuthFailedError(fault)
        try:
            found = self.path.stat()
            stamp = (found.st_ino, found.st_size, found.st_mtime_ns)
            if fresh or stamp != self._seen:
                import aiofiles.threadpool

                # Opened by descriptor: an aiofiles.open that is cancelled would leak what its thread opens.
                with os.fdopen(os.open(self.path, os.O_RDONLY | os.O_CLOEXEC), "rb") as file:
                    text = await aiofiles.threadpool.wrap(file).read(_LONGEST + 1)
                if len(text) > _LONGEST:
                    raise AuthFailedError(
                        f"secret file {self.path} is longer than {_LONGEST} bytes: is it the right file?"
                    )
                self._value = text.decode().strip()
                self._seen = stamp
        except (OSError, UnicodeDecodeError) as error:
            raise AuthFailedError(f"secret file {self.path} cannot be read: {type(error).__name__}") from None
        if not self._value:
            raise AuthFailedError(f"secret file {self.path} is empty")
        self._look_at = time.monotonic() + (0.0 if fresh else _GLANCE)  # one that was refused may be put right soon
        return self._value


def secret_files(options: object) -> list[Path]:
    """The secret files that an account's own keys name."""
    if not dataclasses.is_dataclass(options):
        return []
    values = (getattr(options, field.name) for field in dataclasses.fields(options))
    return [value.path for value in values if isinstance(value, Secret)]

"""The lists that integrators append to: sessions with their results keys, and access keys (contract 2).

They are secret files that may be absent yet. A line that cannot be read is told by its number, never by its text.
"""

import hashlib
import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Generic, TypeVar

from attachsync import keys
from attachsync.credentials import refusal
from attachsync.errors import RefusedError

L = TypeVar("L")

_LONGEST = 64 * 1024 * 1024
_NAMED = "session="
_STILL = 2.0
"""A last line without its newline is whole when its file has been still for so many seconds."""


@dataclass(frozen=True, slots=True)
class SessionLine:
    """`SESSION RESULTS_KEY [NAME]`."""

    session: str
    results_key: str = field(repr=False)
    name: str = ""

    @property
    def identity(self) -> str:
        """What a later line replaces an earlier one by."""
        return self.session


@dataclass(frozen=True, slots=True)
class KeyLine:
    """`KEY [NAME] [session=UUID]`."""

    key: str = field(repr=False)
    name: str = ""
    session: str = ""

    @property
    def identity(self) -> str:
        """How the key is known everywhere: the first 12 hex digits of its SHA-256."""
        return hashlib.sha256(self.key.encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Lines(Generic[L]):
    """The lines of a list by their identity, in the order of the file, and what is wrong with the others.

    `unended`: the identity of the last one, where no newline ends it.
    """

    found: dict[str, L] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    unended: str = ""


def session_line(words: list[str]) -> SessionLine:
    """Parse a line of `sessions_file`; raises ValueError with what would be right, and no more."""
    if not 2 <= len(words) <= 3:
        raise ValueError("must be SESSION RESULTS_KEY [NAME]")
    return SessionLine(_uuid(words[0]), *words[1:])


def key_line(words: list[str]) -> KeyLine:
    """Parse a line of `access_keys_file`; raises ValueError with what would be right, and no more."""
    sessions = [word.removeprefix(_NAMED) for word in words[1:] if word.startswith(_NAMED)]
    rest = [word for word in words[1:] if not word.startswith(_NAMED)]
    if len(sessions) > 1 or len(rest) > 1 or words[0].startswith(_NAMED):
        raise ValueError("must be KEY [NAME] [session=UUID]")
    return KeyLine(words[0], rest[0] if rest else "", _uuid(sessions[0]) if sessions else "")


def _uuid(text: str) -> str:
    try:
        parsed = str(uuid.UUID(text))
    except ValueError:
        parsed = ""
    if parsed != text.lower():
        raise ValueError("the session must be a UUID")
    return parsed


def _words(text: str) -> Iterator[tuple[int, list[str]]]:
    """(number, words) of each line that says something: a word that begins with `#` begins a comment."""
    for number, line in enumerate(text.split("\n"), 1):
        words = list(takewhile(lambda word: not word.startswith("#"), line.split()))
        if words:
            yield number, words


def parsed(text: str, parse: Callable[[list[str]], L], identity: Callable[[L], str]) -> Lines[L]:
    """All lines of a list. Of two for the same, the later one holds: appending is how a line is corrected. Pure."""
    found: dict[str, L] = {}
    faults, unended, last = [], "", text.count("\n") + 1
    for number, words in _words(text):
        try:
            line = parse(words)
        except ValueError as error:
            faults.append(f"line {number}: {error}")
        else:
            found[identity(line)] = line
            unended = identity(line) if number == last else ""
    return Lines(found, tuple(faults), unended)


@dataclass(frozen=True, slots=True)
class ListFile:
    """A secret file that may be absent yet. `trusted`: one of systemd's credentials."""

    path: Path
    trusted: bool = False

    def stamp(self) -> tuple[int, int, int] | None:
        """Differs when the file has changed; None while there is none."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns

    async def text(self) -> str:
        """The file's text; empty while there is none. Raises RefusedError for one that must not be used."""
        if not os.path.lexists(self.path):
            return ""
        fault = None if self.trusted else refusal(self.path)
        if fault:
            raise RefusedError(fault, code="secret")
        try:
            import aiofiles

            async with aiofiles.open(self.path, "rb") as file:
                content = await file.read(_LONGEST + 1)
            if len(content) > _LONGEST:
                raise RefusedError(f"{self.path} is longer than {_LONGEST} bytes", code="secret")
            return content.decode("utf-8-sig")
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            raise RefusedError(f"{self.path} cannot be read: {type(error).__name__}", code="secret") from None


class Watched(Generic[L]):
    """The lines of one list file, parsed again when it has changed."""

    def __init__(self, file: ListFile, parse: Callable[[list[str]], L], identity: Callable[[L], str]) -> None:
        self.file = file
        self._parse = parse
        self._identity = identity
        self._stamp: tuple[int, int, int] | None = None
        self._lines: Lines[L] = Lines()

    async def lines(self) -> Lines[L]:
        """What the file says now; raises RefusedError."""
        stamp = self.file.stamp()
        if stamp is None or stamp != self._stamp or refusal(self.file.path):
            self._lines = parsed(await self.file.text(), self._parse, self._identity)
            self._stamp = stamp
        return self._lines

    def being_written(self, lines: Lines[L], now: float) -> float:
        """How many seconds (0: none) the line that no newline ends is to be left: it may be half of one."""
        age = now - self._stamp[2] / 1e9 if self._stamp and lines.unended else _STILL
        return _STILL - age if 0 <= age < _STILL else 0.0

    def fault(self, lines: Lines[L]) -> RefusedError | None:
        """What is to be told of the lines that cannot be read, if any: file and numbers."""
        if not lines.faults:
            return None
        more = f" (and {len(lines.faults) - 3} more lines)" if len(lines.faults) > 3 else ""
        return RefusedError(f"{self.file.path}: {'; '.join(lines.faults[:3])}{more}", code="line")


def list_file(value: object, place: keys.Place) -> ListFile:
    """A config value that names such a file: one that exists must not be readable by others (contract 2)."""
    found = keys.path(value, place)
    if place.credentials is not None and not os.path.isabs(str(value)):
        candidate = place.credentials / found.name
        if os.path.isfile(candidate):
            return ListFile(candidate, trusted=True)
    fault = refusal(found) if os.path.lexists(found) else None
    if fault:
        raise ValueError(fault)
    return ListFile(found)

"""A file that grows line by line, and is whole whenever it is seen (contract 3).

What is added goes to a spare copy, is synced there, and the spare takes the file's place; the file becomes the spare,
and is brought up to it when it is its turn. So adding costs what is added, not what is there, and neither a reader nor
a kill nor a power loss ever meets half a line. A spare is copied anew unless it surely is what the file was: nobody
else has it open or linked, and it has the file's own beginning. All of it blocks, and raises OSError.
"""

import contextlib
import os
import shutil
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

from attachsync.durable import fsync_folder, private
from attachsync.writers import is_open_elsewhere

_BLOCK = 1024 * 1024


class Growing:
    """One such file at `path`, its spare at `spare` on the same disk, where nobody else looks.

    `temporary` gives names beside the spare; `read_only` gives an open file the mode that it is shown with.
    """

    def __init__(
        self, path: Path, spare: Path, temporary: Callable[[], Path], read_only: Callable[[int], None]
    ) -> None:
        self.path = path
        self._spare = spare
        self._temporary = temporary
        self._read_only = read_only
        self._known: list[tuple[int, int, int]] = []
        """What the file and the spare were like when we left them."""

    def look(self) -> str:
        """What the file is like from outside: another word when somebody changed it. Empty where there is none."""
        with contextlib.suppress(OSError):
            found = self.path.lstat()
            if stat.S_ISREG(found.st_mode):
                return f"{found.st_size} {found.st_mtime_ns}"
        return ""

    def replace(self, lines: Iterable[str]) -> None:
        """Give the file other lines altogether."""
        self._known.clear()
        temporary = self._temporary()
        try:
            with open(temporary, "xb", opener=private) as file:
                file.writelines(line.encode() for line in lines)
                self._finish(file)
            os.rename(temporary, self.path)
        finally:
            temporary.unlink(missing_ok=True)
        fsync_folder(self.path.parent)
        self._copied().close()
        self._left()

    def add(self, lines: Iterable[str]) -> None:
        """Add lines to the file, which must be there."""
        with self._opened() or self._copied() as file:
            self._known.clear()
            file.writelines(line.encode() for line in lines)
            self._finish(file)
        self._swap()
        self._left()

    def _swap(self) -> None:
        """The spare becomes the file, and the file the spare; there is a file at any moment."""
        old = self._temporary()
        try:
            with contextlib.suppress(OSError):  # a disk that knows no hard links: the next spare is a copy
                os.link(self.path, old)
            os.rename(self._spare, self.path)
            fsync_folder(self.path.parent)
            with contextlib.suppress(FileNotFoundError):
                os.rename(old, self._spare)
        finally:
            old.unlink(missing_ok=True)

    def _finish(self, file: IO[bytes]) -> None:
        file.flush()
        self._read_only(file.fileno())
        os.fsync(file.fileno())

    def _left(self) -> None:
        self._known = [_stamp(one.stat()) for one in (self.path, self._spare) if one.exists()]

    # --- the spare ------------------------------------------------------------------------------------------------

    def _opened(self) -> IO[bytes] | None:
        """The spare, brought up to the file; None where it cannot be used."""
        with contextlib.ExitStack() as stack:
            try:
                if self._spare.lstat().st_nlink > 1:
                    return None  # a backup of hard links has it, or a crash left it under both names
                self._spare.chmod(0o600)
                file = stack.enter_context(open(self._spare, "r+b"))
            except OSError:
                return None
            if is_open_elsewhere(file.fileno()) or not self._is_level(file):
                return None
            stack.pop_all()
            return file

    def _is_level(self, spare: IO[bytes]) -> bool:
        """Bring the spare up to the file, unless it has another beginning than that."""
        with open(self.path, "rb") as file:
            found = [os.fstat(one.fileno()) for one in (file, spare)]
            size = min(one.st_size for one in found)
            if [_stamp(one) for one in found] != self._known and not _begin_alike(file, spare, size):
                return False
            spare.truncate(size)
            file.seek(size)
            spare.seek(size)
            shutil.copyfileobj(file, spare, _BLOCK)
        return True

    def _copied(self) -> IO[bytes]:
        """A new spare, of the file's own contents."""
        temporary = self._temporary()
        try:
            with open(temporary, "xb", opener=private) as copy, open(self.path, "rb") as file:
                shutil.copyfileobj(file, copy, _BLOCK)
            os.rename(temporary, self._spare)
        finally:
            temporary.unlink(missing_ok=True)
        return open(self._spare, "ab")


def _stamp(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_ino, found.st_size, found.st_mtime_ns


def _begin_alike(one: IO[bytes], other: IO[bytes], size: int) -> bool:
    """Whether two files have the same first `size` bytes."""
    for at in range(0, size, _BLOCK):
        length = min(_BLOCK, size - at)
        if one.read(length) != other.read(length):
            return False
    return True

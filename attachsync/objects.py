"""The folder `sha256/`: naming bytes by their digest. All of it blocks, and may be done in a process of its own.

What is under its name there is complete, durable and read-only. Whatever is done here can be done a second time.
"""

import contextlib
import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass

from attachsync.durable import Syncing, make_folders, synced
from attachsync.folders import write_all
from attachsync.model import Digest, is_digest

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_counter = itertools.count(1)  # its `next` is one step for all threads; `+= 1` is not


@dataclass(frozen=True, slots=True)
class Landing:
    """Bytes that are to get the name of their digest, which they are known to have: in a file of `tmp/` or `partial/`,
    whose content is durable already if `is_durable`, or in memory."""

    digest: Digest
    size: int
    content: tuple[bytes, ...] = ()
    path: str | None = None
    is_durable: bool = False


@dataclass(frozen=True, slots=True)
class Objects:
    """The stored bytes of the mirror at `root`. `mode` is that of files, `folder_mode` that of folders."""

    root: str
    mode: int = 0o440
    folder_mode: int = 0o700

    @property
    def folder(self) -> str:
        """The folder itself."""
        return f"{self.root}/sha256"

    def location(self, digest: str) -> str:
        """Where the bytes of a digest are, or would be."""
        return f"{self.root}/sha256/{digest[:2]}/{digest}"

    def has(self, digest: str, size: int | None = None) -> bool:
        """Whether the bytes of a digest are stored (and of that size, when given). Of what is no digest, none are."""
        if not is_digest(digest):
            return False
        try:
            found = os.stat(self.location(digest))
        except OSError:
            return False
        return size is None or found.st_size == size

    def temporary(self) -> str:
        """A name in `tmp/` that nothing uses."""
        return f"{self.root}/.attachsync/tmp/{os.getpid()}-{next(_counter)}"

    def read_only(self, descriptor: int) -> None:
        """Give an open file the mode that stored files have."""
        os.fchmod(descriptor, self.mode)

    def land(self, bodies: Sequence[Landing]) -> list[OSError | None]:
        """Name bodies: have each in a file, make those durable, rename them, and make that durable.

        For each what went wrong with it alone, if anything; raises what befell all of them. A file whose bytes are
        there already is left to whoever made it.
        """
        errors = list[OSError | None]()
        synced(self.landing(bodies, errors))
        return errors

    def landing(self, bodies: Sequence[Landing], errors: list[OSError | None]) -> Syncing[None]:
        """The same, for who does something else while the disk syncs: what went wrong is added to `errors`."""
        files = list[_File]()
        try:
            for body in bodies:
                try:
                    files.append(self._file(body))
                    errors.append(None)
                except OSError as error:
                    errors.append(error)
            yield [file.descriptor for file in files if file.descriptor >= 0]
            yield {folder for file in files for folder in self._name(file)}
        finally:
            for file in files:
                file.discard()

    def _file(self, body: Landing) -> "_File":
        if body.is_durable and body.path:
            return _File(body, body.path)
        path = body.path or self.temporary()
        try:
            file = _File(body, path, os.open(path, os.O_WRONLY | os.O_CLOEXEC if body.path else _NEW, 0o600))
        except FileNotFoundError:
            if not self.has(body.digest, body.size):
                raise
            return _File(body, path)  # it has got its name, by one who did not come to say so
        try:
            for piece in body.content:
                write_all(file.descriptor, piece)
            self.read_only(file.descriptor)
        except OSError:
            file.discard()
            raise
        return file

    def _name(self, file: "_File") -> list[str]:
        """Give bytes the name of their digest: the folders that are to be synced. Bytes that are there already stay."""
        target = self.location(file.body.digest)
        folder, made = target.rpartition("/")[0], list[str]()
        if not self.has(file.body.digest, file.body.size):
            try:
                os.rename(file.path, target)
            except FileNotFoundError:
                made = make_folders(folder, self.folder_mode, self.folder)
                os.rename(file.path, target)
            file.is_named = True
        return [*made, folder]  # also where it was there: whoever came first may not have got to it yet


@dataclass(slots=True)
class _File:
    """A body in a file; `descriptor` is -1 where it is not to be made durable."""

    body: Landing
    path: str
    descriptor: int = -1
    is_named: bool = False

    def discard(self) -> None:
        """Close the file and, unless it got its name, remove one that was made here."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
        if not self.is_named and self.body.path is None:
            with contextlib.suppress(OSError):  # a disk that became read-only: it is swept at the next start
                os.unlink(self.path)

"""Filing a file away: its receipt or record first, durably, then the file itself (contract 3, architecture 5).

Every step may be repeated after a kill: a document that already says the same is left alone, a file that is already
where it belongs too. Nothing is overwritten: FileExistsError, and the caller chooses another place. Blocking; raises
OSError.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Collection, Iterator
from typing import BinaryIO

from attachsync import folders, receipts
from attachsync.durable import Syncing

SENT = "sent"
FAILED = "failed"


class Filing:
    """The folders sent/ and failed/ of an open outbox.

    Folders that are made get the outbox's own mode, less writing by group and others; a receipt can be read by whoever
    may read its file, and written by us only.
    """

    def __init__(self, root: int) -> None:
        self._root = root

    def place(self, kind: str, name: str, avoid: Collection[str] = ()) -> str:
        """Where `name` goes: `sent/report.pdf`, or `sent/report-2.pdf` when that or its receipt is there already."""
        parts, _ = folders.split(f"{kind}/{name}")
        try:
            with folders.below(self._root, parts) as folder:

                def taken(candidate: str) -> bool:
                    base = candidate.rpartition("/")[2].encode()
                    return f"{kind}/{candidate}" in avoid or folders.identity_at(folder, base) is not None

                return f"{kind}/{receipts.free(name, taken)}"
        except FileNotFoundError:
            return f"{kind}/{receipts.free(name, lambda candidate: f'{kind}/{candidate}' in avoid)}"

    def putting(self, filed_as: str, document: bytes, file: BinaryIO | None) -> Syncing[None]:
        """Write the receipt or record of what is filed as `filed_as`. FileExistsError if another one is there."""
        parts, base = folders.split(filed_as + receipts.SUFFIX)
        folders.make(self._root, parts, 0o700 | (_mode(self._root) & 0o755))
        mode = 0o600 | (_mode(file.fileno()) & 0o044 if file is not None else 0)
        with folders.below(self._root, parts) as folder:
            try:
                yield from folders.writing_new(folder, base, lambda target: folders.write_all(target, document), mode)
            except FileExistsError:
                if folders.read_small(folder, base) != document:
                    raise
                yield [folder]

    def moving(self, name: str, filed_as: str, file: BinaryIO) -> Syncing[bool]:
        """Move the very file that is open to its place; False if its name is another file's by now.

        Then the open file's bytes are copied to the place, and that other file stays for an upload of its own.
        """
        parts, base = folders.split(filed_as)
        wanted = folders.identity(os.fstat(file.fileno()))
        yield [file.fileno()]
        with folders.below(self._root, parts) as target, self._source(name) as (source, old):
            there = folders.identity_at(target, base)
            if there not in (None, wanted):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), filed_as)
            moved = there == wanted or (source is not None and _moved(source, old, target, base, wanted))
            if not moved:
                copy_mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o777
                yield from folders.writing_new(
                    target, base, lambda copy: folders.copying(file.fileno(), copy), copy_mode
                )
            yield [target]  # first: after a power loss the file is in both folders rather than in none
            if source is not None:
                # A kill may have come between a copy to another disk and the removal of what it was made of.
                original = (yield from folders.copied_from(source, old, file.fileno())) if there == wanted else None
                taken = folders.remove_only(source, old, original or wanted)
                yield [source]
                moved = moved or taken or folders.identity_at(source, old) is None
        return moved or source is None

    @contextlib.contextmanager
    def _source(self, name: str) -> Iterator[tuple[int | None, bytes]]:
        parts, base = folders.split(name)
        with contextlib.ExitStack() as stack:
            try:
                folder = stack.enter_context(folders.below(self._root, parts))
            except (FileNotFoundError, NotADirectoryError):
                yield None, base
            else:
                yield folder, base

    def rewrite(self, filed_as: str, document: bytes) -> None:
        """Give a receipt other content, atomically."""
        parts, base = folders.split(filed_as + receipts.SUFFIX)
        with folders.below(self._root, parts) as folder:
            mode = stat.S_IMODE(os.stat(base, dir_fd=folder, follow_symlinks=False).st_mode)
            folders.replace(folder, base, document, mode)

    def lone(self, kind: str) -> Iterator[tuple[str, bytes]]:
        """(name below sent/, receipt) of each receipt whose file is gone; nothing where sent/ itself is missing."""
        return ((name, text) for name, _, text in self.documents(kind, lone=True))

    def documents(self, kind: str, *, lone: bool = False) -> Iterator[tuple[str, bool, bytes]]:
        """(name of the file, whether it is there, document) of each document below a folder of ours, folder by folder.

        `lone`: only of those that are not there; no other document is opened.

        Of `config`, `config.toml` and `config.toml.toml`, the one in the middle is a file, not the first one's receipt.
        """
        waiting = [[kind.encode()]]
        while waiting:
            parts = waiting.pop()
            above = b"/".join(parts[1:]).decode() + ("/" if parts[1:] else "")
            with contextlib.suppress(FileNotFoundError, NotADirectoryError), folders.below(self._root, parts) as folder:
                present = folders.names(folder)
                waiting += [[*parts, one.encode()] for one in sorted(present) if _is_folder(folder, one)]
                for record in sorted(present):
                    name = receipts.described(record)
                    if name is None or record.startswith(".") or record + receipts.SUFFIX in present:
                        continue
                    if lone and name in present:
                        continue
                    text = folders.read_small(folder, record.encode())
                    if text is not None:
                        yield above + name, name in present, text

    def size(self, filed_as: str) -> int | None:
        """The size of a filed file, if it is there."""
        parts, base = folders.split(filed_as)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), folders.below(self._root, parts) as folder:
            return os.stat(base, dir_fd=folder, follow_symlinks=False).st_size
        return None

    def failed(self, name: str) -> str:
        """What a name in failed/ is about: a record is about its file, all else about itself."""
        about = receipts.described(name)
        parts, base = folders.split(name)
        with (
            contextlib.suppress(FileNotFoundError, NotADirectoryError),
            folders.below(self._root, [FAILED.encode(), *parts]) as folder,
        ):
            said = receipts.parsed(folders.read_small(folder, base) or b"") or {}
            is_record = "error" in said and "failed_at" in said
            if about and is_record and base.decode() + receipts.SUFFIX not in folders.names(folder):
                return about
        return name

    def bring_back(self, name: str, to: str) -> bool:
        """Move failed/NAME back into the outbox as `to` and remove its record; False if there is no such file."""
        (parts, base), (above, new) = folders.split(name), folders.split(to)
        try:
            with folders.below(self._root, [FAILED.encode(), *parts]) as failed:
                if not stat.S_ISREG(os.stat(base, dir_fd=failed, follow_symlinks=False).st_mode):
                    return False
                folders.make(self._root, above, 0o700 | (_mode(self._root) & 0o755))
                with folders.below(self._root, above) as outbox:
                    folders.rename_new(failed, base, outbox, new)
                    os.fsync(outbox)
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(base + receipts.SUFFIX.encode(), dir_fd=failed)
                os.fsync(failed)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True


def _moved(source: int, old: bytes, target: int, new: bytes, wanted: folders.Identity) -> bool:
    """Rename a file to its place; False, and nothing changed, if it is not the one wanted or is on another disk."""
    if folders.identity_at(source, old) != wanted:
        return False
    try:
        folders.rename_new(source, old, target, new)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return False
    if folders.identity_at(target, new) == wanted:
        return True
    folders.rename_new(target, new, source, old)  # it was replaced between the look and the move
    return False


def _mode(descriptor: int) -> int:
    return stat.S_IMODE(os.fstat(descriptor).st_mode)


def _is_folder(folder: int, name: str) -> bool:
    try:
        return not name.startswith(".") and stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False

"""Readable names for stored bytes: the only writer of `files/`.

A new link has its name from its first moment; what takes the place of another, or is a copy, is made in
`.attachsync/tmp` and renamed in: nothing half-made is ever visible. Which kind of link it is, the config says; where
the file system cannot do that, the next best is made, and said once.
"""

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from attachsync.durable import Disk, fsync_folder, make_folder, make_folders
from attachsync.model import Digest
from attachsync.store import Store

_FALL_BACK = {"hardlink": ("reflink", "copy"), "symlink": ("hardlink", "copy"), "reflink": ("copy",), "copy": ()}
_CANNOT = frozenset(
    {errno.EMLINK, errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.ENOTTY, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}
)
"""What a file system answers that has no such link, or no more of them for this file (ext4: 65,000 hard links)."""
_FICLONE = 0x40049409


@dataclass(frozen=True, slots=True)
class Modes:
    """Permission bits: of copies, of the folders below `files/`, and of the folders of accounts that have their own."""

    file: int = 0o440
    folder: int = 0o750
    accounts: Mapping[str, int] = field(default_factory=dict)


class Views:
    """The folder `files/` of one mirror. All methods block: call them in the store's threads.

    `report(wanted, made, reason)` hears of the first fall-back of each kind.
    """

    def __init__(self, store: Store, link: str, modes: Modes, report: Callable[[str, str, str], None]) -> None:
        self._store = store
        self._mirror = store.mirror
        self._link = link
        self._modes = modes
        self._report = report
        self._reported: set[tuple[str, str]] = set()
        self._disk = Disk(store.mirror / "files")

    def prepare(self) -> None:
        """Make `files/`."""
        root = self._mirror / "files"
        make_folder(root, self._modes.folder, root)
        root.chmod(self._modes.folder)

    def show(self, path: str, digest: Digest) -> None:
        """Show stored bytes at `path` (relative to the mirror), replacing what it showed; durable when it returns."""
        error = self.show_all([(path, digest)])[0]
        if error is not None:
            raise error

    def show_all(self, entries: Sequence[tuple[str, Digest]]) -> list[OSError | None]:
        """The same for many, in less time: for each what went wrong with it, if anything."""
        folders: set[str] = set()
        errors: list[OSError | None] = []
        for path, digest in entries:
            try:
                folders.update(self._show(path, digest))
                errors.append(None)
            except OSError as error:
                errors.append(error)
        self._disk.sync_folders(folders)
        return errors

    def _show(self, path: str, digest: Digest) -> list[str]:
        """Show one entry: the folders that are to be synced."""
        target = f"{self._mirror}/{path}"
        folder, made = os.path.dirname(target), []
        for last_try in (False, False, True):
            try:
                self._place(target, digest)
                break
            except FileNotFoundError:
                if last_try or not self._store.has(digest):
                    raise
                made += self._make_folders(folder, path)  # the first one in it; or `hide` took it away, empty
        return [*made, folder]

    def _place(self, target: str, digest: Digest) -> None:
        source = self._store.location(digest)
        if self._link in ("hardlink", "symlink"):
            try:
                return self._make_one(self._link, target, target, source)
            except OSError as error:
                if error.errno != errno.EEXIST and error.errno not in _CANNOT:
                    raise
        if not _same(target, source):
            temporary = str(self._store.temporary())
            try:
                self._make(temporary, target, source)
                os.rename(temporary, target)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary)
        return None

    def hide(self, path: str) -> None:
        """Take an entry out of `files/`; folders it leaves empty go too."""
        target = self._mirror / path
        target.unlink(missing_ok=True)
        folder = target.parent
        while folder != self._mirror / "files":
            try:
                folder.rmdir()
            except FileNotFoundError:
                pass  # a kill came between this and the row
            except OSError:
                break
            folder = folder.parent
        fsync_folder(folder)

    def _make_folders(self, folder: str, path: str) -> list[str]:
        account = path.split("/", 2)[1]
        mode = self._modes.accounts.get(account, self._modes.folder)
        return make_folders(folder, mode, f"{self._mirror}/files/{account}")

    def _make(self, temporary: str, target: str, source: str) -> None:
        kinds = (self._link, *_FALL_BACK[self._link])
        for kind, fallback in zip(kinds, (*kinds[1:], None), strict=True):
            try:
                self._make_one(kind, temporary, target, source)
            except OSError as error:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary)
                if fallback is None or error.errno not in _CANNOT:
                    raise
                reason = os.strerror(error.errno or 0)
            else:
                if kind != self._link and (self._link, kind) not in self._reported:
                    self._reported.add((self._link, kind))
                    self._report(self._link, kind, reason)
                return

    def _make_one(self, kind: str, temporary: str, target: str, source: str) -> None:
        if kind == "hardlink":
            os.link(source, temporary)
        elif kind == "symlink":
            os.symlink(os.path.relpath(source, os.path.dirname(target)), temporary)
        else:
            _duplicate(source, temporary, self._modes.file, clone=kind == "reflink")


def _same(target: str, source: str) -> bool:
    """Whether `target` is a hard link to the stored bytes, or a symbolic one, already."""
    try:
        return os.path.samestat(os.stat(target), os.stat(source))
    except OSError:
        return False


def _duplicate(source: str, temporary: str, mode: int, *, clone: bool) -> None:
    """Copy bytes durably, sharing their blocks if `clone`."""
    with open(source, "rb") as read, open(temporary, "xb", opener=_private) as written:
        if clone:
            fcntl.ioctl(written.fileno(), _FICLONE, read.fileno())
        else:
            shutil.copyfileobj(read, written, 1024 * 1024)
        written.flush()
        os.fchmod(written.fileno(), mode)
        os.fsync(written.fileno())


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)

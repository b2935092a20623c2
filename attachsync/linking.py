"""Makes the entries of `files/`: links to stored bytes. All of it blocks, and may be done in a process of its own.

A new link has its name from its first moment; what takes the place of another, or is a copy, is made in
`.attachsync/tmp` and renamed in: nothing half-made is ever visible. Which kind of link it is, the config says; where
the file system cannot do that, the next best is made.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from attachsync.durable import Syncing, make_folders, private, synced
from attachsync.model import Digest
from attachsync.objects import Landing, Objects

_FALL_BACK = {"hardlink": ("reflink", "copy"), "symlink": ("hardlink", "copy"), "reflink": ("copy",), "copy": ()}
_CANNOT = frozenset(
    {errno.EMLINK, errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.ENOTTY, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}
)
"""What a file system answers that has no such link, or no more of them for this file (ext4: 65,000 hard links)."""
_FICLONE = 0x40049409


@dataclass(frozen=True, slots=True)
class Modes:
    """Permission bits: of copies, of `files/`, and of the folders of each account."""

    file: int = 0o440
    folder: int = 0o750
    accounts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Placing:
    """Bytes that `path` (relative to the mirror) is to show. `landing`: they are to be stored first."""

    path: str
    digest: Digest
    landing: Landing | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """What became of entries: for each what went wrong with it, if anything."""

    errors: list[OSError | None]
    fell_back: dict[str, str]
    """The kind of link that was made instead -> why."""


@dataclass(frozen=True, slots=True)
class Linker:
    """Makes the entries of `files/`: blocking, and may be done in a process of its own. Can be done twice."""

    objects: Objects
    link: str
    modes: Modes

    def show(self, entries: Sequence[Placing]) -> Shown:
        """Show bytes, replacing what their paths showed; durable when it returns. Raises what befell all of them."""
        shown = Shown([], {})
        synced(self.showing(entries, shown))
        return shown

    def showing(self, entries: Sequence[Placing], shown: Shown) -> Syncing[None]:
        """The same, for who does something else while the disk syncs: what comes of it is added to `shown`."""
        landings, errors = [entry.landing for entry in entries if entry.landing is not None], list[OSError | None]()
        if landings:
            yield from self.objects.landing(landings, errors)
        landed = iter(errors)
        folders, known = set[str](), set[str]()
        for entry in entries:
            error = None if entry.landing is None else next(landed)
            try:
                if error is None:
                    self._show(entry, folders, known, shown.fell_back)
            except OSError as befell:
                error = befell
                folders = set(filter(os.path.isdir, folders))  # `hide` may have taken away what was made for it
            shown.errors.append(error)
        yield folders

    def _show(self, entry: Placing, folders: set[str], known: set[str], fell_back: dict[str, str]) -> None:
        """Show one entry; what is to be synced joins `folders`, also what was made for one that fails.

        `known` are folders that are no links.
        """
        target = f"{self.objects.root}/{entry.path}"
        folder = target.rpartition("/")[0]
        no_link(folder, f"{self.objects.root}/files", known)
        if entry.landing and self._is_linked and folder not in folders:  # what is new is often the first in its folder
            folders.update(self._make_folders(folder, entry.path))
        for last_try in (False, False, True):
            try:
                self._place(target, entry.digest, fell_back)
                break
            except FileNotFoundError:
                if last_try or not (entry.landing or self.objects.has(entry.digest)):
                    raise
                folders.update(self._make_folders(folder, entry.path))  # the first one; or `hide` took it away, empty
        folders.add(folder)

    @property
    def _is_linked(self) -> bool:
        """Whether nothing is written that there may be no room for."""
        return self.link in ("hardlink", "symlink")

    def _place(self, target: str, digest: Digest, fell_back: dict[str, str]) -> None:
        source = self.objects.location(digest)
        if self._is_linked:
            try:
                return _make_one(self.link, target, target, source, self.modes.file)
            except OSError as error:
                if error.errno != errno.EEXIST and error.errno not in _CANNOT:
                    raise
        if not _same(target, source):
            temporary = self.objects.temporary()
            try:
                self._make(temporary, target, source, fell_back)
                os.rename(temporary, target)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary)
        return None

    def _make_folders(self, folder: str, path: str) -> list[str]:
        account = path.split("/", 2)[1]
        mode = self.modes.accounts.get(account, self.modes.folder)
        return make_folders(folder, mode, f"{self.objects.root}/files/{account}")

    def _make(self, temporary: str, target: str, source: str, fell_back: dict[str, str]) -> None:
        kinds, reason = (self.link, *_FALL_BACK[self.link]), ""
        for kind, fallback in zip(kinds, (*kinds[1:], None), strict=True):
            try:
                _make_one(kind, temporary, target, source, self.modes.file)
            except OSError as error:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary)
                if fallback is None or error.errno not in _CANNOT:
                    raise
                reason = reason or os.strerror(error.errno or 0)
            else:
                if kind != self.link:
                    fell_back.setdefault(kind, reason)
                return


def no_link(folder: str, root: str, known: set[str] | None = None) -> None:
    """Raise OSError (ELOOP) for a folder below `root` that is a link, or lies below one: it leads to what is not ours.

    Folders that are `known` not to be are not looked at again.
    """
    known, found = set() if known is None else known, list[str]()
    while folder not in known and folder != root:
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISLNK(os.lstat(folder).st_mode):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), folder)
        found.append(folder)
        folder = folder.rpartition("/")[0]
    known.update(found)


def _make_one(kind: str, temporary: str, target: str, source: str, mode: int) -> None:
    if kind == "hardlink":
        os.link(source, temporary)
    elif kind == "symlink":
        os.symlink(os.path.relpath(source, os.path.dirname(target)), temporary)
    else:
        _duplicate(source, temporary, mode, clone=kind == "reflink")


def _same(target: str, source: str) -> bool:
    """Whether `target` is a hard link to the stored bytes, or a symbolic one, already."""
    try:
        return os.path.samestat(os.stat(target), os.stat(source))
    except OSError:
        return False


def _duplicate(source: str, temporary: str, mode: int, *, clone: bool) -> None:
    """Copy bytes durably, sharing their blocks if `clone`."""
    with open(source, "rb") as read, open(temporary, "xb", opener=private) as written:
        if clone:
            fcntl.ioctl(written.fileno(), _FICLONE, read.fileno())
        else:
            shutil.copyfileobj(read, written, 1024 * 1024)
        written.flush()
        os.fchmod(written.fileno(), mode)
        os.fsync(written.fileno())

"""Readable names for stored bytes: the only writer of `files/`."""

import errno
from collections.abc import Callable, Mapping, Sequence

from attachsync.durable import fsync_folder, give_mode, make_folder, set_mode
from attachsync.linking import Linker, Modes, Placing, no_link
from attachsync.model import Digest
from attachsync.store import Store


class Views:
    """The folder `files/` of one mirror. All methods block: call them in the store's threads.

    `report(wanted, made, reason)` hears of the first fall-back of each kind.
    """

    def __init__(self, store: Store, link: str, modes: Modes, report: Callable[[str, str, str], None]) -> None:
        self.linker = Linker(store.objects, link, modes)
        self._worker = store.worker
        self._mirror = store.mirror
        self._modes = modes
        self._report = report
        self._reported: set[str] = set()

    def prepare(self) -> None:
        """Make `files/`; where the mode of an account's folders is another one now, they get it."""
        root = self._mirror / "files"
        make_folder(root, self._modes.folder, root)
        set_mode(str(root), self._modes.folder)
        for account, mode in self._modes.accounts.items():  # what nobody names any more stays as closed as it was
            if (root / account).is_dir() and not (root / account).is_symlink():
                give_mode(str(root / account), mode)

    def show(self, path: str, digest: Digest) -> None:
        """Show stored bytes at `path` (relative to the mirror), replacing what it showed; durable when it returns."""
        error = self.show_all([Placing(path, digest)])[0]
        if error is not None:
            raise error

    def show_all(self, entries: Sequence[Placing]) -> list[OSError | None]:
        """The same for many, stored first where they are not: for each what went wrong with it, if anything."""
        shown = self._worker.do(self.linker.show, entries)
        self.fell_back(shown.fell_back)
        return shown.errors

    def fell_back(self, kinds: Mapping[str, str]) -> None:
        """Links of these kinds were made instead of the wanted one: kind -> why."""
        for kind, reason in kinds.items():
            if kind not in self._reported:
                self._reported.add(kind)
                self._report(self.linker.link, kind, reason)

    def hide(self, path: str) -> None:
        """Take an entry out of `files/`; folders it leaves empty go too. What somebody put in its place stays."""
        target, root = self._mirror / path, self._mirror / "files"
        folder = target.parent
        try:
            no_link(str(folder), str(root))
            target.unlink(missing_ok=True)
        except OSError as error:
            if error.errno not in (errno.EISDIR, errno.ELOOP, errno.ENOTDIR):
                raise
            return
        while folder != root:
            try:
                folder.rmdir()
            except FileNotFoundError:
                pass  # a kill came between this and the row
            except OSError:
                break
            folder = folder.parent
        fsync_folder(folder)

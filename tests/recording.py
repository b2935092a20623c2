"""Watches what a process does to a folder: each change of an entry, each fsync, each commit of the index, in order.

For a process of its own, and before anything is imported that keeps functions of `os` under other names: an audit hook
cannot be taken off again. Nothing of attachsync is replaced: only fsync, fdatasync, syncfs and sqlite3.connect are, by
what calls them and takes note.
"""

import contextlib
import ctypes
import os
import sqlite3
import stat
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.disks import INDEX, Committed, Entries, Event, Made, Settled, Step, Synced, SyncedFolder, Written

_CHANGING = {"os.rename", "os.link", "os.mkdir", "os.remove", "os.rmdir", "os.symlink", "os.chmod", "os.truncate"}
_WRITING = os.O_CREAT | os.O_WRONLY | os.O_RDWR | os.O_TRUNC


class Recording:
    """Steps recorded below `root`. `upstream` tells what the service has taken so far; `unseen` names are left out."""

    def __init__(self, root: Path, upstream: Callable[[], dict[str, int]], unseen: set[str]) -> None:
        self.root = root
        self.steps: list[Step] = []
        self.phase = 0
        self._upstream = upstream
        self._unseen = unseen | {INDEX, f"{INDEX}-wal", f"{INDEX}-shm"}
        self._lock = threading.RLock()
        self._looking = False
        self._known: dict[int, dict[str, int]] = {}
        self._counts: dict[int, int] = {}
        self._looks: dict[int, tuple[int, int, int]] = {}
        self._pins: list[int] = []
        """Descriptors that keep inodes from being used again."""

    def start(self) -> None:
        """Begin. What is there now counts as durable."""
        self.settled()
        self._hook_syncs()
        self._hook_commits()
        sys.addaudithook(self._audit)

    def settled(self) -> None:
        """Say that a long time has passed."""
        self.look(Settled())

    def look(self, *more: Event) -> None:
        """Take note of what has changed since the last look, and of what is said."""
        with self._lock:
            if self._looking:
                return
            self._looking = True
            try:
                events = [*self._changes(), *more]
            finally:
                self._looking = False
            if events:
                self.steps.append(Step(self.phase, tuple(events), self._upstream()))

    # --- the tree -------------------------------------------------------------------------------------------------

    def _changes(self) -> Iterator[Event]:
        """Other threads may be at work: the tree is read until it reads the same twice."""
        before = None
        while (found := self._tree()) != before:
            before = found
        changes = []
        for folder, entries in found.items():
            known = self._known.get(folder, {})
            change: dict[str, int | None] = {name: ino for name, (ino, _) in entries.items() if known.get(name) != ino}
            change |= dict.fromkeys(known.keys() - entries.keys())
            for inode, path in entries.values():
                yield from self._seen(inode, path)
            if change:
                changes.append(Entries(folder, change))
                self._counts[folder] = self._counts.get(folder, 0) + 1
            self._known[folder] = {name: ino for name, (ino, _) in entries.items()}
        for folder in self._known.keys() - found.keys():
            self._known[folder] = {}
        yield from changes

    def _tree(self) -> dict[int, dict[str, tuple[int, str]]]:
        """Folder -> name -> inode and path; of no use to anybody if something vanishes while it is read."""
        found: dict[int, dict[str, tuple[int, str]]] = {}
        top = os.stat(self.root).st_ino
        waiting = [(top, str(self.root))]
        while waiting:
            folder, path = waiting.pop()
            found[folder] = {}
            with contextlib.suppress(FileNotFoundError), os.scandir(path) as entries:
                for entry in entries:
                    if entry.name not in self._unseen:
                        found[folder][entry.name] = entry.inode(), entry.path
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append((entry.inode(), entry.path))
        return found

    def _seen(self, inode: int, path: str) -> Iterator[Event]:
        try:
            now = os.lstat(path)
            if now.st_ino != inode:
                return
            if inode not in self._looks:
                self._pins.append(os.open(path, os.O_PATH | os.O_NOFOLLOW))
                yield Made(inode, now.st_mode, os.readlink(path) if stat.S_ISLNK(now.st_mode) else "")
            look = now.st_size, now.st_mtime_ns, now.st_mode
            if self._looks.get(inode) != look and stat.S_ISREG(now.st_mode):
                yield Written(inode, now.st_mode, Path(path).read_bytes())
            self._looks[inode] = look
        except FileNotFoundError:
            if inode not in self._looks:
                self._looks[inode] = (0, 0, 0)
                yield Made(inode, stat.S_IFREG | 0o600)

    # --- hooks ----------------------------------------------------------------------------------------------------

    def _audit(self, event: str, values: tuple[Any, ...]) -> None:
        """Called before each operation: what the one before it did can be seen now."""
        renames = event == "ctypes.dlsym" and values[1] == "renameat2"
        writes = event == "open" and isinstance(values[2], int) and values[2] & _WRITING
        if renames or writes or event in _CHANGING:
            self.look()

    def _hook_syncs(self) -> None:
        for name in ("fsync", "fdatasync"):
            setattr(os, name, self._noting(getattr(os, name)))
        getitem = ctypes.CDLL.__getitem__

        def syncfs(_descriptor: int) -> int:
            self.look(*self._all_unnamed(), Settled())
            return 0

        def found(library: ctypes.CDLL, name: str) -> Any:
            return syncfs if name == "syncfs" else getitem(library, name)

        ctypes.CDLL.__getitem__ = found  # type: ignore[method-assign, assignment]

    def _noting(self, sync: Callable[[int], None]) -> Callable[[int], None]:
        def synced(descriptor: int) -> None:
            self.look()
            found = os.fstat(descriptor)
            with self._lock:
                count = self._counts.get(found.st_ino, 0)
            if stat.S_ISDIR(found.st_mode):
                sync(descriptor)
                self.look(SyncedFolder(found.st_ino, count))
                return
            data = Path(f"/proc/self/fd/{descriptor}").read_bytes()
            sync(descriptor)
            with self._lock:
                made = self._unnamed(descriptor, found)
                self.look(*made, Written(found.st_ino, found.st_mode, data), Synced(found.st_ino, data))

        return synced

    def _all_unnamed(self) -> Iterator[Event]:
        """The open files that have no name yet, as they are now."""
        device = self.root.stat().st_dev
        for number in map(int, os.listdir("/proc/self/fd")):
            with contextlib.suppress(OSError):  # that of the list itself, or another thread's
                found = os.fstat(number)
                if stat.S_ISREG(found.st_mode) and found.st_nlink == 0 and found.st_dev == device:
                    yield from self._unnamed(number, found)
                    yield Written(found.st_ino, found.st_mode, Path(f"/proc/self/fd/{number}").read_bytes())

    def _unnamed(self, descriptor: int, found: os.stat_result) -> list[Event]:
        """A file that has no name yet (O_TMPFILE) is seen for the first time when it is synced."""
        if found.st_ino in self._looks:
            return []
        self._pins.append(os.dup(descriptor))
        self._looks[found.st_ino] = found.st_size, found.st_mtime_ns, found.st_mode
        return [Made(found.st_ino, found.st_mode)]

    def _hook_commits(self) -> None:
        recording, connect = self, sqlite3.connect

        class Connection(sqlite3.Connection):
            is_full = False
            writes = False

            def execute(self, sql: str, values: Any = ()) -> sqlite3.Cursor:
                cursor = super().execute(sql, values)
                if sql.startswith("PRAGMA"):
                    self.is_full = sql.endswith("FULL") or (self.is_full and not sql.endswith("NORMAL"))
                    self.writes = True
                elif sql == "COMMIT":
                    recording.look(Committed(zlib.compress(self.serialize(), 1), self.is_full))
                return cursor

            def close(self) -> None:
                if self.writes:  # the last connection to close moves all into the file, and syncs it
                    recording.look(Committed(zlib.compress(self.serialize(), 1), durable=True))
                super().close()

        def connected(*values: Any, **more: Any) -> sqlite3.Connection:
            return connect(*values, **more, factory=Connection)

        sqlite3.connect = connected  # type: ignore[assignment]

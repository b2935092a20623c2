"""A model of a disk that loses power: what was written, what of it was made durable, and what a crash may leave.

Deliberately harsher than ext4: a file's bytes are durable by an fsync of the file, an entry of a folder by an fsync of
that folder, and by nothing else. Of what was not made durable, any part may be lost.
"""

import os
import random
import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

INDEX = "index.sqlite3"
"""The index is not replayed by its writes: SQLite's WAL loses the latest commits, and nothing else."""


@dataclass(frozen=True, slots=True)
class Made:
    """A file, folder or link was seen for the first time; `target` is the link's."""

    inode: int
    mode: int
    target: str = ""


@dataclass(frozen=True, slots=True)
class Entries:
    """Entries of a folder came, went or changed, all at once: name -> inode, None for one that went."""

    folder: int
    changes: dict[str, int | None]


@dataclass(frozen=True, slots=True)
class Written:
    """A file's bytes and mode as they can be read now."""

    inode: int
    mode: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Synced:
    """A file's bytes are durable."""

    inode: int
    data: bytes


@dataclass(frozen=True, slots=True)
class SyncedFolder:
    """The first `changes` changes of a folder's entries are durable."""

    inode: int
    changes: int


@dataclass(frozen=True, slots=True)
class Committed:
    """The index after a transaction (compressed); `durable` if it was synced to the disk."""

    image: bytes
    durable: bool


@dataclass(frozen=True, slots=True)
class Settled:
    """So much time passed that everything is durable."""


Event = Made | Entries | Written | Synced | SyncedFolder | Committed | Settled


@dataclass(frozen=True, slots=True)
class Step:
    """What happened between two looks. `upstream` counts what the service had taken by then, by kind."""

    phase: int
    events: tuple[Event, ...]
    upstream: dict[str, int]


@dataclass
class Folder:
    changes: list[dict[str, int | None]] = field(default_factory=list)
    durable: int = 0

    def entries(self, count: int) -> dict[str, int]:
        found: dict[str, int | None] = {}
        for change in self.changes[:count]:
            found |= change
        return {name: inode for name, inode in found.items() if inode is not None}


@dataclass
class File:
    mode: int
    target: str = ""
    data: bytes = b""
    durable: bytes | None = None


@dataclass(frozen=True)
class Crash:
    """How much of what is not durable a crash leaves: `entries` and `index` are `none`, `all` or `some`; data too."""

    entries: str
    data: str
    index: str


CRASHES = (
    Crash("none", "none", "all"),
    Crash("all", "some", "none"),
    Crash("none", "some", "some"),
    Crash("none", "none", "none"),
    Crash("all", "all", "all"),
)
"""The last is a kill -9 without a power loss."""


class Disk:
    """The disk after some of the recorded steps. `root` is the inode of the folder under which all is."""

    def __init__(self, root: int) -> None:
        self.root = root
        self.folders: dict[int, Folder] = {root: Folder()}
        self.files: dict[int, File] = {root: File(stat.S_IFDIR)}
        self.commits: list[bytes] = []
        self.durable_commits = 0

    def play(self, step: Step) -> None:
        """Do what a step did."""
        for event in step.events:
            match event:
                case Made(inode, mode, target):
                    if stat.S_ISDIR(mode):
                        self.folders[inode] = Folder()
                    self.files[inode] = File(mode, target)
                case Entries(folder, changes):
                    self.folders[folder].changes.append(changes)
                case Written(inode, mode, data):
                    self.files[inode].mode, self.files[inode].data = mode, data
                case Synced(inode, data):
                    self.files[inode].durable = data
                case SyncedFolder(inode, changes):
                    self.folders[inode].durable = max(self.folders[inode].durable, changes)
                case Committed(image, durable):
                    self.commits.append(image)
                    if durable:
                        self.durable_commits = len(self.commits)
                case Settled():
                    self._settle()

    def _settle(self) -> None:
        self.durable_commits = len(self.commits)
        for folder in self.folders.values():
            folder.durable = len(folder.changes)
        for file in self.files.values():
            file.durable = file.data

    def leave(self, crash: Crash, chance: random.Random, place: Path) -> None:
        """Make `place` what a crash leaves."""
        made: dict[int, Path] = {}
        index = self._index(crash.index, chance)
        for path, inode in self._tree(self.root, place, crash, chance):
            file = self.files[inode]
            if inode in made:
                os.link(made[inode], path, follow_symlinks=False)
            elif stat.S_ISDIR(file.mode):
                path.mkdir()
                if path.name == ".attachsync" and index is not None:
                    (path / INDEX).write_bytes(zlib.decompress(index))
            elif stat.S_ISLNK(file.mode):
                path.symlink_to(file.target)
            else:
                path.write_bytes(_left(file, crash.data, chance))
                path.chmod(stat.S_IMODE(file.mode))
                made[inode] = path

    def _tree(self, folder: int, place: Path, crash: Crash, chance: random.Random) -> Iterator[tuple[Path, int]]:
        yield place, folder
        found = self.folders[folder]
        for name, inode in found.entries(_some(crash.entries, found.durable, len(found.changes), chance)).items():
            if inode in self.folders:
                yield from self._tree(inode, place / name, crash, chance)
            else:
                yield place / name, inode

    def _index(self, much: str, chance: random.Random) -> bytes | None:
        count = _some(much, self.durable_commits, len(self.commits), chance)
        return self.commits[count - 1] if count else None


def _some(much: str, least: int, most: int, chance: random.Random) -> int:
    return {"none": least, "all": most}.get(much) or chance.randint(least, most) if much != "none" else least


def _left(file: File, much: str, chance: random.Random) -> bytes:
    """What can be read of a file: its durable bytes; or what was written since, whole, cut short, or zeros in part."""
    if much == "all" or file.durable == file.data:
        return file.data
    if much == "none":
        return file.durable or b""
    size = chance.randint(0, len(file.data))
    return file.data[:size] + bytes(chance.choice((0, len(file.data) - size)))

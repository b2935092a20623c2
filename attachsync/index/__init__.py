"""The index: what is known upstream, what we have, what was sent. A file that can be lost and made again."""

from pathlib import Path

from attachsync.index.attachments import Attachments
from attachsync.index.changes import Changes
from attachsync.index.database import FILE, Database
from attachsync.index.entries import Entry, Stored, Taken, Wanted
from attachsync.index.naming import Naming
from attachsync.index.removals import Removals
from attachsync.index.reports import Filter, Reports
from attachsync.index.tracks import Tracks
from attachsync.index.upkeep import Kept, Upkeep
from attachsync.index.uploads import Upload, Uploads

__all__ = ["Entry", "Filter", "Index", "Kept", "Stored", "Taken", "Upload", "Wanted"]


class Index:
    """One connection to the index, by subject. The only place that knows SQL is this package."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.naming = Naming(database)
        self.attachments = Attachments(database, self.naming)
        self.removals = Removals(database)
        self.tracks = Tracks(database)
        self.uploads = Uploads(database)
        self.reports = Reports(database)
        self.changes = Changes(database)
        self.upkeep = Upkeep(database)

    @classmethod
    def open(cls, folder: Path, *, check: bool = False) -> "Index":
        """Open (or make) the index in `folder` for writing; `check` all of it. StorageError, IndexDamagedError."""
        return cls(Database.open(folder, check=check))

    @classmethod
    def peek(cls, folder: Path) -> "Index":
        """Open the index for reading, beside a daemon. Raises StorageError."""
        return cls(Database.peek(folder))

    @staticmethod
    def is_in(folder: Path) -> bool:
        """Whether there is an index in `folder`."""
        return (folder / FILE).exists()

    def close(self) -> None:
        """Close it."""
        self.database.close()

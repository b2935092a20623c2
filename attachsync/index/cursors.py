"""How far each feed of a track was listed."""

import json

from attachsync.index.database import Database
from attachsync.model import JSON


class TrackCursors:
    """One track's cursors, read from the index as a source asks for them."""

    def __init__(self, database: Database, track: str, *, thorough: bool) -> None:
        self._db = database
        self._track = track
        self.thorough = thorough

    def get(self, feed: str) -> JSON:
        """The cursor of a feed, or None."""
        row = self._db.row("SELECT value FROM cursor WHERE track = ? AND feed = ?", self._track, feed)
        cursor: JSON = None if row is None else json.loads(row["value"])
        return cursor

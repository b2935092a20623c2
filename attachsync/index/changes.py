"""The change feed: what became of attachments and dropped files, in order, each with a cursor (`follow`, hooks)."""

import sqlite3
import uuid

from attachsync.errors import CursorError
from attachsync.index.database import Database
from attachsync.model import JSON
from attachsync.units import rfc3339

_EPOCH = "epoch"
_MOST = 1_000_000
"""So many changes are kept."""
_SELECT = """SELECT seq, change.at, event, change.path, change.sha256, change.size, change.reason, account, track,
             attachment.key, outbox, name, upload.id AS upload,
             coalesce(attachment.media_type, upload.media_type) AS media_type
             FROM change LEFT JOIN attachment ON attachment.id = change.attachment
             LEFT JOIN upload ON upload.id = change.upload WHERE seq > ? ORDER BY seq LIMIT ?"""


class Changes:
    """The rows of `change`. A cursor is `EPOCH-NUMBER`: the epoch is this index's, another one counts anew."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def begin(self) -> None:
        """Give the feed its epoch, if it has none, and forget its oldest part when it is very long."""
        if self._db.noted(_EPOCH) is None:
            self._db.note(_EPOCH, uuid.uuid4().hex[:8])
        self._db.run("DELETE FROM change WHERE seq <= ?", self._last() - _MOST)

    def end(self) -> str:
        """The cursor of the newest change."""
        return self._cursor(self._last())

    def since(self, cursor: str | None, limit: int) -> list[dict[str, JSON]]:
        """The changes after a cursor (None: from the oldest kept), as they are shown. Raises CursorError."""
        return [self._shown(row) for row in self._db.rows(_SELECT, self._number(cursor), limit)]

    def behind(self, cursor: str) -> int:
        """How many changes there are after a cursor. Raises CursorError."""
        return self._last() - self._number(cursor)

    def _last(self) -> int:
        row = self._db.row("SELECT max(seq) AS seq FROM change")
        return 0 if row is None or row["seq"] is None else int(row["seq"])

    def _cursor(self, number: int) -> str:
        return f"{self._db.noted(_EPOCH) or ''}-{number}"

    def _number(self, cursor: str | None) -> int:
        if cursor is None:
            return 0
        epoch, dash, number = cursor.rpartition("-")
        if not dash or not number.isdecimal() or len(number) > 18:
            raise CursorError(f"{cursor!r} is no cursor: take the one that a change came with")
        if epoch != self._db.noted(_EPOCH):
            raise CursorError(f"the cursor {cursor!r} is of an index that is no more: begin again, without --since")
        return int(number)

    def _shown(self, row: sqlite3.Row) -> dict[str, JSON]:
        dropped = {"outbox": row["outbox"], "file": row["name"]}
        listed = {"account": row["account"], "track": row["track"], "key": row["key"]}
        return {
            "cursor": self._cursor(row["seq"]),
            "event": row["event"],
            "at": rfc3339(row["at"]),
            **(listed if row["upload"] is None else dropped),
            **{name: row[name] for name in ("path", "sha256", "size", "media_type")},
            "reason": row["reason"] or None,
        }

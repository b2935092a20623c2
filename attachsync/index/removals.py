"""What leaves the mirror on purpose: rows are marked first, and their bytes go when nothing else holds them."""

from collections.abc import Iterable

from attachsync.index.attachments import Entry, entry_of
from attachsync.index.database import Database
from attachsync.model import Digest

_GONE = "removed upstream, and so here, as `on_gone` says"


class Removals:
    """Rows of `attachment` with `kept = 0`; what is still to be taken away has `withdrawn = 1` too."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def vanish(self, track: str, keys: Iterable[str]) -> None:
        """Mark what is no more upstream: each a key or, with a `/` at the end, all keys below."""
        for key in keys:
            end = key[:-1] + "0" if key.endswith("/") else key + "\0"
            self._mark("track = ? AND kept AND key >= ? AND key < ?", _GONE, track, key, end)

    def outlive(self, track: str, before: float, reason: str) -> None:
        """Mark what was mirrored before a moment (Unix time)."""
        self._mark("track = ? AND kept AND state = 'stored' AND mirrored_at < ?", reason, track, before)

    def _mark(self, which: str, reason: str, *values: object) -> None:
        sql = f"""UPDATE attachment SET state = 'gone', reason = ?, digest = NULL, check_at = NULL, kept = 0,
                  withdrawn = shown IS NOT NULL WHERE {which}"""
        self._db.run(sql, reason, *values)

    def leaving(self, track: str, limit: int) -> list[Entry]:
        """Rows that are marked, and not taken away yet."""
        sql = "SELECT * FROM attachment WHERE track = ? AND kept = 0 AND withdrawn ORDER BY id LIMIT ?"
        return [entry_of(row) for row in self._db.rows(sql, track, limit)]

    def forget_past(self, entry: Entry) -> list[Digest]:
        """Drop what is known of a row's older contents; their digests, and the row's own, that nothing else holds."""
        mine = [row["digest"] for row in self._db.rows("SELECT digest FROM past WHERE attachment = ?", entry.id)]
        with self._db.transaction():
            self._db.run("DELETE FROM past WHERE attachment = ?", entry.id)
            digests = dict.fromkeys([*mine, *([entry.shown] if entry.shown else [])])
            return [Digest(digest) for digest in digests if not self._held(digest, entry.id)]

    def _held(self, digest: str, besides: int) -> bool:
        sql = """SELECT 1 FROM attachment WHERE shown = ?1 AND id != ?2 AND kept
                 UNION SELECT 1 FROM past WHERE digest = ?1 AND attachment != ?2"""
        return self._db.row(sql, digest, besides) is not None

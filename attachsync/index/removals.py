"""What leaves the mirror on purpose: marked first, durably, then taken away (`retain`, `on_gone`, `prune`)."""

from collections.abc import Iterable

from attachsync.index.database import Database
from attachsync.index.entries import LISTED, Entry, entry_of
from attachsync.index.upkeep import Kept
from attachsync.model import Digest

_OLD = "track = ? AND kept = 1 AND state = 'stored' AND mirrored_at < ?"
_OUTDATED = """attachment INDEXED BY attachment_outdated WHERE track = ?1 AND digest IS NULL AND kept
               AND shown IS NOT NULL AND NOT withdrawn AND mirrored_at < ?2"""
"""It shows what it was before it changed."""
_CHANGED = """WITH RECURSIVE changed (id) AS (SELECT min(attachment) FROM past UNION ALL
              SELECT (SELECT min(attachment) FROM past WHERE attachment > id) FROM changed WHERE id IS NOT NULL)
              SELECT {} FROM changed CROSS JOIN attachment USING (id)"""
"""Attachments that have older versions: each is looked up once, however many those are."""
_MINE = f"{_CHANGED.format('attachment.id')} WHERE track = ?1"
_PAST = f"past INDEXED BY past_attachment WHERE attachment IN ({_MINE}) AND mirrored_at < ?2"
GONE = "removed upstream, and so here, as `on_gone` says"
"""The reason of rows that are work again when the service lists them again: what else was removed never is."""
HIDDEN = """UPDATE attachment SET path = NULL, shown = NULL, withdrawn = 0,
            mirrored_at = iif(kept, NULL, mirrored_at) WHERE id = ?"""
"""What a row showed was taken away on purpose: what is not lost; when that was mirrored is told of what was removed."""
_HELD = """SELECT 1 FROM attachment WHERE shown = ?1 UNION ALL SELECT 1 FROM past WHERE digest = ?1
           UNION ALL SELECT 1 FROM coming CROSS JOIN attachment ON attachment.id = coming.attachment
           WHERE coming.digest = ?1 AND json_extract(record, '$.sha256') = ?1
           AND json_extract(record, '$.size') IS NOT NULL AND attachment.digest IS NULL AND kept"""
"""Shown, or to leave `files/` still; shown before; or fetched, to be shown: once only, or that would not be noted."""


class Removals:
    """Rows of `attachment` with `kept = 0`, of which `withdrawn = 1` may be shown still; and those of `leaving`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    # --- marking ------------------------------------------------------------------------------------------------

    def vanish(self, track: str, keys: Iterable[str]) -> None:
        """Mark what is no more upstream: each a key or, with a `/` at the end, all keys below."""
        for key in keys:
            end = key[:-1] + "0" if key.endswith("/") else key + "\0"
            self._mark("track = ? AND kept AND key >= ? AND key < ?", GONE, track, key, end)

    def changed(self) -> set[str]:
        """The tracks that have older versions of anything."""
        return {row["track"] for row in self._db.each(_CHANGED.format("DISTINCT track"))}

    def is_outlived(self, track: str, before: float, *, changed: bool) -> bool:
        """Whether anything was mirrored before a moment (Unix time): what is shown, or was once if it `changed`."""
        places = [f"attachment WHERE {_OLD}", _OUTDATED, *([_PAST] if changed else [])]
        return any(self._db.row(f"SELECT 1 FROM {place} LIMIT 1", track, before) is not None for place in places)

    def outlive(self, track: str, before: float, reason: str) -> None:
        """Mark what was mirrored before a moment (Unix time), but for what is `outdated`."""
        with self._db.transaction(durable=True):
            self._mark(_OLD, reason, track, before)
            self._db.run(f"INSERT OR IGNORE INTO leaving SELECT digest FROM {_PAST}", track, before)
            self._db.run(f"DELETE FROM {_PAST}", track, before)

    def outdated(self, track: str, before: float, limit: int) -> list[Entry]:
        """Attachments that show what was mirrored before a moment, changed since, and could not be had again.

        They are work still; only what they show is to leave, and is `hidden` then.
        """
        sql = f"SELECT *, {LISTED} FROM {_OUTDATED} ORDER BY id LIMIT ?3"
        return [entry_of(row) for row in self._db.rows(sql, track, before, limit)]

    def remove(self, items: Iterable[Kept], digests: Iterable[str], reason: str) -> None:
        """Mark these attachments, or older versions of them; these digests leave the store if nothing needs them."""
        with self._db.transaction(durable=True):
            self._db.date()
            for item in items:
                if item.past:
                    self._db.run("DELETE FROM past WHERE attachment = ? AND digest = ?", item.row, item.digest)
                else:
                    self._withdraw("id = ?", reason, item.row)
            for digest in digests:
                self._db.run("INSERT OR IGNORE INTO leaving VALUES (?)", digest)

    def _mark(self, which: str, reason: str, *values: object) -> None:
        """Mark rows with all they were before."""
        with self._db.transaction(durable=True):
            self._db.date()
            rows = f"SELECT id FROM attachment WHERE {which}"
            shown = f"SELECT shown FROM attachment WHERE shown IS NOT NULL AND {which}"
            self._db.run(f"INSERT OR IGNORE INTO leaving {shown}", *values)
            old = f"SELECT digest FROM past WHERE attachment IN ({rows})"
            self._db.run(f"INSERT OR IGNORE INTO leaving {old}", *values)
            self._db.run(f"DELETE FROM past WHERE attachment IN ({rows})", *values)
            self._withdraw(which, reason, *values)

    def _withdraw(self, which: str, reason: str, *values: object) -> None:
        sql = f"""UPDATE attachment SET state = 'gone', reason = ?, digest = NULL, check_at = NULL, kept = 0,
                  withdrawn = shown IS NOT NULL WHERE {which}"""
        self._db.run(sql, reason, *values)

    # --- taking away --------------------------------------------------------------------------------------------

    def marked(self, limit: int, account: str | None = None) -> list[Entry]:
        """Attachments (of one account, or of all) that are marked, and may be shown still."""
        mine = "kept = 0 AND withdrawn AND (?2 IS NULL OR account = ?2)"
        sql = f"SELECT *, {LISTED} FROM attachment WHERE {mine} ORDER BY id LIMIT ?1"
        return [entry_of(row) for row in self._db.rows(sql, limit, account)]

    def is_in_use(self, path: str, besides: int) -> bool:
        """Whether something that is kept shows a path, besides one row."""
        sql = "SELECT 1 FROM attachment WHERE path = ? AND shown IS NOT NULL AND kept AND NOT withdrawn AND id != ?"
        return self._db.row(sql, path, besides) is not None

    def hidden(self, entry: Entry) -> None:
        """What an attachment showed has left `files/`; its bytes are to leave the store, too."""
        with self._db.transaction():
            if entry.shown:
                self._db.run("INSERT OR IGNORE INTO leaving VALUES (?)", entry.shown)
            self._db.run(HIDDEN, entry.id)

    def leaving(self) -> list[Digest]:
        """Bytes that are to leave the store."""
        return [Digest(row["digest"]) for row in self._db.rows("SELECT digest FROM leaving")]

    def is_held(self, digest: str) -> bool:
        """Whether something shows these bytes, showed them before, or is to show them and could not get them again."""
        return self._db.row(_HELD, digest) is not None

    def left(self, digest: str) -> None:
        """Bytes have left the store, or stay because something shows them."""
        self._db.run("DELETE FROM leaving WHERE digest = ?", digest)
        if not self.is_held(digest):
            self._db.run("DELETE FROM checked WHERE digest = ?", digest)

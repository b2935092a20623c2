"""What is known of attachments: taken from listings, worked off by the mirror."""

import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence

from attachsync.canonical import compact
from attachsync.index.cursors import TrackCursors
from attachsync.index.database import Database
from attachsync.index.entries import LISTED, Entry, Stored, Taken, Wanted, entry_of
from attachsync.index.naming import Naming, as_json
from attachsync.index.removals import GONE, HIDDEN
from attachsync.index.schema import COMES
from attachsync.model import Attachment, Digest, Facts, Page, State

_SAY = "INSERT OR REPLACE INTO listing VALUES (?, ?)"
_COMES = COMES.format("id = ?")


class Attachments:
    """The rows of `attachment`, `listing`, `past` and `cursor`."""

    def __init__(self, database: Database, naming: Naming) -> None:
        self._db = database
        self._naming = naming

    # --- listing ------------------------------------------------------------------------------------------------

    def take(self, account: str, track: str, page: Page, now: float) -> Taken:
        """Take a page's items and its marks, in one transaction. A changed version makes its row work again.

        So does it that what the service said was gone (`on_gone`) is there again. What else was removed stays so,
        also where another track lists it, or the same bytes are stated under another version.
        """
        if not page.items and not page.marks:
            return Taken(page.unchanged)
        items = {item.key: item for item in reversed(page.items)}
        with self._db.transaction():
            known = self._known(track, items)
            new = [item for key, item in items.items() if key not in known]
            changed = [item for key, item in items.items() if key in known and _is_to_come(known[key], item)]
            self._insert(account, list(reversed(new)), self._removed(account, new), now)
            for item in changed:
                self._change(known[item.key]["id"], item, now)
            again = 0
            for key in items.keys() & known.keys():
                again += self._refresh(known[key], items[key])
                if items[key].recheck:
                    again += self._db.run("UPDATE attachment SET check_at = ? WHERE id = ?", now, known[key]["id"])
            for feed, cursor in page.marks.items():
                sql = "INSERT INTO cursor VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value"
                self._db.run(sql, track, feed, compact(cursor))
        return Taken(len(items) + page.unchanged, len(new), len(changed), again)

    def unknown(self, account: str, track: str, page: Page) -> list[Attachment]:
        """The items of a page that would be work if it were taken, and are not yet; nothing is written."""
        known = self._known(track, [item.key for item in page.items])
        removed = self._removed(account, [item for item in page.items if item.key not in known])
        changed = (item for item in page.items if item.key not in known or _is_to_come(known[item.key], item))
        return [item for item in changed if item.key not in removed]

    def _known(self, track: str, keys: Collection[str]) -> dict[str, sqlite3.Row]:
        # CROSS: each key is looked up; the planner would rather look through all rows of the track.
        sql = f"""SELECT attachment.id, attachment.key, version, stated, content, {LISTED}, wanted,
                 NOT kept AND reason = ?1 AS gone, NOT kept AND state = 'gone' AND reason <> ?1 AS removed
                 FROM json_each(?2) AS asked
                 CROSS JOIN attachment ON attachment.track = ?3 AND attachment.key = asked.value"""
        return {row["key"]: row for row in self._db.each(sql, GONE, compact(list(keys)), track)}

    def _removed(self, account: str, items: Collection[Attachment]) -> dict[str, str]:
        """Key -> why, of those whose content was removed where another track listed it, and that none has still."""
        asked = {item.key: item for item in items}
        sql = """SELECT old.key, old.version, old.stated, old.reason FROM json_each(?1) AS asked
                 CROSS JOIN attachment AS old ON old.account = ?2 AND old.key = asked.value
                 WHERE old.kept = 0 AND old.state = 'gone' AND old.reason <> ?3 AND NOT EXISTS (
                   SELECT 1 FROM track CROSS JOIN attachment AS other ON other.track = track.name
                   WHERE track.account = ?2 AND other.key = old.key AND other.kept)"""
        rows = self._db.each(sql, compact(list(asked)), account, GONE) if asked else ()
        return {row["key"]: row["reason"] for row in rows if _is_same(row, asked[row["key"]])}

    def _insert(self, account: str, items: Sequence[Attachment], removed: Mapping[str, str], now: float) -> None:
        """`removed`: key -> why it is not to come."""
        row = self._db.row("SELECT coalesce(max(id), 0) FROM attachment")
        assert row is not None
        numbered = list(enumerate(items, row[0] + 1))
        sql = """INSERT OR FAIL INTO attachment (id, account, track, key, version, wanted, media_type, size, stated,
                 content, meta, listed_at, state, reason, kept)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '{}', ?, ?, ?, ?)"""
        work, gone = (State.WAITING.value, "", 1), {key: (State.GONE.value, why, 0) for key, why in removed.items()}
        rows = [
            (id, account, item.track, item.key, *_described(item), now, *gone.get(item.key, work))
            for id, item in numbered
        ]
        self._db.many(sql, rows)
        self._db.many(_SAY, [(id, compact(item.meta)) for id, item in numbered])
        self._naming.listed(account, items)

    def _change(self, row: int, item: Attachment, now: float) -> None:
        sql = """UPDATE attachment SET version = ?, wanted = ?, media_type = ?, size = ?, stated = ?, content = ?,
                 listed_at = ?, record = '{}', state = 'waiting', reason = '', digest = NULL,
                 failures = 0, retry_at = 0, check_at = NULL, attempted = 0, kept = 1,
                 mirrored_at = iif(kept, mirrored_at, NULL) WHERE id = ?"""
        self._db.run(sql, *_described(item), now, row)
        self._db.run(_SAY, row, compact(item.meta))

    def _refresh(self, known: sqlite3.Row, item: Attachment) -> bool:
        """Keep what else was said; another name for the same content makes the row work, which needs no download.

        Whether it does.
        """
        wanted, meta = as_json(item.path), compact(item.meta)
        said = (meta, wanted, item.content, item.version)
        if _is_to_come(known, item) or tuple(known[one] for one in ("listed", "wanted", "content", "version")) == said:
            return False
        sql = "UPDATE attachment SET wanted = ?, content = ?, version = ? WHERE id = ?"
        self._db.run(sql, *said[1:], known["id"])
        self._db.run(_SAY, known["id"], meta)
        if known["wanted"] != wanted:
            again = "UPDATE attachment SET digest = NULL, state = 'waiting', retry_at = 0, attempted = 0 WHERE id = ?"
            self._db.run(again + " AND digest IS NOT NULL", known["id"])
            self._db.run(_COMES, known["id"])
        return bool(known["wanted"] != wanted)

    def cursors(self, track: str, *, thorough: bool = False) -> TrackCursors:
        """How far each feed of a track was listed; `thorough` as `Cursors` has it."""
        return TrackCursors(self._db, track, thorough=thorough)

    # --- work ---------------------------------------------------------------------------------------------------

    def work(self, account: str, wanted: Wanted) -> list[Entry]:
        """Rows without a digest. Those never tried come first, so that nothing that keeps failing delays them."""
        sql = f"""SELECT *, {LISTED} FROM attachment WHERE digest IS NULL AND kept AND account = ?2
                 AND (attempted < ?1 OR NOT ?3) AND (?4 IS NULL OR retry_at <= ?4)
                 AND track IN (SELECT value FROM json_each(?5)) AND id NOT IN (SELECT value FROM json_each(?6))
                 ORDER BY attempted, id LIMIT ?7"""
        return self._wanted(sql, account, wanted)

    def stale(self, account: str, wanted: Wanted) -> list[Entry]:
        """Stored rows whose service record is due to be asked again."""
        sql = f"""SELECT *, {LISTED} FROM attachment WHERE digest IS NOT NULL AND account = ?2
                 AND (attempted < ?1 OR NOT ?3) AND check_at <= ?4 AND track IN (SELECT value FROM json_each(?5))
                 AND id NOT IN (SELECT value FROM json_each(?6)) ORDER BY check_at LIMIT ?7"""
        return self._wanted(sql, account, wanted)

    def unread(self, account: str, wanted: Wanted) -> list[Entry]:
        """Stored rows whose content may have changed, and could not be read again when that was last tried."""
        sql = f"""SELECT *, {LISTED} FROM attachment INDEXED BY attachment_unread
                 WHERE digest IS NOT NULL AND failures > 0 AND account = ?2 AND (attempted < ?1 OR NOT ?3)
                 AND (?4 IS NULL OR check_at <= ?4) AND track IN (SELECT value FROM json_each(?5))
                 AND id NOT IN (SELECT value FROM json_each(?6)) ORDER BY check_at LIMIT ?7"""
        return self._wanted(sql, account, wanted)

    def _wanted(self, sql: str, account: str, wanted: Wanted) -> list[Entry]:
        tracks, busy = compact(list(wanted.tracks)), compact(list(wanted.busy))
        rows = self._db.rows(sql, wanted.turn, account, wanted.once, wanted.now, tracks, busy, wanted.limit)
        return sorted(map(entry_of, rows), key=lambda entry: entry.id)

    def taken_up(self, entries: Collection[Entry], turn: int) -> set[int]:
        """Rows are tried in a pass: not again in the same one, and after those that were not.

        The ids of those whose version has not changed since they were looked up; the others are work anew.
        """
        if not entries:
            return set()
        sql = """UPDATE attachment SET attempted = ?1 FROM (
                   SELECT json_extract(value, '$[0]') AS row, json_extract(value, '$[1]') AS listed FROM json_each(?2)
                 ) AS asked WHERE id = asked.row AND version = asked.listed RETURNING id"""
        listed = compact([(entry.id, entry.attachment.version) for entry in entries])
        with self._db.transaction():
            return {row["id"] for row in self._db.rows(sql, turn, listed)}

    def twin(self, account: str, content: str) -> tuple[Digest, int, str | None] | None:
        """Digest, size and media type of content that the same account fetched before."""
        sql = "SELECT digest, size, media_type FROM attachment WHERE account = ? AND content = ? AND digest IS NOT NULL"
        row = self._db.row(sql, account, content)
        return None if row is None else (Digest(row["digest"]), row["size"], row["media_type"])

    # --- outcomes -----------------------------------------------------------------------------------------------

    def inspected(self, entry: Entry, facts: Facts, check_at: float | None) -> None:
        """Keep what the service's record said, and when to ask again (None: never)."""
        sql = """UPDATE attachment SET record = ?, check_at = ?, failures = iif(digest IS NULL, failures, 0),
                 reason = iif(digest IS NULL, reason, '') WHERE id = ? AND version = ?"""
        with self._db.transaction():
            self._db.run(sql, compact(facts.record), check_at, entry.id, entry.attachment.version)
            self._db.run(_COMES, entry.id)

    def not_read(self, entry: Entry, reason: str, check_at: float) -> None:
        """What a stored row shows may have changed, and could not be read again; when that is to be tried."""
        sql = """UPDATE attachment SET failures = failures + 1, reason = ?, check_at = ?
                 WHERE id = ? AND version = ? AND digest IS NOT NULL"""
        self._db.run(sql, reason, check_at, entry.id, entry.attachment.version)

    def check_again(self, entry: Entry, check_at: float) -> None:
        """Ask the service's record again at another time: it could not be asked now."""
        self._db.run("UPDATE attachment SET check_at = ? WHERE id = ?", check_at, entry.id)

    def stored(self, many: Sequence[Stored], now: float) -> list[bool]:
        """The bytes of these, each another row's, are durable and shown.

        False, and nothing written, where the version changed meanwhile. A row that was marked for removal meanwhile
        stays marked: what it shows now is to leave too. The same bytes under another name are as old as they were.
        """
        sql = """UPDATE OR FAIL attachment SET digest = iif(kept, ?1, NULL), shown = ?1, size = ?2, path = ?4,
                 media_type = coalesce(?3, media_type), state = iif(kept, 'stored', state),
                 mirrored_at = iif(shown = ?1, coalesce(mirrored_at, ?5), ?5),
                 reason = iif(kept, '', reason), withdrawn = NOT kept, failures = 0, retry_at = 0,
                 record = ?8, check_at = ?9 WHERE id = ?6 AND version = ?7"""
        rows = [one.row(now) for one in many]
        with self._db.transaction():
            self._db.date()
            is_whole = self._db.many(sql, rows) == len(rows)
            # To see which, it is done again, one by one: a second time changes nothing.
            written = [True] * len(rows) if is_whole else [self._db.run(sql, *row) > 0 for row in rows]
            past = [one.past(now) for one, is_written in zip(many, written, strict=True) if is_written and one.is_newer]
            self._db.many("INSERT INTO past VALUES (?, ?, ?, ?, ?)", past)
            asked = [(one.entry.id,) for one in many if one.said is None]
            self._db.many("DELETE FROM coming WHERE attachment = ?", asked)
        return written

    def settled(
        self,
        entry: Entry,
        state: State,
        reason: str,
        retry_at: float,
        *,
        failed: bool = True,
        over: bool = False,
        rule: str = "",
    ) -> None:
        """The row stays work, or leaves `files/` (quarantine): state, why, and when to try again; never if `over`.

        `rule`: which one of ours keeps it out.
        """
        sql = """UPDATE attachment SET state = ?, reason = ?, retry_at = ?, failures = failures + ?, kept = ?
                 WHERE id = ? AND version = ? AND kept"""
        due = 0.0 if over else retry_at
        with self._db.transaction():
            self._db.date()
            self._db.run(sql, state, reason, due, int(failed), int(not over), entry.id, entry.attachment.version)
            if rule:
                self._db.run("INSERT OR REPLACE INTO refused VALUES (?, ?)", entry.id, rule)

    def withdraw(self, entry: Entry, state: State, facts: Facts, retry_at: float) -> None:
        """The row's entry is to leave `files/`, durably; it is work again, under `state`. Undone only by `hidden`."""
        sql = """UPDATE attachment SET state = ?, reason = ?, record = ?, retry_at = ?, check_at = NULL, digest = NULL,
                 withdrawn = 1 WHERE id = ?"""
        with self._db.transaction(durable=True):
            self._db.date()
            self._db.run(sql, state, facts.reason, compact(facts.record), retry_at, entry.id)
            self._db.run(_COMES, entry.id)

    def hidden(self, entry: Entry) -> None:
        """The row's entry has left `files/`."""
        self._db.run(HIDDEN, entry.id)

    def shows(self, path: str, digest: Digest, besides: int) -> tuple[bool, bool]:
        """(another row in good standing shows `path`, another one shows the same bytes)."""
        sql = "SELECT 1 FROM attachment WHERE {} = ? AND id != ? AND state = 'stored'"
        same_path = self._db.row(sql.format("path"), path, besides)
        return same_path is not None, self._db.row(sql.format("shown"), digest, besides) is not None

    def shown(self) -> Iterator[tuple[str, Digest]]:
        """(path, digest) of everything shown under `files/`, by path."""
        sql = "SELECT DISTINCT path, shown FROM attachment WHERE path IS NOT NULL AND shown IS NOT NULL ORDER BY path"
        return ((row["path"], Digest(row["shown"])) for row in self._db.each(sql))


def _is_to_come(known: sqlite3.Row, item: Attachment) -> bool:
    """Whether what a row is about has come in another version, or came back."""
    is_other = not _is_same(known, item) if known["removed"] else known["version"] != item.version
    return bool(is_other or known["gone"])


def _is_same(removed: sqlite3.Row, item: Attachment) -> bool:
    """Whether this is what was removed: that version, or the bytes that were stated for it."""
    return bool(removed["version"] == item.version or (item.sha256 and removed["stated"] == item.sha256))


def _described(item: Attachment) -> tuple[object, ...]:
    return (
        item.version,
        as_json(item.path),
        item.media_type,
        item.size,
        item.sha256,
        item.content,
    )

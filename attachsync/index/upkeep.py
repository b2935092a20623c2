"""What looking after the store needs to know: what was checked, what nobody tracks, what is to leave (contract 4)."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from attachsync.canonical import compact
from attachsync.index.database import Database
from attachsync.index.schema import COMES
from attachsync.model import Digest
from attachsync.retry import DAY

_LONGEST = 2 * DAY
"""Nothing is put off for longer than a day."""
REBUILT = "rebuilt"
"""The note of an index that was made anew: when, why, and where the old one is (JSON)."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Something that the index knows to be kept. `row` is the attachment's; `past`: an older version of it."""

    row: int
    account: str
    track: str
    key: str
    path: str | None
    digest: Digest | None
    size: int | None
    past: bool = False


_KEPT = """SELECT id AS row, account, track, attachment.key, path, shown AS digest,
           CASE WHEN shown = digest THEN size END AS size, 0 AS past FROM attachment WHERE kept AND {}"""
_PAST = """SELECT id AS row, account, track, attachment.key, past.path, past.digest, NULL AS size, 1 AS past
           FROM past JOIN attachment ON attachment.id = past.attachment WHERE {}"""
_HELD = """SELECT 1 FROM attachment WHERE shown = ?1 AND kept UNION ALL SELECT 1 FROM past WHERE digest = ?1"""


class Upkeep:
    """The rows of `checked`, `untracked`, `leaving` and `found`, and what of the others concerns them."""

    def __init__(self, database: Database) -> None:
        self._db = database

    # --- what was checked -----------------------------------------------------------------------------------------

    def good(self, digests: Iterable[str], at: float) -> None:
        """These were re-hashed at `at` (Unix time), and good."""
        with self._db.transaction():
            for digest in digests:
                sql = "INSERT INTO checked VALUES (?, ?) ON CONFLICT DO UPDATE SET at = excluded.at"
                self._db.run(sql, digest, at)

    def good_since(self, digest: str, at: float) -> bool:
        """Whether this was re-hashed, and good, since a moment."""
        return self._db.row("SELECT 1 FROM checked WHERE digest = ? AND at >= ?", digest, at) is not None

    def least_checked(self, limit: int, before: float) -> list[Digest]:
        """What was checked longest ago, before a moment; what never was counts from when it was stored."""
        sql = """SELECT digest, coalesce((SELECT at FROM checked WHERE checked.digest = known.digest), max(since)) AS at
                 FROM (SELECT shown AS digest, mirrored_at AS since FROM attachment WHERE shown IS NOT NULL AND kept
                       UNION ALL SELECT digest, mirrored_at FROM past) AS known
                 GROUP BY digest HAVING coalesce(at, 0) < ? ORDER BY at, digest LIMIT ?"""
        return [Digest(row["digest"]) for row in self._db.rows(sql, before, limit)]

    def count(self) -> int:
        """How many digests the store should hold."""
        sql = "SELECT count(*) AS n FROM (SELECT shown FROM attachment WHERE kept AND shown IS NOT NULL UNION {})"
        row = self._db.row(sql.format("SELECT digest FROM past"))
        return 0 if row is None else row["n"]

    # --- damage ---------------------------------------------------------------------------------------------------

    def is_expected(self, digest: str) -> bool:
        """Whether the store should hold these bytes now."""
        sql = """SELECT 1 FROM attachment WHERE shown = ?1 AND kept AND NOT withdrawn
                 UNION ALL SELECT 1 FROM past WHERE digest = ?1"""
        return self._db.row(sql, digest) is not None

    def is_shown(self, path: str, digest: str | None) -> bool:
        """Whether a path is to show these bytes."""
        return self._db.row("SELECT 1 FROM attachment WHERE path = ? AND shown = ?", path, digest) is not None

    def entries(self, digest: str) -> list[str]:
        """The paths that show these bytes."""
        sql = "SELECT DISTINCT path FROM attachment WHERE shown = ? AND kept AND NOT withdrawn AND path IS NOT NULL"
        return [row["path"] for row in self._db.rows(sql, digest)]

    def lost(self, digest: str, reason: str) -> list[int]:
        """The bytes of a digest are lost, and nothing shows them: attachments that did are work again. Their ids."""
        sql = """UPDATE attachment SET digest = NULL, path = NULL, shown = NULL, withdrawn = 0, retry_at = 0,
                 attempted = 0, failures = 0, state = 'waiting', reason = ? WHERE shown = ? AND kept RETURNING id"""
        with self._db.transaction():
            self._db.run("DELETE FROM checked WHERE digest = ?", digest)
            lost = [row["id"] for row in self._db.rows(sql, reason, digest)]
            self._db.run(COMES.format("id IN (SELECT value FROM json_each(?))"), compact(lost))
        return lost

    def doubt(self, digest: str) -> None:
        """The service is to be asked about what has these bytes: it states others."""
        self._db.run("UPDATE attachment SET check_at = 0 WHERE digest = ?", digest)

    # --- what waits -------------------------------------------------------------------------------------------------

    def mend_times(self, now: float) -> None:
        """What is put off for longer than anything ever is, was so by a clock that was ahead: it is due now."""
        latest = now + _LONGEST
        with self._db.transaction():
            sql = "UPDATE attachment SET retry_at = ? WHERE digest IS NULL AND kept AND retry_at > ?"
            self._db.run(sql, now, latest)
            sql = """UPDATE attachment SET check_at = ? WHERE digest IS NOT NULL AND check_at > ?
                     AND account IN (SELECT account FROM track)"""  # by the index, which has the account first
            self._db.run(sql, now, latest)
            self._db.run(
                "UPDATE upload SET retry_at = ? WHERE state IN ('retry', 'posting') AND retry_at > ?", now, latest
            )

    # --- what is to be removed --------------------------------------------------------------------------------------

    def of_rows(self, rows: Collection[int]) -> list[Kept]:
        """These attachments, and what they were before."""
        chosen = "id IN (SELECT value FROM json_each(?))"
        return self._kept(f"{_KEPT.format(chosen)} UNION ALL {_PAST.format(chosen)}", compact(list(rows)), twice=True)

    def at_path(self, path: str) -> list[int]:
        """Ids of the attachments that are shown at a path."""
        return [row["id"] for row in self._db.rows("SELECT id FROM attachment WHERE path = ? AND kept", path)]

    def identified(self, what: str) -> list[int]:
        """Ids of the attachments that have this upstream identity."""
        sql = "SELECT id FROM attachment WHERE kept AND (key = ?1 OR track || '/' || key = ?1 OR content = ?1)"
        return [row["id"] for row in self._db.rows(sql, what)]

    def of_digest(self, digest: str) -> list[Kept]:
        """Everything that is, or was, these bytes."""
        return self._kept(
            f"{_KEPT.format('shown = ?')} UNION ALL {_PAST.format('past.digest = ?')}", digest, twice=True
        )

    def digests_like(self, low: str, high: str) -> set[str]:
        """Known digests from `low` up to `high`."""
        sql = """SELECT shown AS digest FROM attachment WHERE kept AND shown >= ?1 AND shown < ?2
                 UNION SELECT digest FROM past WHERE digest >= ?1 AND digest < ?2"""
        return {row["digest"] for row in self._db.rows(sql, low, high)}

    def older(self, before: float, spared: Collection[str]) -> list[Kept]:
        """What was mirrored before a moment, but for what the spared tracks show; older versions in any case."""
        shown = "shown IS NOT NULL AND mirrored_at < ?1 AND track NOT IN (SELECT value FROM json_each(?2))"
        past = "past.mirrored_at < ?1"
        return self._kept(f"{_KEPT.format(shown)} UNION ALL {_PAST.format(past)}", before, compact(list(spared)))

    def of_tracks(self, tracks: Collection[str]) -> list[Kept]:
        """What these tracks show, and what it was before."""
        chosen = "track IN (SELECT value FROM json_each(?))"
        shown = _KEPT.format(f"shown IS NOT NULL AND {chosen}")
        return self._kept(f"{shown} UNION ALL {_PAST.format(chosen)}", compact(list(tracks)), twice=True)

    def _kept(self, sql: str, *values: object, twice: bool = False) -> list[Kept]:
        rows = self._db.rows(f"{sql} ORDER BY past, row", *values, *(values if twice else ()))
        return [Kept(**{**dict(row), "past": bool(row["past"])}) for row in rows]

    def holders(self, digest: str) -> set[tuple[int, bool]]:
        """(row, whether it is an older version) of everything that needs these bytes."""
        sql = "SELECT id, 0 AS past FROM attachment WHERE shown = ?1 AND kept UNION SELECT attachment, 1 FROM past {}"
        return {(row["id"], bool(row["past"])) for row in self._db.rows(sql.format("WHERE digest = ?1"), digest)}

    def is_known(self, digest: str) -> bool:
        """Whether anything accounts for these bytes: shown, shown before, or sent."""
        sql = f"""{_HELD} UNION ALL SELECT 1 FROM upload WHERE sha256 = ?1 AND state = 'sent'"""
        return self._db.row(sql, digest) is not None

    def just_fetched(self) -> set[str]:
        """Bytes that were fetched, and are not shown yet."""
        sql = "SELECT DISTINCT json_extract(record, '$.sha256') AS digest FROM attachment WHERE digest IS NULL AND kept"
        return {row["digest"] for row in self._db.each(sql) if row["digest"]}

    def evidence(self) -> set[str]:
        """All words in what is said of attachments whose bytes are in quarantine: their digests are among them."""
        sql = """SELECT reason, stated, json_extract(record, '$.sha256') AS recorded FROM attachment
                 WHERE state IN ('mismatch', 'quarantined')"""
        said = (f"{row['reason']} {row['stated']} {row['recorded']}" for row in self._db.each(sql))
        return {word.strip(",;:") for text in said for word in text.split()}

    # --- since when something is untracked --------------------------------------------------------------------------

    def notice_tracks(self, tracks: Collection[str], now: float) -> None:
        """Take note of tracks that were listed before and are not in the config any more."""
        sql = "SELECT name FROM track WHERE name NOT IN (SELECT value FROM json_each(?))"
        self.notice("track", [row["name"] for row in self._db.rows(sql, compact(list(tracks)))], now)

    def notice(self, kind: str, found: Collection[str], now: float) -> None:
        """Exactly these are untracked; those that were so already stay so since then."""
        with self._db.transaction():
            for what in self.untracked(kind).keys() - set(found):
                self._db.run("DELETE FROM untracked WHERE kind = ? AND what = ?", kind, what)
            for what in found:
                self._db.run("INSERT OR IGNORE INTO untracked VALUES (?, ?, ?)", kind, what, now)

    def untracked(self, kind: str) -> dict[str, float]:
        """What is untracked -> since when (Unix time)."""
        rows = self._db.rows("SELECT what, since FROM untracked WHERE kind = ? ORDER BY what", kind)
        return {row["what"]: row["since"] for row in rows}

    def never_listed(self, tracks: Collection[str]) -> list[str]:
        """Those of these tracks that were never listed whole: what they would show is not known."""
        whole = {row["name"] for row in self._db.rows("SELECT name FROM track WHERE complete_at IS NOT NULL")}
        return [track for track in tracks if track not in whole]

    # --- what files/ showed before the index was lost ----------------------------------------------------------------

    def survey(self, objects: Iterable[tuple[int, str]], entries: Iterable[tuple[str, int | None, str | None]]) -> None:
        """Take down (inode, digest) of what is stored, and (path, inode, digest) of what is shown."""
        with self._db.transaction():
            self._db.run("CREATE TEMP TABLE object (inode INTEGER PRIMARY KEY, digest TEXT NOT NULL)")
            for inode, digest in objects:
                self._db.run("INSERT OR REPLACE INTO object VALUES (?, ?)", inode, digest)
            self._db.run("DELETE FROM found")
            for path, entry, known in entries:
                sql = "INSERT INTO found VALUES (?, coalesce(?, (SELECT digest FROM object WHERE inode = ?)))"
                self._db.run(sql, path, known, entry)

    def take_found(self, path: str) -> tuple[bool, Digest | None]:
        """(whether a path was shown before, which bytes it showed, if known); it is told once."""
        rows = self._db.rows("DELETE FROM found WHERE path = ? RETURNING digest", path)
        return bool(rows), Digest(rows[0]["digest"]) if rows and rows[0]["digest"] else None

    def was_found(self, path: str) -> bool:
        """Whether a path was shown before."""
        return self._db.row("SELECT 1 FROM found WHERE path = ?", path) is not None

    def found_below(self, start: str, *, whole: bool) -> list[str]:
        """Paths that were shown before and begin so; `whole`: and go on with an extension."""
        low, high = (start + ".", start + "/") if whole else (start, start + "\U0010ffff")
        sql = "SELECT path FROM found WHERE path >= ? AND path < ? ORDER BY path"
        return [row["path"] for row in self._db.rows(sql, low, high)]

    def is_catching_up(self) -> bool:
        """Whether something that is listed was never mirrored, and is to be tried still."""
        sql = """SELECT 1 FROM attachment WHERE digest IS NULL AND kept AND mirrored_at IS NULL
                 AND state IN ('waiting', 'failed')"""
        return self._db.row(sql) is not None

    def has_found(self) -> bool:
        """Whether anything is left that was shown before and has not come up again."""
        return self._db.row("SELECT 1 FROM found") is not None

    def drop_found(self) -> None:
        """All was listed again: what has not come up will not."""
        self._db.run("DELETE FROM found")

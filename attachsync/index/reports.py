"""Questions that people ask: `ls`, `show`, `status`, `verify`. Reads only."""

import fnmatch
import functools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from attachsync import media, names
from attachsync.canonical import compact
from attachsync.index.database import Database
from attachsync.index.entries import LISTED
from attachsync.index.schema import TALLIED
from attachsync.model import JSON, Digest
from attachsync.units import rfc3339


@dataclass(frozen=True, slots=True)
class Filter:
    """What `ls` shows; None or empty is everything. `since` is Unix time."""

    account: str | None = None
    track: str | None = None
    since: float | None = None
    media_type: str | None = None
    state: str | None = None


def _matches(media_type: str, pattern: str) -> bool:
    """With its parameters, as `ls` shows it, or without."""
    return any(fnmatch.fnmatchcase(one, pattern) for one in (media_type.lower(), media.bare(media_type)))


class Reports:
    """Reading the index for people and their scripts."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def listing(self, wanted: Filter) -> Iterator[dict[str, JSON]]:
        """The attachments that `ls` shows, in the order in which they were first seen (contract 4), and `reason`."""
        sql = """SELECT * FROM attachment WHERE (?1 IS NULL OR account = ?1) AND (?2 IS NULL OR track = ?2)
                 AND (?3 IS NULL OR coalesce(mirrored_at, listed_at) >= ?3) AND (?4 IS NULL OR state = ?4)
                 ORDER BY id"""
        for row in self._db.each(sql, wanted.account, wanted.track, wanted.since, wanted.state):
            if wanted.media_type is None or _matches(row["media_type"] or "", wanted.media_type.lower()):
                yield {
                    "account": row["account"],
                    "track": row["track"],
                    "key": row["key"],
                    "path": row["path"],
                    "sha256": row["digest"],
                    "size": row["size"],
                    "media_type": row["media_type"],
                    "state": row["state"],
                    "mirrored_at": rfc3339(row["mirrored_at"]),
                    "reason": row["reason"],
                }

    def find(self, what: str) -> list[int]:
        """Row ids that `what` names: a digest or a prefix of one, a path in the mirror, or an upstream identity.

        A path where nothing is shown may be that of one that is gone, or has yet to come.
        """
        ids = self._ids("key = ?1 OR path = ?1 OR track || '/' || key = ?1 OR content = ?1", what)
        if not ids and "/" in what:  # the service's name for the content (`blobs/…`), or for what it is attached to
            ids = self._ids("content = ?1 OR key >= ?2 AND key < ?3", what.rpartition("/")[2], f"{what}#", f"{what}$")
        if not ids and len(what) >= 4 and not set(what.lower()) - set("0123456789abcdef"):
            low, high = what.lower(), what.lower() + "g"
            past = "id IN (SELECT attachment FROM past WHERE digest >= ?1 AND digest < ?2)"
            ids = self._ids(f"(shown >= ?1 AND shown < ?2) OR {past}", low, high)
        if not ids and what.startswith("files/"):
            owner = "SELECT owner FROM name WHERE fold = ?1 AND path = ?2"
            past = "SELECT attachment FROM past WHERE path = ?2"
            ids = self._ids(f"account || char(0) || key IN ({owner}) OR id IN ({past})", names.fold(what), what)
        return ids

    def _ids(self, condition: str, *values: object) -> "list[int]":
        return [row["id"] for row in self._db.each(f"SELECT id FROM attachment WHERE {condition} ORDER BY id", *values)]

    def describe(self, row_id: int) -> dict[str, JSON]:
        """All that is known of one attachment (`show`)."""
        row = self._db.row(f"SELECT *, {LISTED} FROM attachment WHERE id = ?", row_id)
        assert row is not None
        past = self._db.rows("SELECT * FROM past WHERE attachment = ? ORDER BY replaced_at", row_id)
        return {
            "account": row["account"],
            "track": row["track"],
            "key": row["key"],
            "path": row["path"],
            "sha256": row["digest"],
            "size": row["size"],
            "media_type": row["media_type"],
            "state": row["state"],
            "reason": row["reason"] or None,
            "mirrored_at": rfc3339(row["mirrored_at"]),
            "listed_at": rfc3339(row["listed_at"]),
            "stated_sha256": row["stated"],
            "shown_sha256": row["shown"],
            "version": row["version"],
            "wanted": json.loads(row["wanted"]),
            "failures": row["failures"],
            "next_attempt": rfc3339(row["retry_at"]) if row["digest"] is None and row["retry_at"] else None,
            "next_check": rfc3339(row["check_at"]),
            "listing": json.loads(row["listed"]),
            "record": json.loads(row["record"]),
            "history": [
                {
                    "sha256": old["digest"],
                    "path": old["path"],
                    "mirrored_at": rfc3339(old["mirrored_at"]),
                    "replaced_at": rfc3339(old["replaced_at"]),
                }
                for old in past
            ],
        }

    def totals(self) -> tuple[int, int]:
        """(objects, bytes) that the store should hold for what is shown now."""
        counted = """SELECT count(*) AS objects, coalesce(sum(size), 0) AS bytes FROM
                     (SELECT max(size) AS size FROM attachment WHERE digest IS NOT NULL GROUP BY digest)"""
        row = self._db.row("SELECT objects, bytes FROM total" if self._db.noted(TALLIED) else counted)
        assert row is not None
        return row["objects"], row["bytes"]

    def digests(self) -> Iterator[Digest]:
        """Every digest the store should hold, once each, in order."""
        sql = """SELECT shown AS digest FROM attachment WHERE shown IS NOT NULL UNION SELECT digest FROM past
                 ORDER BY digest"""
        return (Digest(row["digest"]) for row in self._db.each(sql))

    def outstanding(self, track: str) -> Iterator[tuple[str, str, int | None, str | None, str]]:
        """(key, path, size, media type, why not yet) of what is listed on a track, but not mirrored, and to be."""
        sql = """SELECT attachment.key, name.path, size, media_type, reason FROM attachment
                 LEFT JOIN name ON name.owner = account || char(0) || attachment.key AND name.wanted = attachment.wanted
                 WHERE digest IS NULL AND kept AND track = ? ORDER BY id"""
        for row in self._db.each(sql, track):
            yield row["key"], row["path"] or "", row["size"], row["media_type"], row["reason"]

    def contradictions(self) -> Iterator[tuple[str, Digest, str]]:
        """(path, digest, what the service states) of what is shown, and is not what the service states now."""
        sql = """SELECT path, shown, stated, json_extract(record, '$.sha256') AS recorded, state FROM attachment
                 WHERE shown IS NOT NULL AND kept AND (digest IS NOT NULL AND (stated != digest OR recorded != digest)
                 OR state = 'mismatch')"""
        for row in self._db.each(sql):
            said = {row["stated"], row["recorded"]} - {None, row["shown"]}
            yield row["path"], Digest(row["shown"]), " and ".join(sorted(said)) or "something else"

    def lost(self) -> Iterator[tuple[str, str]]:
        """(account and key, state and why) of what was mirrored, is not there, and has not come again."""
        sql = """SELECT account || ': ' || key AS what, state || ', ' || reason AS why FROM attachment
                 WHERE digest IS NULL AND shown IS NULL AND kept AND mirrored_at IS NOT NULL
                 AND state IN ('waiting', 'failed', 'mismatch', 'gone')"""
        for row in self._db.each(sql):
            yield row["what"], row["why"]

    def holds(self, digest: str) -> bool:
        """Whether anything known has, or had, these bytes; what was sent may have been kept for the mirror."""
        sql = """SELECT 1 FROM attachment WHERE shown = ?1 UNION ALL SELECT 1 FROM past WHERE digest = ?1
                 UNION ALL SELECT 1 FROM upload WHERE sha256 = ?1 AND state = 'sent'"""
        return self._db.row(sql, digest) is not None or digest in self._waiting

    @functools.cached_property
    def _waiting(self) -> set[str]:
        """Bytes that were taken out of `files/`, and are stored still, until the service says more of them."""
        sql = """SELECT json_extract(record, '$.sha256') AS digest FROM attachment
                 WHERE digest IS NULL AND shown IS NULL AND kept AND state = 'waiting'"""
        return {row["digest"] for row in self._db.each(sql)}

    def showing_of(self, paths: Sequence[str]) -> dict[str, Digest]:
        """Path -> the digest that it should show, of those that should show any."""
        sql = """SELECT attachment.path, shown FROM json_each(?) AS asked
                 CROSS JOIN attachment ON attachment.path = asked.value WHERE shown IS NOT NULL"""
        return {row["path"]: Digest(row["shown"]) for row in self._db.each(sql, compact(list(paths)))}

    def showing(self, path: str) -> Digest | None:
        """The digest that `path` should show, if any."""
        return self.showing_of([path]).get(path)

"""What is known of tracks: when they were last listed, and with what success."""

import dataclasses
import json
from collections.abc import Mapping, Sequence

from attachsync.canonical import canonical, compact
from attachsync.completeness import Completeness, counted
from attachsync.doubts import Doubts
from attachsync.index.database import Database
from attachsync.index.entries import Taken
from attachsync.index.schema import TALLIED
from attachsync.model import State

_FULL_TURN = "turn"


def _pass(track: str) -> str:
    """The key of the fact under which it is kept what the last pass over a track listed."""
    return f"pass/{track}"


def _doubts(track: str) -> str:
    """The key of the fact under which a track's doubts are kept."""
    return f"doubts/{track}"


def _awaited(track: str) -> str:
    """The key of the fact under which it is kept what a track's list waits for."""
    return f"awaited/{track}"


class Tracks:
    """The rows of `track`, and the number of the pass."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def next_turn(self) -> int:
        """The number of a new pass: higher than any before, whatever the clock does."""
        with self._db.transaction():
            turn = int(self._db.noted(_FULL_TURN) or "0") + 1
            self._db.note(_FULL_TURN, str(turn))
        return turn

    def begin(self, name: str, account: str, identity: Mapping[str, object], rules: Mapping[str, object]) -> None:
        """A listing begins. If the keys changed that decide what is listed, the track's cursors are dropped.

        If those changed that decide what may be shown, what the service says of it is asked again.
        """
        now = account, canonical(identity), canonical(rules)
        known = self._db.row("SELECT account, fingerprint, rules FROM track WHERE name = ?", name)
        if known is not None and tuple(known) == now:
            return
        with self._db.transaction():
            if known is not None and known["fingerprint"] != now[1]:
                self._db.run("DELETE FROM cursor WHERE track = ?", name)
                self._db.run("DELETE FROM meta WHERE key = ?", _doubts(name))
            if known is not None and known["rules"] != now[2]:
                self._db.run("UPDATE attachment SET check_at = 0 WHERE track = ? AND digest IS NOT NULL", name)
            self._db.run(
                """INSERT INTO track (name, account, fingerprint, rules) VALUES (?, ?, ?, ?)
                   ON CONFLICT DO UPDATE SET account = excluded.account, fingerprint = excluded.fingerprint,
                   rules = excluded.rules""",
                name,
                *now,
            )

    def same(self, name: str, identity: Mapping[str, object]) -> bool:
        """Whether a track still lists what its cursors were made for."""
        known = self._db.row("SELECT fingerprint FROM track WHERE name = ?", name)
        return known is not None and known["fingerprint"] == canonical(identity)

    def end(
        self,
        name: str,
        error: str,
        began: float | None,
        now: float,
        seen: Taken | None = None,
        awaited: str = "",
    ) -> None:
        """A pass over a track ended, and brought what was `seen`; `error` is empty when its listing was whole.

        `awaited`: what the service does not have ready yet to be listed, which is no failure.
        """
        with self._db.transaction():
            self._db.run(
                """UPDATE track SET ended_at = ?1, error = ?2, complete_at = iif(?2 = '', ?1, complete_at),
                   error_since = iif(?2 = '', NULL, coalesce(error_since, ?1)),
                   started_at = coalesce(?4, started_at) WHERE name = ?3""",
                now,
                error,
                name,
                began,
            )
            if seen is not None and seen != self._seen(name):
                self._db.note(_pass(name), canonical(dataclasses.asdict(seen)))
            if awaited != self.awaited(name):
                self._db.note(_awaited(name), awaited)

    def awaited(self, name: str) -> str:
        """What a track's list waits for; empty if for nothing."""
        return self._db.noted(_awaited(name)) or ""

    def _seen(self, name: str) -> Taken:
        """What the last pass over a track listed."""
        return Taken(**json.loads(self._db.noted(_pass(name)) or "{}"))

    def doubts(self, name: str) -> Doubts:
        """What is suspicious of what the service says of a track."""
        noted = json.loads(self._db.noted(_doubts(name)) or "{}")
        doubts = Doubts(**{**noted, "refused": tuple(noted.get("refused", ()))})
        sql = "SELECT id FROM attachment WHERE id IN (SELECT value FROM json_each(?)) AND digest IS NOT NULL"
        stored = self._db.rows(sql, compact(doubts.refused)) if doubts.refused else ()
        return doubts.among({row["id"] for row in stored})

    def counted(self, name: str, named: int, now: float) -> None:
        """A listing that names everything was whole, and named so many things."""
        self._doubted(name, self.doubts(name).counted(named, now))

    def asked(self, name: str, row: int, now: float, *, refused: bool) -> None:
        """A stored attachment (its row's id) was asked about again."""
        self._doubted(name, self.doubts(name).asked(row, now, refused=refused))

    def _doubted(self, name: str, doubts: Doubts) -> None:
        if doubts != self.doubts(name):
            self._db.note(_doubts(name), canonical(dataclasses.asdict(doubts)))

    def counts(self, names: Sequence[str]) -> dict[str, dict[str, int]]:
        """Track -> state -> how many attachments, but for those removed on purpose, or over before they began."""
        found: dict[str, dict[str, int]] = {name: {} for name in names}
        for row in self._db.each(self._tally(), compact(list(names))):
            if row["kept"]:
                found[row["track"]][row["state"]] = row["n"]
        return found

    def _tally(self) -> str:
        """The query for (track, state, kept, n) of the tracks asked for."""
        mine = "track IN (SELECT value FROM json_each(?))"
        if self._db.noted(TALLIED):
            return f"SELECT track, state, kept, n FROM tally WHERE {mine} AND n > 0"
        return f"SELECT track, state, kept, count(*) AS n FROM attachment WHERE {mine} GROUP BY track, kept, state"

    def completeness(self, names: Sequence[str]) -> dict[str, Completeness]:
        """Track -> what became of all that it ever listed."""
        asked = compact(list(names))
        mine = "track IN (SELECT value FROM json_each(?))"
        states = self._tally()
        tried = f"""SELECT track, count(*) AS n FROM attachment INDEXED BY attachment_work
                    WHERE {mine} AND digest IS NULL AND kept AND attempted > 0
                    AND state = 'waiting' AND reason <> '' GROUP BY track"""
        rules = f"""SELECT track, coalesce(rule, iif(state = 'refused', 'other', 'scan')) AS rule, count(*) AS n
                    FROM attachment LEFT JOIN refused ON refused.attachment = id
                    WHERE {mine} AND kept = 1 AND state IN ('refused', 'quarantined') GROUP BY 1, 2"""
        with self._db.moment():
            counts = {sql: self._db.rows(sql, asked) for sql in (states, tried, rules)}
            seen = {name: self._seen(name) for name in names}
        found = {}
        for name in names:
            rows, waits, kept_out = ([row for row in counts[sql] if row["track"] == name] for sql in counts)
            found[name] = counted(
                [(State(row["state"]), bool(row["kept"]), row["n"]) for row in rows],
                {row["rule"]: row["n"] for row in kept_out},
                sum(row["n"] for row in waits),
                (seen[name].listed, seen[name].new + seen[name].changed),
            )
        return found

    def status(self, name: str) -> dict[str, object]:
        """started_at, ended_at, complete_at, error, error_since of a track; empty if it was never listed."""
        row = self._db.row(
            "SELECT started_at, ended_at, complete_at, error, error_since FROM track WHERE name = ?", name
        )
        return {} if row is None else dict(row)

    def unread(self, names: Sequence[str]) -> dict[str, str]:
        """Track -> what could not be read again of what it shows, as far as there is any."""
        sql = """SELECT track, count(*) AS n, max(reason) AS reason FROM attachment
                 WHERE digest IS NOT NULL AND failures > 0 AND +track IN (SELECT value FROM json_each(?))
                 GROUP BY track"""
        rows = self._db.rows(sql, compact(list(names)))
        return {row["track"]: f"{row['n']} of what it shows {row['reason']}" for row in rows}

    def next_due(self, account: str, tracks: Sequence[str]) -> float | None:
        """Unix time of the earliest retry or check due on these tracks of an account; None when nothing waits."""
        listed = "account = ? AND track IN (SELECT value FROM json_each(?))"
        retry = f"SELECT min(retry_at) AS at FROM attachment WHERE digest IS NULL AND kept AND {listed}"
        check = f"""SELECT check_at AS at FROM attachment WHERE digest IS NOT NULL AND check_at IS NOT NULL AND {listed}
                    ORDER BY check_at LIMIT 1"""
        asked = compact(list(tracks))
        found = [self._db.row(sql, account, asked) for sql in (retry, check)]
        return min((row["at"] for row in found if row is not None and row["at"] is not None), default=None)

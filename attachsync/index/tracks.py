"""What is known of tracks: when they were last listed, and with what success."""

import dataclasses
import json
from collections.abc import Mapping, Sequence

from attachsync.doubts import Doubts
from attachsync.index.attachments import canonical
from attachsync.index.database import Database

_FULL_TURN = "turn"


def _doubts(track: str) -> str:
    """The key of the fact under which a track's doubts are kept."""
    return f"doubts/{track}"


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

    def begin(
        self, name: str, account: str, identity: Mapping[str, object], rules: Mapping[str, object], now: float
    ) -> None:
        """A listing begins. If the keys changed that decide what is listed, the track's cursors are dropped.

        If those changed that decide what may be shown, what the service says of it is asked again.
        """
        fingerprint, shown_by = canonical(identity), canonical(rules)
        with self._db.transaction():
            known = self._db.row("SELECT fingerprint, rules FROM track WHERE name = ?", name)
            if known is not None and known["fingerprint"] != fingerprint:
                self._db.run("DELETE FROM cursor WHERE track = ?", name)
                self._db.run("DELETE FROM meta WHERE key = ?", _doubts(name))
            if known is not None and known["rules"] != shown_by:
                self._db.run("UPDATE attachment SET check_at = 0 WHERE track = ? AND digest IS NOT NULL", name)
            self._db.run(
                """INSERT INTO track (name, account, fingerprint, rules, started_at) VALUES (?, ?, ?, ?, ?)
                   ON CONFLICT DO UPDATE SET account = excluded.account, fingerprint = excluded.fingerprint,
                   rules = excluded.rules, started_at = excluded.started_at""",
                name,
                account,
                fingerprint,
                shown_by,
                now,
            )

    def same(self, name: str, identity: Mapping[str, object]) -> bool:
        """Whether a track still lists what its cursors were made for."""
        known = self._db.row("SELECT fingerprint FROM track WHERE name = ?", name)
        return known is not None and known["fingerprint"] == canonical(identity)

    def end(self, name: str, error: str, now: float) -> None:
        """A pass over a track ended; `error` is empty when its listing was whole."""
        self._db.run(
            """UPDATE track SET ended_at = ?1, error = ?2, complete_at = CASE WHEN ?2 = '' THEN ?1 ELSE complete_at END,
               error_since = CASE WHEN ?2 = '' THEN NULL ELSE coalesce(error_since, ?1) END WHERE name = ?3""",
            now,
            error,
            name,
        )

    def doubts(self, name: str) -> Doubts:
        """What is suspicious of what the service says of a track."""
        noted = json.loads(self._db.noted(_doubts(name)) or "{}")
        return Doubts(**{**noted, "refused": tuple(noted.get("refused", ()))})

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
        sql = """SELECT track, state, count(*) AS n FROM attachment
                 WHERE kept = 1 AND track IN (SELECT value FROM json_each(?)) GROUP BY track, state"""
        found: dict[str, dict[str, int]] = {name: {} for name in names}
        for row in self._db.each(sql, json.dumps(list(names))):
            found[row["track"]][row["state"]] = row["n"]
        return found

    def removed(self, name: str) -> int:
        """How many attachments of a track were removed on purpose."""
        sql = "SELECT count(*) AS n FROM attachment WHERE track = ? AND kept = 0 AND state = 'gone'"
        row = self._db.row(sql, name)
        return 0 if row is None else row["n"]

    def status(self, name: str) -> dict[str, object]:
        """started_at, ended_at, complete_at, error, error_since of a track; empty if it was never listed."""
        row = self._db.row(
            "SELECT started_at, ended_at, complete_at, error, error_since FROM track WHERE name = ?", name
        )
        return {} if row is None else dict(row)

    def next_due(self, account: str, tracks: Sequence[str]) -> float | None:
        """Unix time of the earliest retry or check due on these tracks of an account; None when nothing waits."""
        listed = "account = ? AND track IN (SELECT value FROM json_each(?))"
        retry = f"SELECT min(retry_at) AS at FROM attachment WHERE digest IS NULL AND kept AND {listed}"
        check = f"""SELECT check_at AS at FROM attachment WHERE digest IS NOT NULL AND check_at IS NOT NULL AND {listed}
                    ORDER BY check_at LIMIT 1"""
        asked = json.dumps(list(tracks))
        found = [self._db.row(sql, account, asked) for sql in (retry, check)]
        return min((row["at"] for row in found if row is not None and row["at"] is not None), default=None)

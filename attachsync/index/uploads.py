"""The journal of what is sent: written durably before each step that cannot be taken back (architecture 5)."""

import contextlib
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from attachsync.index.database import Database
from attachsync.model import Digest, Draft


@dataclass(frozen=True, slots=True)
class Upload:
    """One dropped file on its way.

    `state`: `sending` (a request may be under way), `retry` (it was not taken, try again), `uploaded`, `posting` (the
    message may be under way), `filing` (done upstream; receipt and move remain), `held` (waits for a person); ended:
    `sent`, `failed`, `dropped` (the file changed or went away first).
    """

    id: int
    outbox: str
    name: str
    draft: Draft
    state: str
    attempts: int
    unknown: int
    strikes: int
    receipt: Mapping[str, str]
    filed_as: str | None
    error: str
    retry_at: float
    attempted_at: float | None

    @property
    def possible_orphan(self) -> bool:
        """Whether an earlier attempt may have left a copy upstream that nobody knows the address of."""
        return self.unknown > 0


class Uploads:
    """The rows of `upload` and `deletion`. A step is durable when it returns, or when all that are `together` are."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def together(self, *, durable: bool) -> contextlib.AbstractContextManager[None]:
        """Several steps are all or nothing, and `durable` or not, whatever each of them is by itself."""
        return self._db.transaction(durable=durable)

    def open(self, outbox: str, name: str) -> Upload | None:
        """The upload of `name` that has not ended, if any."""
        row = self._db.row(
            "SELECT * FROM upload WHERE outbox = ? AND name = ? AND state NOT IN ('sent', 'failed', 'dropped')",
            outbox,
            name,
        )
        return None if row is None else _upload(row)

    def unfinished(self, outbox: str) -> list[Upload]:
        """All uploads of an outbox that have not ended."""
        sql = "SELECT * FROM upload WHERE outbox = ? AND state NOT IN ('sent', 'failed', 'dropped') ORDER BY id"
        return [_upload(row) for row in self._db.rows(sql, outbox)]

    def next_retry(self, outbox: str, now: float) -> float | None:
        """The earliest time (Unix) after `now` at which an upload is to be tried again."""
        sql = (
            "SELECT min(retry_at) AS at FROM upload WHERE outbox = ? AND state IN ('retry', 'posting') AND retry_at > ?"
        )
        row = self._db.row(sql, outbox, now)
        return None if row is None else row["at"]

    def waiting_for_person(self, outbox: str) -> int:
        """How many uploads are held."""
        row = self._db.row("SELECT count(*) AS n FROM upload WHERE outbox = ? AND state = 'held'", outbox)
        return 0 if row is None else int(row["n"])

    def begin(
        self,
        outbox: str,
        name: str,
        draft: Draft,
        now: float,
        *,
        again: Upload | None = None,
        copies: int = 0,
        kept: Mapping[str, str] | None = None,
    ) -> Upload:
        """Journal a new upload, durably, before its first request.

        `again`: the one of the same file that failed before, which is over; it may have left so many copies upstream.
        `kept`: what the receipt says of the one that is still good, where there is one.
        """
        state = "sending" if kept is None else "uploaded"
        with self._db.transaction(durable=True):
            if again is not None:
                self.end(again, "dropped", now, "it was tried again")
            said = json.dumps(kept or {})
            return self._insert(outbox, name, draft, now, state=state, attempts=1, unknown=copies, receipt=said)

    def failed(self, outbox: str, name: str, sha256: str) -> list[Upload]:
        """Uploads of these bytes that failed, of a file that had this name, or has it in failed/."""
        sql = """SELECT * FROM upload WHERE outbox = ?1 AND state = 'failed' AND sha256 = ?3
                 AND (name = ?2 OR filed_as = 'failed/' || ?2) ORDER BY id"""
        return [_upload(row) for row in self._db.rows(sql, outbox, name, sha256)]

    def dropped_as(self, outbox: str, place: str) -> str | None:
        """The name that the file had which was last filed as `place` below failed/."""
        sql = "SELECT name FROM upload WHERE outbox = ? AND state = 'failed' AND filed_as = ? ORDER BY id DESC LIMIT 1"
        row = self._db.row(sql, outbox, place)
        return None if row is None else str(row["name"])

    def refuse(
        self, outbox: str, name: str, draft: Draft, now: float, *, receipt: Mapping[str, str], filed_as: str
    ) -> Upload:
        """Journal a file that goes to failed/ without a request ever made."""
        said = json.dumps(receipt)
        return self._insert(outbox, name, draft, now, state="filing", attempts=0, receipt=said, filed_as=filed_as)

    def _insert(self, outbox: str, name: str, draft: Draft, now: float, **more: object) -> Upload:
        row = {
            "outbox": outbox,
            "name": name,
            "ticket": draft.ticket,
            "sha256": draft.sha256,
            "size": draft.size,
            "media_type": draft.media_type,
            "attempted_at": now,
            "updated_at": now,
            **more,
        }
        with self._db.transaction(durable=True):
            marks = ", ".join("?" for _ in row)
            self._db.run(f"INSERT INTO upload ({', '.join(row)}) VALUES ({marks})", *row.values())
            found = self.open(outbox, name)
        assert found is not None
        return found

    def again(self, upload: Upload, now: float) -> Upload:
        """Journal another attempt of the same bytes, durably."""
        changes = {"state": "sending", "attempts": upload.attempts + 1, "attempted_at": now, "error": ""}
        return self._set(upload, now, changes)

    def advance(
        self,
        upload: Upload,
        state: str,
        now: float,
        *,
        receipt: Mapping[str, str] | None = None,
        filed_as: str | None = None,
    ) -> Upload:
        """Journal a step taken (or about to be): what the receipt will say, and the place of file and receipt.

        A place begins with `sent/` or `failed/`.
        """
        said = upload.receipt if receipt is None else dict(receipt)
        place = filed_as or upload.filed_as
        changes = {"state": state, "receipt": said, "filed_as": place, "error": "", "retry_at": 0.0}
        return self._set(upload, now, changes)

    def postpone(
        self,
        upload: Upload,
        error: str,
        retry_at: float,
        now: float,
        *,
        state: str,
        unknown: bool = False,
        strike: bool = False,
    ) -> Upload:
        """An attempt did not succeed: `state` is `retry`, `uploaded`, `posting` or `held`.

        `unknown`: it may have left a copy upstream. `strike`: it counts towards holding the file for a person.
        """
        with self._db.transaction(durable=True):
            found = self.open(upload.outbox, upload.name) or upload  # a person may have said `outbox retry` meanwhile
            counts = {"unknown": found.unknown + unknown, "strikes": found.strikes + strike}
            if strike:
                verb = "INSERT OR IGNORE" if found.strikes else "INSERT OR REPLACE"
                self._db.run(f"{verb} INTO doubt VALUES (?, ?)", upload.id, now)
            return self._set(upload, now, {"state": state, "error": error, "retry_at": retry_at, **counts})

    def doubted_since(self, upload: Upload) -> float | None:
        """When (Unix time) the first of its strikes was, since a person last looked at it; None if it has none."""
        row = self._db.row("SELECT since FROM doubt WHERE upload = ?", upload.id) if upload.strikes else None
        return None if row is None else float(row["since"])

    def end(self, upload: Upload, state: str, now: float, error: str = "") -> None:
        """The upload ended: sent, failed or dropped. Should power loss undo it, filing again changes nothing."""
        with self._db.transaction():
            self._set(upload, now, {"state": state, "error": error, "retry_at": 0.0}, durable=False)
            if upload.strikes:
                self._db.run("DELETE FROM doubt WHERE upload = ?", upload.id)

    def release(self, outbox: str, name: str, now: float) -> bool:
        """`outbox retry`: a held or waiting upload may go on at once, one that was uploaded with its message."""
        sql = """UPDATE upload SET retry_at = 0, strikes = 0, updated_at = ?,
                 state = CASE WHEN state <> 'held' THEN state WHEN receipt = '{}' THEN 'retry' ELSE 'posting' END
                 WHERE outbox = ? AND name = ? AND state NOT IN ('sent', 'failed', 'dropped')"""
        return self._db.run(sql, now, outbox, name) > 0

    def _set(self, upload: Upload, now: float, changes: dict[str, Any], *, durable: bool = True) -> Upload:
        """Change a row; it as it is then."""
        row = changes | ({"receipt": json.dumps(changes["receipt"])} if "receipt" in changes else {})
        sql = f"UPDATE upload SET {', '.join(f'{name} = ?' for name in row)}, updated_at = ? WHERE id = ?"
        with self._db.transaction(durable=durable):
            self._db.run(sql, *row.values(), now, upload.id)
        return replace(upload, **changes)

    def ended(self, outbox: str, name: str) -> tuple[str, str] | None:
        """(state, place) of the last upload of a name that came to an end."""
        sql = """SELECT state, coalesce(filed_as, '') AS place FROM upload WHERE outbox = ? AND name = ?
                 AND state IN ('sent', 'failed') ORDER BY id DESC LIMIT 1"""
        row = self._db.row(sql, outbox, name)
        return None if row is None else (row["state"], row["place"])

    def counts(self, outbox: str) -> dict[str, int]:
        """State -> how many uploads of an outbox."""
        sql = "SELECT state, count(*) AS n FROM upload WHERE outbox = ? GROUP BY state"
        return {row["state"]: row["n"] for row in self._db.each(sql, outbox)}

    # --- what is in the way -------------------------------------------------------------------------------------

    def note_trouble(self, outbox: str, of: str, error: str) -> None:
        """What keeps the `files` or the `deletions` of an outbox from going on; empty: nothing does any more."""
        fact = f"trouble/{of}/{outbox}"
        if error != (self._db.noted(fact) or ""):
            self._db.note(fact, error)

    def troubles(self, outbox: str) -> list[str]:
        """What `note_trouble` was told last."""
        facts = [self._db.noted(f"trouble/{of}/{outbox}") for of in ("files", "deletions")]
        return [fact for fact in facts if fact]

    # --- deletions ----------------------------------------------------------------------------------------------

    def held(self, outbox: str) -> dict[str, bool]:
        """Receipt name -> confirmed, of the deletions that wait."""
        rows = self._db.rows("SELECT name, confirmed FROM deletion WHERE outbox = ? ORDER BY name", outbox)
        return {row["name"]: bool(row["confirmed"]) for row in rows}

    def hold(self, outbox: str, names: set[str], now: float) -> None:
        """Make exactly `names` the deletions that wait; those already confirmed stay so."""
        with self._db.transaction():
            for name in self.held(outbox).keys() - names:
                self._db.run("DELETE FROM deletion WHERE outbox = ? AND name = ?", outbox, name)
            for name in names:
                self._db.run("INSERT OR IGNORE INTO deletion VALUES (?, ?, ?, 0)", outbox, name, now)

    def confirm(self, outbox: str) -> int:
        """`outbox confirm`: let the deletions that wait go; how many."""
        return self._db.run("UPDATE deletion SET confirmed = 1 WHERE outbox = ? AND confirmed = 0", outbox)


def _upload(row: sqlite3.Row) -> Upload:
    draft = Draft(row["ticket"], row["name"].rpartition("/")[2], row["media_type"], row["size"], Digest(row["sha256"]))
    return Upload(
        id=row["id"],
        outbox=row["outbox"],
        name=row["name"],
        draft=draft,
        state=row["state"],
        attempts=row["attempts"],
        unknown=row["unknown"],
        strikes=row["strikes"],
        receipt=json.loads(row["receipt"]),
        filed_as=row["filed_as"],
        error=row["error"],
        retry_at=row["retry_at"],
        attempted_at=row["attempted_at"],
    )

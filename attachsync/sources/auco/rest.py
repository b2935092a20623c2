"""When a process comes to rest: it is over, or it was not found for long (specs/auco.md 2, Polling). Pure."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from attachsync.errors import RejectedError
from attachsync.model import JSON

_LAG = 3600.0
"""A process may come into sight only some time (seconds) after it was made; until then it is asked for every time."""
_RARELY = 3600.0
"""After that, this often."""
_SOONEST, _LONGEST = 60.0, 900.0
"""Whether a process has ended is asked after so many seconds, then ever more rarely up to the second."""
_OLD, _OLD_WAIT = 7 * 86_400.0, 6 * 3600.0
"""A process that was first seen so long ago (seconds) is asked about this often."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How it was asked whether a process has ended. Unix times; `wait`: seconds until the next time."""

    first: float | None = None
    asked: float = 0.0
    wait: float = 0.0

    def is_due(self, now: float, *, thorough: bool) -> bool:
        """Whether to ask again: now and then, and whenever a person asks."""
        return thorough or not 0 <= now - self.asked < self.wait

    def asked_at(self, now: float) -> "Ending":
        """It had not ended."""
        first = now if self.first is None else self.first
        wait = min(max(2 * self.wait, _SOONEST), _LONGEST) if now - first < _OLD else _OLD_WAIT
        return dataclasses.replace(self, first=first, asked=now, wait=wait)

    def mark(self) -> JSON:
        """What the cursor of a process that runs keeps."""
        return {"ending": dataclasses.asdict(self)}


def ending(cursor: JSON) -> Ending:
    """What a cursor keeps of it."""
    kept = cursor.get("ending") if isinstance(cursor, Mapping) else None
    if not isinstance(kept, Mapping):
        return Ending()
    first, asked, wait = (_number(kept.get(name)) for name in ("first", "asked", "wait"))
    return Ending() if first is None or asked is None or wait is None else Ending(first, asked, wait)


def _number(value: JSON) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def over() -> JSON:
    """The cursor after the last full pass over a process."""
    return {"over": True}


def is_over(cursor: JSON) -> bool:
    """Whether that last pass was made: there is nothing more to ask."""
    return isinstance(cursor, Mapping) and cursor.get("over") is True


def is_unknown(error: RejectedError) -> bool:
    """Whether a refusal means that there is no such process or signer.

    Documented as 400 ATTACHMENT_NOT_FOUND in JSON of unknown form, seen as 404 (specs/auco.md 1.2): a 400 that says
    nothing that can be read counts too, as no other cause for it is documented for a request like ours.
    """
    word = f"{error.code} {error.detail}".upper().replace(" ", "_")
    return error.status == 404 or (error.status == 400 and (word == "_" or "NOT_FOUND" in word))


def missing(cursor: JSON, status: int, now: float) -> JSON:
    """The cursor after a process was not found."""
    since, _, _ = _missing(cursor)
    return {"missing": {"since": now if since is None else since, "asked": now, "status": status}}


def missing_lately(cursor: JSON, now: float) -> int | None:
    """The HTTP status with which a process was not found, while it is not worth asking again."""
    since, asked, status = _missing(cursor)
    waits = since is not None and asked - since > _LAG and 0 <= now - asked < _RARELY
    return status if waits else None


def _missing(cursor: JSON) -> tuple[float | None, float, int]:
    kept = cursor.get("missing") if isinstance(cursor, Mapping) else None
    if not isinstance(kept, Mapping):
        return None, 0.0, 0
    status = kept.get("status")
    return _number(kept.get("since")), _number(kept.get("asked")) or 0.0, status if isinstance(status, int) else 0

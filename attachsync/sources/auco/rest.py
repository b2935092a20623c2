"""When a process comes to rest: it is over, or it was not found for long (specs/auco.md 2, Polling). Pure."""

from collections.abc import Mapping

from attachsync.errors import RejectedError
from attachsync.model import JSON

_LAG = 3600.0
"""A process may come into sight only some time (seconds) after it was made; until then it is asked for every time."""
_RARELY = 3600.0
"""After that, this often."""


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
    since, asked, status = kept.get("since"), kept.get("asked"), kept.get("status")
    return (
        since if isinstance(since, int | float) else None,
        asked if isinstance(asked, int | float) else 0.0,
        status if isinstance(status, int) else 0,
    )

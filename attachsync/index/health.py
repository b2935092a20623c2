"""What is noted of the mirror's own health: how far the scrub has come, and what damage it found."""

import json

from attachsync.index import Index

SLICE = "scrub"
DAMAGE = "damage"


def progress(index: Index) -> tuple[float, int]:
    """(when the last slice began, how much of it is left); (0, 0) before the first one."""
    noted = json.loads(index.database.noted(SLICE) or "{}")
    return float(noted.get("began", 0.0)), int(noted.get("left", 0))


def damage_found(index: Index) -> dict[str, object]:
    """What was found damaged since a whole `verify` found nothing: count, at, sha256, what became of the last one."""
    found: dict[str, object] = json.loads(index.database.noted(DAMAGE) or "{}")
    return found

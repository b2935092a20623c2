"""How long to wait before trying again. Pure: no clock of its own."""

import random

from attachsync.units import http_moment

DAY = 86400.0
_CAP = 3600.0


def delay(failures: int, *, base: float = 5.0, cap: float = _CAP, spread: float | None = None) -> float:
    """Seconds before attempt `failures` + 1: doubling from `base` to `cap`, less up to a half of jitter.

    `spread` (0 to 1) takes the place of the random number.
    """
    longest = min(cap, base * 2.0 ** min(max(failures - 1, 0), 30))
    return longest * (1 - 0.5 * (random.random() if spread is None else spread))


def wait_asked(header: str | None, now: float) -> float | None:
    """A `Retry-After` or `Archivist-Rate-Limit-Reset` value in seconds from `now` (Unix time); None if it says nothing.

    Either a decimal number of seconds or an HTTP date (specs/datatrails.md 3, specs/sunshine.md 8). Nobody is left
    alone for more than a day: what asks for that is mistaken, or its clock or ours is wrong.
    """
    if header is None:
        return None
    try:
        span = float(header)
    except ValueError:
        try:
            span = http_moment(header) - now
        except ValueError:
            return None
    return min(max(span, 0.0), DAY) if span < float("inf") else None

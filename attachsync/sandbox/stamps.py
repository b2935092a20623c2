"""Times as the services write them: RFC 3339 in UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache

RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")
# What DataTrails writes for "not committed yet" (specs/datatrails.md 1.4).
NEVER = "1970-01-01T00:00:00Z"


@lru_cache(maxsize=1024)
def parse_time(text: str) -> datetime:
    """Return the time that an RFC 3339 text states; ValueError if it is none."""
    found = RFC3339.fullmatch(text)
    if found is None:
        raise ValueError(f"not an RFC 3339 time: {text!r}")
    day, clock, fraction, zone = found.groups()
    micro = (fraction or "").ljust(6, "0")[:6]
    return datetime.fromisoformat(f"{day}T{clock}.{micro}{'+00:00' if zone == 'Z' else zone}").astimezone(UTC)


def as_time(value: datetime | str) -> datetime:
    """Return a time given as one, or as text."""
    return parse_time(value) if isinstance(value, str) else value.astimezone(UTC)


def whole(time: datetime) -> str:
    """Write a time in whole seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def precise(time: datetime) -> str:
    """Write a time with milliseconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time.microsecond // 1000:03d}Z"

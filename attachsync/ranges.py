"""Continuing a body that broke off: Range and If-Range (RFC 9110, 8.8, 13.1.5 and 14). Pure."""

import re
from collections.abc import Mapping

from attachsync.model import Held
from attachsync.units import http_moment

_STRONG = re.compile(r'"[\x21\x23-\x7e]{1,256}"')
_PART = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", re.ASCII | re.IGNORECASE)
_SETTLED = 60.0
"""A modification date stands for exactly these bytes only when it was this old (seconds) when they were sent."""


def validator(headers: Mapping[str, str]) -> str | None:
    """What tells, when the rest of a body is asked for, that it is still the same; None where nothing does."""
    etag = headers.get("ETag")
    if etag is not None:
        return etag if _STRONG.fullmatch(etag) else None
    modified, date = headers.get("Last-Modified", ""), headers.get("Date", "")
    try:
        age = http_moment(date) - http_moment(modified)
    except ValueError:
        return None
    return modified if age >= _SETTLED and modified.isascii() else None


def is_continuable(headers: Mapping[str, str]) -> bool:
    """Whether the service says that it gives parts of what it is sending, as it is stored."""
    return headers.get("Accept-Ranges", "").strip().lower() == "bytes" and "Content-Encoding" not in headers


def asked(held: Held) -> dict[str, str]:
    """The headers that ask for the rest of what is held, if it is the rest of that; else for all."""
    return {"Range": f"bytes={held.size}-", "If-Range": held.validator}


def continues(status: int, headers: Mapping[str, str], held: Held) -> bool:
    """Whether an answer is exactly the rest of what is held."""
    match = _PART.fullmatch(headers.get("Content-Range", "").strip())
    if status != 206 or match is None or "Content-Encoding" in headers:
        return False
    return tuple(map(int, match.groups())) == (held.size, held.total - 1, held.total) and held.validator in (
        headers.get("ETag"),
        headers.get("Last-Modified"),
    )

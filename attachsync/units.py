"""Durations, sizes and times as people write them, and back; text that is safe to show. Pure."""

import math
import os
import re
from datetime import UTC, datetime

_NUMBER = r"(\d+(?:\.\d+)?)\s*"
_DURATIONS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZES = {"B": 1} | {
    prefix + unit: base**power
    for base, unit, prefixes in ((1000, "B", "kMG"), (1024, "iB", "KMG"))
    for power, prefix in enumerate(prefixes, 1)
}


def seconds(value: object) -> float:
    """A duration: a plain number of seconds, or a decimal number and ms, s, m, h or d. Raises ValueError."""
    return _measure(value, _DURATIONS, 'a duration such as "90s", "5m" or "30d"')


def size(value: object) -> int:
    """A size: a plain number of bytes, or a decimal number and B, kB to GB or KiB to GiB. Raises ValueError."""
    return int(_measure(value, _SIZES, 'a size such as "512MiB" or "2GiB"'))


def _measure(value: object, factors: dict[str, float] | dict[str, int], wanted: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf"):
        return value
    if isinstance(value, str):
        match = re.fullmatch(_NUMBER + "([A-Za-z]*)", value.strip(), re.ASCII)
        found = float(match[1]) * factors.get(match[2], 1) if match and (match[2] in factors or not match[2]) else None
        if found is not None and found < float("inf"):
            return found
    raise ValueError(f"must be {wanted}, not {value!r}")


def counted(count: int, noun: str) -> str:
    """'1 track', '2 tracks', '2 outboxes'."""
    return f"{count} {noun}" + ("" if count == 1 else "es" if noun.endswith("x") else "s")


def human_size(count: float) -> str:
    """1536 -> '1.5 KiB'."""
    if count < 1024:
        return f"{count:.0f} B"
    power = min(4, int(math.log(count, 1024)))
    return f"{count / 1024**power:.1f} {'KMGT'[power - 1]}iB"


def human_duration(span: float) -> str:
    """90 -> '2m', 30 -> '30s'; the nearest whole unit, for people."""
    for unit, factor in (("d", 86400), ("h", 3600), ("m", 60)):
        if span >= factor:
            return f"{span / factor:.0f}{unit}"
    return f"{span:.0f}s"


def exact_duration(span: float) -> str:
    """300 -> '5m', 90 -> '90s', 0.05 -> '50ms': as it would be written in a config."""
    for unit in ("d", "h", "m", "s"):
        if span >= _DURATIONS[unit] and span % _DURATIONS[unit] == 0:
            return f"{span / _DURATIONS[unit]:.0f}{unit}"
    return f"{span * 1000:.10g}ms" if 0 < span < 1 else f"{span:.10g}s"


def exact_size(count: int) -> str:
    """2147483648 -> '2GiB', 1500 -> '1500B': as it would be written in a config."""
    for unit, factor in sorted(_SIZES.items(), key=lambda one: -one[1]):
        if count >= factor and count % factor == 0:
            return f"{count // factor}{unit}"
    return f"{count}B"


def rfc3339(moment: float | None) -> str | None:
    """Unix time -> '2026-08-01T12:00:00Z'; None stays None."""
    if moment is None:
        return None
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def moment(value: str) -> float:
    """RFC 3339 date-time (any offset; nanoseconds are cut) -> Unix time. Raises ValueError."""
    parsed = datetime.fromisoformat(value.strip().upper())  # RFC 3339 allows `t` and `z`
    if parsed.tzinfo is None:
        raise ValueError(f"no time zone in {value!r}")
    return parsed.timestamp()


def http_moment(value: str) -> float:
    """The date of a header (RFC 9110, 5.6.7) -> Unix time. Raises ValueError."""
    from email.utils import parsedate_to_datetime  # slow, and not needed at every start

    try:
        found = parsedate_to_datetime(value)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (TypeError, OverflowError) as error:
        raise ValueError(f"no date: {value!r}") from error


def utc(moment: float) -> datetime:
    """Unix time -> an aware UTC date-time of whole seconds, as receipts hold it."""
    return datetime.fromtimestamp(int(moment), UTC)


def as_text(name: str) -> str:
    """A file's name as the system has it, as text: bytes that are not UTF-8 are shown by their numbers."""
    return os.fsencode(name).decode(errors="backslashreplace")


def printable(text: str) -> str:
    """Text that may hold names from outside, for a terminal: control characters are shown, not obeyed."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)

"""Which dropped files are complete: those whose size, times and inode have been still for long enough. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

EMPTY_WAIT = 60.0
"""An empty file waits this long (seconds) before it is given up (contract 3)."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a change of a file's content or identity would change."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True, slots=True)
class Sighting:
    """A file's stamp and the moment (monotonic seconds) since when it has been so."""

    stamp: Stamp
    since: float


def observe(before: Mapping[str, Sighting], found: Mapping[str, Stamp], now: float) -> dict[str, Sighting]:
    """The sightings after a scan at `now`: a changed stamp starts anew, a file that is no longer there is forgotten."""
    after = {}
    for name, stamp in found.items():
        old = before.get(name)
        after[name] = old if old is not None and old.stamp == stamp else Sighting(stamp, now)
    return after


def ready(sightings: Mapping[str, Sighting], now: float, quiet: float) -> list[str]:
    """Names still for `quiet` seconds (an empty file: for a minute at least), longest still first."""
    still = [
        (seen.since, name)
        for name, seen in sightings.items()
        if now - seen.since >= (quiet if seen.stamp.size else max(quiet, EMPTY_WAIT))
    ]
    return [name for _, name in sorted(still)]

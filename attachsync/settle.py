"""Which dropped files are complete: those whose size, times and inode have been still for long enough. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

EMPTY_WAIT = 60.0
"""An empty file waits this long (seconds) before it is given up (contract 3)."""

Arrival = tuple[int, int, str]
"""Orders files by when they arrived."""


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


def ready(sightings: Mapping[str, Sighting], now: float, quiet: float, *, wall: float | None = None) -> list[str]:
    """Names still for `quiet` seconds (an empty file: for a minute at least), in order of arrival.

    That is when it was last changed, or came into its folder; then its name. With `wall` (Unix time), an empty file's
    own times may show its minute: a single pass is too short to see it.
    """
    still = [name for name, seen in sightings.items() if now - seen.since >= _wanted(seen, quiet, wall)]
    return sorted(still, key=lambda name: arrival(sightings[name].stamp, name))


def next_ready(sightings: Mapping[str, Sighting], now: float, quiet: float) -> float | None:
    """Seconds until the next file that is not ready yet may be; None if there is none."""
    spans = ((_wanted(seen, quiet, None), now - seen.since) for seen in sightings.values())
    return min((wanted - still for wanted, still in spans if still < wanted), default=None)


def arrival(stamp: Stamp, name: str) -> Arrival:
    """A change time cannot be set by hand, as cp -p and touch set the other; renaming a file into a folder sets it."""
    return stamp.ctime_ns, stamp.mtime_ns, name


def _wanted(seen: Sighting, quiet: float, wall: float | None) -> float:
    if seen.stamp.size:
        return quiet
    changed = max(seen.stamp.mtime_ns, seen.stamp.ctime_ns) / 1e9
    return quiet if wall is not None and wall - changed >= EMPTY_WAIT else max(quiet, EMPTY_WAIT)

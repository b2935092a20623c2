"""`retain`: what was mirrored long enough ago leaves files/, and the store when nothing else shows it (contract 2)."""

import structlog

from attachsync.fetcher import Keeping
from attachsync.index import Entry
from attachsync.model import State, Track
from attachsync.observer import Outcome
from attachsync.units import human_duration

_BATCH = 100
_MOST_SKEW = 3600.0
"""With this machine's clock further than this (seconds) from the service's, nothing is removed because of its age."""


async def enforce(keep: Keeping, track: Track, skew: float | None) -> None:
    """Remove what a track has kept for longer than it should; each one is said. Raises StorageError.

    `skew` is by how much our clock is ahead of the service's, None where that is not known: a clock that jumped must
    not empty a mirror.
    """
    if track.retain is None or skew is None:
        return
    if abs(skew) > _MOST_SKEW:
        structlog.get_logger().warning("retain_held", track=track.name, clock_ahead_of_service=round(skew))
        return
    reason = f"kept for {human_duration(track.retain)}, as `retain` says, and removed"
    while batch := keep.index.attachments.outlived(track.name, keep.clock.now() - track.retain, _BATCH):
        for entry in batch:
            await _remove(keep, entry, reason)


async def _remove(keep: Keeping, entry: Entry, reason: str) -> None:
    """Mark first, then take away: a removal that is cut short is found by its mark."""
    index, store = keep.index.attachments, keep.store
    with keep.manifest.outdated():
        index.remove(entry, reason)
        if entry.path and entry.shown and not index.shows(entry.path, entry.shown, entry.id)[0]:
            await store.run(keep.views.hide, entry.path)
        for digest in index.forget_past(entry):
            await store.run(store.delete, digest)
        index.hidden(entry)
    outcome = Outcome(entry.account, entry.attachment.track, entry.attachment.key, State.GONE, reason, entry.path)
    structlog.get_logger().info("removed", account=outcome.account, track=outcome.track, path=entry.path, reason=reason)
    keep.observer.settled(outcome)

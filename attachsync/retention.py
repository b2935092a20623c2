"""What leaves the mirror on purpose: kept long enough (`retain`), or removed upstream (`on_gone`) (contract 2).

Rows are marked first, then taken out of files/, and of the store when nothing else shows their bytes: a removal that
is cut short is found by its mark.
"""

import structlog

from attachsync.index import Entry
from attachsync.keeping import Keeping
from attachsync.model import State, Track
from attachsync.observer import Outcome
from attachsync.units import human_duration

_BATCH = 100
_MOST_SKEW = 3600.0
"""With this machine's clock further than this (seconds) from the service's, nothing is removed because of its age."""


async def enforce(keep: Keeping, track: Track, skew: float | None) -> None:
    """Remove what a track has kept for longer than it should, and what is marked; each is said. Raises StorageError.

    `skew` is by how much our clock is ahead of the service's, None where that is not known: a clock that jumped must
    not empty a mirror.
    """
    if track.retain is not None and skew is not None:
        _mark_old(keep, track, track.retain, skew)
    while batch := keep.index.removals.leaving(track.name, _BATCH):
        for entry in batch:
            await _take_away(keep, entry)


def _mark_old(keep: Keeping, track: Track, retain: float, skew: float) -> None:
    if abs(skew) > _MOST_SKEW:
        structlog.get_logger().warning("retain_held", track=track.name, clock_ahead_of_service=round(skew))
        return
    reason = f"kept for {human_duration(retain)}, as `retain` says, and removed"
    keep.index.removals.outlive(track.name, keep.clock.now() - retain, reason)


async def _take_away(keep: Keeping, entry: Entry) -> None:
    index, store = keep.index.attachments, keep.store
    with keep.manifest.outdated():
        if entry.path and entry.shown and not index.shows(entry.path, entry.shown, entry.id)[0]:
            await store.run(keep.views.hide, entry.path)
        for digest in keep.index.removals.forget_past(entry):
            await store.run(store.delete, digest)
        index.hidden(entry)
    outcome = Outcome(entry.account, entry.attachment.track, entry.attachment.key, State.GONE, entry.reason, entry.path)
    structlog.get_logger().info(
        "removed", account=outcome.account, track=outcome.track, path=entry.path, reason=entry.reason
    )
    keep.observer.settled(outcome)

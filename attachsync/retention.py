"""What leaves the mirror on purpose: kept long enough (`retain`), or removed upstream (`on_gone`) (contract 2).

Rows are marked first, then taken out of files/, and of the store when nothing else shows their bytes: a removal that
is cut short is found by its mark.
"""

from functools import partial

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
    await finish(keep, track.account)


def _mark_old(keep: Keeping, track: Track, retain: float, skew: float) -> None:
    if abs(skew) > _MOST_SKEW:
        structlog.get_logger().warning("retain_held", track=track.name, clock_ahead_of_service=round(skew))
        return
    reason = f"kept for {human_duration(retain)}, as `retain` says, and removed"
    keep.index.removals.outlive(track.name, keep.clock.now() - retain, reason)


async def finish(keep: Keeping, account: str | None = None) -> None:
    """Take away what is marked, and say so: entries of `files/`, then bytes that nothing needs. Raises StorageError.

    Of entries, an account that is at work takes away its own: what others are just about to show is theirs.
    """
    removals, store = keep.index.removals, keep.store
    while batch := removals.marked(_BATCH, account):
        with keep.manifest.outdated():
            for entry in batch:
                if entry.path and not removals.is_in_use(entry.path):
                    await store.run(keep.views.hide, entry.path)
                removals.hidden(entry)
                _tell(keep, entry)
    for digest in removals.leaving():
        await store.delete(digest, partial(removals.is_held, digest))
        removals.left(digest)


def _tell(keep: Keeping, entry: Entry) -> None:
    outcome = Outcome(entry.account, entry.attachment.track, entry.attachment.key, State.GONE, entry.reason, entry.path)
    structlog.get_logger().info(
        "removed", account=outcome.account, track=outcome.track, path=entry.path, reason=entry.reason
    )
    keep.observer.settled(outcome)

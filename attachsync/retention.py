"""What leaves the mirror on purpose: kept long enough (`retain`), or removed upstream (`on_gone`) (contract 2).

Rows are marked first, then taken out of files/, and of the store when nothing else shows their bytes: a removal that
is cut short is found by its mark.
"""

from collections.abc import Awaitable, Callable, Iterable
from functools import partial

from attachsync.errors import AttachsyncError, MalformedError, RejectedError
from attachsync.index import Entry
from attachsync.keeping import Keeping
from attachsync.logger import structlog
from attachsync.model import Source, State, Track
from attachsync.observer import Outcome
from attachsync.units import human_duration

_BATCH = 100
_MOST_SKEW = 3600.0
"""With this machine's clock further than this (seconds) from the service's, nothing is removed because of its age."""


async def enforce(
    keep: Keeping, account: str, tracks: Iterable[Track], source: Source, skew: Callable[[], float | None]
) -> None:
    """Remove what an account's tracks have kept for longer than they should, and what is marked; each is said.

    `skew` tells by how many seconds our clock was ahead of the service's when `source` last heard it: a clock that
    jumped must not empty a mirror. Raises StorageError.
    """
    ahead = partial(_ahead, source, skew)
    limited = [track for track in tracks if track.retain is not None]
    changed = keep.index.removals.changed() if limited else ()
    for track in limited:
        await _mark_old(keep, track, ahead, changed=track.name in changed)
    await finish(keep, account)


async def _ahead(source: Source, skew: Callable[[], float | None]) -> float | None:
    """By how many seconds our clock is ahead: where nothing was asked, as all is over, the service is asked now.

    None where it is not heard. What answers without a date contradicts no clock.
    """
    if skew() is None:
        try:
            await source.probe(None)
        except (RejectedError, MalformedError):
            pass  # an answer all the same
        except AttachsyncError:
            return skew()
    return skew() or 0.0


async def _mark_old(
    keep: Keeping, track: Track, ahead: Callable[[], Awaitable[float | None]], *, changed: bool
) -> None:
    retain = track.retain or 0.0
    before = keep.clock.now() - retain
    if not keep.index.removals.is_outlived(track.name, before, changed=changed):
        return
    skew = await ahead()
    if skew is None or abs(skew) > _MOST_SKEW:
        told = "not known" if skew is None else round(skew)
        whose = {"account": track.account, "track": track.name}
        structlog.get_logger().warning("retain_held", **whose, clock_ahead_of_service=told)
        return
    reason = f"kept for {human_duration(retain)}, as `retain` says, and removed"
    keep.index.removals.outlive(track.name, before, reason)
    while batch := keep.index.removals.outdated(track.name, before, _BATCH):
        with keep.manifest.outdated():
            for entry in batch:
                await _hide(keep, entry)
                _log(entry, reason)


async def finish(keep: Keeping, account: str | None = None) -> None:
    """Take away what is marked, and say so: entries of `files/`, then bytes that nothing needs. Raises StorageError.

    Of entries, an account that is at work takes away its own: what others are just about to show is theirs.
    """
    removals, store = keep.index.removals, keep.store
    while batch := removals.marked(_BATCH, account):
        with keep.manifest.outdated():
            for entry in batch:
                await _hide(keep, entry)
                _tell(keep, entry)
    for digest in removals.leaving():
        await store.delete(digest, partial(removals.is_held, digest))
        removals.left(digest)


async def _hide(keep: Keeping, entry: Entry) -> None:
    """Take what an attachment shows out of `files/`."""
    removals = keep.index.removals
    if entry.path and not removals.is_in_use(entry.path, entry.id):
        await keep.store.run(keep.views.hide, entry.path)
    removals.hidden(entry)


def _tell(keep: Keeping, entry: Entry) -> None:
    outcome = Outcome(entry.account, entry.attachment.track, entry.attachment.key, State.GONE, entry.reason, entry.path)
    _log(entry, entry.reason)
    keep.observer.settled(outcome)


def _log(entry: Entry, reason: str) -> None:
    whose = {"account": entry.account, "track": entry.attachment.track}
    structlog.get_logger().info("removed", **whose, path=entry.path, reason=reason)

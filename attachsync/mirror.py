"""One account kept mirrored: its tracks are listed while what is missing is fetched; neither waits for the other.

The index is the queue. In memory there are only the few rows that are being worked on.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from attachsync import retry
from attachsync.errors import (
    AccountError,
    GoneError,
    MalformedError,
    NotReadyError,
    RefusedError,
    RejectedError,
    StorageError,
    UnavailableError,
)
from attachsync.fetcher import Fetcher, Keeping
from attachsync.index import Entry
from attachsync.model import Account, Source, Track

E = TypeVar("E", bound=BaseException)

_LISTERS = 4
"""Tracks of one account that are listed at a time: a slow one does not hold up the others."""
_LISTING_ERRORS = (GoneError, MalformedError, NotReadyError, RefusedError, RejectedError, UnavailableError)
_MOST_TROUBLE = 16
"""So many attachments in a row for which the service could not be reached: it is down."""


@dataclass(slots=True)
class Turn:
    """One pass over some tracks of an account. `errors`: track -> why its listing was not whole."""

    number: int
    urgent: bool
    listed: bool = False
    """Whether all listings of this pass have ended."""
    errors: dict[str, str] = field(default_factory=dict)
    account_error: AccountError | None = None
    storage_error: StorageError | None = None


class Mirror:
    """One account's mirror. `identity` tells which keys of a track decide what is listed."""

    def __init__(
        self,
        account: Account,
        source: Source,
        tracks: Sequence[Track],
        identity: Callable[[Track], Mapping[str, object]],
        keeping: Keeping,
    ) -> None:
        self.account = account
        self.tracks = {track.name: track for track in tracks}
        self._source = source
        self._identity = identity
        self._keep = keeping
        self._fetcher = Fetcher(source, self.tracks, keeping)
        self._more = asyncio.Event()
        self.wake = asyncio.Event()
        """Set it to start a pass over all tracks now."""
        self._trouble = 0

    async def turn(self, listed: Sequence[Track], worked: Sequence[Track], *, urgent: bool) -> Turn:
        """List `listed`, and work off what is missing on `worked`. `urgent`: whatever its retry time."""
        turn = Turn(0, urgent)
        self._trouble = 0
        try:
            turn.number = self._keep.index.tracks.next_turn()
            async with asyncio.TaskGroup() as group:
                queue: asyncio.Queue[Entry | None] = asyncio.Queue(self.account.concurrency)
                group.create_task(self._list_all(listed, turn))
                group.create_task(self._feed(queue, [track.name for track in worked], turn))
                for _ in range(self.account.concurrency):
                    group.create_task(self._work(queue))
        except* AccountError as errors:
            turn.account_error = _leaf(errors)
        except* StorageError as errors:  # also a bare one
            turn.storage_error = _leaf(errors)
        await self._end(listed, turn)
        return turn

    async def _end(self, listed: Sequence[Track], turn: Turn) -> None:
        """Bring SHA256SUMS up to date, and record how the pass ended, as far as the disk lets us."""
        try:
            if self._fetcher.changed:
                await self._keep.manifest.publish()
                self._fetcher.changed = False
        except StorageError as full:
            turn.storage_error = full
        broken = turn.storage_error or turn.account_error
        if turn.account_error:
            self._keep.observer.account_down(self.account.name, str(turn.account_error))
        for track in listed:
            error = turn.errors.get(track.name) or (str(broken) if broken else "")
            with suppress(StorageError):
                self._keep.index.tracks.end(track.name, error, self._keep.clock.now())
            self._keep.observer.track_ended(self.account.name, track.name, error)
            if error:
                turn.errors[track.name] = error

    async def keep(self, interval: Callable[[Track], float]) -> None:
        """Pass after pass, for ever: each track when its time has come, retries when theirs has, all on `wake`."""
        clock, failures = self._keep.clock, 0
        due = dict.fromkeys(self.tracks, clock.monotonic())
        while True:
            started = clock.monotonic()
            listed = [track for track in self.tracks.values() if due[track.name] <= started]
            turn = await self.turn(listed, list(self.tracks.values()), urgent=False)
            due.update({track.name: started + interval(track) for track in listed})
            broken = turn.account_error or turn.storage_error
            failures = failures + 1 if broken else 0
            wait = min(due.values()) - clock.monotonic()
            if broken:
                asked = turn.account_error.retry_after if turn.account_error else None
                wait = asked or retry.delay(failures, base=10.0, cap=600.0)
                due.update(dict.fromkeys((track.name for track in listed), clock.monotonic() + wait))
            elif (retry_at := self._keep.index.tracks.next_retry(list(self.tracks))) is not None:
                wait = min(wait, retry_at - clock.now())
            if await clock.wait(self.wake, max(wait, 1.0)):
                due = dict.fromkeys(due, clock.monotonic())
            self.wake.clear()

    # --- listing ------------------------------------------------------------------------------------------------

    async def _list_all(self, tracks: Sequence[Track], turn: Turn) -> None:
        waiting = iter(tracks)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(_LISTERS, len(tracks))):
                    group.create_task(self._list_some(waiting, turn))
        finally:
            turn.listed = True
            self._more.set()

    async def _list_some(self, waiting: Iterator[Track], turn: Turn) -> None:
        for track in waiting:
            try:
                await self._list(track)
            except _LISTING_ERRORS as error:
                turn.errors[track.name] = str(error)

    async def _list(self, track: Track) -> None:
        index, observer, now = self._keep.index, self._keep.observer, self._keep.clock.now
        index.tracks.begin(track.name, track.account, self._identity(track), now())
        async for page in self._source.pages(track, index.attachments.cursors(track.name)):
            taken = index.attachments.take(self.account.name, track.name, page, now())
            observer.listed(self.account.name, track.name, taken.listed, taken.new + taken.changed)
            if taken.new or taken.changed:
                self._more.set()

    # --- fetching -----------------------------------------------------------------------------------------------

    async def _feed(self, queue: asyncio.Queue[Entry | None], names: Sequence[str], turn: Turn) -> None:
        """Hand rows to the workers as they have room, until all is listed and nothing is left."""
        while True:
            self._more.clear()
            last_look = turn.listed
            batch = self._batch(names, turn)
            for entry in batch:
                await queue.put(entry)
            if not batch:
                if last_look:
                    break
                await self._more.wait()
        for _ in range(self.account.concurrency):
            await queue.put(None)

    def _batch(self, names: Sequence[str], turn: Turn) -> list[Entry]:
        index, now, room = self._keep.index.attachments, self._keep.clock.now(), self.account.concurrency
        due = None if turn.urgent else now
        found = index.work(self.account.name, names, turn.number, due, room)
        return found or index.stale(self.account.name, names, turn.number, now, room)

    async def _work(self, queue: asyncio.Queue[Entry | None]) -> None:
        while (entry := await queue.get()) is not None:
            if entry.digest is not None:
                await self._fetcher.recheck(entry)
                continue
            unreachable = await self._fetcher.fetch(entry)
            self._trouble = self._trouble + 1 if unreachable else 0
            if self._trouble >= _MOST_TROUBLE:
                raise AccountError(f"{self.account.name} cannot be reached: {unreachable}")


def _leaf(errors: BaseExceptionGroup[E]) -> E:
    """The first error of a group."""
    error = errors.exceptions[0]
    return _leaf(error) if isinstance(error, BaseExceptionGroup) else error

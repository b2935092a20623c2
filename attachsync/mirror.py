"""One account kept mirrored: its tracks are listed while what is missing is fetched; neither waits for the other.

The index is the queue. In memory there are only the few rows that are being worked on.
"""

import asyncio
import functools
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Sequence
from contextlib import nullcontext, suppress
from typing import Any

from attachsync import retention, retry
from attachsync.bulk import Bulk, Picked
from attachsync.credentials import secret_files
from attachsync.errors import LISTING_ERRORS, AccountError, NotReadyError, StorageError, first_of
from attachsync.fetcher import Fetcher
from attachsync.index import Entry, Taken, Wanted
from attachsync.keeping import Keeping
from attachsync.lane import Lane
from attachsync.model import Account, Source, State, Track
from attachsync.rhythm import Rhythm
from attachsync.sources.service import Pull
from attachsync.stamps import stamps, waited
from attachsync.trouble import Trouble
from attachsync.turn import Turn
from attachsync.unforeseen import malformed

Start = Callable[[Coroutine[Any, Any, None]], object]
"""Begins a task of the session."""

_AHEAD = 73
"""For each attachment that is asked for at a time (but the first) so many are under way: they wait for the disk, which
takes many at once, while the next ones are asked for. With eight at a time, so many make two full orders."""
_ORDERS = 4
"""So many orders of many attachments are under way, or wait for their turn."""
_LISTERS = 4
"""Tracks of one account that are listed at a time: a slow one does not hold up the others."""
_TOGETHER = 25
"""So many tracks are listed one after the other when many are spread over the interval: each by itself takes longer."""
_TRACK_REST = 60.0
"""A track whose attachments are not available is left alone for this long (seconds) by a daemon."""
_LONGEST_REST = 60.0
"""The index is looked at this often (seconds) for rows whose time has come, whatever else happens."""


class Mirror:
    """One account's mirror. `pull` tells which keys of a track decide what is listed, and what is shown.

    `skew` tells by how much our clock is ahead of the service's (seconds).
    """

    def __init__(
        self,
        account: Account,
        source: Source,
        tracks: Sequence[Track],
        pull: Pull,
        bulk: Bulk,
        keeping: Keeping,
        skew: Callable[[], float | None],
    ) -> None:
        self.account = account
        self.tracks = {track.name: track for track in tracks}
        self._source = source
        self._pull = pull
        self._bulk = bulk
        self._keep = keeping
        self._secrets = secret_files(account.options)
        self._skew = skew
        self._fetcher = Fetcher(source, self.tracks, keeping)
        self._more = asyncio.Event()
        self._looks = {track.name: asyncio.Event() for track in tracks}
        self._urgent = 0
        self._unread: set[str] = set()
        """Tracks of a pass whose list was not read yet: it may state otherwise what did not match."""
        self._busy: set[int] = set()
        self._width = 1 + _AHEAD * (account.concurrency - 1)
        self._lanes, self._room, self._orders = map(asyncio.Semaphore, (account.concurrency, self._width, _ORDERS))
        self._trouble = Trouble(account.name, len(tracks))

    # --- one pass -----------------------------------------------------------------------------------------------

    async def turn(self, tracks: Sequence[Track]) -> Turn:
        """One pass over some tracks: everything that is not mirrored is tried once, whatever its retry time."""
        turn = Turn()
        self._unread = {track.name for track in tracks}
        self._fetcher.unread.clear()
        self._trouble = Trouble(self.account.name, len(tracks))
        await self._session(turn, tracks, lambda: self._list_all(iter(tracks), turn), self._feed_once)
        turn.errors = self._fetcher.unread | self._trouble.resting | turn.errors
        return turn

    async def _session(
        self,
        turn: Turn,
        tracks: Sequence[Track],
        lister: Callable[[], Coroutine[Any, Any, None]],
        feeder: Callable[[Start, Sequence[str], Turn], Coroutine[Any, Any, None]],
    ) -> None:
        """List and fetch at the same time, until both end or an error reaches the account or the disk."""
        self._busy.clear()
        self._fetcher.parked.clear()
        self._bulk.forget()
        self._lanes, self._room, self._orders = map(asyncio.Semaphore, (self.account.concurrency, self._width, _ORDERS))
        try:
            turn.number = self._keep.index.tracks.next_turn()
            async with asyncio.TaskGroup() as group:
                group.create_task(lister())
                group.create_task(feeder(group.create_task, [track.name for track in tracks], turn))
            await self._tidy(tracks)
        except* AccountError as errors:
            turn.account_error = first_of(errors)
        except* StorageError as errors:
            turn.storage_error = first_of(errors)
        if turn.account_error or turn.storage_error:
            with suppress(StorageError):  # it was told
                await self._keep.manifest.publish()
        self._tell_broken(turn, tracks)

    async def _tidy(self, tracks: Iterable[Track]) -> None:
        """What is done when nothing is under way: removals that are due, and SHA256SUMS."""
        await retention.enforce(self._keep, self.account.name, tracks, self._source, self._skew)
        await self._keep.manifest.publish()
        await self._keep.couriers.rest()
        if self._keep.store.worker.is_at_rest:
            await self._keep.store.run(self._keep.store.worker.close)

    def _tell_broken(self, turn: Turn, tracks: Iterable[Track]) -> None:
        """An error of the account or the disk is one of every track of the pass."""
        broken = turn.storage_error or turn.account_error
        if turn.account_error:
            self._keep.observer.account_down(self.account.name, str(turn.account_error))
        for track in tracks if broken else ():
            self._track_ended(turn, track, turn.errors.get(track.name) or str(broken))

    # --- pass after pass ----------------------------------------------------------------------------------------

    async def keep(self, interval: Callable[[Track], float]) -> None:
        """For ever: each track is listed when its time has come, each row tried when its time has."""
        failures, clock, tracks = 0, self._keep.clock, list(self.tracks.values())
        while True:
            turn, began = Turn(), clock.monotonic()
            self._trouble = Trouble(self.account.name, len(tracks), _TRACK_REST)
            lister = functools.partial(self._list_forever, interval, turn)
            await self._session(turn, tracks, lister, self._feed_forever)
            failures = failures + 1 if clock.monotonic() - began < retry.DAY / 24 else 1
            self._more.clear()
            end, seen = clock.monotonic() + turn.rest(failures), stamps(self._secrets)
            await waited(clock, self._more, end, self._secrets, seen)

    def look_now(self) -> None:
        """Start a pass over all tracks now, whatever the retry times of their attachments."""
        for look in self._looks.values():
            look.set()
        with suppress(StorageError):  # a full disk is told by the pass itself
            self._urgent = self._keep.index.tracks.next_turn()
        self._more.set()

    async def _list_forever(self, interval: Callable[[Track], float], turn: Turn) -> None:
        gate = asyncio.Semaphore(_LISTERS)
        async with asyncio.TaskGroup() as group:
            many = len(self.tracks)
            for number, track in enumerate(self.tracks.values()):
                rhythm = Rhythm(interval(track), min(number // _TOGETHER * _TOGETHER + _TOGETHER, many) / many)
                group.create_task(self._keep_listing(track, rhythm, gate, turn))

    async def _keep_listing(self, track: Track, rhythm: Rhythm, gate: asyncio.Semaphore, turn: Turn) -> None:
        clock, look = self._keep.clock, self._looks[track.name]
        while True:
            async with gate:
                asked = look.is_set()  # also while it was being listed, or nothing could be
                look.clear()
                files = list(self._pull.watched(track.options))
                seen, began = stamps(files), clock.monotonic()
                after = await self._list(track, turn, thorough=asked)
            due = began + rhythm.span(news=turn.seen[track.name].has_news)
            due = due if after is None else min(due, clock.monotonic() + max(after, 1.0))
            if track.name in turn.errors:  # other credentials may mend that
                files, seen = files + self._secrets, seen + stamps(self._secrets)
            await waited(clock, look, due, files, seen)

    # --- listing ------------------------------------------------------------------------------------------------

    async def _list_all(self, tracks: Iterator[Track], turn: Turn) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(_LISTERS):
                    group.create_task(self._list_some(tracks, turn))
        finally:
            turn.listed = True
            self._more.set()

    async def _list_some(self, waiting: Iterator[Track], turn: Turn) -> None:
        for track in waiting:
            await self._list(track, turn, thorough=True)
            self._unread.discard(track.name)
            self._more.set()

    async def _list(self, track: Track, turn: Turn, *, thorough: bool) -> float | None:
        """Seconds until it is worth looking again, where something is not ready yet to be listed: no failure."""
        turn.errors.pop(track.name, None)
        turn.seen[track.name], turn.began[track.name] = Taken(), self._keep.clock.now()
        after, trouble, awaited = None, "", ""
        try:
            with malformed():
                await self._list_whole(track, turn, thorough=thorough)
        except NotReadyError as error:
            after, awaited = error.after, str(error)
        except LISTING_ERRORS as error:
            trouble = str(error)
        self._track_ended(turn, track, trouble, awaited)
        return after

    async def _list_whole(self, track: Track, turn: Turn, *, thorough: bool) -> None:
        index, observer, now = self._keep.index, self._keep.observer, self._keep.clock.now
        identity, rules = self._pull.identity(track.options), self._pull.rules(track.options)
        index.tracks.begin(track.name, track.account, identity, rules)
        named: list[int] = []
        async for page in self._source.pages(track, index.attachments.cursors(track.name, thorough=thorough)):
            with index.database.transaction(durable=True) if page.gone else nullcontext():
                taken = index.attachments.take(self.account.name, track.name, page, now())
                if page.gone and track.on_gone == "delete":
                    index.removals.vanish(track.name, page.gone)
            turn.seen[track.name] = turn.seen[track.name].plus(taken)
            observer.listed(self.account.name, track.name, taken.listed, taken.new + taken.changed)
            if taken.has_news or taken.again or page.gone:
                self._more.set()
            named += [] if page.census is None else [page.census]
        if named:
            index.tracks.counted(track.name, sum(named), now())

    def _track_ended(self, turn: Turn, track: Track, error: str, awaited: str = "") -> None:
        """Record and tell how a track's listing ended, as far as the disk lets us."""
        if error:
            turn.errors[track.name] = error
        with suppress(StorageError):
            began, now = turn.began.get(track.name), self._keep.clock.now()
            self._keep.index.tracks.end(track.name, error, began, now, turn.seen.get(track.name), awaited)
        self._keep.observer.track_ended(self.account.name, track.name, error)

    # --- fetching -----------------------------------------------------------------------------------------------

    async def _feed_once(self, start: Start, names: Sequence[str], turn: Turn) -> None:
        """Start rows as there is room, each once, until all is listed and nothing is left."""
        while True:
            self._more.clear()
            last_look = turn.listed and not self._busy  # a row whose version changed under the worker is work again
            if await self._hand_out(start, names, turn.number, once=True, urgent=True):
                continue
            if last_look:
                break
            await self._more.wait()

    async def _feed_forever(self, start: Start, names: Sequence[str], turn: Turn) -> None:
        """Start rows when their time has come."""
        clock = self._keep.clock
        while True:
            self._more.clear()
            if self._urgent and await self._hand_out(start, names, self._urgent, once=True, urgent=True):
                continue
            self._urgent = 0
            if await self._hand_out(start, names, turn.number, once=False, urgent=False):
                continue
            if not self._busy:
                await self._tidy(list(self.tracks.values()))
            due = self._keep.index.tracks.next_due(self.account.name, self._awake(names))
            rest = _LONGEST_REST if due is None else min(due - clock.now(), _LONGEST_REST)
            await clock.wait(self._more, max(rest, 0.5))

    def _batch(self, names: Sequence[str], number: int, *, once: bool, urgent: bool) -> list[Entry]:
        index, now = self._keep.index.attachments, self._keep.clock.now()
        names, busy = self._awake(names), self._busy | self._fetcher.parked
        wanted = Wanted(names, number, once, None if urgent else now, busy, self._width)
        found = [
            entry
            for entry in index.work(self.account.name, wanted)
            if entry.state is not State.MISMATCH or entry.attachment.track not in self._unread
        ] or index.unread(self.account.name, wanted)
        return found or index.stale(self.account.name, Wanted(names, number, once, now, busy, self._width))

    def _awake(self, names: Sequence[str]) -> list[str]:
        """Tracks of which something may be tried now."""
        now = self._keep.clock.monotonic()
        return [name for name in names if not self._trouble.rests(name, now)]

    async def _hand_out(self, start: Start, names: Sequence[str], number: int, *, once: bool, urgent: bool) -> bool:
        batch = self._batch(names, number, once=once, urgent=urgent)
        self._busy.update(entry.id for entry in batch)
        orders, others = self._bulk.picked(batch, self.tracks, self._fetcher.is_fetching)
        await self._take(len(batch) - len(others) - sum(map(len, orders)))  # what waits for an order
        for order in orders:
            await self._orders.acquire()
            start(self._work_in_bulk(order, start, number))
        await self._start_each(start, others, number)
        await self._keep.manifest.keep_up()
        return bool(batch)

    async def _take(self, room: int) -> None:
        for _ in range(room):
            await self._room.acquire()

    async def _start_each(self, start: Start, rows: Collection[Entry], number: int, *, have_room: bool = False) -> None:
        """Work on rows one by one; where another version was listed meanwhile, they are work anew."""
        current = self._keep.index.attachments.taken_up(rows, number)
        for entry in rows:
            await self._take(0 if have_room else 1)
            if entry.id in current:
                start(self._work(entry))
            else:
                self._ended(entry)

    async def _work_in_bulk(self, order: Picked, start: Start, number: int) -> None:
        """Rows that are sent for together; what waited for them, and what is left, is then worked on one by one."""
        left, waited = await self._bulk.fetch(order, self._lanes, self._fetcher.stored)
        later = {entry.id for entry in left}
        done = [entry for entry, _ in order if entry.id not in later]
        for entry in done:
            self._trouble.note(entry.attachment.track, None, self._keep.clock.monotonic())
        self._busy.difference_update(entry.id for entry in done)
        if not self._busy:
            self._more.set()
        await self._start_each(start, waited, number, have_room=True)  # first: it is what may have taken all the room
        await self._start_each(start, left, number)
        self._orders.release()

    async def _work(self, entry: Entry) -> None:
        """One row, in its lane while the service is asked."""
        try:
            async with Lane(self._lanes) as lane:
                if entry.digest is not None:
                    await self._fetcher.recheck(entry)
                elif self._awake([entry.attachment.track]):
                    unavailable = await self._fetcher.fetch(entry, lane)
                    self._trouble.note(entry.attachment.track, unavailable, self._keep.clock.monotonic())
        finally:
            self._ended(entry)

    def _ended(self, entry: Entry) -> None:
        self._room.release()
        self._busy.discard(entry.id)
        if not self._busy:
            self._more.set()

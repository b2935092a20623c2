"""Many small attachments at a time: a process of its own fetches, stores and shows them; they are recorded here.

Only what is new and plain is sent for, only while there is much of it, and only where the way there is short. All else,
and whatever does not come back, goes the ordinary way (`fetcher`), as if nobody had been sent for it.
"""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from attachsync.errors import RateLimitedError
from attachsync.http import Http
from attachsync.incoming import Bytes
from attachsync.index import Entry
from attachsync.keeping import Keeping
from attachsync.lane import Lane
from attachsync.line import Refusal
from attachsync.manifest import Change
from attachsync.model import Attachment, Track, check_at
from attachsync.observer import Reading
from attachsync.orders import LARGEST, Done, Errand, Order
from attachsync.showing import Shown

_LEAST = 64
"""Fewer are not worth it,"""
_MOST = 256
"""and more go in several orders."""
_SPAN = 2.0
"""Nothing of an order is begun after so many seconds: if anything is left then, the way is long, and no shorter so."""
_REST = 60.0
"""After trouble, so many seconds of the ordinary way."""

Errands = Callable[[object, Attachment, str], Errand | None]
Picked = Sequence[tuple[Entry, Errand]]
"""Rows, and what it takes to have them."""
Tell = Callable[[Entry, str, Bytes], None]
"""Hears of rows that were recorded: what they show, and where."""


class Bulk:
    """One account's way of having many at a time. `errand` is its service's."""

    def __init__(self, http: Http, errand: Errands, keep: Keeping) -> None:
        self._http = http
        self._errand = errand
        self._keep = keep
        self._turns = asyncio.Semaphore(keep.couriers.count)
        """An order that waits for the account's others keeps no lane meanwhile."""
        self._rest_until = 0.0
        self._behind: dict[str, list[Entry]] = {}
        """Digest that is sent for -> rows that state the same one: they wait, and will find it stored."""

    @property
    def _rests(self) -> bool:
        return self._keep.clock.monotonic() < self._rest_until

    def picked(
        self, batch: Sequence[Entry], tracks: Mapping[str, Track], is_fetching: Callable[[str], bool]
    ) -> tuple[list[Picked], list[Entry]]:
        """(the rows of a batch that can be had so, in orders; the others). All are others unless these are many.

        `is_fetching` tells whether the bytes of a digest are being fetched already. Of equal bytes, one is sent for.
        """
        plain = self._plain(batch, tracks) if len(batch) >= _LEAST and not self._rests else {}
        if len(plain) < _LEAST:
            return [], list(batch)
        found, others = list[tuple[Entry, Errand]](), list[Entry]()
        for entry in batch:
            errand = plain.get(entry.id)
            if errand is None or is_fetching(errand.digest):
                others.append(entry)
            elif errand.digest in self._behind:
                self._behind[errand.digest].append(entry)
            else:
                self._behind[errand.digest] = []
                found.append((entry, errand))
        return [found[first : first + _MOST] for first in range(0, len(found), _MOST)], others

    def _plain(self, batch: Sequence[Entry], tracks: Mapping[str, Track]) -> dict[int, Errand]:
        """Row -> what it takes to have it, for those that are new."""
        new, found = [entry for entry in batch if _is_new(entry)], dict[int, Errand]()
        paths = self._keep.index.naming.claimed(self._http.account.name, [entry.attachment for entry in new])
        for entry, path in zip(new, paths, strict=True):
            if path is not None:
                errand = self._errand(tracks[entry.attachment.track].options, entry.attachment, path)
                if errand is not None:
                    found[entry.id] = errand
        return found

    def forget(self) -> None:
        """Nothing is sent for: a session begins."""
        self._behind.clear()

    async def fetch(self, picked: Picked, lanes: asyncio.Semaphore, tell: Tell) -> tuple[list[Entry], list[Entry]]:
        """Have an order's rows: (those that were left, which says nothing of them; those that waited for others).

        Raises AccountError and StorageError.
        """
        over = list[RateLimitedError]()
        with contextlib.ExitStack() as kept:
            sent = await self._sent(picked, lanes, kept, over)
            if sent is None:
                left = [entry for entry, _ in picked]
            else:
                done, change = sent
                if done.had and not done.is_broken:
                    self._http.answered()
                await asyncio.sleep(0)  # the next order goes out before this one is recorded
                left = await self._record(picked, done, change, tell)
        if over:
            raise over[0]
        return left, [entry for _, errand in picked for entry in self._behind.pop(errand.digest)]

    async def _sent(
        self, picked: Picked, lanes: asyncio.Semaphore, kept: contextlib.ExitStack, over: list[RateLimitedError]
    ) -> tuple[Done, Change] | None:
        """What became of an order; None if it was not sent. What is pinned then, and outdated, is `kept` so.

        `over` gets what ends the patience with the service.
        """
        keep, most = self._keep, -(-self._http.account.concurrency // self._keep.couriers.count)
        async with (
            self._turns,
            Lane(lanes),
            Lane(keep.gate),
            keep.couriers.one() as courier,
            self._http.direct(courier.stop) as direct,
            _width(lanes, keep.gate, most) as width,
        ):
            if self._rests:
                return None
            has_room = keep.store.has_room(keep.couriers.count * len(picked) * LARGEST)
            if direct is None or courier.worker.is_lost or not has_room:
                self._rest()
                return None
            pin = kept.enter_context(keep.store.pins.pinning())
            change = kept.enter_context(keep.manifest.outdated(len(picked)))
            errands = [errand for _, errand in picked]
            for errand in errands:
                pin.add(errand.digest)
            order = Order(direct, errands, keep.views.linker, width, keep.max_size, _SPAN)
            done = await courier.sent(order, functools.partial(self._refused, over))
            if done is None or done.is_broken:
                self._rest()
        return done or Done(is_torn=True), change

    def _refused(self, over: list[RateLimitedError], refusal: Refusal) -> None:
        """What an order had before is still being stored; nobody is to ask meanwhile."""
        self._rest()
        try:
            self._http.refused(refusal)
        except RateLimitedError as error:
            over.append(error)

    def _rest(self) -> None:
        self._rest_until = self._keep.clock.monotonic() + _REST

    async def _record(self, picked: Picked, done: Done, change: Change, tell: Tell) -> list[Entry]:
        keep, left, shown, now = self._keep, list[Entry](), list[Shown](), self._keep.clock.now()
        for number, (entry, errand) in enumerate(picked):
            had = done.had.get(number)
            if had is not None:
                found = Bytes(errand.digest, had.size, had.media_type, had.is_fetched)
                said = had.record, check_at(had.again, now)
                shown.append(Shown(entry, found, errand.path, change, said, is_only_name=True))
            else:
                left.append(entry)
                if not done.is_torn:
                    change.nothing()
        keep.showing.record(shown)
        keep.views.fell_back(done.fell_back)
        for one in shown:
            if one.is_recorded:
                self._tell_of_bytes(one.entry, one.found)
                tell(one.entry, one.path, one.found)
            else:  # its version changed meanwhile, and its name
                await keep.store.run(keep.views.hide, one.path)
        return left

    def _tell_of_bytes(self, entry: Entry, found: Bytes) -> None:
        if found.fetched:
            attachment, observer = entry.attachment, self._keep.observer
            reading = Reading(entry.account, attachment.track, attachment.key, attachment.path[-1], found.size)
            observer.received(reading, found.size)
            observer.ended(reading)


def _is_new(entry: Entry) -> bool:
    """Whether nothing has been tried or shown."""
    is_untried = not entry.record and not entry.failures and entry.digest is None
    return is_untried and entry.path is None and entry.shown is None and not entry.withdrawn


@contextlib.asynccontextmanager
async def _width(lanes: asyncio.Semaphore, gate: asyncio.Semaphore, most: int) -> AsyncIterator[int]:
    """At most so many of an account's lanes, and of all downloads, with the one that is had: as many as are free."""
    width = 1
    async with contextlib.AsyncExitStack() as stack:
        while width < most and not (lanes.locked() or gate.locked()):
            await stack.enter_async_context(Lane(lanes))
            await stack.enter_async_context(Lane(gate))
            width += 1
        yield width

"""Blocking work that is cheaper done together: what comes while one group is being done is the next group.

What comes alone is done at once. Where many come, the next group does not begin before a moment has passed: a few large
ones cost less than many small ones.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from attachsync.threads import ended

T = TypeVar("T")

_MANY = 8
_MOMENT = 0.05
"""After a group of so many, the next one begins so long (seconds) after it did."""


@dataclass(slots=True)
class _Place(Generic[T]):
    item: T
    end: "asyncio.Future[None]"

    def renew(self) -> None:
        """Have an end that is not cancelled: a cancellation takes what is waited for with it."""
        if self.end.cancelled():
            self.end = self.end.get_loop().create_future()


class Groups(Generic[T]):
    """Does items in a thread, one group after the other.

    No more than `most` at once, in a thread of `pool` (None: any of the loop's). `moment` is how long (seconds) after a
    large group the next one begins at the earliest.

    `do` answers each item with None, or with the error that befell it alone; what it raises befell all of them. `after`
    is called in the event loop with the items that were done, before anybody learns of it; what it raises befell all of
    them, too.
    """

    def __init__(
        self,
        do: Callable[[Sequence[T]], Sequence[Exception | None]],
        pool: Executor | None,
        *,
        most: int,
        moment: float = _MOMENT,
        after: Callable[[Sequence[T]], None] = lambda _done: None,
    ) -> None:
        self._do = do
        self._pool = pool
        self._most = most
        self._moment = moment
        self._after = after
        self._waiting: deque[_Place[T]] = deque()
        self._under_way = False
        self._not_before = 0.0

    async def add(self, item: T) -> None:
        """Have an item done. A cancellation waits until it is: nothing is left half done behind our back."""
        loop = asyncio.get_running_loop()
        place = _Place(item, loop.create_future())
        self._waiting.append(place)
        if not self._under_way:
            self._under_way = True
            self._begin_soon()
        try:
            await place.end
        except asyncio.CancelledError:
            place.renew()
            with contextlib.suppress(Exception):
                await ended(place.end)
            raise

    def _begin_soon(self) -> None:
        loop = asyncio.get_running_loop()
        if len(self._waiting) >= self._most or loop.time() >= self._not_before:
            self._begin()
        else:
            loop.call_at(self._not_before, self._begin)

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        group = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
        self._not_before = loop.time() + self._moment if len(group) >= _MANY else 0.0
        work = loop.run_in_executor(self._pool, self._do, [place.item for place in group])
        work.add_done_callback(partial(self._ended, group))

    def _ended(self, group: Sequence[_Place[T]], work: "asyncio.Future[Sequence[Exception | None]]") -> None:
        try:
            errors = list(work.result())
            self._after([place.item for place, befell in zip(group, errors, strict=True) if befell is None])
        except Exception as all_of_them:  # each of them raises it
            errors = [all_of_them] * len(group)
        for place, befell in zip(group, errors, strict=True):
            place.renew()
            if befell is None:
                place.end.set_result(None)
            else:
                place.end.set_exception(befell)
        self._under_way = bool(self._waiting)
        if self._waiting:
            self._begin_soon()

"""Blocking work that is cheaper done together: what comes while one group is being done is the next group."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from attachsync.threads import ended

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Place(Generic[T]):
    item: T
    end: "asyncio.Future[None]"


class Groups(Generic[T]):
    """Does items in a thread, one group after the other.

    `do` answers each item with None, or with the error that befell it alone; what it raises befell all of them. `after`
    is called in the event loop with the items that were done, before anybody learns of it; what it raises befell all of
    them, too.
    """

    def __init__(
        self,
        do: Callable[[Sequence[T]], Sequence[Exception | None]],
        pool: Executor,
        *,
        most: int,
        after: Callable[[Sequence[T]], None] = lambda _done: None,
    ) -> None:
        self._do = do
        self._pool = pool
        self._most = most
        self._after = after
        self._waiting: deque[_Place[T]] = deque()
        self._under_way = False

    async def add(self, item: T) -> None:
        """Have an item done. A cancellation waits until it is: nothing is left half done behind our back."""
        place = _Place(item, asyncio.get_running_loop().create_future())
        self._waiting.append(place)
        if not self._under_way:
            self._begin()
        await ended(place.end)

    def _begin(self) -> None:
        group = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
        self._under_way = bool(group)
        if group:
            items = [place.item for place in group]
            work = asyncio.get_running_loop().run_in_executor(self._pool, self._do, items)
            work.add_done_callback(partial(self._ended, group))

    def _ended(self, group: Sequence[_Place[T]], work: "asyncio.Future[Sequence[Exception | None]]") -> None:
        try:
            errors = list(work.result())
            self._after([place.item for place, befell in zip(group, errors, strict=True) if befell is None])
        except Exception as all_of_them:  # each of them raises it
            errors = [all_of_them] * len(group)
        for place, befell in zip(group, errors, strict=True):
            if befell is None:
                place.end.set_result(None)
            else:
                place.end.set_exception(befell)
        self._begin()

"""The jobs of one outbox, begun in order, several at a time: one that takes long delays nobody."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from attachsync.outbox.journey import Ending, NoMore
from attachsync.settle import Stamp

_AFTERWARDS = 24
"""So many more jobs may be under way whose last request is answered: what they still do is for the disk."""


@dataclass(frozen=True, slots=True)
class Job:
    """One file to send, or to finish."""

    name: str
    stamp: Stamp | None
    run: Callable[[NoMore], Awaitable[Ending]]


class Crew:
    """Does jobs for as long as `work` runs, at most `width()` at once, not counting those that make no more requests.

    While `width()` is 0 what waits is dropped: `left` is told of it, and a later look finds it again.
    """

    def __init__(
        self,
        do: Callable[[Job, NoMore], Awaitable[None]],
        width: Callable[[], int],
        left: Callable[[str], None],
    ) -> None:
        self._do = do
        self._width = width
        self._left = left
        self._queue: deque[Job] = deque()
        self._names: set[str] = set()
        self._asking = 0
        """How many of those that have begun may still make requests."""
        self._running = 0
        self._news = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def names(self) -> set[str]:
        """The files that wait for their turn or are at work."""
        return set(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def add(self, jobs: Iterable[Job]) -> None:
        """Have these done after those that wait already."""
        for job in jobs:
            self._queue.append(job)
            self._names.add(job.name)
        if self._queue:
            self._idle.clear()
            self._news.set()

    def drop(self) -> None:
        """Forget what has not begun."""
        while self._queue:
            name = self._queue.popleft().name
            self._names.discard(name)
            self._left(name)
        if not self._running:
            self._idle.set()

    async def idle(self) -> None:
        """Wait until there is nothing to do, or nothing that may be begun."""
        await self._idle.wait()

    async def work(self) -> None:
        """Do what is added, until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._news.wait()
                self._news.clear()
                while self._queue and self._has_room():
                    self._running += 1
                    self._asking += 1
                    group.create_task(self._one(self._queue.popleft()))
                if self._queue and not self._width():
                    self.drop()

    def _has_room(self) -> bool:
        width = self._width()
        return self._asking < width and self._running < width + _AFTERWARDS

    async def _one(self, job: Job) -> None:
        asks = True

        def no_more() -> None:
            nonlocal asks
            if asks:
                asks = False
                self._asking -= 1
                self._news.set()

        try:
            await self._do(job, no_more)
        finally:
            no_more()
            self._running -= 1
            self._names.discard(job.name)
            self._news.set()
            if not self._running and not self._queue:
                self._idle.set()

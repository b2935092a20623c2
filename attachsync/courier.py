"""Sends processes of their own on errands: what they have fetched, stored and shown is only to be recorded here."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor

import structlog

from attachsync.errands import STOP, Done, Order, prepare, run
from attachsync.line import Direct, Refusal
from attachsync.threads import ended
from attachsync.worker import Worker

_MOST = 2
"""So many of them, where there are as many processors: more would be in each other's way on the disk."""
log = structlog.get_logger()


class Couriers:
    """Those of all accounts of a mirror. One is begun when it is first needed."""

    def __init__(self) -> None:
        self.count = min(len(os.sched_getaffinity(0)), _MOST)
        self._threads = ThreadPoolExecutor(self.count, "courier")
        self._all = list[Courier]()
        self._all += [Courier(self._threads, self._all) for _ in range(self.count)]
        self._free = list(self._all)
        self._turn = asyncio.Semaphore(self.count)

    @contextlib.asynccontextmanager
    async def one(self) -> AsyncIterator["Courier"]:
        """One that is free, as soon as there is one: for one order. One that is lost only if all are."""
        async with self._turn:
            self._free.sort(key=lambda courier: (not courier.worker.is_lost, courier.worker.is_ready))
            courier = self._free.pop()
            try:
                await courier.ready()
                yield courier
            finally:
                self._free.append(courier)

    @property
    def workers(self) -> list[Worker]:
        """Their processes."""
        return [courier.worker for courier in self._all]

    def begin(self) -> None:
        """Much is expected: let them be ready for it. Blocks shortly."""
        for worker in self.workers:
            worker.begin()

    def close(self) -> None:
        """End them all. Blocks."""
        for worker in self.workers:
            worker.close()
        self._threads.shutdown()


class Courier:
    """One process; it does one order at a time. `threads` wait for it; `others` may be under way to the same origin."""

    def __init__(self, threads: Executor, others: Sequence["Courier"] = ()) -> None:
        self.worker = Worker(prepare)
        self._threads = threads
        self._others = others
        self._to: Direct | None = None
        self._going: asyncio.Future[Done | None] | None = None

    async def ready(self) -> None:
        """Wait for the process to be ready, or lost."""
        if not self.worker.is_ready:
            await asyncio.get_running_loop().run_in_executor(self._threads, self.worker.ready)

    async def sent(self, order: Order, refused: Callable[[Refusal], object]) -> Done | None:
        """What became of an order, once it is ready; None if nobody knows. A cancellation breaks it off.

        `refused` hears of a refusal as soon as it comes; whoever else is under way there was told before.
        """
        loop = asyncio.get_running_loop()

        def hear(refusal: Refusal) -> None:
            for other in self._others:
                if other is not self and other._to == self._to:
                    other.worker.interrupt(STOP)
            loop.call_soon_threadsafe(refused, refusal)

        self._to = order.to
        self._going = loop.run_in_executor(self._threads, self.worker.ask, run, order, hear)
        try:
            return await asyncio.shield(self._going)
        except asyncio.CancelledError:
            self.stop()
            await ended(self._going)
            raise
        except Exception as error:  # the ordinary way is there for whatever it met
            log.warning("courier_failed", error=f"{type(error).__name__}: {error}")
            return None
        finally:
            self._to = None

    def stop(self) -> None:
        """Break off what is being done: it comes back with what it has."""
        if self._going is not None and not self._going.done():
            self.worker.interrupt(STOP)

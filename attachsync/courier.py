"""Sends processes of their own on errands: what they have fetched, stored and shown is only to be recorded here."""

import asyncio
import contextlib
import functools
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, ThreadPoolExecutor

from attachsync.errands import prepare, run
from attachsync.line import Refusal
from attachsync.logger import structlog
from attachsync.orders import STOP, Done, Order
from attachsync.refusals import shared
from attachsync.threads import ended, in_thread
from attachsync.worker import Worker

_MOST = 2
"""So many of them, where there are as many processors: more would be in each other's way on the disk."""
log = structlog.get_logger()


class Couriers:
    """Those of all accounts of a mirror. Each is begun when it is first needed."""

    def __init__(self) -> None:
        self.count = min(len(os.sched_getaffinity(0)), _MOST)
        self._threads = ThreadPoolExecutor(self.count, "courier")
        self._refusals = shared()
        self._all = [Courier(self._threads, self._refusals) for _ in range(self.count)]
        self._free = list(self._all)
        self._turn = asyncio.Semaphore(self.count)

    def fork(self) -> None:
        """Begin them all now, as `Worker.fork` has it, where much may have to be fetched soon."""
        for courier in self._all:
            courier.worker.fork()

    @contextlib.asynccontextmanager
    async def one(self) -> AsyncIterator["Courier"]:
        """One that is free and ready, as soon as there is one: for one order. It may be lost, if all are."""
        async with self._turn:
            self._free.sort(key=lambda courier: (not courier.worker.is_lost, courier.worker.is_ready))
            courier = self._free.pop()
            try:
                await courier.ready()
                yield courier
            finally:
                self._free.append(courier)

    async def rest(self) -> None:
        """End those that have had nothing to do for a while."""
        for courier in self._all:
            if courier.worker.is_at_rest:
                async with self._turn:
                    if courier in self._free:
                        self._free.remove(courier)
                        try:
                            await in_thread(courier.worker.close, pool=self._threads)
                        finally:
                            self._free.append(courier)

    def close(self) -> None:
        """End them all. Blocks."""
        for courier in self._all:
            courier.worker.end()
        for courier in self._all:
            courier.worker.close()
        os.close(self._refusals)
        self._threads.shutdown()


class Courier:
    """One process; it does one order at a time. `threads` wait for it; `refusals` is memory that it shares."""

    def __init__(self, threads: Executor, refusals: int) -> None:
        self.worker = Worker(functools.partial(prepare, refusals), [refusals])
        self._threads = threads
        self._is_out = False
        """Whether it is under way, and has not been refused."""

    async def ready(self) -> None:
        """Wait for the process to be ready, or lost."""
        if not self.worker.is_ready:
            await in_thread(self.worker.ready, pool=self._threads)

    async def sent(self, order: Order, refused: Callable[[Refusal], object]) -> Done | None:
        """What became of an order; None if nobody knows. A cancellation breaks it off. It has to be `ready`.

        `refused` hears of a refusal as soon as it comes; what was ordered there before goes no further by then.
        """
        loop = asyncio.get_running_loop()

        def hear(refusal: Refusal) -> None:
            self._is_out = False
            loop.call_soon_threadsafe(refused, refusal)

        self._is_out = True
        going = loop.run_in_executor(self._threads, self.worker.ask, run, order, hear)
        try:
            return await asyncio.shield(going)
        except asyncio.CancelledError:
            self.stop()
            await ended(going)
            raise
        except Exception as error:  # the ordinary way is there for whatever it met
            log.warning("courier_failed", error=f"{type(error).__name__}: {error}")
            return None
        finally:
            self._is_out = False

    def stop(self) -> None:
        """Break off what is being done: it comes back with what it has. Who was refused is breaking off already."""
        if self._is_out:
            self.worker.interrupt(STOP)

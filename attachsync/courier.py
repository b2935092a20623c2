"""Sends processes of their own on errands: what they have fetched, stored and shown is only to be recorded here."""

import asyncio
import contextlib
import functools
import os
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor

import structlog

from attachsync.errands import STOP, Done, Order, run
from attachsync.line import Direct
from attachsync.threads import ended
from attachsync.worker import Worker

_MOST = 2
"""So many of them, where there are as many processors: more would be in each other's way on the disk."""
_AGAIN = 0.05
"""Seconds until the process is told once more: it may not have been listening."""
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
            self._free.sort(key=lambda courier: not courier.worker.is_lost)
            courier = self._free.pop()
            try:
                yield courier
            finally:
                self._free.append(courier)

    @property
    def workers(self) -> list[Worker]:
        """Their processes."""
        return [courier.worker for courier in self._all]

    def close(self) -> None:
        """End them all. Blocks."""
        for worker in self.workers:
            worker.close()
        self._threads.shutdown()


class Courier:
    """One process; it does one order at a time. `threads` wait for it; `others` may be under way to the same origin."""

    def __init__(self, threads: Executor, others: Sequence["Courier"] = ()) -> None:
        self.worker = Worker()
        self._threads = threads
        self._others = others
        self._to: Direct | None = None
        self._going: asyncio.Future[Done | None] | None = None

    async def sent(self, order: Order) -> Done | None:
        """What became of an order; None if nobody knows. A cancellation breaks it off."""
        self._to = order.to
        ask = functools.partial(self.worker.ask, run, order, self._refused)
        self._going = asyncio.get_running_loop().run_in_executor(self._threads, ask)
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

    def _refused(self) -> None:
        """Whoever else is under way there learns of it before the event loop does."""
        for other in self._others:
            if other is not self and other._to == self._to:
                other.worker.interrupt(STOP)

    def stop(self) -> None:
        """Break off what is being done: it comes back with what it has."""
        if self._going is not None:
            self._interrupt(self._going)

    def _interrupt(self, going: "asyncio.Future[Done | None]") -> None:
        if not going.done():
            self.worker.interrupt(STOP)
            asyncio.get_running_loop().call_later(_AGAIN, self._interrupt, going)

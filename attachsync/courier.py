"""Sends a process of its own on errands: what it has fetched, stored and shown is only to be recorded here."""

import asyncio
from concurrent.futures import Executor

from attachsync.errands import STOP, Done, Order, run
from attachsync.threads import ended
from attachsync.worker import Worker


class Courier:
    """One process for all accounts of a mirror; it does one order at a time. `threads` wait for it."""

    def __init__(self, threads: Executor) -> None:
        self.turn = asyncio.Lock()
        self.worker = Worker()
        self._threads = threads

    async def sent(self, order: Order) -> Done | None:
        """What became of an order; None if the process is lost. A cancellation breaks it off."""
        done = asyncio.get_running_loop().run_in_executor(self._threads, self.worker.ask, run, order)
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            self.stop()
            await ended(done)
            raise

    def stop(self) -> None:
        """Break off what is being done: it comes back with what it has."""
        self.worker.interrupt(STOP)

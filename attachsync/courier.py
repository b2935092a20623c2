"""Sends a process of its own on errands: what it has fetched, stored and shown is only to be recorded here."""

import asyncio
from concurrent.futures import Executor

import structlog

from attachsync.errands import STOP, Done, Order, run
from attachsync.threads import ended
from attachsync.worker import Worker

_AGAIN = 0.05
"""Seconds until the process is told once more: it may not have been listening."""
log = structlog.get_logger()


class Courier:
    """One process for all accounts of a mirror; it does one order at a time. `threads` wait for it."""

    def __init__(self, threads: Executor) -> None:
        self.turn = asyncio.Lock()
        self.worker = Worker()
        self._threads = threads
        self._going: asyncio.Future[Done | None] | None = None

    async def sent(self, order: Order) -> Done | None:
        """What became of an order; None if nobody knows. A cancellation breaks it off."""
        self._going = asyncio.get_running_loop().run_in_executor(self._threads, self.worker.ask, run, order)
        try:
            return await asyncio.shield(self._going)
        except asyncio.CancelledError:
            self.stop()
            await ended(self._going)
            raise
        except Exception as error:  # the ordinary way is there for whatever it met
            log.warning("courier_failed", error=f"{type(error).__name__}: {error}")
            return None

    def stop(self) -> None:
        """Break off what is being done: it comes back with what it has."""
        if self._going is not None:
            self._interrupt(self._going)

    def _interrupt(self, going: "asyncio.Future[Done | None]") -> None:
        if not going.done():
            self.worker.interrupt(STOP)
            asyncio.get_running_loop().call_later(_AGAIN, self._interrupt, going)

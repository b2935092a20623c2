"""Blocking file work off the event loop."""

import asyncio
import io
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

T = TypeVar("T")


async def in_thread(function: Callable[..., T], *values: object, pool: Executor | None = None) -> T:
    """Run blocking work in a thread. A cancellation waits for it to end: nothing is left half done behind our back."""
    return await ended(asyncio.get_running_loop().run_in_executor(pool, function, *values))


async def ended(work: "asyncio.Future[T]") -> T:
    """What work that has begun comes to. A cancellation waits for it to end."""
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        while not work.done():
            try:
                await asyncio.wait([work])
            except asyncio.CancelledError:
                continue
        if not work.cancelled() and work.exception() is None:
            result = work.result()
            if isinstance(result, io.IOBase):
                result.close()  # a file was opened for nobody
        raise

"""Work that a cancellation lets end: what cannot be done a second time (specs/trinsic.md 1.8)."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def unbroken(work: Coroutine[Any, Any, T], seconds: Callable[[], float]) -> T:
    """Do `work`; when cancelled meanwhile, give it so many seconds to end before the cancellation goes on."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=seconds())
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # what went wrong after the cancellation is of no interest any more
        raise

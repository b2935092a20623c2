"""Blocking file work off the event loop."""

import asyncio
import io
from collections.abc import Callable, Generator
from concurrent.futures import Executor
from typing import Any, TypeVar

T = TypeVar("T")

Steps = Generator[None, None, T]
"""Blocking work that yields now and then: there it may be left, and is to be closed."""

_STRIDE = 16
"""So many steps are done in one go: whoever stops us waits for those only."""


async def in_thread(function: Callable[..., T], *values: object, pool: Executor | None = None) -> T:
    """Run blocking work in a thread. A cancellation waits for it to end: nothing is left half done behind our back."""
    return await ended(asyncio.get_running_loop().run_in_executor(pool, function, *values))


async def in_strides(steps: Steps[T]) -> T:
    """The same for work in steps: a cancellation waits only for the few that are being done."""

    def stride() -> object:
        try:
            for _ in range(_STRIDE):
                next(steps)
        except StopIteration as end:
            return end.value
        return steps

    found: Any = steps
    try:
        while found is steps:
            found = await in_thread(stride)
    finally:
        steps.close()
    result: T = found
    return result


def at_once(steps: Steps[T]) -> T:
    """What work in steps comes to, done here."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result


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

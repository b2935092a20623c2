"""Blocking work off the event loop."""

import asyncio
import threading

import pytest

from attachsync.threads import Steps, at_once, in_strides


def counting(number: int) -> Steps[int]:
    """So many steps, and how many there were."""
    for _ in range(number):
        yield
    return number


@pytest.mark.parametrize("number", [0, 1, 15, 16, 17, 100])
async def test_all_steps_are_done(number: int) -> None:
    """However they divide into strides."""
    assert await in_strides(counting(number)) == at_once(counting(number)) == number


async def test_a_cancellation_waits_for_a_stride_only() -> None:
    """The rest is left, and told so."""
    begun, told = threading.Event(), []

    def endless() -> Steps[None]:
        try:
            while True:
                begun.set()
                yield
        finally:
            told.append("closed")

    task = asyncio.create_task(in_strides(endless()))
    await asyncio.to_thread(begun.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told == ["closed"]

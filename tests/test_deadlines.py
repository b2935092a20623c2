"""Time limits that are watched together: what they end, and what they leave alone."""

import asyncio

import pytest

from attachsync.deadlines import Deadlines


async def never() -> None:
    await asyncio.Event().wait()


async def test_what_takes_too_long_is_ended() -> None:
    """Each by its own limit; what has none, or a later one, goes on."""
    limits = Deadlines(0.001)
    longer, ended = asyncio.Event(), list[str]()

    async def limited(name: str, seconds: float) -> None:
        try:
            with limits.within(seconds):
                await longer.wait()
        except TimeoutError:
            ended.append(name)
            if len(ended) == 2:
                longer.set()

    async with asyncio.TaskGroup() as group:
        for name, seconds in (("first", 0.01), ("second", 0.02), ("none", 60.0)):
            group.create_task(limited(name, seconds))
    assert ended == ["first", "second"]


async def test_a_cancellation_from_elsewhere_is_no_time_out() -> None:
    """Also where both come at once."""
    limits = Deadlines(0.001)
    begun = asyncio.Event()

    async def limited(seconds: float) -> None:
        with limits.within(seconds):
            begun.set()
            await never()

    for seconds in (60.0, 0.0):
        begun.clear()
        task = asyncio.ensure_future(limited(seconds))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_the_inner_of_two_limits_ends_what_is_inside() -> None:
    """And the outer one is left as it was."""
    limits = Deadlines(0.001)
    with limits.within(60.0):
        with pytest.raises(TimeoutError), limits.within(0.01):
            await never()
        await asyncio.sleep(0)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_an_error_inside_is_raised_as_it_is() -> None:
    limits = Deadlines(0.001)
    with pytest.raises(KeyError), limits.within(60.0):
        raise KeyError
    with limits.within(0.0):
        pass  # over before it was looked at: in time

"""Waiting for whichever comes first."""

import asyncio
from collections.abc import Coroutine


async def either(sleeping: Coroutine[object, object, None], *events: asyncio.Event) -> None:
    """Wait until a sleep is over or one of these events comes."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(end) for end in (sleeping, *map(_come, events))]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()


async def _come(event: asyncio.Event) -> None:
    await event.wait()

"""Noticing that files have changed, by what the system says of them."""

import asyncio
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from attachsync.clock import Clock

Stamp = tuple[int, int, int, int]

_GLANCE = 1.0
"""Files are looked at this often (seconds) while they are waited for."""


def stamps(files: Iterable[Path]) -> list[Stamp]:
    """What differs when one of the files, or who may read it, has changed, or it has come or gone."""
    found = []
    for file in files:
        try:
            one = os.stat(file)
        except OSError:
            found.append((0, 0, 0, 0))
        else:
            found.append((one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns))
    return found


async def waited(clock: Clock, event: asyncio.Event, end: float, files: Sequence[Path], seen: Sequence[Stamp]) -> bool:
    """Wait for an event, till `end` (monotonic) at most, or until files are not as they were seen: whether it came."""
    while not event.is_set() and stamps(files) == seen and (rest := end - clock.monotonic()) > 0:
        await clock.wait(event, min(rest, _GLANCE) if files else rest)
    return event.is_set()

"""Steps of uploads, written to the index together: one transaction and one sync for all that come close together."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from attachsync.index.uploads import Uploads

T = TypeVar("T")

_MOMENT = 0.005
"""Where several came together, the next wait until so long (seconds) has passed. One that comes alone does not."""


@dataclass(frozen=True, slots=True)
class _Step(Generic[T]):
    write: Callable[[], T]
    durable: bool
    rank: tuple[Any, ...]
    written: "asyncio.Future[T]"


class Journal:
    """What the files of one outbox do, step by step. A step that is cancelled before it is written never is."""

    def __init__(self, uploads: Uploads) -> None:
        self._uploads = uploads
        self._steps: list[_Step[Any]] = []
        self._not_before = 0.0

    async def write(
        self,
        write: Callable[[], T],
        *,
        rank: tuple[Any, ...] = (),
        durable: bool = True,
        undo: Callable[[T], None] = lambda _written: None,
    ) -> T:
        """What `write`, a step of `Uploads`, returns, once it is in the index. Raises StorageError.

        Of those that come close together, the one of the lowest `rank` is first. Not `durable`: a loss of power may
        undo it. `undo` is called when a cancellation comes too late, as it has been written, and too early, as nobody
        has heard of it.
        """
        loop = asyncio.get_running_loop()
        step: _Step[T] = _Step(write, durable, rank, loop.create_future())
        if not self._steps:
            loop.call_at(self._not_before, self._write_all)
        self._steps.append(step)
        try:
            return await step.written
        except asyncio.CancelledError:
            was_written = not step.written.cancel() and not step.written.cancelled()
            if was_written and step.written.exception() is None:
                undo(step.written.result())
            raise

    def _write_all(self) -> None:
        steps, self._steps = [step for step in self._steps if not step.written.cancelled()], []
        self._not_before = asyncio.get_running_loop().time() + _MOMENT if len(steps) > 1 else 0.0
        if not steps:
            return
        steps.sort(key=lambda step: step.rank)
        try:
            with self._uploads.together(durable=any(step.durable for step in steps)):
                results = [step.write() for step in steps]
        except Exception as error:  # who waits for a step raises it
            for step in steps:
                step.written.set_exception(error)
        else:
            for step, result in zip(steps, results, strict=True):
                step.written.set_result(result)

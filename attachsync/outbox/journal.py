"""Steps of uploads, written to the index together: one transaction and one sync for all that come close together."""

import asyncio
from collections.abc import Callable, Sequence
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
    written: "asyncio.Future[T]"


class Journal:
    """What the files of one outbox do, step by step. A step that is cancelled before it is written never is."""

    def __init__(self, uploads: Uploads) -> None:
        self._uploads = uploads
        self._steps: list[_Step[Any]] = []
        self._not_before = 0.0

    async def write(self, write: Callable[[], T], *, durable: bool = True) -> T:
        """What `write`, a step of `Uploads`, returns, once it is in the index. Raises StorageError.

        Not `durable`: a kill loses nothing, but a loss of power may.
        """
        loop = asyncio.get_running_loop()
        step: _Step[T] = _Step(write, durable, loop.create_future())
        if not self._steps:
            loop.call_at(self._not_before, self._write_all)
        self._steps.append(step)
        return await step.written

    def _write_all(self) -> None:
        steps, self._steps = [step for step in self._steps if not step.written.cancelled()], []
        self._not_before = asyncio.get_running_loop().time() + _MOMENT if len(steps) > 1 else 0.0
        if steps:
            self._write(steps)

    def _write(self, steps: Sequence[_Step[Any]]) -> None:
        try:
            with self._uploads.together(durable=any(step.durable for step in steps)):
                results = [step.write() for step in steps]
        except Exception as error:  # who waits for a step raises it
            if len(steps) == 1:
                steps[0].written.set_exception(error)
            else:
                for step in steps:  # what is wrong with one is not to befall the others
                    self._write([step])
        else:
            for step, result in zip(steps, results, strict=True):
                step.written.set_result(result)

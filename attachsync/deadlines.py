"""Time limits for much that happens at once, looked at together: a timer for each costs as much as half a request."""

import asyncio
from types import TracebackType
from typing import Self


class Deadline:
    """One limit, for the task that enters it: TimeoutError if it is not left in time, as `asyncio.timeout` has it."""

    __slots__ = ("_all", "_cancelling", "at", "is_over", "task")

    def __init__(self, everything: "Deadlines", seconds: float) -> None:
        self._all = everything
        self.at = asyncio.get_running_loop().time() + seconds
        self.is_over = False

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None
        self.task, self._cancelling = task, task.cancelling()
        self._all.watch(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._all.leave(self)
        if self.is_over and self.task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error


class Deadlines:
    """The limits of one event loop that are watched now. `glance`: they are looked at so often (seconds)."""

    def __init__(self, glance: float) -> None:
        self._glance = glance
        self._watched: set[Deadline] = set()
        self._is_looking = False

    def within(self, seconds: float) -> Deadline:
        """What is done inside may take so long, give or take a glance."""
        return Deadline(self, seconds)

    def watch(self, deadline: Deadline) -> None:
        """Have a limit looked at."""
        self._watched.add(deadline)
        if not self._is_looking:
            self._is_looking = True
            asyncio.get_running_loop().call_later(self._glance, self._look)

    def leave(self, deadline: Deadline) -> None:
        """It was kept."""
        self._watched.discard(deadline)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        for deadline in [one for one in self._watched if one.at <= loop.time()]:
            self._watched.discard(deadline)
            deadline.is_over = True
            deadline.task.cancel()
        self._is_looking = bool(self._watched)
        if self._watched:
            loop.call_later(self._glance, self._look)

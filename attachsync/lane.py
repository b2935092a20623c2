"""A share of what an account may do at once: had while its service is asked, given back while the disk is at work."""

import asyncio
from types import TracebackType
from typing import Self


class Lane:
    """One of the account's `concurrency`, for one attachment. Entered and left as often as it is needed."""

    def __init__(self, lanes: asyncio.Semaphore) -> None:
        self._lanes = lanes
        self._is_ours = False

    async def enter(self) -> None:
        """Wait for a share, unless we have one."""
        if not self._is_ours:
            await self._lanes.acquire()
            self._is_ours = True

    def leave(self) -> None:
        """Give it back, if we have one."""
        if self._is_ours:
            self._is_ours = False
            self._lanes.release()

    async def __aenter__(self) -> Self:
        await self.enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

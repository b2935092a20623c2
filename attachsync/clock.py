"""Time, passed in wherever it matters, so that tests and simulations can bring their own."""

import asyncio
import time


class Clock:
    """The machine's clocks and sleep."""

    def now(self) -> float:
        """Unix time in seconds: for what is stored or shown. May jump."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never go back: for spans within this process."""
        return time.monotonic()

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        """Wait for an event, at most so long; whether it came."""
        try:
            async with asyncio.timeout(seconds):
                return await event.wait()
        except TimeoutError:
            return False

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

"""How long an answer may take: what says nothing, too little or goes on too long is given up."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from attachsync.units import human_size


@dataclass(frozen=True, slots=True)
class Patience:
    """Spans are in seconds."""

    quiet: float = 30.0
    """A connection that says nothing for this long is given up, and not tried again at once."""
    window: float = 60.0
    """So is a body for which was waited this long, in which it came more slowly than `floor`."""
    floor: float = 1024.0
    """Bytes a second."""
    whole: float = 300.0
    """So is an answer that has not begun after this long, or one of JSON that has not ended."""
    examined: float = 256 * 1024
    """At so many bytes a second, or faster, a service is through with what was uploaded, and answers."""
    words: float = 1.0
    """What an error says is listened to for this long."""
    pause: float = 0.2
    """Before a request is repeated for the first time; then twice as long each time."""

    @property
    def connect(self) -> float:
        """So long may it take to connect."""
        return min(self.quiet, 20.0)

    def answer(self, size: int) -> float:
        """So long may it say nothing after an upload of so many bytes."""
        return min(self.quiet + size / self.examined, max(self.whole, self.quiet))

    @property
    def glance(self) -> float:
        """Spans are kept to, give or take this."""
        return min(self.quiet, self.whole, self.words) / 4


class TooSlowError(TimeoutError):
    """A body that came more slowly than the floor."""


async def hurried(chunks: AsyncIterator[bytes], patience: Patience) -> AsyncIterator[bytes]:
    """The same chunks. Only the time spent waiting for them counts, not what is done with them. Raises TooSlowError."""
    time = asyncio.get_running_loop().time
    waited, came, asked = 0.0, 0, time()
    async for chunk in chunks:
        waited += time() - asked
        came += len(chunk)
        if waited >= patience.window:
            if came < patience.floor * waited:
                raise TooSlowError(f"under {human_size(patience.floor)} a second")
            waited, came = 0.0, 0
        yield chunk
        asked = time()

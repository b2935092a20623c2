"""How fast one account may ask: its own `rate`, and the waits that its service asks for (429), for all its requests."""

import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attachsync import retry
from attachsync.clock import Clock
from attachsync.errors import RateLimitedError

if TYPE_CHECKING:
    from aiolimiter import AsyncLimiter

PATIENCE = 60.0
"""An account that gets nothing but 429 for this long (seconds) is given up for this pass."""
LONGEST_WAIT = 120.0
"""So is one whose service asks for a longer wait than this (seconds)."""
_SPREAD = 0.1
"""Those who waited go on over this share of the wait, not all in the same instant."""


@dataclass(slots=True)
class Limited:
    """What 429s of a service ask of an account; it outlives the client, if another one takes its place."""

    resume_at: float = 0.0
    """When (monotonic) it may ask again."""
    pauses: int = 0
    """How many in a row."""
    since: float | None = None


class Pace:
    """One account's turn-taking. A 429 pauses everybody."""

    def __init__(self, account: str, rate: float | None, clock: Clock, limited: Limited) -> None:
        self._account = account
        self._clock = clock
        self._rate = _limiter(rate) if rate else None
        self._limited = limited
        self._watchers: list[Callable[[], object]] = []

    @contextlib.contextmanager
    def watched(self, stop: Callable[[], object]) -> Iterator[None]:
        """Within, `stop` is called when what is under way is to be broken off."""
        self._watchers.append(stop)
        try:
            yield
        finally:
            self._watchers.remove(stop)

    def break_off(self) -> None:
        """A 429 pauses everybody, or there is other trouble for all: what is under way elsewhere is to end."""
        for stop in self._watchers:
            stop()

    def free(self) -> float | None:
        """The moment (monotonic), if there is nothing to wait for."""
        now = self._clock.monotonic()
        return now if self._rate is None and now >= self._limited.resume_at else None

    async def turn(self) -> float:
        """Wait until it is this request's turn; the moment (monotonic) at which it begins. Raises RateLimitedError."""
        while (wait := self._limited.resume_at - self._clock.monotonic()) > 0:
            if wait > LONGEST_WAIT:
                raise RateLimitedError(f"{self._account}: asked to wait {wait:.0f} s (HTTP 429)", retry_after=wait)
            await self._clock.sleep(wait * (1 + _SPREAD * random.random()))
        if self._rate is not None:
            await self._rate.acquire()
        return self._clock.monotonic()

    def answered(self) -> None:
        """The service took a request."""
        self._limited.pauses = 0
        self._limited.since = None

    def limited(self, error: RateLimitedError, began: float) -> None:
        """A request that began then was answered 429: pause. Raises the error when patience is at its end."""
        now, limited = self._clock.monotonic(), self._limited
        if began >= limited.resume_at:  # the others that were under way count as the same refusal
            limited.pauses += 1
        if not error.retry_after:
            error.retry_after = retry.delay(limited.pauses, base=1.0, cap=PATIENCE)
        limited.since = limited.since or now
        limited.resume_at = max(limited.resume_at, now + error.retry_after)
        self.break_off()
        if now - limited.since > PATIENCE:
            raise error


def _limiter(rate: float) -> "AsyncLimiter":
    """So many requests a second at most, in any second: one at a time, evenly."""
    from aiolimiter import AsyncLimiter  # slow, and few configs need it

    return AsyncLimiter(1, 1 / rate)

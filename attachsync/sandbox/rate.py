"""A rate limit as a service imposes it: so many requests in a window of time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class RateLimit:
    """At most `requests` in each window of `seconds`."""

    requests: int
    seconds: float
    clock: Callable[[], float] = time.monotonic
    refused: int = 0
    _began: float = field(default=float("-inf"), repr=False)
    _used: int = field(default=0, repr=False)

    def wait(self) -> float:
        """Count a request; return 0 when it may pass, else the seconds until the next window."""
        at = self.clock()
        if at - self._began >= self.seconds:
            self._began, self._used = at, 0
        if self._used < self.requests:
            self._used += 1
            return 0.0
        self.refused += 1
        return max(0.001, self._began + self.seconds - at)

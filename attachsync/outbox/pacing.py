"""When a file's turn comes, and how long an outbox waits: one way for the daemon, another for a single pass."""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from attachsync import retry
from attachsync.clock import Clock
from attachsync.index import Upload
from attachsync.outbox.reactions import PausedError
from attachsync.stamps import Stamp, stamps

_LONGEST_PAUSE = 300.0
_TRIES_IN_PLACE = 3
_IN_DOUBT = 5
"""After more attempts of unknown outcome a single pass, too, keeps to the journal's time for the next one."""
_LONGEST_WAIT_IN_PLACE = 60.0


class Pace(Protocol):
    """Decides whose turn it is."""

    def due(self, name: str, upload: Upload) -> bool:
        """Whether a file that was tried before may be tried now."""

    def tried(self, name: str, asked: float = 0.0, journaled: float = 0.0) -> float:
        """A file was tried; in how many seconds it is tried again. The service `asked` for so many at least."""

    def pause(self, error: PausedError, failures: int) -> float:
        """How long the outbox waits after so many failures in a row, in seconds."""


class Steady(Pace):
    """The daemon's: the journal's own retry times."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def due(self, name: str, upload: Upload) -> bool:
        """Whether its retry time has come."""
        return upload.retry_at <= self._clock.now()

    def tried(self, name: str, asked: float = 0.0, journaled: float = 0.0) -> float:
        """The journal knows."""
        return journaled

    def pause(self, error: PausedError, failures: int) -> float:
        """What the service asked for, or doubling up to five minutes."""
        return error.retry_after if error.retry_after is not None else retry.delay(failures, cap=_LONGEST_PAUSE)


class Once(Pace):
    """A single pass': everything once, whatever its retry time, and up to three times more after short waits.

    But for what may have been sent again and again: that waits for its time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tries: Counter[str] = Counter()
        self._at: dict[str, float] = {}

    def due(self, name: str, upload: Upload) -> bool:
        """Whether its turn has come, and it has turns left."""
        if not self._tries[name] and upload.strikes > _IN_DOUBT and upload.retry_at > self._clock.now():
            return False
        return self.hopeful(name) and self._at.get(name, 0.0) <= self._clock.monotonic()

    def hopeful(self, name: str) -> bool:
        """Whether a file has turns left in this pass."""
        return self._tries[name] <= _TRIES_IN_PLACE

    def tried(self, name: str, asked: float = 0.0, journaled: float = 0.0) -> float:
        """Count a try, and set the time of the next one; there is none where that is too long to wait."""
        self._tries[name] += 1 if asked <= _LONGEST_WAIT_IN_PLACE else _TRIES_IN_PLACE + 1
        wait = max(asked, _short(self._tries[name]))
        self._at[name] = self._clock.monotonic() + wait
        return wait if self.hopeful(name) else journaled

    def next_at(self, names: set[str]) -> float | None:
        """When (monotonic) the next turn of these files is; None if none has any left."""
        return min((self._at[name] for name in names if name in self._at and self.hopeful(name)), default=None)

    def pause(self, error: PausedError, failures: int) -> float:
        """What the service asked for, or a short wait."""
        return error.retry_after if error.retry_after is not None else _short(failures)


def _short(tries: int) -> float:
    return retry.delay(tries, base=0.5, cap=4.0, spread=0.5)


class Pause:
    """Whether the outbox waits, and since when; says so once on the way down and once when it is back.

    `secrets`: the account's secret files.
    """

    def __init__(self, clock: Clock, secrets: Sequence[Path]) -> None:
        self._clock = clock
        self._secrets = secrets
        self._seen: Sequence[Stamp] = ()
        self.error: PausedError | None = None
        self._since = 0.0
        self._until = 0.0
        self._failures = 0

    def begin(self, error: PausedError, pace: Pace) -> bool:
        """Wait from now on; whether that is news."""
        news = self.error is None
        if not self.left():  # several requests may find out together
            self._failures += 1
            self._since = self._clock.monotonic()
        self.error, self._seen = error, stamps(self._secrets)
        self._until = max(self._until, self._clock.monotonic() + pace.pause(error, self._failures))
        return news

    def look(self) -> None:
        """End it now if a person is needed, and has changed a secret file."""
        if self.error is not None and not self.error.passing and (found := stamps(self._secrets)) != self._seen:
            self._until, self._seen = min(self._until, self._clock.monotonic()), found

    def left(self) -> float:
        """Seconds that are left of it."""
        return max(0.0, self._until - self._clock.monotonic()) if self.error is not None else 0.0

    @property
    def until(self) -> float:
        """Its end (monotonic); long ago if there is none."""
        return self._until if self.error is not None else -math.inf

    def over_soon(self) -> bool:
        """Whether a single pass may wait for its end."""
        waitable = self._failures <= _TRIES_IN_PLACE and self.left() <= _LONGEST_WAIT_IN_PLACE
        return self.error is not None and self.error.passing and waitable

    def lift(self, began: float) -> bool:
        """Something was sent that began at `began` (monotonic), during the pause or after; whether that is news."""
        if began < self._since:
            return False
        news = self.error is not None
        self.error, self._failures, self._until = None, 0, 0.0
        return news

    def skip(self) -> None:
        """Try again at once (a new pass, a signal)."""
        self._until = 0.0

"""Log lines that say the same again and again are counted, so that a flood hides nothing else."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from attachsync.logger import EventDict, WrappedLogger, structlog

_WHOSE = ("account", "track", "outbox", "hook")
_LOUD = frozenset({"warning", "error", "critical"})
_TOLD, _LAST = "repeated", "stopped"
_PAIRED = frozenset({"account_down", "track_failed", "config_refused", "restart_needed"})
"""These are logged once by themselves, or come because somebody did something: each time counts."""


@dataclass(frozen=True, slots=True)
class _Limit:
    """So many lines pass in so many seconds; the others are counted."""

    first: int
    span: float


_SAME = _Limit(1, 3600.0)
"""The same words, whatever the numbers."""
_KIND = _Limit(20, 600.0)
"""The same event of the same account, track or outbox."""


@dataclass(slots=True)
class _Window:
    limit: _Limit
    since: float
    seen: int = 0

    @property
    def more(self) -> int:
        """How many were held back."""
        return max(self.seen - self.limit.first, 0)


class Repeats:
    """A processor: of what needs attention, the first line passes; of many that differ, the first few.

    How many more there were is told as `repeated`, when the next line of any kind comes after the time is over.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._windows: dict[tuple[str, ...], _Window] = {}

    def __call__(self, _logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        """Pass a line on, or count it."""
        name = str(event.get("event"))
        if name == _TOLD:
            return event
        for told in list(self._over(everything=name == _LAST)):
            structlog.get_logger().warning(_TOLD, **told)
        if method in _LOUD:
            kind = (name, *(str(event.get(key, "")) for key in _WHOSE))
            words = (*kind, *(value for value in event.values() if isinstance(value, str)))
            if (name not in _PAIRED and self._held(words, _SAME)) or self._held(kind, _KIND):
                raise structlog.DropEvent
        return event

    def _held(self, key: tuple[str, ...], limit: _Limit) -> bool:
        window = self._windows.setdefault(key, _Window(limit, self._clock()))
        window.seen += 1
        return window.more > 0

    def _over(self, *, everything: bool) -> Iterator[dict[str, object]]:
        """What was held back in windows whose time is over; they are closed."""
        now = self._clock()
        for key, window in list(self._windows.items()):
            if everything or now - window.since >= window.limit.span:
                del self._windows[key]
                if window.more:
                    whose = {name: value for name, value in zip(_WHOSE, key[1:], strict=False) if value}
                    yield {"of": key[0], "more": window.more, "within": round(now - window.since), **whose}

"""Log lines that say the same again and again are counted, so that a flood hides nothing else."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from attachsync.logger import EventDict, WrappedLogger, structlog

_WHOSE = ("account", "track", "outbox", "hook")
_LOUD = frozenset({"warning", "error", "critical"})
_TOLD, _LAST = "repeated", "stopped"
_PAIRED = frozenset({"account_down", "track_failed", "config_refused", "restart_needed", "not_running"})
"""These are logged once by themselves, or come because somebody did something: each time counts."""


@dataclass(slots=True)
class _Window:
    since: float
    seen: int = 0


class _Windows:
    """Of each key so many lines pass in so many seconds; the others are counted. Kept in the order of their beginning.

    One that is over is closed before anything else is done: what a line costs does not depend on how many there are.
    """

    def __init__(self, first: int, span: float) -> None:
        self._first = first
        self._span = span
        self._open: dict[tuple[str, ...], _Window] = {}

    def __contains__(self, key: object) -> bool:
        return key in self._open

    def passes(self, key: tuple[str, ...], now: float) -> bool:
        """Count one more line: whether it is one of the first."""
        window = self._open.setdefault(key, _Window(now))
        window.seen += 1
        return window.seen <= self._first

    def over(self, now: float, *, everything: bool) -> Iterator[dict[str, object]]:
        """What was held back in windows whose time is over; they are closed."""
        while self._open:
            key, window = next(iter(self._open.items()))
            if not everything and now - window.since < self._span:
                return
            del self._open[key]
            more = window.seen - self._first
            if more > 0:
                whose = {name: value for name, value in zip(_WHOSE, key[1:], strict=False) if value}
                yield {"of": key[0], "more": more, "within": round(now - window.since), **whose}


class Repeats:
    """A processor: of what needs attention, the first line passes; of many that differ, the first few.

    How many more there were is told as `repeated`, when the next line of any kind comes after the time is over.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._same = _Windows(1, 3600.0)
        """The same words, whatever the numbers. Only of lines that passed: there are many that did not."""
        self._kinds = _Windows(20, 600.0)
        """The same event of the same account, track or outbox."""

    def __call__(self, _logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        """Pass a line on, or count it."""
        name = str(event.get("event"))
        if name == _TOLD:
            return event
        now = self._clock()
        for windows in (self._same, self._kinds):
            for told in list(windows.over(now, everything=name == _LAST)):
                structlog.get_logger().warning(_TOLD, **told)
        if method in _LOUD and not self._passes(name, event, now):
            raise structlog.DropEvent
        return event

    def _passes(self, name: str, event: EventDict, now: float) -> bool:
        kind = (name, *(str(event.get(key, "")) for key in _WHOSE))
        if name in _PAIRED:
            return self._kinds.passes(kind, now)
        words = (*kind, *(value for value in event.values() if isinstance(value, str)))
        if words in self._same or self._kinds.passes(kind, now):
            return self._same.passes(words, now)
        return False

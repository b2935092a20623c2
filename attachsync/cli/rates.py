"""How fast something goes, and how long it will take. Pure: the moments come from outside."""

from collections import deque

_WINDOW = 10.0
"""Rates are those of the last so many seconds."""
_SHORTEST = 0.5


class Meter:
    """Files and bytes, counted since the beginning; rates over the last few seconds."""

    def __init__(self, now: float) -> None:
        self.began = now
        self.files = 0
        self.bytes = 0
        self._samples: deque[tuple[float, int, int]] = deque([(now, 0, 0)])

    def rates(self, now: float) -> tuple[float, float]:
        """(files, bytes) a second; to be asked a few times a second."""
        if now - self._samples[-1][0] >= _SHORTEST / 2:
            self._samples.append((now, self.files, self.bytes))
        while len(self._samples) > 2 and now - self._samples[1][0] >= _WINDOW:
            self._samples.popleft()
        at, files, size = self._samples[0]
        span = max(now - at, _SHORTEST)
        return (self.files - files) / span, (self.bytes - size) / span


def left(files: int, size: int, files_rate: float, bytes_rate: float) -> float | None:
    """Seconds that so many files take, and so many bytes of those under way; None: it cannot be told."""
    spans = [count / rate for count, rate in ((files, files_rate), (size, bytes_rate)) if count and rate]
    if (files and not files_rate and not bytes_rate) or (not spans and (files or size)):
        return None
    return max(spans, default=0.0)


def clock(span: float) -> str:
    """75 -> '1:15', 3700 -> '1:01:40', 200000 -> '2d 7h'."""
    seconds = max(0, round(span))
    if seconds >= 86400:
        return f"{seconds // 86400}d {seconds % 86400 // 3600}h"
    hours, minutes = seconds // 3600, seconds // 60 % 60
    return f"{hours}:{minutes:02}:{seconds % 60:02}" if hours else f"{minutes}:{seconds % 60:02}"

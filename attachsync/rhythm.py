"""When a track is listed again: more often after something was new, at last every `interval`. Pure."""

_SOON = 10.0


class Rhythm:
    """The spans (seconds) between the beginnings of one track's listings.

    `share`, of the tracks of its account: the first span is so much of the interval, so that many tracks, which all
    begin at the start, are not asked about at the same time ever after.
    """

    def __init__(self, interval: float, share: float = 1.0) -> None:
        self._interval = interval
        self._soonest = max(interval / 4, min(interval, _SOON))
        self._first: float | None = interval * share
        self._span = interval

    def span(self, *, news: bool) -> float:
        """Until the next listing, after one that brought `news`: never longer than the interval."""
        if self._first is not None:
            first, self._first = self._first, None
            return max(first, min(self._interval, 1.0))
        self._span = self._soonest if news else min(self._span * 2, self._interval)
        return self._span

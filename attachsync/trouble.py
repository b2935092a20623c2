"""Attachment after attachment that was not available: is it a track's trouble, or the whole account's? Pure."""

import math
from collections import Counter

from attachsync.errors import AccountError, UnavailableError

_MOST = 16
"""So many in a row, and a track rests."""
_SPREAD = 4
"""So many in a row on so many tracks, and it is the account that is down."""


class Trouble:
    """What one account's workers met in a session with so many `tracks`. `rest`: how long a track rests (seconds)."""

    def __init__(self, account: str, tracks: int, rest: float = math.inf) -> None:
        self.resting: dict[str, str] = {}
        """Track -> why it rests, or did last."""
        self._account = account
        self._tracks = tracks
        self._rest = rest
        self._until: dict[str, float] = {}
        self._rows: Counter[str] = Counter()
        self._streak: Counter[str] = Counter()

    def rests(self, track: str, now: float) -> bool:
        """Whether nothing of a track is to be tried now (monotonic seconds)."""
        return self._until.get(track, -math.inf) > now

    def note(self, track: str, unavailable: UnavailableError | None, now: float) -> None:
        """An attachment of a track was tried. Raises AccountError when it is time to give the whole account up."""
        if unavailable is None:
            self._rows.pop(track, None)
            self._streak.clear()
            return
        self._rows[track] += 1
        self._streak[track] += 1
        if self._rows[track] >= _MOST:
            self._rows.pop(track)
            self._until[track] = now + self._rest
            self.resting[track] = f"given up for now: {unavailable}"
        spread = self._streak.total() >= _MOST and len(self._streak) >= _SPREAD
        if spread or sum(self.rests(one, now) for one in self._until) >= self._tracks:
            raise AccountError(f"{self._account} is not available: {unavailable}")

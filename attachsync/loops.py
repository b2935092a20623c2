"""Noticing that a list does not end: page tokens lead in a circle, or pages bring what came before. Pure."""

from collections.abc import Iterable

_MOST_KEPT = 4096
_MOST_STALE = 100


class Loop:
    """Remembers one token at a time, for ever longer (Brent's cycle detection): enough to find any circle."""

    def __init__(self) -> None:
        self._remembered = ""
        self._steps = 0
        self._most = 1

    def closes(self, token: str) -> bool:
        """Take the next token: whether it is the one that is remembered."""
        if token == self._remembered:
            return True
        if self._steps == self._most:
            self._remembered, self._steps, self._most = token, 0, self._most * 2
        self._steps += 1
        return False


class Repeats:
    """Notices that pages have brought nothing new for long, whatever their tokens, and in whatever order.

    Of the rows of a long list only some are remembered, by their hash: those that end with so many zeros, ever more
    of them, that there are few. One in a thousand is enough to tell a list from the same list once more.
    """

    def __init__(self) -> None:
        self._kept: set[int] = set()
        self._mask = 0
        self._fresh = 0
        """How many pages there were when the latest one came that brought anything new,"""
        self._stale = 0
        """and since."""

    def go_on(self, rows: Iterable[str]) -> bool:
        """Take the next page's identities: whether the list goes on with nothing new, for as long as it was before.

        And a hundred pages longer: a page may be empty, and one comes twice where rows are added meanwhile.
        """
        before = len(self._kept)
        self._kept.update(number for number in map(hash, rows) if not number & self._mask)
        if len(self._kept) > before:
            self._fresh, self._stale = self._fresh + self._stale + 1, 0
        else:
            self._stale += 1
        while len(self._kept) > _MOST_KEPT:
            self._mask = self._mask * 2 + 1
            self._kept = {number for number in self._kept if not number & self._mask}
        return self._stale > self._fresh + _MOST_STALE

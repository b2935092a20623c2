"""What is suspicious of what a service says of a track, and since when. Pure.

An empty or shrunken list, and refusals in bulk of what was had before, are more often a mistake upstream than the
truth. Nothing is removed for either (contract 3); a person is told.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from attachsync.retry import DAY

TAKEN_AS_SO = 30 * DAY
"""A list that stays short for so long (seconds) is taken as it is."""
_FEW = 4
"""A list of fewer than this may shrink, but not to nothing, without being suspicious."""
_FEW_REFUSED = 3
MOST_REFUSED = 1000
"""So many refused attachments are remembered; more make no difference."""


@dataclass(frozen=True, slots=True)
class Doubts:
    """Of one track: what its listing names and usually named, and which stored attachments were refused since."""

    usual: int = 0
    named: int = 0
    short_since: float | None = None
    refused: tuple[int, ...] = ()
    refused_since: float | None = None

    def counted(self, named: int, now: float) -> "Doubts":
        """After a listing that names everything and was whole; `now` is Unix time."""
        short = named * 2 < self.usual and (named == 0 or self.usual >= _FEW)
        since = self.short_since if self.short_since is not None else now
        if short and now - since < TAKEN_AS_SO:
            return Doubts(self.usual, named, since, self.refused, self.refused_since)
        return Doubts(named, named, None, self.refused, self.refused_since)

    def asked(self, row: int, now: float, *, refused: bool) -> "Doubts":
        """After a stored attachment was asked about again: was it refused (403, 404), or is it there?"""
        others = tuple(one for one in self.refused if one != row)
        rows = (*others, row)[:MOST_REFUSED] if refused else others
        since = (now if self.refused_since is None else self.refused_since) if rows else None
        return Doubts(self.usual, self.named, self.short_since, rows, since)

    def among(self, stored: Collection[int]) -> "Doubts":
        """Of the refused ones only those that are stored still: nobody has doubts about what was removed."""
        rows = tuple(one for one in self.refused if one in stored)
        return replace(self, refused=rows, refused_since=self.refused_since if rows else None)

    def told(self, stored: int) -> Iterator[tuple[str, float]]:
        """(what is suspicious, since when) of a track with so many stored attachments."""
        if self.short_since is not None:
            yield f"lists {self.named or 'nothing'}, {self.usual} before", self.short_since
        count = len(self.refused)
        if self.refused_since is not None and count >= min(max(_FEW_REFUSED, stored / 10), MOST_REFUSED):
            yield f"refused {count} of {stored} stored attachments when asked about them again", self.refused_since

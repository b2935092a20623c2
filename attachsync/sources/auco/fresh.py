"""Fresh links: in memory only, and not for long (architecture 4; specs/auco.md 2)."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from weakref import WeakValueDictionary

from attachsync.clock import Clock
from attachsync.errors import NotReadyError
from attachsync.model import JSON
from attachsync.sources.auco import slots
from attachsync.sources.auco.records import File, Slot
from attachsync.sources.auco.slots import Places

FRESH = 240.0
"""Links are good for 300 s; older than this (seconds), they are asked for again before a download begins."""
_MOST = 512

Whose = tuple[str, str, str, str]
"""Track, kind and id of its process, and signer: each track numbers equal labels as it came to know them."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One signer's files as last answered. `at`: monotonic, before the links were signed."""

    at: float
    files: tuple[File, ...]
    finish: bool
    places: Places | None
    """Which of equal labels is which; None until a listing has told."""

    def link(self, slot: Slot, place: JSON) -> str | None:
        """A file's link, if it is uploaded; `place` is where it was when it was listed.

        Raises NotReadyError while it could be any of the files of its label.
        """
        found = slots.numbered(self.files, slots.only(slot, place) if self.places is None else self.places)
        if self.places is None and not slots.is_certain(slot, self.files, place):
            raise NotReadyError("which of the files of this label it is, is known after the next listing")
        file = found.get(slot)
        return None if file is None else file.link


class FreshLinks:
    """The latest answers for the signers that were asked for last."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: OrderedDict[Whose, Seen] = OrderedDict()
        self._locks: WeakValueDictionary[Whose, asyncio.Lock] = WeakValueDictionary()

    def lock(self, whose: Whose) -> asyncio.Lock:
        """Held while one signer is asked for again, so that one answer serves all who wait for it."""
        return self._locks.setdefault(whose, asyncio.Lock())

    def keep(self, whose: Whose, seen: Seen) -> None:
        """Remember an answer."""
        self._seen[whose] = seen
        self._seen.move_to_end(whose)
        while len(self._seen) > _MOST:
            self._seen.popitem(last=False)

    def get(self, whose: Whose) -> Seen | None:
        """The latest answer for a signer, however old."""
        return self._seen.get(whose)

    def is_good(self, seen: Seen) -> bool:
        """Whether the links of an answer are good for a while yet."""
        return self._clock.monotonic() - seen.at <= FRESH

"""Which assets need no look, by the account's one feed of all their events (specs/datatrails.md 1.4).

An asset changes by its events only. Where many tracks are of one asset each, what all of them would ask every time is
asked once: has there been any event? What an asset's own lists are needed for, they are asked for as ever.
"""

import asyncio
import contextlib
import math
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping

from attachsync.errors import GoneError, MalformedError, RefusedError, RejectedError, UnavailableError
from attachsync.http import Http, Query
from attachsync.model import JSON
from attachsync.sources.datatrails.paging import since, watermark
from attachsync.sources.datatrails.records import Listing

_MANY = 20
"""So many tracks are worth asking the feed for,"""
_TRACKS_A_PAGE, _MOST_PAGES = 20, 20
"""if what is new in it is on no more than a page for so many tracks (two at least), and so many in all."""
_FRESH = 1.0
"""Tracks that are listed one right after the other share one look (seconds)."""
_SWEEP = 60.0
"""So often (seconds) the feed is read from further back: an event may become visible late."""
_LONGEST = 3000.0
"""Each asset is looked at so often in any case (seconds): a policy may show more of it without any event (2)."""
_MOST_SEEN = 5000
"""So many events are remembered. One that is not, and comes again, has its asset looked at once more."""
_REST = 3600.0
"""When the feed is no help, it is left alone for so long (seconds)."""

Walk = Callable[[Query], AsyncGenerator[Listing, None]]
"""The pages of the feed of all assets."""


class Quiet:
    """What one account's feed has shown since its tracks were listed. `walk` asks for it."""

    def __init__(self, http: Http, walk: Walk) -> None:
        self._http = http
        self._walk = walk
        self._lock = asyncio.Lock()
        self._tracks: set[str] = set()
        self._listed: defaultdict[str, dict[str, float]] = defaultdict(dict)
        """Asset -> track -> when its own lists were last read (monotonic), if no event has been seen on it since."""
        self._seen: set[tuple[str, str, str]] = set()
        """Asset, event and its status, of what was seen before: any other is new."""
        self._looked_at: float | None = None
        self._swept_at = -math.inf
        self._cursor: Mapping[str, JSON] = {}
        self._rest_until = 0.0

    async def is_quiet(self, track: str, asset: str) -> bool:
        """Whether nothing has changed since a track of this asset was listed."""
        self._tracks.add(track)
        if len(self._tracks) < _MANY or self._http.clock.monotonic() < self._rest_until:
            return False
        async with self._lock:
            if self._looked_at is None or self._http.clock.monotonic() - self._looked_at > _FRESH:
                await self._look()
        listed = self._listed[asset].get(track)
        return listed is not None and self._http.clock.monotonic() - listed < _LONGEST

    @contextlib.contextmanager
    def listing(self, track: str, asset: str) -> Iterator[None]:
        """An asset's own lists are read within."""
        self._listed[asset][track] = self._http.clock.monotonic()  # an event that is seen from now on takes it away
        try:
            yield
        except BaseException:
            self._listed[asset].pop(track, None)
            raise

    async def _look(self) -> None:
        """Read what is new in the feed; the first time, only how far it goes: the newest events come first (1.4)."""
        is_first, now, began = self._looked_at is None, self._http.clock.now(), self._http.clock.monotonic()
        is_sweep = began - self._swept_at > _SWEEP
        after = since(self._cursor if is_sweep else {**self._cursor, "swept": True}, now)
        most = max(2, min(len(self._tracks) // _TRACKS_A_PAGE, _MOST_PAGES))
        seen, pages, latest = set[tuple[str, str, str]](), 0, None
        try:
            async with contextlib.aclosing(self._walk([("timestamp_accepted_since", after)] if after else [])) as walk:
                async for listing in walk:
                    pages += 1
                    if pages > most:
                        return self._give_up()
                    seen.update((event.asset, event.uuid, event.status) for event in listing.events)
                    latest = max([event.accepted or 0.0 for event in listing.events] + [latest or 0.0]) or None
                    if is_first:
                        break
        except (GoneError, MalformedError, RefusedError, RejectedError, UnavailableError):
            return self._give_up()
        if is_first and not seen:
            return self._give_up()  # each asset began with an event: this account does not get to see them here
        if is_first:
            self._listed.clear()  # what has happened since these were listed, nobody knows
        for asset, _, _ in seen - self._seen:
            self._listed.pop(asset, None)
        self._seen = seen if len(self._seen) > _MOST_SEEN else self._seen | seen
        self._looked_at, self._swept_at = began, began if is_sweep else self._swept_at
        found = watermark(self._cursor, latest, now, pages=0)
        self._cursor = found if isinstance(found, Mapping) else {}
        return None

    def _give_up(self) -> None:
        """For a while, each track asks for itself."""
        self._rest_until = self._http.clock.monotonic() + _REST
        self._looked_at, self._swept_at, self._cursor, self._seen = None, -math.inf, {}, set()
        self._listed.clear()

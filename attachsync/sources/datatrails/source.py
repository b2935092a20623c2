"""Listing, inspecting and reading the attachments of one DataTrails account (specs/datatrails.md 1.1 to 1.7, 8)."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from yarl import URL

from attachsync.errors import AttachsyncError, GoneError, NotReadyError, RefusedError, RejectedError
from attachsync.http import Http
from attachsync.model import Attachment, Body, Cursors, Facts, Page, Track
from attachsync.sources.datatrails import records
from attachsync.sources.datatrails.paging import since, walk, watermark
from attachsync.sources.datatrails.rungs import Subject, rungs, subject

T = TypeVar("T")

_EVENTS = "events"
_UNCONFIRMED_WAIT = 60.0


@dataclass(frozen=True, slots=True)
class Target:
    """What a track mirrors: one asset (None: all that the account can see), and under which rules."""

    asset: str | None
    events: bool
    attributes: tuple[tuple[str, str], ...]
    public: bool
    scan: str

    @property
    def kind(self) -> str:
        """How paths name assets seen this way."""
        return "publicassets" if self.public else "assets"


class TrailSource:
    """One account of DataTrails or RKVST. `target` reads a track's own keys."""

    def __init__(self, http: Http, target: Callable[[Track], Target]) -> None:
        self._http = http
        self._target = target

    # --- listing ------------------------------------------------------------------------------------------------

    async def pages(self, track: Track, cursors: Cursors) -> AsyncIterator[Page]:
        """What the track's assets name now, and what their events have named since the cursor."""
        target = self._target(track)
        if target.asset is None:
            async for page in self._every_asset(track, target, cursors):
                yield page
        else:
            asset = records.asset((await self._http.get(self._asset_url(target, target.asset))).json())
            yield Page(tuple(records.of_asset(track.name, asset)))
        if target.events:
            async for page in self._news(track, target, cursors):
                yield page

    async def _every_asset(self, track: Track, target: Target, cursors: Cursors) -> AsyncIterator[Page]:
        """All assets. The first walk of the event feed covers all of them, and they are marked; one that comes into

        sight later (a policy was granted, an attribute changed) has its older events listed by itself.
        """
        covered = cursors.get(_EVENTS) is None or not target.events
        query = [("tracked", "ANY"), *((f"attributes.{name}", value) for name, value in target.attributes)]
        async for listing in walk(self._http, self._http.url("/archivist/v2/assets"), query, "assets"):
            items = tuple(item for asset in listing.assets for item in records.of_asset(track.name, asset))
            new = [asset.uuid for asset in listing.assets if cursors.get(_mark(asset.uuid)) is None]
            yield Page(items, {_mark(uuid): True for uuid in new} if covered else {})
            for uuid in [] if covered else new:
                async for events in walk(self._http, self._events_url(target, uuid), [], "events"):
                    yield _page_of_events(track, events.events)
                yield Page((), {_mark(uuid): True})

    async def _news(self, track: Track, target: Target, cursors: Cursors) -> AsyncIterator[Page]:
        """Events accepted since the cursor, of one asset or of all; the cursor moves when all pages were taken."""
        cursor, now = cursors.get(_EVENTS), self._http.clock.now()
        latest: float | None = None
        after = since(cursor, now)
        query = [("timestamp_accepted_since", after)] if after else []
        async for listing in walk(self._http, self._events_url(target, target.asset), query, "events"):
            for event in listing.events:
                latest = max(event.accepted or 0.0, latest or 0.0) or None
            yield _page_of_events(track, [event for event in listing.events if _is_ours(event.asset, target, cursors)])
        yield Page((), {_EVENTS: watermark(cursor, latest, now)})

    def _asset_url(self, target: Target, asset: str) -> URL:
        return self._http.url(f"/archivist/v2/{target.kind}/{asset}")

    def _events_url(self, target: Target, asset: str | None) -> URL:
        return self._http.url(f"/archivist/v2/{target.kind}/{asset or '-'}/events")

    # --- one attachment -----------------------------------------------------------------------------------------

    async def inspect(self, track: Track, attachment: Attachment) -> Facts:
        """`/info`: size, type, hash and scan state."""
        target = self._target(track)
        name, reply = await self._climb(target, attachment, None, "/info", self._http.get)
        return records.facts(reply.object(), target.scan, name)

    @asynccontextmanager
    async def read(self, track: Track, attachment: Attachment, facts: Facts) -> AsyncIterator[Body]:
        """The bytes, by the way that `/info` was found on."""
        target = self._target(track)
        query = {"any": "?allow_insecure=true", "clean": "?strict=true"}.get(target.scan, "")
        rung = facts.record.get("rung")
        async with AsyncExitStack() as stack:

            async def opened(url: URL) -> Body:
                return await stack.enter_async_context(self._http.stream(url))

            first = rung if isinstance(rung, str) else None
            try:
                _, body = await self._climb(target, attachment, first, query, opened)
            except RejectedError as error:
                raise _scan_refusal(error) or error from None
            yield body

    async def _climb(
        self, target: Target, attachment: Attachment, first: str | None, suffix: str, ask: Callable[[URL], Awaitable[T]]
    ) -> tuple[str, T]:
        """Ask each way in turn until one has it: (its name, the answer).

        While its event is not terminal, an attachment that is not there may still come: then NotReadyError.
        """
        of = subject(attachment)
        confirmed = of.event is None or records.is_settled(attachment)
        forbidden: RejectedError | None = None
        for rung in rungs(of, public=target.public, first=first):
            try:
                return rung.name, await ask(self._http.url(rung.path + suffix))
            except RejectedError as error:
                if error.status not in (403, 404):
                    raise
                forbidden = error if error.status == 403 else forbidden
                if error.status == 404 and not confirmed:
                    await self._check_confirmed(target, of)
                    confirmed = True
        raise forbidden or GoneError(f"{self._http.account.name}: HTTP 404 on every path to blob {of.blob}")

    async def _check_confirmed(self, target: Target, of: Subject) -> None:
        """Raise NotReadyError unless the event is terminal by now: then what is not there has another way, or is gone."""
        url = self._http.url(f"/archivist/v2/{target.kind}/{of.asset}/events/{of.event}")
        event = records.event((await self._http.get(url)).json())
        if not event.terminal:
            raise NotReadyError(f"its event is {event.status} still", after=_UNCONFIRMED_WAIT)

    # --- looking up ---------------------------------------------------------------------------------------------

    async def probe(self, track: Track | None) -> str:
        """Sign in, or look up a track's asset."""
        target = self._target(track) if track else None
        if target and target.asset:
            asset = records.asset((await self._http.get(self._asset_url(target, target.asset))).json())
            return f"asset {asset.display_name or asset.uuid!r} with {len(asset.found)} attachments of its own"
        filters = target.attributes if target else ()
        query = [("tracked", "ANY"), *((f"attributes.{name}", value) for name, value in filters), ("page_size", "1")]
        reply = await self._http.get(self._http.url("/archivist/v2/assets", query))
        count = reply.headers.get("X-Total-Count")
        records.listing(reply.object(), "assets")
        return f"signed in; {count or 'unknown'} assets in sight"


def _mark(asset: str) -> str:
    """The feed that says that an asset's events are covered."""
    return f"asset/{asset}"


def _is_ours(asset: str, target: Target, cursors: Cursors) -> bool:
    """The wildcard feed is not filtered by an asset's attributes (specs/datatrails.md 1.2): the marks can tell."""
    return not target.attributes or cursors.get(_mark(asset)) is not None


def _page_of_events(track: Track, events: "tuple[records.Event, ...] | list[records.Event]") -> Page:
    return Page(tuple(item for event in events for item in records.of_event(track.name, event)))


def _scan_refusal(error: RejectedError) -> AttachsyncError | None:
    """A scan refuses with 400 and one of two messages (specs/datatrails.md 1.7)."""
    if error.status != 400 or "not safe" not in error.detail:
        return None
    if "potentially" in error.detail:
        return NotReadyError("not scanned yet")
    return RefusedError("found infected by a scan", code="scan")

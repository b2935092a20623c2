"""Listing, inspecting and reading the attachments of one DataTrails account (specs/datatrails.md 1.1 to 1.7, 8)."""

import dataclasses
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from yarl import URL

from attachsync.errors import (
    AttachsyncError,
    GoneError,
    MalformedError,
    NotReadyError,
    RefusedError,
    RejectedError,
    UnavailableError,
)
from attachsync.http import Http, Query
from attachsync.model import JSON, Attachment, Body, Cursors, Facts, Page, Track
from attachsync.retry import DAY
from attachsync.sources.datatrails import records
from attachsync.sources.datatrails.paging import parsed, since, walk, watermark
from attachsync.sources.datatrails.quiet import Quiet
from attachsync.sources.datatrails.rungs import Subject, download_query, rungs, subject
from attachsync.units import counted

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_EVENTS = "events"
_MARK = "asset/"
_PAGE = 500
"""So many attachments of assets are taken at a time: an asset may have hundreds."""
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
        self._target_of = target
        self._targets: dict[str, Target] = {}
        self._quiet = Quiet(http, self._all_events)

    def _target(self, track: Track) -> Target:
        if track.name not in self._targets:
            self._targets[track.name] = self._target_of(track)
        return self._targets[track.name]

    # --- listing ------------------------------------------------------------------------------------------------

    async def pages(self, track: Track, cursors: Cursors) -> AsyncIterator[Page]:
        """What the track's assets name now, and what their events have named since the cursor.

        Trouble with some of it does not keep the rest back; it is raised at the end, and what it hid comes next time.
        """
        target = self._target(track)
        if target.asset is None or target.public or not target.events:
            async for page in self._pages(track, target, cursors):
                yield page
            return
        known = _known(target.asset, cursors)
        is_quiet = not cursors.thorough and await self._quiet.is_quiet(track.name, target.asset)
        if known is not None and is_quiet:
            yield Page((), unchanged=known[1], census=known[1])
            return
        with self._quiet.listing(track.name, target.asset):
            async for page in self._pages(track, target, cursors):
                yield page

    async def _pages(self, track: Track, target: Target, cursors: Cursors) -> AsyncIterator[Page]:
        trouble = _Trouble()
        with trouble:
            async for page in self._assets(track, target, cursors, trouble):
                yield page
        with trouble:
            async for page in self._news(track, target, cursors):
                yield page
        trouble.tell()

    async def _assets(self, track: Track, target: Target, cursors: Cursors, trouble: "_Trouble") -> AsyncIterator[Page]:
        if target.asset is not None:
            asset = await self._asset(target, target.asset)
            for page, marks in _in_pages(track, [asset], cursors):
                yield dataclasses.replace(page, marks=marks, census=len(page.items) + page.unchanged)
            return
        # The first walk of the event feed covers all assets, and they are marked. One that comes into sight later (a
        # policy was granted, an attribute changed) has its older events listed by itself.
        covered = cursors.get(_EVENTS) is None or not target.events
        query = [("tracked", "ANY"), *((f"attributes.{name}", value) for name, value in target.attributes)]
        async for listing in walk(self._http, self._http.url("/archivist/v2/assets"), query, "assets", signed=True):
            uncovered: dict[str, JSON] = {}
            for page, marks in _in_pages(track, listing.assets, cursors):
                fresh = {} if covered else {name: mark for name, mark in marks.items() if cursors.get(name) is None}
                uncovered |= fresh
                yield dataclasses.replace(page, marks={name: marks[name] for name in marks.keys() - fresh.keys()})
            for name, mark in uncovered.items():
                with trouble:
                    uuid = name.removeprefix(_MARK)
                    async for events in self._walk_events(target, uuid, []):
                        yield _page_of_events(track, [event for event in events.events if event.asset == uuid])
                    yield Page((), {name: mark})

    async def _news(self, track: Track, target: Target, cursors: Cursors) -> AsyncIterator[Page]:
        """Events accepted since the cursor, of one asset or of all; the cursor moves when all pages were taken.

        Now and then all of them: a policy may have let the account see more of what was listed long ago (2).
        """
        if not target.events:
            return
        cursor, now = cursors.get(_EVENTS), self._http.clock.now()
        latest: float | None = None
        pages, after = 0, since(cursor, now)
        async for listing in self._walk_events(
            target, target.asset, [("timestamp_accepted_since", after)] if after else []
        ):
            pages += 1
            for event in listing.events:
                latest = max(event.accepted or 0.0, latest or 0.0) or None
            yield _page_of_events(track, [event for event in listing.events if _is_ours(event.asset, target, cursors)])
        mark = watermark(cursor, latest, now, None if after else pages)
        if mark != cursor:
            yield Page((), {_EVENTS: mark})

    def _walk_events(self, target: Target, asset: str | None, query: Query) -> AsyncIterator[records.Listing]:
        url = self._http.url(f"/archivist/v2/{target.kind}/{asset or '-'}/events")
        return walk(self._http, url, query, "events", signed=not target.public)

    def _all_events(self, query: Query) -> AsyncGenerator[records.Listing, None]:
        return walk(self._http, self._http.url("/archivist/v2/assets/-/events"), query, "events", signed=True)

    async def _asset(self, target: Target, uuid: str) -> records.Asset:
        url = self._http.url(f"/archivist/v2/{target.kind}/{uuid}")
        reply = await self._http.get(url, signed=not target.public)
        asset = parsed(reply, records.asset)
        if asset.uuid != uuid:
            raise MalformedError(f"{reply.where}: HTTP {reply.status}, but it is another asset, {asset.uuid}")
        return asset

    # --- one attachment -----------------------------------------------------------------------------------------

    async def inspect(self, track: Track, attachment: Attachment, record: Mapping[str, JSON]) -> Facts:
        """`/info`: size, type, hash and scan state. Where no path has one, the download itself will tell."""
        target = self._target(track)
        try:
            name, reply = await self._climb(target, attachment, record, "/info", self._http.get)
        except GoneError:
            if record:
                raise  # there was one: it has not been without from the beginning
            return Facts(again=DAY)
        return parsed(reply, lambda body: records.facts(body, target.scan, name))

    @asynccontextmanager
    async def read(self, track: Track, attachment: Attachment, facts: Facts) -> AsyncIterator[Body]:
        """The bytes, by the way that `/info` was found on."""
        target = self._target(track)

        async def opened(url: URL, *, signed: bool) -> Body:
            return await self._http.open(url, signed=signed, held=facts.held)

        try:
            _, body = await self._climb(target, attachment, facts.record, download_query(target.scan), opened)
        except RejectedError as error:
            raise _scan_refusal(error) or error from None
        try:
            yield body
        finally:
            body.close()

    async def _climb(
        self, target: Target, attachment: Attachment, record: Mapping[str, JSON], suffix: str, ask: "_Ask[T]"
    ) -> tuple[str, T]:
        """Ask each way in turn until one has it, the one that worked before first: (its name, the answer).

        While its event or asset is not terminal, an attachment that is not there may still come: then NotReadyError.
        """
        of, settled = subject(attachment), records.is_settled(attachment)
        forbidden: RejectedError | None = None
        for rung in rungs(of, public=target.public, first=str(record.get("rung"))):
            try:
                return rung.name, await ask(self._http.url(rung.path + suffix), signed=not rung.public)
            except RejectedError as error:
                if not rung.means_elsewhere(error):
                    raise
                forbidden = error if error.status == 403 else forbidden
                if error.status == 404 and not settled:
                    await self._check_settled(target, of)
                    settled = True
        raise forbidden or GoneError(f"{self._http.account.name}: HTTP 404 on every path to blob {of.blob}")

    async def _check_settled(self, target: Target, of: Subject) -> None:
        """Raise NotReadyError unless event or asset is terminal: what is not there is elsewhere then, or gone."""
        try:
            if of.event is None:
                found: records.Asset | records.Event = await self._asset(target, of.asset)
            else:
                url = self._http.url(f"/archivist/v2/{target.kind}/{of.asset}/events/{of.event}")
                found = parsed(await self._http.get(url, signed=not target.public), records.event)
        except RejectedError as error:
            if error.status != 404:
                raise
            raise NotReadyError("it is not there yet (HTTP 404)", after=_UNCONFIRMED_WAIT) from None
        if not found.terminal:
            raise NotReadyError(f"it is {found.status} still", after=_UNCONFIRMED_WAIT)

    def repeatable(self, track: Track) -> bool:
        """Downloads change nothing."""
        return True

    # --- looking up ---------------------------------------------------------------------------------------------

    async def probe(self, track: Track | None) -> str:
        """Sign in, or look up a track's asset."""
        target = self._target(track) if track else None
        if target and target.asset:
            asset = await self._asset(target, target.asset)
            has = counted(len(asset.found), "attachment")
            return f"asset {asset.display_name or asset.uuid!r} with {has} of its own"
        filters = target.attributes if target else ()
        query = [("tracked", "ANY"), *((f"attributes.{name}", value) for name, value in filters), ("page_size", "1")]
        reply = await self._http.get(self._http.url("/archivist/v2/assets", query))
        parsed(reply, lambda body: records.listing(body, "assets"))
        total = reply.headers.get("X-Total-Count", "")
        return f"signed in; {counted(int(total), 'asset') if total.isdecimal() else 'assets'} in sight"


class _Ask(Protocol[T_co]):
    """A GET of some kind."""

    async def __call__(self, url: URL, *, signed: bool) -> T_co: ...


class _Trouble:
    """Catches what ends one part of a listing, so that the others go on; `tell` raises the first of it."""

    def __init__(self) -> None:
        self._first: AttachsyncError | None = None

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, MalformedError | RefusedError | RejectedError | UnavailableError):
            return False
        self._first = self._first or error
        return True

    def tell(self) -> None:
        """Raise the first trouble, if there was any."""
        if self._first is not None:
            raise self._first


def _mark(asset: str) -> str:
    """The feed that says that an asset's events are covered, and what the asset was like when it was taken."""
    return _MARK + asset


def _known(asset: str, cursors: Cursors) -> tuple[str, int] | None:
    """What an asset was like when all of it was taken, and how many attachments of its own it had; None if it was not
    taken, or by an attachsync that did not say."""
    mark = cursors.get(_mark(asset))
    if isinstance(mark, list) and len(mark) == 2 and isinstance(mark[0], str) and isinstance(mark[1], int):
        return mark[0], mark[1]
    return None


def _in_pages(
    track: Track, assets: Sequence[records.Asset], cursors: Cursors
) -> Iterator[tuple[Page, dict[str, JSON]]]:
    """What assets name, a bounded number at a time, with the marks of these assets.

    Of an asset that is as it was when all of it was taken, they are only counted.
    """
    items, marks, unchanged, census = list[Attachment](), dict[str, JSON](), 0, 0
    for asset in assets:
        known, fingerprint = _known(asset.uuid, cursors), asset.fingerprint
        census += 1
        if known is not None and known[0] == fingerprint:
            unchanged += known[1]
            continue
        found = records.of_asset(track.name, asset)
        items += found
        marks[_mark(asset.uuid)] = [fingerprint, len(found)]
        if len(items) >= _PAGE:
            yield Page(tuple(items), unchanged=unchanged, census=census), marks
            items, marks, unchanged, census = [], {}, 0, 0
    yield Page(tuple(items), unchanged=unchanged, census=census), marks


def _is_ours(asset: str, target: Target, cursors: Cursors) -> bool:
    """The wildcard feed is not filtered by an asset's attributes (specs/datatrails.md 1.2): the marks can tell."""
    if target.asset is not None:
        return asset == target.asset
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

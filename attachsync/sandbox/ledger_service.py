"""The HTTP face of a ledger: who may call what, lists and single records (specs/datatrails.md 1.1)."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from aiohttp import web

from attachsync.sandbox.answer import Answer, Handler, Refusal, Route, json_answer, origin
from attachsync.sandbox.ledger import Ledger
from attachsync.sandbox.ledger_access import required
from attachsync.sandbox.ledger_errors import gateway_error, invalid, missing
from attachsync.sandbox.ledger_files import Files
from attachsync.sandbox.ledger_match import asset_matches, event_filter
from attachsync.sandbox.ledger_query import (
    ASSET_PARAMETERS,
    ASSET_SCOPES,
    EVENT_PARAMETERS,
    EVENT_SCOPES,
    Checks,
    Query,
    read_query,
)
from attachsync.sandbox.ledger_records import Asset, Event
from attachsync.sandbox.ledger_view import Writer
from attachsync.sandbox.ledger_writes import record_asset, record_event
from attachsync.sandbox.paging import Page, resume, slice_of
from attachsync.sandbox.stamps import parse_time

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE)
ASSET = "{asset:[^/:]+}"
EVENT = "{event:[^/:]+}"
BLOB = "{blob:[^/:]+}"


@dataclass(frozen=True)
class View:
    """Through whose eyes a request looks at the ledger."""

    ledger: Ledger
    public: bool
    sees: bool
    writer: Writer

    def shows(self, asset: Asset) -> bool:
        """Say whether lists include an asset's rows."""
        return asset.public if self.public else self.sees and not asset.hidden

    def asset(self, uuid: str) -> Asset:
        """Return an asset by uuid, or refuse: 404 if there is none, 403 if no policy shows it."""
        asset = self.ledger.assets.get(uuid)
        if asset is None or (self.public and not asset.public):
            raise missing(f"assets/{uuid} not found")
        if not self.shows(asset):
            raise Refusal(gateway_error(asset.hidden or 403))
        return asset

    def event(self, asset_uuid: str, uuid: str) -> Event:
        """Return an event by the uuids of its asset and itself, or refuse."""
        event = self.ledger.event(uuid)
        if event is None or event.asset is not self.asset(asset_uuid):
            raise missing(f"events/{uuid} not found")
        return event


Row = TypeVar("Row")
Viewer = Callable[[web.Request, View], Awaitable[Answer]]
Guard = Callable[[Viewer], Handler]


class LedgerService:
    """Routes of one ledger below its prefix."""

    def __init__(self, prefix: str, ledger: Ledger) -> None:
        """Serve a ledger below a prefix."""
        self.prefix = prefix
        self.ledger = ledger
        self.files = Files(ledger)
        self._responses = 0

    def failure(self, status: int) -> Answer:
        """Return the gateway's error for a status."""
        return gateway_error(status)

    def recognises(self, request: web.Request) -> bool:
        """Say whether the request has a token that is valid now."""
        return self.ledger.access.grant(request) is not None

    def routes(self) -> list[Route]:
        """Return the routes of specs/datatrails.md 1.1, both spellings of the public ones included."""
        return [
            *self._records("/archivist/v2/assets", self._private),
            *self._records("/archivist/v2/publicassets", self._public),
            *self._records("/archivist/publicassets", self._public),
            *self._attachments("/archivist/v2/attachments/assets", self._private),
            *self._attachments("/archivist/v2/attachments/publicassets", self._public),
            Route("GET", "/archivist/v2/assets", self._private(self._list_assets)),
            Route("POST", "/archivist/v2/assets", self._private(self._create_asset)),
            Route("POST", f"/archivist/v2/assets/{ASSET}/events", self._private(self._create_event)),
            Route("GET", f"/archivist/v2/assets/{ASSET}:publicurl", self._private(self._public_url)),
            Route("GET", f"/archivist/v2/assets/{ASSET}/events/{EVENT}:publicurl", self._private(self._public_url)),
            Route("POST", "/archivist/v1/blobs", self._private(self._upload)),
            Route("GET", f"/archivist/v1/blobs/{BLOB}", self._private(self._blob)),
            Route("GET", f"/archivist/v1/blobs/{BLOB}/info", self._private(self._blob_info)),
            Route("POST", "/archivist/iam/v1/appidp/token", self.ledger.access.exchange),
            Route("GET", "/archivist/v1/caps", self._private(self._caps)),
            Route("GET", "/archivist/v1/tenancies/{tenant:[^/:]+}:publicinfo", self._tenant_info),
        ]

    def _records(self, root: str, guard: Guard) -> list[Route]:
        return [
            Route("GET", f"{root}/{ASSET}", guard(self._read_asset)),
            Route("GET", f"{root}/{ASSET}/events", guard(self._list_events)),
            Route("GET", f"{root}/{ASSET}/events/{EVENT}", guard(self._read_event)),
        ]

    def _attachments(self, root: str, guard: Guard) -> list[Route]:
        return [
            Route("GET", f"{root}/{ASSET}/{BLOB}", guard(self._attachment)),
            Route("GET", f"{root}/{ASSET}/{BLOB}/info", guard(self._attachment_info)),
            Route("GET", f"{root}/{ASSET}/events/{EVENT}/{BLOB}", guard(self._attachment)),
            Route("GET", f"{root}/{ASSET}/events/{EVENT}/{BLOB}/info", guard(self._attachment_info)),
        ]

    # -- who calls -------------------------------------------------------------------------------------------------

    def _private(self, viewer: Viewer) -> Handler:
        async def serve(request: web.Request) -> Answer:
            grant = required(self.ledger.access.grant(request), gateway_error(401))
            self._limit()
            return await viewer(request, self._view(public=False, sees=grant.sees))

        return serve

    def _public(self, viewer: Viewer) -> Handler:
        return lambda request: viewer(request, self._view(public=True, sees=True))

    def _view(self, public: bool, sees: bool) -> View:
        self._responses += 1
        ledger = self.ledger
        writer = Writer(ledger.tenant, public, ledger.public_identities, self._responses)
        return View(ledger, public, sees, writer)

    def _limit(self) -> None:
        limit = self.ledger.rate_limit
        wait = limit.wait() if limit else 0.0
        if wait:
            hint = {self.ledger.rate_hint: f"{wait:.3f}"} if self.ledger.rate_hint else {}
            refusal = gateway_error(429)
            raise Refusal(replace(refusal, headers={**refusal.headers, **hint}))

    # -- records ---------------------------------------------------------------------------------------------------

    async def _read_asset(self, request: web.Request, view: View) -> Answer:
        asset = view.asset(request.match_info["asset"])
        plain = _checked(request, {"at_time": _is_time}, ()).plain
        if "at_time" not in plain:
            return json_answer(view.writer.asset(asset))
        time = parse_time(plain["at_time"])
        if time < asset.created:
            raise missing()
        return json_answer(view.writer.asset(asset, time))

    async def _read_event(self, request: web.Request, view: View) -> Answer:
        event = view.event(request.match_info["asset"], request.match_info["event"])
        return json_answer(view.writer.event(event))

    async def _list_assets(self, request: web.Request, view: View) -> Answer:
        page, query = _wanted(request, ASSET_PARAMETERS, ASSET_SCOPES)
        assets = reversed(self.ledger.assets.values())
        rows = [asset for asset in assets if view.shows(asset) and asset_matches(asset, query)]
        return self._page("assets", rows, page, view.writer.asset)

    async def _list_events(self, request: web.Request, view: View) -> Answer:
        uuid = request.match_info["asset"]
        if uuid != "-" and not UUID4.fullmatch(uuid):
            raise invalid("invalid uuid: value does not match the pattern of a version 4 uuid")
        page, query = _wanted(request, EVENT_PARAMETERS, EVENT_SCOPES)
        rows = list(filter(event_filter(query), reversed(self._events(uuid, view))))
        if query.plain.get("order_by", "DEFAULT") != "DEFAULT":
            rows.reverse()
        return self._page("events", rows, page, view.writer.event)

    def _events(self, uuid: str, view: View) -> list[Event]:
        """Return events oldest first; the list of an unknown asset is empty, as 404 is not documented for it."""
        if uuid == "-":
            untracked = self.ledger.wildcard_untracked
            return [one for one in self.ledger.events if view.shows(one.asset) and (untracked or one.asset.tracked)]
        asset = self.ledger.assets.get(uuid)
        if not view.public and (asset is None or asset.hidden == 404):
            return []
        return view.asset(uuid).events

    def _page(self, name: str, rows: list[Row], page: Page, write: Callable[[Row], object]) -> Answer:
        shown, token, partial_content = slice_of(rows, page, self.ledger.page_limit)
        headers = {"X-Total-Count": str(len(rows))}
        if partial_content:
            headers["Content-Range"] = f"items {page.skip}-{page.skip + len(shown)}/{len(rows)}"
        body = {name: [write(row) for row in shown], "next_page_token": token}
        return json_answer(body, 206 if partial_content else 200, headers)

    async def _create_asset(self, request: web.Request, view: View) -> Answer:
        return json_answer(await record_asset(self.ledger, view.writer, request))

    async def _create_event(self, request: web.Request, view: View) -> Answer:
        asset = view.asset(request.match_info["asset"])
        return json_answer(await record_event(self.ledger, view.writer, asset, request))

    async def _public_url(self, request: web.Request, view: View) -> Answer:
        asset = view.asset(request.match_info["asset"])
        if "event" in request.match_info:
            view.event(asset.uuid, request.match_info["event"])
        if not asset.public:
            raise missing("the asset is not public")
        version = "/v2" if self.ledger.publicurl_has_version else ""
        prefix = self.prefix if request.path.startswith(f"{self.prefix}/") else ""
        path = request.path.removeprefix(f"{prefix}/archivist/v2/").removesuffix(":publicurl")
        return json_answer({"publicurl": f"{origin(request, prefix)}/archivist{version}/public{path}"})

    # -- attachments, blobs and the rest ---------------------------------------------------------------------------

    async def _attachment(self, request: web.Request, view: View) -> Answer:
        return self.files.download(self._referenced(request, view), request)

    async def _attachment_info(self, request: web.Request, view: View) -> Answer:
        return self.files.info(self._referenced(request, view), "attachments")

    def _referenced(self, request: web.Request, view: View) -> str:
        found: Mapping[str, str] = request.match_info
        if "event" in found:
            self.files.check_event(view.event(found["asset"], found["event"]), found["blob"])
        else:
            self.files.check_asset(view.asset(found["asset"]), found["blob"])
        return found["blob"]

    async def _blob(self, request: web.Request, view: View) -> Answer:
        return self.files.download(self.files.owned(request.match_info["blob"], view.sees), request)

    async def _blob_info(self, request: web.Request, view: View) -> Answer:
        return self.files.info(self.files.owned(request.match_info["blob"], view.sees), "blobs")

    async def _upload(self, request: web.Request, _view: View) -> Answer:
        return await self.files.upload(request)

    async def _caps(self, request: web.Request, _view: View) -> Answer:
        kind = request.query.get("service", "")
        return json_answer({"caps": [{"resource_type": kind, "resource_remaining": "1000000"}]})

    async def _tenant_info(self, request: web.Request) -> Answer:
        identity = f"tenant/{request.match_info['tenant']}"
        if identity != self.ledger.tenant:
            return gateway_error(404)
        return json_answer({"identity": identity, "verified_domain": "sandbox.example"})


def _checked(request: web.Request, checks: Checks, scopes: tuple[str, ...]) -> Query:
    try:
        return read_query(request.query.items(), checks, scopes)
    except ValueError as error:
        raise invalid(str(error)) from error


def _wanted(request: web.Request, checks: Checks, scopes: tuple[str, ...]) -> tuple[Page, Query]:
    _checked(request, checks, scopes)
    try:
        page = resume(list(request.query.items()))
        return page, read_query(page.pairs, checks, scopes)
    except ValueError as error:
        raise invalid(str(error)) from error


def _is_time(text: str) -> None:
    parse_time(text)

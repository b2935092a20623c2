"""The sandbox: emulated services on one loopback server, with a log of requests and faults on demand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from attachsync.sandbox.answer import Answer, Handler, Refusal, Service
from attachsync.sandbox.auco import Auco
from attachsync.sandbox.auco_service import AucoService
from attachsync.sandbox.auco_storage import AucoStorage
from attachsync.sandbox.control import Controls, control_routes
from attachsync.sandbox.delivery import Delivery
from attachsync.sandbox.faults import Fault, Faults
from attachsync.sandbox.ledger import Ledger
from attachsync.sandbox.ledger_service import LedgerService
from attachsync.sandbox.requests import RequestLog, now
from attachsync.sandbox.shapes import misshapen, plain, stand_in
from attachsync.sandbox.sunshine import Sunshine
from attachsync.sandbox.sunshine_service import SunshineService
from attachsync.sandbox.trinsic import Trinsic
from attachsync.sandbox.trinsic_service import TrinsicService


class Sandbox:
    """Emulated services, empty at first; a further service is one more line in `services`."""

    def __init__(self) -> None:
        """Create the services and an empty log."""
        self.datatrails = Ledger("datatrails")
        self.rkvst = Ledger("rkvst")
        self.sunshine = Sunshine()
        self.trinsic = Trinsic()
        self.auco = Auco()
        self.services: tuple[Service, ...] = (
            LedgerService("/datatrails", self.datatrails),
            LedgerService("/rkvst", self.rkvst),
            SunshineService("/sunshine", self.sunshine),
            TrinsicService("/trinsic", self.trinsic),
            AucoService("/auco", self.auco),
        )
        self.requests = RequestLog()
        self.faults = Faults()
        self._live: set[asyncio.Transport] = set()

    def count(self, method: str = "*", path: str = "*") -> int:
        """Count finished requests; method and path (with prefix) are globs."""
        return self.requests.count(method, path)

    def forget(self) -> None:
        """Clear the log of requests."""
        self.requests.clear()

    def app(self) -> web.Application:
        """Return an application that serves every service below its own prefix."""
        app = self._application()
        ledgers = {"datatrails": self.datatrails, "rkvst": self.rkvst}
        controls = Controls(self.faults, self.requests, ledgers, self.sunshine, self.trinsic, self.auco)
        control_routes(app.router, controls)
        for service in self.services:
            self._mount(app, service, service.prefix)
        # DataTrails is at the root too: its official client splits public URLs by position.
        self._mount(app, self.services[0], "", below="/archivist")
        return app

    def links_app(self) -> web.Application:
        """Return an application for the origin that Auco's links lead to; faults and the log are the same."""
        app = self._application()
        storage = AucoStorage(self.auco)
        self._mount(app, storage, storage.prefix)
        return app

    def _application(self) -> web.Application:
        app = web.Application(client_max_size=0)
        app.on_shutdown.append(self._hang_up)
        app.on_response_prepare.append(_leave_out_an_empty_type)
        return app

    def _mount(self, app: web.Application, service: Service, prefix: str, below: str = "") -> None:
        """Serve a service below a prefix, where nothing else is `below` it."""
        for route in service.routes():
            # add_route, unlike add_get, adds no HEAD: the services have none (specs/datatrails.md 1).
            app.router.add_route(route.method, prefix + route.path, self._serve(service, route.handler))
        app.router.add_route("*", prefix + below + "/{rest:.*}", self._serve(service, _no_such_route(service)))

    def _serve(self, service: Service, handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def serve(request: web.Request) -> web.StreamResponse:
            delivery = Delivery(request)
            transport = request.transport
            if transport is not None:
                self._live.add(transport)
            began, recognised = now(), service.recognises(request)
            self.requests.begin(request)
            try:
                return await self._answer(service, handler, delivery)
            except ConnectionError:
                # The client left in the middle of its own request.
                return delivery.reset()
            finally:
                if transport is not None:
                    self._live.discard(transport)
                self.requests.finish(request, began, recognised, delivery.status, delivery.sent)

        return serve

    async def _answer(self, service: Service, handler: Handler, delivery: Delivery) -> web.StreamResponse:
        request = delivery.request
        fault = self.faults.take(request.method, request.path, request.query_string)
        if fault is None:
            return await delivery.send(plain(await _carry_out(service, handler, request)))
        answer = await _carry_out(service, handler, request) if fault.works_first else None
        return await _misbehave(service, fault, answer, delivery)

    async def _hang_up(self, _app: web.Application) -> None:
        # Ends hanging and endless answers, so that the server stops at once.
        for transport in tuple(self._live):
            transport.abort()


async def _leave_out_an_empty_type(_request: web.BaseRequest, response: web.StreamResponse) -> None:
    # aiohttp gives every body a type; a service may send none, which an Answer says with an empty one.
    if not response.headers.get("Content-Type", "-"):
        del response.headers["Content-Type"]


async def _carry_out(service: Service, handler: Handler, request: web.Request) -> Answer:
    try:
        answer = await handler(request)
    except Refusal as refusal:
        answer = refusal.answer
    except (UnicodeEncodeError, RecursionError):  # half of a pair of surrogates in JSON, or lists without end
        answer = service.failure(400)
    await _read_out(request)
    return answer


async def _misbehave(service: Service, fault: Fault, answer: Answer | None, delivery: Delivery) -> web.StreamResponse:
    if fault.kind == "hang":
        return await delivery.hang()
    if fault.kind == "lost" or (fault.kind == "reset" and fault.after == 0):
        return delivery.reset()
    instead = stand_in(fault, service.failure)
    if instead is not None:
        await _read_out(delivery.request)
        return await delivery.send(plain(instead))
    return await delivery.send(misshapen(answer or service.failure(500), fault))


async def _read_out(request: web.Request) -> None:
    # An answer before the end of an upload may reach the client as a broken pipe; that is a fault of its own.
    try:
        async for _ in request.content.iter_any():
            pass
    except (ConnectionError, web.RequestPayloadError):
        return


def _no_such_route(service: Service) -> Handler:
    async def refuse(_request: web.Request) -> Answer:
        return service.failure(404)

    return refuse

"""The host that Auco's links lead to, on an origin of its own: expiry, ETag, Range, and no second credential."""

from __future__ import annotations

from email.utils import format_datetime

from aiohttp import web

from attachsync.sandbox.answer import Answer, Route
from attachsync.sandbox.auco import Auco
from attachsync.sandbox.auco_links import LINKS
from attachsync.sandbox.auco_records import Stored
from attachsync.sandbox.content import Held
from attachsync.sandbox.ranges import ranged

# Status and message by code word (specs/auco.md 4; the others as the storage is known to word them).
REFUSALS = {
    "AccessDenied": (403, "Access Denied"),
    "Expired": (403, "Request has expired"),
    "SignatureDoesNotMatch": (403, "The request signature we calculated does not match the signature you provided."),
    "InvalidArgument": (400, "Only one auth mechanism allowed"),
    "NoSuchKey": (404, "The specified key does not exist."),
    "InvalidRange": (416, "The requested range is not satisfiable"),
}


class AucoStorage:
    """Serves stored objects to whoever has a link."""

    def __init__(self, state: Auco) -> None:
        """Serve the objects of the state."""
        self.prefix = LINKS
        self.state = state

    def failure(self, status: int) -> Answer:
        """Return the usual error for a status."""
        usual = {400: "InvalidArgument", 403: "AccessDenied", 404: "NoSuchKey", 416: "InvalidRange"}
        return self._error(status, usual.get(status, "InternalError"), "Sandbox")

    def recognises(self, request: web.Request) -> bool:
        """Say whether the request carries the account's key, which it never should."""
        return self._carries_key(request)

    def routes(self) -> list[Route]:
        """Return the one route; it also meets methods that no link is signed for."""
        return [Route("*", "/{path:.+}", self._object)]

    async def _object(self, request: web.Request) -> Answer:
        path = request.path.removeprefix(self.prefix)
        if "Authorization" in request.headers or self._carries_key(request):
            self.state.leaks.append(request.path)
            return self._refused("InvalidArgument")
        state = self.state
        fault = state.links.fault(request.method, request.host, path, request.query, state.now)
        if fault:
            return self._refused(fault)
        stored = state.objects.get(path)
        return self._refused("NoSuchKey") if stored is None else self._served(request, stored)

    def _carries_key(self, request: web.Request) -> bool:
        places = [*request.headers.values(), request.query_string]
        return any(key in place for key in self.state.keys for place in places)

    def _served(self, request: web.Request, stored: Stored) -> Answer:
        headers = {"Content-Type": stored.media_type}
        if stored.etag:
            headers |= {"ETag": stored.etag, "Last-Modified": format_datetime(stored.at, usegmt=True)}
            if self.state.conditions and _names(request.headers.get("If-None-Match", ""), stored.etag):
                return Answer(304, headers=headers | {"Content-Type": ""})
        whole = Answer(200, stored.content, headers)
        return ranged(request, whole, self._refused("InvalidRange")) if self.state.ranges else whole

    def _refused(self, word: str) -> Answer:
        status, message = REFUSALS[word]
        if word != "Expired":
            return self._error(status, word, message)
        return self._error(status, "AccessDenied", message, self.state.link_seconds)

    def _error(self, status: int, word: str, message: str, seconds: int | None = None) -> Answer:
        expires = "" if seconds is None else f"<X-Amz-Expires>{seconds}</X-Amz-Expires>"
        text = f"<Error><Code>{word}</Code><Message>{message}</Message>{expires}</Error>"
        return Answer(status, Held(text.encode()), {"Content-Type": "application/xml"})


def _names(header: str, etag: str) -> bool:
    given = [one.strip().removeprefix("W/") for one in header.split(",")]
    return etag in given or "*" in given

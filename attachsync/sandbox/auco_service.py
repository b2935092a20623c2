"""The HTTP face of Auco: processes, signers and their files (specs/auco.md 1.1, 1.2, 1.4)."""

from __future__ import annotations

from dataclasses import replace

from aiohttp import web

from attachsync.sandbox.answer import Answer, Handler, Refusal, Route, json_answer
from attachsync.sandbox.auco import Auco
from attachsync.sandbox.auco_records import ErrorShape, Package
from attachsync.sandbox.auco_view import document_view, overview, package_view, roadmap, signer_view
from attachsync.sandbox.content import Held

WORDS = {400: "BAD_REQUEST", 401: "Unauthorized", 404: "document not found", 429: "Too Many Requests"}


class AucoService:
    """Routes of the emulated organisation below a prefix, which stands for host, version and /ext."""

    def __init__(self, prefix: str, state: Auco) -> None:
        """Serve the state below a prefix."""
        self.prefix = prefix
        self.state = state

    def failure(self, status: int) -> Answer:
        """Return the usual error for a status."""
        return auco_error(self.state.error_shape, status, WORDS.get(status, "Internal server error"))

    def recognises(self, request: web.Request) -> bool:
        """Say whether the request carries a key that may read."""
        return self.state.reads(request.headers.get("Authorization", ""))

    def routes(self) -> list[Route]:
        """Return the routes that read; those that write need the other kind of key and are not served."""
        routes = [
            Route("GET", "/attachments", self._attachments),
            Route("GET", "/document", self._document),
            Route("GET", "/document/roadmap", self._roadmap),
            Route("GET", "/company", self._company),
        ]
        return [replace(route, handler=self._guarded(route.handler)) for route in routes]

    def _guarded(self, handler: Handler) -> Handler:
        async def serve(request: web.Request) -> Answer:
            self.state.settle()
            if not self.recognises(request):
                return self.failure(401)
            limit = self.state.rate_limit
            wait = limit.wait() if limit else 0.0
            if wait:
                refusal = self.failure(429)
                return replace(refusal, headers={**refusal.headers, "Retry-After": str(int(wait) + 1)})
            return await handler(request)

        return serve

    async def _attachments(self, request: web.Request) -> Answer:
        """Answer the overview, or with userId one signer."""
        word = "ATTACHMENT_NOT_FOUND"
        package, code = self._wanted(request)
        if not package and not code:
            raise self._refused(400, "package or code is required")
        found = self._found(package, code, word)
        if not found.attachments:
            raise self._refused(400, word)
        if "userId" not in request.query:
            return json_answer(overview(found))
        signer = next((one for one in found.signers if one.user_id == request.query["userId"]), None)
        if signer is None:
            raise self._refused(400, word)
        return json_answer(signer_view(self.state, signer))

    async def _document(self, request: web.Request) -> Answer:
        """Answer a process by code or by package; with neither, the list of templates (specs/auco.md 1.4)."""
        package, code = self._wanted(request)
        if not package and not code:
            return json_answer([{"_id": "64f0c0ffee0ddba11c0ffee0", "name": "Plantilla"}])
        found = self._found(package, code, "DOCUMENT_NOT_FOUND")
        if package:
            return json_answer(package_view(found))
        return json_answer(document_view(self.state, found, code, images=request.query.get("image") == "true"))

    async def _roadmap(self, request: web.Request) -> Answer:
        code, word = request.query.get("code", ""), "DOCUMENT_NOT_FOUND"
        if len(code) not in (9, 10):
            raise self._refused(400, word)
        return json_answer(roadmap(self._found("", code, word), code))

    async def _company(self, _request: web.Request) -> Answer:
        return json_answer({"name": "Sandbox", "webhooks": [{"id": "default", "url": "https://example.com/hook"}]})

    def _wanted(self, request: web.Request) -> tuple[str, str]:
        """Return package and code, one of them empty; both at once are refused, or the code is ignored."""
        package, code = request.query.get("package", ""), request.query.get("code", "")
        if package and code and self.state.both_ids_refused:
            raise self._refused(400, "package and code exclude each other")
        return package, "" if package else code

    def _found(self, package: str, code: str, word: str) -> Package:
        """Return the process; an unknown one is 400 by the documents, 404 by experience (specs/auco.md 1.2)."""
        every = self.state.packages
        by_code = {one: process for process in every.values() for one in process.codes}
        found = every.get(package) if package else by_code.get(code)
        if found is None:
            status = self.state.unknown_status
            raise self._refused(status, word if status == 400 else WORDS[404])
        return found

    def _refused(self, status: int, word: str) -> Refusal:
        return Refusal(auco_error(self.state.error_shape, status, word))


def auco_error(shape: ErrorShape, status: int, word: str) -> Answer:
    """Return an error in one of the shapes that are plausible (specs/auco.md 4)."""
    if shape == "text":
        return Answer(status, Held(word.encode()), {"Content-Type": "text/plain; charset=utf-8"})
    return Answer(status) if shape == "empty" else json_answer({shape: word}, status)

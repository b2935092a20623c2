"""The HTTP face of Sunshine: who may call what, files and their deletion (specs/sunshine.md 1.1 to 1.4)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

from aiohttp import web

from attachsync.sandbox.answer import Answer, Handler, Route, json_answer, origin
from attachsync.sandbox.forms import Part, TooLarge, read_parts
from attachsync.sandbox.media import named, rejection
from attachsync.sandbox.ranges import ranged
from attachsync.sandbox.sunshine import HERE, Media, Sunshine, Upload
from attachsync.sandbox.sunshine_access import COOKIE
from attachsync.sandbox.sunshine_body import json_body
from attachsync.sandbox.sunshine_errors import refused, sunshine_error
from attachsync.sandbox.sunshine_messages import Messages

APP = "/v2/apps/{app:[^/]+}"
ATTACHMENTS = f"{APP}/attachments"
EVERY_SCOPE = ("app", "integration", "account")


class SunshineService:
    """Routes of the emulated app below a prefix."""

    def __init__(self, prefix: str, state: Sunshine) -> None:
        """Serve the state below a prefix."""
        self.prefix = prefix
        self.state = state
        self.chats = Messages(state, self._rendered, self._stored)

    def failure(self, status: int) -> Answer:
        """Return the usual error for a status."""
        return sunshine_error(status)

    def recognises(self, request: web.Request) -> bool:
        """Say whether the request carries a valid key, token or media token."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        media = self.state.access.opens(token) if scheme.lower() == "bearer" else ""
        return bool(self.state.access.scope(request) or media)

    def routes(self) -> list[Route]:
        """Return the routes of specs/sunshine.md 1, webhooks excepted."""
        return [
            Route("POST", ATTACHMENTS, self._guarded(self._upload)),
            Route("POST", f"{ATTACHMENTS}/remove", self._guarded(self._remove)),
            Route("POST", f"{ATTACHMENTS}/token", self._guarded(self._token, ("app", "account"))),
            Route("GET", f"{ATTACHMENTS}/cookie", self._cookie),
            Route("GET", "/attachments/v2/{rest:.+}", self._media),
            Route("GET", "/apps/{rest:.+}", self._media),
            *(replace(route, handler=self._guarded(route.handler)) for route in self.chats.routes(APP)),
        ]

    def _guarded(self, handler: Handler, scopes: tuple[str, ...] = EVERY_SCOPE) -> Handler:
        async def serve(request: web.Request) -> Answer:
            scope = self.state.access.scope(request)
            if not scope:
                return sunshine_error(401)
            if scope not in scopes:
                return sunshine_error(403)
            if request.match_info["app"] != self.state.app_id:
                return sunshine_error(404, "App not found", "app_not_found")
            limit = self.state.rate_limit
            wait = limit.wait() if limit else 0.0
            if wait:
                refusal = sunshine_error(429)
                return replace(refusal, headers={**refusal.headers, "Retry-After": str(int(wait) + 1)})
            return await handler(request)

        return serve

    # -- where files are -------------------------------------------------------------------------------------------

    def _origin(self, request: web.Request) -> str:
        return self.state.media_origin or origin(request, self.prefix)

    def _rendered(self, request: web.Request, value: Any) -> Any:
        """Return a JSON value with the true origin in each stored URL."""
        return json.loads(json.dumps(value).replace(f'"{HERE}/', f'"{self._origin(request)}/'))

    def _stored(self, request: web.Request, url: str) -> Media | None:
        """Return the file that a mediaUrl names, which must be the same byte for byte."""
        base = self._origin(request)
        return self.state.media.get(url.removeprefix(base)) if url.startswith(base) else None

    # -- upload and removal ----------------------------------------------------------------------------------------

    async def _upload(self, request: web.Request) -> Answer:
        query = self._upload_query(request)
        part = await self._source(request)
        why = rejection(part.file_name or "", part.data, self.state.extensions)
        if why:
            raise refused(415, why)
        state, name = self.state, part.file_name or ""
        kind, private = part.media_type or named(name), query["access"] == "private"
        where = query.get("conversationId", ""), query.get("for", "")
        media = state.add_media(part.data, name, kind, *where, private=private)
        digest = hashlib.sha256(part.data).hexdigest()
        state.uploads.append(Upload(name, part.media_type, len(part.data), digest, part.data, query, media))
        answer = {"attachment": {"mediaUrl": media.url, "mediaType": media.media_type}}
        return json_answer(self._rendered(request, answer), 201)

    def _upload_query(self, request: web.Request) -> dict[str, str]:
        query = dict(request.query)
        if query.get("access") not in ("public", "private"):
            raise refused(400, "access is required and must be public")
        if query.get("for", "message") != "message":
            raise refused(400, "for must be message")
        if query.get("conversationId", "") and query["conversationId"] not in self.state.conversations:
            raise refused(404, "Conversation not found", "conversation_not_found")
        return query

    async def _source(self, request: web.Request) -> Part:
        if (request.content_length or 0) > self.state.max_request:
            raise refused(413)
        try:
            parts = await read_parts(request, self.state.max_request)
        except TooLarge as error:
            raise refused(413) from error
        except ValueError as error:
            raise refused(400) from error
        if len(parts) != 1 or parts[0].name != "source" or parts[0].file_name is None:
            raise refused(400)
        return parts[0]

    async def _remove(self, request: web.Request) -> Answer:
        body = await json_body(request, self.state.max_json)
        url = body.get("mediaUrl")
        if not isinstance(url, str) or not url:
            raise refused(400)
        if not url.startswith(self._origin(request) + "/"):
            raise refused(400, f"Unsupported media URL for attachment deletion: {url}")
        media = self._stored(request, url)
        if media is None:
            raise refused(404, "Attachment not found")
        del self.state.media[media.path]
        return json_answer({})

    # -- reading files ---------------------------------------------------------------------------------------------

    async def _media(self, request: web.Request) -> Answer:
        media = self.state.media.get(request.raw_path.partition("?")[0].removeprefix(self.prefix))
        if media is None:
            return sunshine_error(404)
        if (self.state.private or media.private) and not self._may_read(request, media):
            return sunshine_error(401)
        whole = Answer(200, media.content, {"Content-Type": media.media_type})
        if not self.state.ranges:
            return whole
        whole = replace(whole, headers={**whole.headers, "ETag": f'"{media.content.sha256}"'})
        return ranged(request, whole, sunshine_error(416))

    def _may_read(self, request: web.Request, media: Media) -> bool:
        if self.state.access.scope(request) and not self.state.cookie_only:
            return True
        opened = self.state.access.opens(request.cookies.get(COOKIE, ""))
        return bool(opened) and (media.path == opened or media.path.startswith(opened.rstrip("/") + "/"))

    async def _token(self, request: web.Request) -> Answer:
        body = await json_body(request, self.state.max_json)
        paths = body.get("paths")
        if not isinstance(paths, list) or not paths or not all(self._is_path(path) for path in paths):
            raise refused(400)
        return json_answer({"tokens": {path: self.state.access.media_token(path) for path in paths}})

    def _is_path(self, path: object) -> bool:
        root = f"/apps/{self.state.app_id}"
        return isinstance(path, str) and (path == root or path.startswith(f"{root}/"))

    async def _cookie(self, request: web.Request) -> Answer:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        opened = self.state.access.opens(token.strip()) if scheme.lower() == "bearer" else ""
        if not opened:
            return sunshine_error(401)
        age = self.state.access.media_token_seconds
        cookie = f"{COOKIE}={token.strip()}; Path={self.prefix}{opened}; Max-Age={age}; HttpOnly"
        answer = json_answer({})
        return replace(answer, headers={**answer.headers, "Set-Cookie": cookie})

"""The HTTP face of Trinsic: who may call what, sessions, results, and content by id or by access key."""

from __future__ import annotations

import hmac
import uuid
from dataclasses import replace
from typing import Any

from aiohttp import web

from attachsync.sandbox.answer import Answer, Handler, Refusal, Route
from attachsync.sandbox.content import Held
from attachsync.sandbox.trinsic import Trinsic
from attachsync.sandbox.trinsic_body import JSON_REQUEST, content_reply, reply, reply_type, request_object
from attachsync.sandbox.trinsic_errors import not_ready, trinsic_error
from attachsync.sandbox.trinsic_lists import Errors, Lists
from attachsync.sandbox.trinsic_records import AccessKey, Attachment, Endpoint, Exchange, Session
from attachsync.sandbox.trinsic_view import results_view, session_view

ONE = "/api/v1/sessions/{session:[^/]+}"


class TrinsicService:
    """Routes of the emulated organisation below a prefix."""

    def __init__(self, prefix: str, state: Trinsic) -> None:
        """Serve the state below a prefix."""
        self.prefix = prefix
        self.state = state
        self.lists = Lists(state, self._invalid)

    def failure(self, status: int) -> Answer:
        """Return the usual error for a status."""
        return trinsic_error(self.state.errors, status)

    def recognises(self, request: web.Request) -> bool:
        """Say whether the request carries a valid token."""
        return self.state.allows(_token(request)) is not None

    def routes(self) -> list[Route]:
        """Return the routes of specs/trinsic.md 1.1, 1.3 to 1.6; those that create sessions excepted."""
        routes = [
            Route("GET", "/api/v1/verification-profiles/{profile:[^/]+}/sessions", self.lists.sessions),
            Route("GET", "/api/v1/sessions", self.lists.sessions),
            Route("GET", "/api/v1/sessions/list", self.lists.sessions),
            Route("GET", "/api/valpha/verification-profiles", self.lists.profiles),
            Route("GET", ONE, self._session),
            Route("POST", f"{ONE}/results", self._results),
            Route("POST", f"{ONE}/results/exchange", self._results),
            Route("POST", f"{ONE}/redact", self._redact),
            Route("POST", f"{ONE}/attachments/{{attachment:[^/]+}}/get", self._attachment),
            Route("POST", "/api/v1/attachments/exchange", self._exchange),
            Route("POST", "/api/v1/attachments/attachment", self._by_key),
        ]
        return [replace(route, handler=self._guarded(route.handler)) for route in routes]

    def _guarded(self, handler: Handler) -> Handler:
        async def serve(request: web.Request) -> Answer:
            self.state.settle()
            allowed = self.state.allows(_token(request))
            if not allowed:
                return self.failure(401 if allowed is None else 403)
            limit = self.state.rate_limit
            wait = limit.wait() if limit else 0.0
            if wait:
                refusal = self.failure(429)
                return replace(refusal, headers={**refusal.headers, "Retry-After": str(int(wait) + 1)})
            answer = await handler(request)
            forced = self.state.json_type if answer.headers.get("Content-Type") == reply_type(request) else ""
            return replace(answer, headers={"Content-Type": forced}) if forced else answer

        return serve

    # -- sessions --------------------------------------------------------------------------------------------------

    async def _session(self, request: web.Request) -> Answer:
        found = self._found(request)
        return reply(request, {"session": session_view(self.state, found), **self.state.extra})

    async def _results(self, request: web.Request) -> Answer:
        found = await self._opened(request)
        return reply(request, results_view(self.state, found))

    async def _redact(self, request: web.Request) -> Answer:
        self.state.redact(self._found(request))
        return Answer(200)

    async def _attachment(self, request: web.Request) -> Answer:
        found = await self._opened(request)
        wanted = self._uuid(request, "attachment", "attachmentId")
        listed = found.attachments if found.success and not found.hpke else []
        attachment = next((one for one in listed if one.id == wanted and not one.gone), None)
        if attachment is None:
            raise self._refused(self.state.missing_status, "The attachment was not found.")
        return self._content(request, attachment, self.state.current)

    def _found(self, request: web.Request) -> Session:
        found = self.state.sessions.get(self._uuid(request, "session", "sessionId"))
        if found is None:
            raise self._refused(self.state.missing_status, "The session was not found.")
        return found

    async def _opened(self, request: web.Request) -> Session:
        """Return the session whose results key the body brings."""
        found, body = self._found(request), await self._body(request)
        key = self._text(body, "resultsAccessKey")
        state = self.state
        late = found.key_expires is not None and found.key_expires <= state.now
        if late or not hmac.compare_digest(key.encode(), found.results_key.encode()):
            raise self._refused(state.wrong_results_key_status, "The results access key is not valid.")
        if found.redacted and state.redacted_status != 200:
            raise self._refused(state.redacted_status, "The session was redacted.")
        return found

    # -- access keys -----------------------------------------------------------------------------------------------

    async def _exchange(self, request: web.Request) -> Answer:
        return await self._keyed(request, self.state.exchange)

    async def _by_key(self, request: web.Request) -> Answer:
        return await self._keyed(request, self.state.attachment, bound=True)

    async def _keyed(self, request: web.Request, endpoint: Endpoint, bound: bool = False) -> Answer:
        """Answer one exchange and keep a note of it; `bound`: keys of sessions need their session's id."""
        if endpoint.retired:
            raise self._refused(endpoint.retired)
        body = await self._body(request)
        key, session = self._text(body, "attachmentAccessKey"), body.get("sessionId")
        try:
            answer = self._exchanged(request, endpoint, key, session if bound else None, bound)
        except Refusal as refusal:
            answer = refusal.answer
        path = request.path.removeprefix(self.prefix)
        self.state.exchanges.append(Exchange(key, path, str(session or ""), answer.status))
        return answer

    def _exchanged(self, request: web.Request, endpoint: Endpoint, value: str, session: object, bound: bool) -> Answer:
        key = self._known(value)
        if bound:
            self._check_session(key, endpoint, session)
        answer = self._content(request, key.attachment, endpoint)
        # "Not ready" does not use a key up (specs/trinsic.md 1.8).
        key.used += key.attachment.ready
        return answer

    def _known(self, value: str) -> AccessKey:
        state, key = self.state, self.state.keys.get(value)
        if key is None or key.revoked:
            raise self._refused(state.unknown_key_status, "The attachment access key is not valid.")
        late = key.expires is not None and key.expires <= state.now
        if late or (key.uses is not None and key.used >= key.uses):
            raise self._refused(state.spent_key_status, "The attachment access key was used or has expired.")
        if key.attachment.gone:
            raise self._refused(state.missing_status, "The attachment was redacted.")
        return key

    def _check_session(self, key: AccessKey, endpoint: Endpoint, session: object) -> None:
        if session is None and (endpoint.needs_session or key.session):
            raise self._invalid({"SessionId": ["The SessionId field is required."]})
        if session is not None and not _is_uuid(session):
            raise self._invalid({"SessionId": ["The SessionId field is not a UUID."]})
        if key.session and session != key.session:
            raise self._refused(self.state.unknown_key_status, "The attachment access key is not of this session.")

    # -- what they share -------------------------------------------------------------------------------------------

    def _content(self, request: web.Request, attachment: Attachment, endpoint: Endpoint) -> Answer:
        if not attachment.ready and endpoint.not_ready != 200:
            return not_ready(endpoint.not_ready)
        shown = attachment if attachment.ready else replace(attachment, content=Held(b""), text=None)
        attachment.fetches += attachment.ready
        if endpoint.reply == "raw":
            kind = attachment.media_type if endpoint.content_type is None else endpoint.content_type
            return Answer(200, shown.content, {"Content-Type": kind})
        state = self.state
        return content_reply(request, shown, state.extra, escaped=state.escaped_base64, type_first=state.type_first)

    async def _body(self, request: web.Request) -> dict[str, Any]:
        if not JSON_REQUEST.fullmatch(request.content_type.lower()):
            raise self._refused(415)
        body = await request_object(request)
        if body is None:
            raise self._invalid({"$": ["The body is not a JSON object."]})
        return body

    def _text(self, body: dict[str, Any], name: str) -> str:
        value = body.get(name)
        if not isinstance(value, str) or not value:
            title = name[0].upper() + name[1:]
            raise self._invalid({title: [f"The {title} field is required."]})
        return value

    def _uuid(self, request: web.Request, part: str, name: str) -> str:
        value = request.match_info[part]
        if not _is_uuid(value):
            raise self._invalid({name: [f"The value '{value}' is not valid."]})
        return value.lower()

    def _refused(self, status: int, detail: str = "") -> Refusal:
        return Refusal(trinsic_error(self.state.errors, status, detail))

    def _invalid(self, errors: Errors) -> Refusal:
        return Refusal(trinsic_error(self.state.errors, 400, "One or more validation errors occurred.", errors))


def _token(request: web.Request) -> str:
    """Return the bearer token of a request; empty if it has none."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" else ""


def _is_uuid(value: object) -> bool:
    try:
        return isinstance(value, str) and str(uuid.UUID(value)) == value.lower()
    except ValueError:
        return False

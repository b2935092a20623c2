"""Conversations and messages of Sunshine: posting, listing, deleting (specs/sunshine.md 1.5 to 1.7)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from attachsync.sandbox.answer import Answer, Route, json_answer
from attachsync.sandbox.media import named
from attachsync.sandbox.stamps import precise
from attachsync.sandbox.sunshine import Conversation, Media, Sunshine
from attachsync.sandbox.sunshine_body import json_body
from attachsync.sandbox.sunshine_errors import refused
from attachsync.sandbox.sunshine_paging import INVALID, page_of

MAX_METADATA = 4096
TYPES = ("text", "carousel", "file", "form", "formResponse", "image", "list", "location", "template")
Rendered = Callable[[web.Request, Any], Any]
Stored = Callable[[web.Request, str], Media | None]


class Messages:
    """The routes about conversations."""

    def __init__(self, state: Sunshine, rendered: Rendered, stored: Stored) -> None:
        """Serve the state; `rendered` fills in origins, `stored` finds the file that a URL names."""
        self._state = state
        self._rendered = rendered
        self._stored = stored

    def routes(self, app: str) -> list[Route]:
        """Return the routes, not yet guarded."""
        one = f"{app}/conversations/{{conversation:[^/]+}}"
        return [
            Route("GET", f"{app}/conversations", self._list_conversations),
            Route("GET", one, self._read_conversation),
            Route("DELETE", one, self._delete_conversation),
            Route("POST", f"{one}/messages", self._post),
            Route("GET", f"{one}/messages", self._list_messages),
            Route("DELETE", f"{one}/messages", self._delete_messages),
            Route("DELETE", f"{one}/messages/{{message:[^/]+}}", self._delete_message),
        ]

    def _conversation(self, request: web.Request) -> Conversation:
        found = self._state.conversations.get(request.match_info["conversation"])
        if found is None and request.method == "GET" and request.path.endswith("/messages"):
            raise refused(404, "Resource not found")  # specs/sunshine.md 7: who lists messages is told less
        if found is None:
            raise refused(404, "Conversation not found", "conversation_not_found")
        return found

    # -- reading ---------------------------------------------------------------------------------------------------

    async def _list_conversations(self, request: web.Request) -> Answer:
        user, external = request.query.get("filter[userId]"), request.query.get("filter[userExternalId]")
        if bool(user) == bool(external):
            raise refused(400, "filter[userId] or filter[userExternalId] is required")
        everyone = self._state.conversations.values()
        found = [one for one in everyone if user in one.users or external in one.external_users]
        if not found and not {user, external} & self._state.former:
            raise refused(404, "User not found", "user_not_found")
        rows = sorted((_conversation_json(one) for one in found), key=lambda row: str(row["id"]))
        return json_answer(page_of("conversations", rows, request, forward=True))

    async def _read_conversation(self, request: web.Request) -> Answer:
        return json_answer({"conversation": _conversation_json(self._conversation(request))})

    async def _list_messages(self, request: web.Request) -> Answer:
        conversation = self._conversation(request)
        cursor = request.query.get("page[after]") or request.query.get("page[before]")
        if self._state.strict_cursors and cursor and all(one["id"] != cursor for one in conversation.messages):
            raise refused(400, INVALID)
        page = page_of("messages", conversation.messages, request, forward=False, size=self._state.message_page)
        return json_answer(self._rendered(request, page))

    # -- posting ---------------------------------------------------------------------------------------------------

    async def _post(self, request: web.Request) -> Answer:
        conversation = self._conversation(request)
        body = await json_body(request, self._state.max_json)
        author, content, metadata = body.get("author"), body.get("content"), body.get("metadata")
        _check_author(author)
        _check_metadata(metadata)
        shown = self._checked(request, conversation, content)
        limit = self._state.message_limit
        if len(conversation.messages) >= limit:
            raise refused(423, f"Message limit of {limit} per conversation reached.")
        message = self._state.add_message(conversation, shown, dict(author or {}), metadata, source="api:conversations")
        return json_answer(self._rendered(request, {"messages": [message]}), 201)

    def _checked(self, request: web.Request, conversation: Conversation, content: object) -> dict[str, Any]:
        """Return content with what the platform fills in, or refuse it."""
        if not isinstance(content, dict) or content.get("type") not in TYPES:
            raise refused(400)
        if content["type"] == "text" and not content.get("text"):
            raise refused(400)
        if content["type"] not in ("file", "image"):
            return content
        url, alt = content.get("mediaUrl"), content.get("altText", "")
        if not isinstance(url, str) or not url.startswith(("http://", "https://")) or len(str(alt)) > 128:
            raise refused(400)
        media = self._stored(request, url)
        if media is not None and media.conversation not in ("", conversation.id):
            raise refused(400, "The attachment belongs to another conversation")
        if media is None:
            return self._foreign(request, url, content)
        return {**content, **self._state.file_content(media, content["type"], content.get("text", ""), str(alt))}

    def _foreign(self, request: web.Request, url: str, content: dict[str, Any]) -> dict[str, Any]:
        """Take a URL of another host as it is; one of ours without a file behind it cannot be fetched."""
        if url.startswith(self._rendered(request, "sandbox:/")):
            raise refused(400, "The media could not be fetched")
        return {**content, "mediaType": named(url), "altText": content.get("altText") or url.rpartition("/")[2][:128]}

    # -- deleting --------------------------------------------------------------------------------------------------

    async def _delete_messages(self, request: web.Request) -> Answer:
        conversation = self._conversation(request)
        self._state.remove_messages(conversation, {one["id"] for one in conversation.messages})
        return json_answer({})

    async def _delete_message(self, request: web.Request) -> Answer:
        conversation, wanted = self._conversation(request), request.match_info["message"]
        if all(one["id"] != wanted for one in conversation.messages):
            raise refused(404)
        self._state.remove_messages(conversation, {wanted})
        return json_answer({})

    async def _delete_conversation(self, request: web.Request) -> Answer:
        conversation = self._conversation(request)
        if conversation.is_default:
            raise refused(400, "The default conversation cannot be deleted")
        self._state.remove_conversation(conversation)
        return json_answer({})


def _check_author(author: object) -> None:
    if not isinstance(author, dict) or author.get("type") not in ("business", "user"):
        raise refused(400)
    if author["type"] == "user" and not (author.get("userId") or author.get("userExternalId")):
        raise refused(400)
    subtypes = author.get("subtypes") or []
    if not isinstance(subtypes, list) or not all(one in ("AI", "activity") for one in subtypes):
        raise refused(400)


def _check_metadata(metadata: object) -> None:
    """Metadata is a flat object of at most 4 KB, or null."""
    if metadata is None:
        return
    if not isinstance(metadata, dict) or len(json.dumps(metadata).encode()) > MAX_METADATA:
        raise refused(400)
    if not all(isinstance(value, str | int | float | bool) for value in metadata.values()):
        raise refused(400)


def _conversation_json(conversation: Conversation) -> dict[str, Any]:
    return {
        "id": conversation.id,
        "type": "personal",
        "isDefault": conversation.is_default,
        "lastUpdatedAt": precise(conversation.updated),
        "createdAt": precise(conversation.created),
    }

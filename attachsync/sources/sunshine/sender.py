"""Sending to one Sunshine app: upload, post, delete (specs/sunshine.md 1.1, 1.3, 1.5)."""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from yarl import URL

from attachsync import units
from attachsync.answers import Reply
from attachsync.errors import AttachsyncError, MalformedError, RejectedError, UnavailableError
from attachsync.http import Http, Query
from attachsync.loops import Loop
from attachsync.model import JSON, Draft
from attachsync.multipart import FileForm
from attachsync.retry import DAY
from attachsync.sources.sunshine import rules
from attachsync.underway import UnderWay

_MOST_PAGES = 1000
"""A conversation holds 30,000 messages, 100 to a page (1.5, 1.6): more pages than this are no conversation."""
_UNDER_WAY = 20.0
"""Seconds after which a post shows, whatever was answered meanwhile: before it lists the message, the service fetches
the file, which may take 15 s to begin (1.5); and who answers 5xx may be a proxy."""
_UPLOADED = ("media_url", "app_id", "access", "for", "conversation_id", "media_type")
"""What a receipt says of an upload."""
_ACCOUNTS = (401, 402, 403)
"""Refusals that are about the account."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the files of one outbox go."""

    app_id: str
    access: str
    purpose: str | None
    conversation: str | None
    send: bool


class SunshineSender:
    """One outbox's way to Sunshine."""

    def __init__(self, http: Http, destination: Destination) -> None:
        self._http = http
        self._to = destination
        self._posts = UnderWay(http.clock, _UNDER_WAY)

    def refusal(self, name: str, size: int, head: bytes) -> tuple[str, str] | None:
        """(code, reason) when the service would surely refuse this file. The head is left to the service to judge."""
        return rules.refusal(name, size)

    def posts(self) -> bool:
        """Whether each file is also posted as a message."""
        return self._to.send and self._to.conversation is not None

    async def upload(self, draft: Draft, body: BinaryIO) -> dict[str, str]:
        """Send the bytes; a 2xx answer that does not say where they are is an unknown outcome."""

        def content() -> Mapping[str, Any]:
            return {"data": FileForm("source", draft.name, draft.media_type, body, draft.size)}

        try:
            reply = await self._http.post(self._url("/attachments", self._query()), content)
        except MalformedError as error:
            raise UnavailableError(str(error)) from None
        found = rules.uploaded(_json(reply))
        if found is None:
            raise UnavailableError(f"{reply.where}: HTTP {reply.status}, but no mediaUrl in the answer")
        return self._receipt(*found)

    def _query(self) -> Query:
        """`access`, `for`, `conversationId`: in the query, not in the form (1.1)."""
        optional = (("for", self._to.purpose), ("conversationId", self._to.conversation))
        return [("access", self._to.access), *((key, value) for key, value in optional if value)]

    def _receipt(self, media_url: str, media_type: str) -> dict[str, str]:
        receipt = {
            "media_url": media_url,
            "app_id": self._to.app_id,
            "access": self._to.access,
            "for": self._to.purpose or "",
            "conversation_id": self._to.conversation or "",
            "media_type": media_type,
        }
        return {key: value for key, value in receipt.items() if value}

    async def kept(self, draft: Draft, receipt: Mapping[str, str]) -> dict[str, str] | None:
        """The upload of a file whose message was refused: no address is known to expire (3.5).

        Not where it is another app's, conversation's or purpose's, nor after a 400, which may be about the address.
        """
        before = self._receipt(receipt.get("media_url", ""), receipt.get("media_type", ""))
        is_same = all(receipt.get(key, "") == before.get(key, "") for key in _UPLOADED)
        return before if is_same and "media_url" in before and receipt.get("status") != "400" else None

    async def deliver(self, draft: Draft, receipt: Mapping[str, str], since: float | None) -> dict[str, str]:
        """Post the message. With `since`, it is looked for first, and is not posted again."""
        if since is not None and await self._posts.may_have_come(draft.ticket):
            found = await self._posted(draft.ticket, receipt["media_url"], _earliest(receipt, since))
            if found is not None:
                return {"message_id": found}
        try:
            with self._posts.asking(draft.ticket):
                reply = await self._http.post(self._messages(), _json_body(rules.message(draft, receipt)))
        except MalformedError as error:
            raise UnavailableError(str(error)) from None
        posted = next((rules.identity(one) for one in rules.messages(_json(reply))), None)
        if posted is None:
            raise UnavailableError(f"{reply.where}: HTTP {reply.status}, but no message in the answer")
        return {"message_id": posted}

    async def _posted(self, ticket: str, media_url: str, since: float) -> str | None:
        """The message with our ticket or the upload's address, looked for from the newest page backwards to `since`."""
        cursor: str | None = None
        loop = Loop()
        for _ in range(_MOST_PAGES):
            query = [("page[before]", cursor)] if cursor else []
            page = await self._page(query)
            found = rules.marked(page, ticket, media_url)
            if found is not None:
                return found
            cursor = rules.older(page, since)
            if cursor is None:
                return None
            if loop.closes(cursor):
                break
        raise UnavailableError(f"{self._http.account.name}: the conversation's pages do not end; nothing was posted")

    async def _page(self, query: Query) -> JSON:
        """A page to look through. A refusal of it is not one of the file: whether that was posted stays unknown."""
        try:
            return _json(await self._http.get(self._messages(query)))
        except RejectedError as error:
            if error.status in _ACCOUNTS:
                raise
            raise UnavailableError(f"{error}: whether the message is there could not be looked up") from None

    async def delete(self, receipt: Mapping[str, object]) -> bool:
        """Delete an upload by its mediaUrl; False when the service no longer has it (1.3). Harmless to repeat.

        Another app would not have it either, and say so just like this: AttachsyncError, and it is not asked.
        """
        if receipt.get("app_id", self._to.app_id) != self._to.app_id:
            ours = f"account {self._http.account.name} is of app {self._to.app_id}"
            raise AttachsyncError(f"it was uploaded to app {receipt['app_id']}, and {ours}: nothing was deleted")
        media_url = receipt.get("media_url")
        if not isinstance(media_url, str) or not media_url:
            raise AttachsyncError("its receipt names no media_url: nothing was deleted")
        try:
            await self._http.post(self._url("/attachments/remove"), _json_body({"mediaUrl": media_url}), repeat=True)
        except RejectedError as error:
            if error.status == 404:
                return False
            raise
        return True

    def _messages(self, query: Query = ()) -> URL:
        return self._url(f"/conversations/{self._to.conversation}/messages", query)

    def _url(self, path: str, query: Query = ()) -> URL:
        return self._http.url(f"/v2/apps/{self._to.app_id}{path}", query)


def _earliest(receipt: Mapping[str, str], since: float) -> float:
    """Before this (Unix time) the message was not posted: a day before its upload, as the clocks may differ.

    `since` is only the latest try.
    """
    with contextlib.suppress(KeyError, ValueError):
        since = min(since, units.moment(receipt["uploaded_at"]))
    return since - DAY


def _json_body(value: Mapping[str, JSON]) -> Any:
    body = json.dumps(value, ensure_ascii=False).encode()
    return lambda: {"data": body, "headers": {"Content-Type": "application/json"}}


def _json(reply: Reply) -> JSON:
    """The answer as JSON; one that is none may still stand for something done: an unknown outcome."""
    try:
        return reply.json()
    except MalformedError as error:
        raise UnavailableError(str(error), status=reply.status) from None

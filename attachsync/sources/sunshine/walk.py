"""Asking one app for its conversations and messages, page by page (specs/sunshine.md 1.6).

Addresses are built from the account's own base and from cursors, never taken from the `links` of an answer.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

from attachsync.errors import MalformedError
from attachsync.http import Http, Query
from attachsync.loops import Loop
from attachsync.model import JSON
from attachsync.sources.sunshine.messages import Chat, Listing, Message, identifier, listing

_MOST_PAGES = 1000
"""A conversation holds 30,000 messages, 100 to a page (1.5, 1.6): more pages than this do not end."""
_PAGE_SIZE = "100"


@dataclass(frozen=True, slots=True)
class Known:
    """How far a conversation has been read: its newest message, when it last changed (as listed), and when (Unix
    time) it was last read from its newest message to its first one."""

    id: str | None = None
    received: float = 0.0
    updated: str | None = None
    walked: float = 0.0

    @classmethod
    def read(cls, cursor: JSON) -> "Known":
        """What was kept as the cursor of a conversation's feed."""
        if not isinstance(cursor, dict):
            return cls()
        received, updated, walked = (cursor.get(name) for name in ("received", "updated", "walked"))
        return cls(
            identifier(cursor.get("id")),
            float(received) if isinstance(received, int | float) else 0.0,
            updated if isinstance(updated, str) else None,
            float(walked) if isinstance(walked, int | float) else 0.0,
        )

    def mark(self) -> JSON:
        """What is kept."""
        return {"id": self.id, "received": self.received, "updated": self.updated, "walked": self.walked}

    def covers(self, message: Message) -> bool:
        """Whether a message is one of those that were read. One without a time says nothing where others have one."""
        if self.id is None or (self.received and not message.received):
            return False
        return message.order <= (self.received, self.id)


class App:
    """One app's lists."""

    def __init__(self, http: Http, app_id: str) -> None:
        self._http = http
        self._app_id = app_id

    async def messages(self, conversation: str, query: Query = ()) -> Listing:
        """One page of messages: the newest without a cursor."""
        return await self._page(f"/conversations/{conversation}/messages", query, "messages")

    async def back(self, conversation: str) -> AsyncGenerator[Listing, None]:
        """A conversation's pages, from the newest back to the first message. At its end it raises what was unsound."""
        query: Query = ()
        loop, unsound = Loop(), 0
        for _ in range(_MOST_PAGES):
            page = await self.messages(conversation, query)
            yield page
            unsound += page.unsound
            if page.before is None:
                self._check(unsound, "messages")
                return
            if loop.closes(page.before):
                break
            query = [("page[before]", page.before)]
        raise MalformedError(f"{self._http.account.name}: the pages of conversation {conversation} do not end")

    async def forth(self, conversation: str, cursor: str) -> AsyncIterator[Listing]:
        """The pages after a message, up to the newest. At its end it raises what was unsound."""
        loop, unsound = Loop(), 0
        for _ in range(_MOST_PAGES):
            page = await self.messages(conversation, [("page[after]", cursor)])
            yield page
            unsound += page.unsound
            if page.after is None:
                self._check(unsound, "messages")
                return
            if loop.closes(page.after):
                break
            cursor = page.after
        raise MalformedError(f"{self._http.account.name}: the pages of conversation {conversation} do not end")

    async def chats(self, who: tuple[str, str]) -> AsyncIterator[Chat]:
        """A user's conversations; `who` is `userId` or `userExternalId`, and which."""
        cursor: str | None = None
        loop, unsound = Loop(), 0
        for _ in range(_MOST_PAGES):
            page = await self.some_chats(who, cursor)
            for chat in page.chats:
                yield chat
            unsound += page.unsound
            if page.after is None:
                self._check(unsound, "conversations")
                return
            if loop.closes(page.after):
                break
            cursor = page.after
        raise MalformedError(f"{self._http.account.name}: the list of conversations does not end")

    async def some_chats(self, who: tuple[str, str], cursor: str | None = None) -> Listing:
        """One page of a user's conversations."""
        name, value = who
        after = [("page[after]", cursor)] if cursor else []
        query = [(f"filter[{name}]", value), ("page[size]", _PAGE_SIZE), *after]
        return await self._page("/conversations", query, "conversations")

    async def describe(self, conversation: str) -> JSON:
        """What the service says of one conversation."""
        reply = await self._http.get(self._http.url(f"/v2/apps/{self._app_id}/conversations/{conversation}"))
        return reply.object().get("conversation")

    async def _page(self, path: str, query: Query, kind: str) -> Listing:
        reply = await self._http.get(self._http.url(f"/v2/apps/{self._app_id}{path}", query))
        body = reply.json()
        try:
            return listing(body, kind)
        except MalformedError as error:
            raise MalformedError(f"{reply.where}: HTTP {reply.status}, but {error}") from None

    def _check(self, unsound: int, kind: str) -> None:
        if unsound:
            name = self._http.account.name
            raise MalformedError(f"{name}: {unsound} of the listed {kind} could not be read; asked again next time")

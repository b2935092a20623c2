"""Listing and reading what the conversations of one Sunshine app show (specs/sunshine.md 1.6, 1.7, 8)."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass

from attachsync.errors import AttachsyncError, GoneError, MalformedError, RefusedError, RejectedError, UnavailableError
from attachsync.http import Http
from attachsync.model import JSON, Attachment, Body, Cursors, Facts, Page, Track
from attachsync.sources.sunshine.links import Links
from attachsync.sources.sunshine.media import Media
from attachsync.sources.sunshine.messages import Chat, Listing, identifier, is_deleted, keys_of, of_page
from attachsync.sources.sunshine.walk import App, Known

_PARTIAL = (GoneError, MalformedError, RefusedError, RejectedError, UnavailableError)
"""Trouble with one conversation does not keep the others back."""
_NO_SUCH_CURSOR = (400, 404, 410, 422)
_RARELY = 86_400.0
"""Where deletions matter (`on_gone`), a conversation is read anew as a whole this often (seconds)."""
_CHATS = "chats"


@dataclass(frozen=True, slots=True)
class Target:
    """What a track mirrors: a conversation, or all those of a user (`who`: name of the filter, and its value)."""

    conversation: str | None
    who: tuple[str, str] | None


class MessageSource:
    """One Sunshine app to mirror from. `target` reads a track's own keys."""

    def __init__(self, http: Http, app_id: str, target: Callable[[Track], Target]) -> None:
        self._http = http
        self._app_id = app_id
        self._app = App(http, app_id)
        self._links = Links(self._app)
        self._media = Media(http, app_id)
        self._target = target

    # --- listing ------------------------------------------------------------------------------------------------

    async def pages(self, track: Track, cursors: Cursors) -> AsyncIterator[Page]:
        """What the track's conversations have shown since they were read last; the first time, all of it."""
        target, trouble = self._target(track), None
        if target.conversation is not None:
            chat = Chat(target.conversation, None)
            try:
                async for page in self._conversation(track, chat, cursors):
                    yield page
            except RejectedError as error:
                if track.on_gone != "delete" or not _not_found(error) or not await self._was_deleted(chat.id, cursors):
                    raise
                yield Page((), gone=(keys_of(chat.id),))
            return
        assert target.who is not None
        listed = []
        async for chat in self._app.chats(target.who):
            listed.append(chat.id)
            try:
                async for page in self._conversation(track, chat, cursors):
                    yield page
            except _PARTIAL as error:
                if not _not_found(error):  # deleted since it was listed: what it showed is kept
                    trouble = trouble or error
        if trouble is not None:
            raise trouble
        yield Page((), census=len(listed))
        if track.on_gone == "delete":
            yield await self._vanished(listed, cursors)

    async def _vanished(self, listed: list[str], cursors: Cursors) -> Page:
        """Which of a user's conversations were deleted; one that is not listed any more may just be another's now."""
        held = cursors.get(_CHATS)
        before = [identifier(one) for one in held] if isinstance(held, list) else []
        missing = [one for one in before if one and one not in listed]
        gone = [keys_of(one) for one in missing if await self._was_deleted(one, cursors)]
        return Page((), {_CHATS: [*listed]} if held != listed else {}, tuple(gone))

    async def _was_deleted(self, conversation: str, cursors: Cursors) -> bool:
        """Whether the service says that a conversation is not there, one that was read before."""
        if Known.read(cursors.get(_feed(Chat(conversation, None)))) == Known():
            return False
        try:
            await self._app.describe(conversation)
        except RejectedError as error:
            return error.status == 404 and error.code == "conversation_not_found"
        return False

    async def _conversation(self, track: Track, chat: Chat, cursors: Cursors) -> AsyncIterator[Page]:
        """Backwards the first time, then forwards from the newest message known; not at all if it was idle.

        Backwards as a whole now and then where deletions matter: a deleted message stays where it was.
        """
        known = Known.read(cursors.get(_feed(chat)))
        again = track.on_gone == "delete" and (cursors.thorough or not 0 <= self._now() - known.walked < _RARELY)
        if known.id is None or again:
            async for page in self._backwards(track, chat, Known()):
                yield page
            return
        if chat.updated is not None and chat.updated == known.updated:
            return
        try:
            async for page in self._forwards(track, chat, known):
                known = Known.read(page.marks.get(_feed(chat), known.mark()))
                yield page
        except RejectedError as error:
            if error.status not in _NO_SUCH_CURSOR:
                raise
            # The message that is the cursor may have been deleted. If it is the conversation, the next request says so.
            async for page in self._backwards(track, chat, known):
                yield page

    async def _backwards(self, track: Track, chat: Chat, known: Known) -> AsyncIterator[Page]:
        """From the newest page to the first message, or to one that is known; only then is the newest one kept."""
        newest: Known | None = None
        walked = known.walked if known.id else self._now()
        async with aclosing(self._app.back(chat.id)) as listings:
            async for listing in listings:
                yield Page(self._items(track, chat, listing), gone=_gone(chat, listing))
                if newest is None:
                    last = listing.messages[-1] if listing.messages else None
                    newest = Known(last.id if last else None, last.received if last else 0.0, chat.updated, walked)
                if any(map(known.covers, listing.messages)):
                    break
        yield Page((), {_feed(chat): (newest or known).mark()})

    async def _forwards(self, track: Track, chat: Chat, known: Known) -> AsyncIterator[Page]:
        """The pages after the newest message known; each is kept with how far it leads."""
        assert known.id is not None
        newest, updated, sound = (known.received, known.id), known.updated, True
        async for listing in self._app.forth(chat.id, known.id):
            newest = max([newest, *(one.order for one in listing.messages)])
            updated = chat.updated if listing.after is None else updated
            sound = sound and not listing.unsound
            reached = Known(newest[1], newest[0], updated, known.walked)
            items = self._items(track, chat, listing)
            if items or reached != known:
                yield Page(items, {_feed(chat): reached.mark()} if sound else {}, _gone(chat, listing))

    def _items(self, track: Track, chat: Chat, listing: Listing) -> tuple[Attachment, ...]:
        return self._links.seen(of_page(track.name, chat.id, listing.messages), listing.messages)

    def _now(self) -> float:
        return self._http.clock.now()

    # --- one attachment -----------------------------------------------------------------------------------------

    async def inspect(self, track: Track, attachment: Attachment, record: Mapping[str, JSON]) -> Facts:
        """There is no record of an attachment but its message (specs/sunshine.md 0)."""
        return Facts()

    @asynccontextmanager
    async def read(self, track: Track, attachment: Attachment, facts: Facts) -> AsyncIterator[Body]:
        """The bytes. A signed link is not kept: it is the listing's, or its message is asked for again."""
        async with AsyncExitStack() as stack:
            link = self._links.known(attachment)
            try:
                body = await self._media.opened(stack, link or await self._links.asked(attachment), facts.held)
            except (GoneError, RejectedError):
                again = await self._links.asked(attachment) if link and self._links.is_passing(attachment) else link
                if again is None or again == link:
                    raise
                body = await self._media.opened(stack, again, facts.held)
            yield body

    def repeatable(self, track: Track) -> bool:
        """Downloads change nothing."""
        return True

    # --- looking up ---------------------------------------------------------------------------------------------

    async def probe(self, track: Track | None) -> str:
        """Sign in, or look up a track's conversations."""
        target = self._target(track) if track else None
        if target and target.conversation is not None:
            found = await self._app.describe(target.conversation)
            if not isinstance(found, Mapping) or identifier(found.get("id")) is None:
                raise MalformedError(f"{self._http.account.name}: no conversation in the answer")
            return f"conversation {found['id']}, last message {found.get('lastUpdatedAt') or 'not said when'}"
        if target and target.who is not None:
            page = await self._app.some_chats(target.who)
            more = " or more" if page.after else ""
            return f"user {target.who[1]}, conversations: {len(page.chats)}{more}"
        return await self._signed_in()

    async def _signed_in(self) -> str:
        """Nothing can be listed without naming somebody: nobody is named, and a user that is not known is found."""
        try:
            await self._app.some_chats(("userExternalId", "attachsync"))
        except RejectedError as error:
            if error.status != 404 or error.code == "app_not_found":
                raise
        return f"signed in to app {self._app_id}"


def _feed(chat: Chat) -> str:
    return f"conversation/{chat.id}"


def _gone(chat: Chat, listing: Listing) -> tuple[str, ...]:
    """What deleted messages showed."""
    return tuple(keys_of(chat.id, one.id) for one in listing.messages if is_deleted(one))


def _not_found(error: AttachsyncError) -> bool:
    """Whether there is no such conversation, or no longer."""
    return isinstance(error, RejectedError) and error.status == 404

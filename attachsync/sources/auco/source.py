"""Listing and reading the files of one Auco account's processes (specs/auco.md 1.2, 1.4, 2)."""

import asyncio
import dataclasses
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar

from yarl import URL

from attachsync import media
from attachsync.errors import (
    AttachsyncError,
    AuthFailedError,
    GoneError,
    MalformedError,
    NotModifiedError,
    NotReadyError,
    RefusedError,
    RejectedError,
    UnavailableError,
)
from attachsync.http import Http, Query
from attachsync.model import JSON, Attachment, Body, Cursors, Facts, Held, Page, Track
from attachsync.origins import sound
from attachsync.sources.auco import records, rest, slots
from attachsync.sources.auco.fresh import FreshLinks, Seen
from attachsync.sources.auco.records import APPROVED, FINISHED, OPEN, Process, Signer, Target
from attachsync.units import counted

T = TypeVar("T")

_PROCESS = "process"
_TROUBLE = (MalformedError, RefusedError, RejectedError, UnavailableError)
_AT_A_TIME = 2
"""Requests in flight to the API itself, as the document recommends."""
_LINK_IS_OVER = frozenset({403, 404, 410})
"""Answers of a link's host that a fresh link may mend: it expired, or its object moved when it was uploaded anew."""


class AucoSource:
    """One organisation in one environment. `target` reads a track's own keys."""

    def __init__(self, http: Http, target: Callable[[Track], Target]) -> None:
        self._http = http
        self._target = target
        self._fresh = FreshLinks(http.clock)
        self._gate = asyncio.Semaphore(_AT_A_TIME)

    # --- listing ------------------------------------------------------------------------------------------------

    async def pages(self, track: Track, cursors: Cursors) -> AsyncIterator[Page]:
        """What is uploaded now, signer by signer; nothing is asked once a last pass over an ended process was made.

        Trouble with one signer does not keep the others back; it is raised at the end, and makes no pass the last.
        """
        target, cursor, now = self._target(track), cursors.get(_PROCESS), self._http.clock.now()
        if rest.is_over(cursor):
            return
        if status := rest.missing_lately(cursor, now):
            raise self._unknown(target, status, "; asked again within the hour")
        try:
            process = await self._process(target)
        except RejectedError as error:
            if not rest.is_unknown(error):
                raise
            yield Page((), {_PROCESS: rest.missing(cursor, error.status, now)})
            raise self._unknown(target, error.status) from None
        ending = rest.ending(cursor)
        asking = not process.finish and ending.is_due(now, thorough=cursors.thorough)
        over = process.finish or (asking and await self._has_ended(target))
        trouble = _unheard(self._http.account.name, target, process)
        yield Page((), census=0)  # also where no signer is named
        for user in [one for one in process.users if not target.users or one in target.users]:
            try:
                page, unsound = await self._page(track, user, cursors, over=over)
            except _TROUBLE as error:
                trouble = trouble or error
            else:
                yield page
                trouble = trouble or _unsound(self._http.account.name, target, user, unsound)
        if over and not trouble and process.users:  # one that names nobody may do so by mistake
            yield Page((), {_PROCESS: rest.over()})
        elif asking or cursor is not None:
            yield Page((), {_PROCESS: (ending.asked_at(now) if asking else ending).mark()})  # nor is it missing
        if trouble:
            raise trouble

    async def _page(self, track: Track, user: str, cursors: Cursors, *, over: bool) -> tuple[Page, int]:
        """One signer's files, and how many of them could not be read.

        One who was taken out of the process since its overview has none (specs/auco.md 4).
        """
        target, feed = self._target(track), f"signer/{user}"
        known = slots.from_cursor(cursors.get(feed))
        try:
            signer, _ = await self._signer(track, user, known)
        except RejectedError as error:
            if not rest.is_unknown(error):
                raise
            return Page((), census=0), 0
        said: dict[str, JSON] = {"process": signer.process, "status": signer.status, "phase": _phase(signer, over)}
        found = slots.numbered(signer.files, known)
        if signer.unsound:  # what is new may stand where one that cannot be read stood
            found = {slot: file for slot, file in found.items() if slots.is_told(slot, file, known)}
        items = [records.attachment(track.name, target, user, slot, file, said) for slot, file in found.items()]
        # What is not uploaded may be uploaded anew while the process runs; a reply that is empty says nothing.
        missing = slots.missing(known, found) if over and signer.files and not signer.unsound else []
        gone = tuple(records.key(target, user, slot) for slot in missing)
        cursor = {feed: slots.cursor(slots.places(known, found))}
        return Page(tuple(items), cursor, gone, census=len(items) + signer.unsound), signer.unsound

    async def _process(self, target: Target) -> Process:
        return await self._ask("/attachments", [(target.kind, target.id)], lambda body: records.process(body, target))

    async def _has_ended(self, target: Target) -> bool:
        """Ask whether the process was rejected or expired: `finish` may never become true then (specs/auco.md 2).

        Whatever goes wrong with this only means that it is asked again: a 401 to this call alone was seen (5).
        """
        try:
            return await self._ask("/document", [(target.kind, target.id)], records.ended)
        except (AuthFailedError, *_TROUBLE):
            return False

    async def _signer(self, track: Track, user: str, known: slots.Places | None) -> tuple[Signer, Seen]:
        """Ask for one signer; the answer is remembered for a while, with which of equal labels is which, if known."""
        target, asked_at = self._target(track), self._http.clock.monotonic()
        query = [(target.kind, target.id), ("userId", user)]
        signer = await self._ask("/attachments", query, lambda body: records.signer(body, user))
        places = None if known is None else slots.places(known, slots.numbered(signer.files, known))
        seen = Seen(asked_at, signer.files, signer.finish, places)
        self._fresh.keep((track.name, target.kind, target.id, user), seen)
        return signer, seen

    async def _ask(self, path: str, query: Query, parse: Callable[[JSON], T]) -> T:
        async with self._gate:
            try:
                reply = await self._http.get(self._http.url(path, query))
            except AuthFailedError as error:
                if error.status is None:
                    raise  # no key could be read, and it says why
                hint = "check key_file: it wants the public key (puk_…) of the same organisation and environment"
                raise AuthFailedError(f"{error}; {hint}", status=error.status) from None
        try:
            return parse(reply.json())
        except MalformedError as error:
            prefix = "" if str(error).startswith(reply.where) else f"{reply.where}: HTTP {reply.status}, but "
            raise MalformedError(f"{prefix}{error}") from None

    def _unknown(self, target: Target, status: int, more: str = "") -> RejectedError:
        return RejectedError(
            f"{self._http.account.name}: {target.kind} {target.id} was not found (HTTP {status}): mistyped, of another "
            f"organisation or environment, or without attachments{more}",
            status=status,
        )

    # --- one attachment -----------------------------------------------------------------------------------------

    async def inspect(self, track: Track, attachment: Attachment, record: Mapping[str, JSON]) -> Facts:
        """Whether it is to be read again. There is no record to ask: only the host of the links can tell.

        A host with ETags is asked each time. Without, it is downloaded while a new upload is possible, once more when
        its signer was approved, and once when the process is over.
        """
        phase = attachment.meta.get("phase")
        refetch = bool(record.get("etag")) or phase == OPEN or phase != record.get("phase")
        return Facts(refetch=refetch, record=record)

    @asynccontextmanager
    async def read(self, track: Track, attachment: Attachment, facts: Facts) -> AsyncIterator[Body]:
        """The bytes, by a fresh link; a link that is refused is asked for again, once."""
        etag = facts.record.get("etag")
        headers = {"If-None-Match": etag} if facts.refetch and isinstance(etag, str) and etag else {}
        async with AsyncExitStack() as stack:
            link = await self._link(track, attachment)
            try:
                body = await stack.enter_async_context(self._open(link, headers, facts.held))
            except RejectedError as error:
                if error.status not in _LINK_IS_OVER:
                    raise
                body = await self._opened_anew(stack, track, attachment, link, headers, facts.held)
            if headers and body.etag == etag:
                raise NotModifiedError("the same ETag, from a host that heeds no condition: nothing to read")
            kept: dict[str, JSON] = {"etag": _strong(body.etag), "phase": attachment.meta.get("phase")}
            body = dataclasses.replace(body, record=kept, whole=None)
            body.chunks = _telling(body, body.chunks)
            yield body

    async def _opened_anew(
        self,
        stack: AsyncExitStack,
        track: Track,
        attachment: Attachment,
        refused: str,
        headers: Mapping[str, str],
        held: Held | None,
    ) -> Body:
        """The second and last try: with another link than the one that was refused."""
        link = await self._link(track, attachment, refused)
        try:
            return await stack.enter_async_context(self._open(link, headers, held))
        except RejectedError as error:
            raise (GoneError(str(error)) if error.status in (404, 410) else error) from None

    @asynccontextmanager
    async def _open(self, link: str, headers: Mapping[str, str], held: Held | None) -> AsyncIterator[Body]:
        """GET a link, byte for byte as it is signed, and without the account's key."""
        name = self._http.account.name
        try:
            if not re.fullmatch(r"[\x21-\x7e]+", link):
                raise ValueError
            url = sound(URL(link, encoded=True))
        except ValueError:
            raise MalformedError(f"{name}: the link that it gave is no URL") from None
        async with AsyncExitStack() as stack:
            try:
                body = await stack.enter_async_context(self._http.stream(url, signed=False, headers=headers, held=held))
            except (RejectedError, UnavailableError) as error:
                raise _without_words(error, f"{name}: GET {url.host}/…") from None
            yield body

    async def _link(self, track: Track, attachment: Attachment, refused: str | None = None) -> str:
        """An attachment's link, asked for if there is no fresh one besides `refused`.

        Raises NotReadyError where it is not uploaded any more, or GoneError if that is for good. One who was taken out
        of the process has nothing that could be read; what was mirrored stays.
        """
        user, slot = records.subject(attachment.key)
        target, place = self._target(track), attachment.meta.get("place")
        whose = (track.name, target.kind, target.id, user)
        async with self._fresh.lock(whose):
            seen = self._fresh.get(whose)
            if seen is None or not self._fresh.is_good(seen) or (refused and seen.link(slot, place) == refused):
                try:
                    _, seen = await self._signer(track, user, seen.places if seen else None)
                except RejectedError as error:
                    raise NotReadyError(f"no such signer: {error}") if rest.is_unknown(error) else error from None
        link = seen.link(slot, place)
        if link is not None:
            return link
        if seen.finish or attachment.meta.get("phase") == FINISHED or await self._has_ended(target):
            raise GoneError(f"{self._http.account.name}: it is not uploaded any more, and the process is over")
        raise NotReadyError("it is not uploaded")

    def repeatable(self, track: Track) -> bool:
        """Downloads change nothing."""
        return True

    # --- looking up ---------------------------------------------------------------------------------------------

    async def probe(self, track: Track | None) -> str:
        """Sign in by a harmless call (specs/auco.md 1.4), or look up a track's process."""
        if track is None:
            await self._ask("/company", [], lambda _body: None)
            return "signed in"
        target = self._target(track)
        try:
            process = await self._process(target)
        except RejectedError as error:
            raise self._unknown(target, error.status) if rest.is_unknown(error) else error from None
        if trouble := _unheard(self._http.account.name, target, process):
            raise trouble
        state = "finished" if process.finish else "not finished"
        return f"{target.kind} {process.name or target.id!r}, {state}, signers: {', '.join(process.users) or 'none'}"


def _phase(signer: Signer, over: bool) -> str:
    """Statuses that no document names are taken for one in which a file may be uploaded anew."""
    return FINISHED if over else APPROVED if signer.status == "approved" else OPEN


def _unheard(account: str, target: Target, process: Process) -> AttachsyncError | None:
    """What the overview leaves open: signers that could not be read, or that the track names and it does not."""
    where = f"{account}: {target.kind} {target.id}"
    absent = [user for user in target.users if user not in process.users]
    if absent:
        there = ", ".join(process.users) or "nobody"
        return GoneError(f"{where} has no signer {', '.join(map(repr, absent))} (users); there is {there}")
    if process.unsound:
        return MalformedError(f"{where}: {process.unsound} of its signers could not be read; asked again next time")
    return None


def _unsound(account: str, target: Target, user: str, unsound: int) -> MalformedError | None:
    """What one signer's reply leaves open."""
    if not unsound:
        return None
    where = f"{account}: {target.kind} {target.id}"
    return MalformedError(f"{where}: {counted(unsound, 'file')} of signer {user} could not be read; asked again")


async def _telling(body: Body, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes; storage that was not told what it holds leaves it to them to show it (specs/auco.md 4)."""
    head = b""
    async for chunk in chunks:
        head += chunk[: media.HEAD - len(head)]
        yield chunk
    if media.says_nothing(body.media_type):
        body.media_type = media.shown(head) or body.media_type


def _strong(etag: str | None) -> str | None:
    """An ETag that stands for exactly these bytes; a weak one does not."""
    return etag if etag is not None and re.fullmatch(r'"[\x21\x23-\x7e]{1,256}"', etag) else None


def _without_words(error: RejectedError | UnavailableError, where: str) -> AttachsyncError:
    """The same error without what the links' host said, which may repeat the link."""
    if error.status is None:
        return error
    message = f"{where}: HTTP {error.status}"
    if isinstance(error, UnavailableError):
        return UnavailableError(message, retry_after=error.retry_after, status=error.status)
    return RejectedError(message, status=error.status)

"""Walking DataTrails lists, and how far an event feed has been read (specs/datatrails.md 1.4, 1.5)."""

from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime
from typing import TypeVar

from yarl import URL

from attachsync.answers import Reply
from attachsync.errors import MalformedError, TooLongError
from attachsync.http import Http, Query
from attachsync.loops import Loop, Repeats
from attachsync.model import JSON
from attachsync.retry import DAY
from attachsync.sources.datatrails.records import Listing, listing

T = TypeVar("T")

PAGE_SIZE = 100
"""The largest that official material uses throughout (specs/datatrails.md 1.5)."""
OVERLAP = 600.0
"""Seconds before the newest event that are listed again: an event may become visible late, while it is PENDING."""
QUIET_OVERLAP = 2.0
"""The same, once nothing can come late any more: `since` is strictly greater, and stamps are whole seconds."""
_WHOLE_REST, _PAGE_REST = 3600.0, DAY / 100
"""Seconds until a feed is listed from the beginning again: at least, and for each of its pages (a hundred a day). When
a policy is granted, old events come into sight, or more of what they carry (specs/datatrails.md 2)."""


async def walk(http: Http, url: URL, query: Query, kind: str, *, signed: bool) -> AsyncGenerator[Listing, None]:
    """The pages of a list, 206 included. Raises MalformedError at its end if a record was unsound, or if it loops.

    The whole query is sent with each token: right for servers whose tokens repeat it and for those whose do not. A page
    that is too long to be read is asked for again with half as many records, and so are those after it.
    """
    token, unsound, size = "", 0, PAGE_SIZE
    loop, repeats = Loop(), Repeats()
    while True:
        paged = [*query, ("page_size", str(size)), *([("page_token", token)] if token else [])]
        try:
            reply = await http.get(url.with_query(paged), signed=signed)
        except TooLongError:
            if size == 1:
                raise
            size //= 2
            continue
        page = parsed(reply, lambda body: listing(body, kind))
        yield page
        unsound += page.unsound
        token = page.next_token
        if not token:
            break
        if loop.closes(token):
            raise MalformedError(f"{reply.where}: the list does not end: page tokens repeat")
        if repeats.go_on(page.uuids):
            raise MalformedError(f"{reply.where}: the list does not end: its pages bring nothing new")
    if unsound:
        raise MalformedError(f"{reply.where}: {unsound} of the listed {kind} could not be read; asked again next time")


def parsed(reply: Reply, parse: Callable[[JSON], T]) -> T:
    """What an answer says; a MalformedError names the request and its status."""
    try:
        return parse(reply.json())
    except MalformedError as error:
        where = f"{reply.where}: HTTP {reply.status}, but "
        raise MalformedError(str(error) if str(error).startswith(reply.where) else f"{where}{error}") from None


def since(cursor: JSON, now: float) -> str | None:
    """The `timestamp_accepted_since` that a cursor asks for; None to list from the beginning."""
    known = cursor if isinstance(cursor, dict) else {}
    accepted, began, pages = (_number(known.get(name)) for name in ("accepted", "whole", "pages"))
    if accepted is None or not 0 <= now - (began or 0.0) < max((pages or 0.0) * _PAGE_REST, _WHOLE_REST):
        return None
    overlap = QUIET_OVERLAP if known.get("swept") is True else OVERLAP
    return datetime.fromtimestamp(max(int(accepted - overlap), 0), UTC).isoformat().replace("+00:00", "Z")


def watermark(cursor: JSON, latest: float | None, now: float, pages: int | None = None) -> JSON:
    """The cursor after a whole walk that saw an event accepted at `latest` (Unix time).

    Never later than `now`: a stamp from the future must not hide what is accepted until then. It is `swept` when a
    walk with the long overlap was made so long after the newest event was first seen that nothing can come late.
    `pages`: how many there were, if it was a walk from the beginning.
    """
    known = dict(cursor) if isinstance(cursor, dict) else {}
    if pages is not None:
        known |= {"whole": now, "pages": pages}
    accepted, reached = _number(known.get("accepted")), _number(known.get("reached")) or now
    newest = None if latest is None else min(latest, now)
    if newest is not None and (accepted is None or newest > accepted):
        return known | {"accepted": newest, "reached": now, "swept": False}
    return known | {"reached": reached, "swept": known.get("swept") is True or now - reached > OVERLAP}


def _number(value: JSON) -> float | None:
    return float(value) if isinstance(value, int | float) else None

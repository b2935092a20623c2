"""One attachment's bytes, from its source into the store: anew, or the rest of them, when they break off."""

import dataclasses
import re
from collections.abc import AsyncIterator, Mapping

from attachsync import retry
from attachsync.errors import MalformedError, MismatchError, RefusedError, UnavailableError, UnsupportedError
from attachsync.grace import unbroken
from attachsync.incoming import Bytes, Expected
from attachsync.index import Entry
from attachsync.keeping import Keeping
from attachsync.model import JSON, Attachment, Body, Facts, Source, Track
from attachsync.observer import Reading
from attachsync.pins import Pin
from attachsync.units import human_size

_DOWNLOADS = 3
"""So often a body that breaks off is begun anew within one try."""
_PAGE = re.compile(rb"\s*(<\?xml.*?>\s*|<!--.*?-->\s*)*<(!doctype\s+html|html)", re.IGNORECASE | re.DOTALL)
_RESERVE = 8 * 1024 * 1024
"""What can be had only once, and is of no known size, is not asked for where there is not so much room (bytes)."""
_GRACE = 4.0
"""When stopped, what can be had only once gets so many seconds to come."""


class Downloader:
    """Reads the attachments of one account."""

    def __init__(self, source: Source, tracks: Mapping[str, Track], keeping: Keeping) -> None:
        self._source = source
        self._tracks = tracks
        self._keep = keeping

    async def landed(self, found: Bytes) -> Bytes:
        """The same bytes, in the store. Raises StorageError."""
        if found.incoming is None:
            return found
        await self._keep.store.land(found.incoming)
        return dataclasses.replace(found, incoming=None)

    async def download(self, entry: Entry, facts: Facts, expected: Expected, pin: Pin) -> Bytes:
        """Fetch; anew if it breaks off, and once more if what came is not what was stated (specs/datatrails.md 8).

        What comes is pinned, and to be `landed`.
        """
        differed = False
        repeatable = self._source.repeatable(self._tracks[entry.attachment.track])
        tries = _DOWNLOADS if repeatable else 1
        async with self._keep.gate:
            for attempt in range(1, tries + 1):
                try:
                    if not repeatable:
                        return await unbroken(self._download_for_good(entry, facts, expected, pin), lambda: _GRACE)
                    return await self._download_once(entry, facts, expected, pin)
                except MismatchError:
                    if differed or attempt == tries:
                        raise
                    differed = True
                except UnavailableError as error:
                    if not error.begun or isinstance(error.__cause__, TimeoutError) or attempt == tries:
                        raise
                    await self._keep.clock.sleep(retry.delay(attempt, base=0.2))
        raise AssertionError("the last attempt returns or raises")

    async def _download_for_good(self, entry: Entry, facts: Facts, expected: Expected, pin: Pin) -> Bytes:
        """What can be had only once is stored and noted: whatever fails from here on, the next try finds it.

        So is why it was not to be kept, though it came: it will not come again.
        """
        try:
            found = await self.landed(await self._download_once(entry, facts, expected, pin))
        except UnsupportedError as error:
            self._note(entry, facts, {"spent": str(error)})
            raise
        came: dict[str, JSON] = {"sha256": found.digest, "size": found.size, "media_type": found.media_type}
        self._note(entry, facts, came)
        return dataclasses.replace(found, record={**found.record, **came})

    def _note(self, entry: Entry, facts: Facts, came: Mapping[str, JSON]) -> None:
        """Keep what became of the one time that something could be had."""
        noted = dataclasses.replace(facts, record={**facts.record, **came})
        with self._keep.index.database.transaction(durable=True):
            self._keep.index.attachments.inspected(entry, noted, facts.check_at(self._keep.clock.now()))

    async def _download_once(self, entry: Entry, facts: Facts, expected: Expected, pin: Pin) -> Bytes:
        """One reading; of what broke off before, the rest where the service gives it."""
        attachment, store = entry.attachment, self._keep.store
        track = self._tracks[attachment.track]
        with store.partials.taken(kept_as(entry)) as part:
            if part and part.is_there():
                while await store.run(part.recover):
                    pass
                facts = dataclasses.replace(facts, held=part.held)
            is_here = facts.held.size if facts.held else 0
            only_once = not self._source.repeatable(track)
            size = _RESERVE if only_once and expected.size is None else max((expected.size or 0) - is_here, 0)
            with store.room(size, only_once=only_once) as room:
                async with self._source.read(track, attachment, facts) as body:
                    if body.size is not None and body.size > self._keep.max_size:
                        if only_once:  # it is asked for again only when max_size allows so much
                            self._note(entry, facts, {"stated": body.size})
                        raise RefusedError(f"{human_size(body.size)} is larger than max_size", code="too_large")
                    if body.size is not None and expected.size is None:
                        store.widen(room, body.size - body.start)
                    into = part if part and part.begins(body) else None
                    chunks = self._chunks(entry, facts, expected, body)
                    incoming = await store.receive(chunks, expected, self._keep.max_size, pin, room, into)
                    media_type = facts.media_type or attachment.media_type or body.media_type
        return Bytes(incoming.digest, incoming.size, media_type, True, body.record, None if into else incoming)

    def _chunks(self, entry: Entry, facts: Facts, expected: Expected, body: Body) -> AsyncIterator[bytes] | bytes:
        """What a body brings, or all of it where it is here; counted, and no web page that nobody expects."""
        attachment, observer = entry.attachment, self._keep.observer
        reading = Reading(entry.account, attachment.track, attachment.key, attachment.path[-1], body.size, body.start)
        is_vouched_for = expected.digests or expected.size is not None or _shows_html(attachment, facts)
        if body.whole is None or not is_vouched_for:
            chunks = self._counted(body.chunks, reading)
            return chunks if is_vouched_for else _no_page(chunks, body)
        observer.received(reading, len(body.whole))
        observer.ended(reading)
        return body.whole

    async def _counted(self, chunks: AsyncIterator[bytes], reading: Reading) -> AsyncIterator[bytes]:
        try:
            async for chunk in chunks:
                self._keep.observer.received(reading, len(chunk))
                yield chunk
        finally:
            self._keep.observer.ended(reading)


async def _no_page(chunks: AsyncIterator[bytes], body: Body) -> AsyncIterator[bytes]:
    """The same chunks. Raises MalformedError for a web page: an error that was sent as if it were the attachment."""
    first = not body.start and (body.media_type or "").lower().startswith(("text/html", "application/xhtml"))
    async for chunk in chunks:
        if first and _PAGE.match(chunk):
            raise MalformedError("HTTP 200, but a web page in place of the attachment")
        first = False
        yield chunk


def _shows_html(attachment: Attachment, facts: Facts) -> bool:
    """Whether a web page is what is to be expected."""
    stated = facts.media_type or attachment.media_type or ""
    return "html" in stated.lower() or attachment.path[-1].lower().endswith((".html", ".htm", ".xhtml"))


def kept_as(entry: Entry) -> tuple[str, str, str]:
    """By what a body that broke off is known, while it is kept."""
    return entry.account, entry.attachment.key, entry.attachment.version

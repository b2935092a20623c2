"""One attachment, from listed to visible (architecture 4): record, bytes, name, row, in this order.

Every step before the row is safe to repeat, so a crash or a cancellation anywhere loses nothing but time.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from attachsync import retry
from attachsync.clock import Clock
from attachsync.errors import (
    AttachsyncError,
    GoneError,
    MalformedError,
    MismatchError,
    NotReadyError,
    RefusedError,
    RejectedError,
    UnavailableError,
)
from attachsync.index import Entry, Index
from attachsync.manifest import Manifest
from attachsync.model import Attachment, Digest, Facts, Source, Standing, State, Track
from attachsync.observer import Observer, Outcome
from attachsync.store import Expected, Store
from attachsync.units import human_size
from attachsync.views import Views

_FORBIDDEN_WAIT = 6 * 3600.0
_ITEM_ERRORS = (
    GoneError,
    MalformedError,
    MismatchError,
    NotReadyError,
    RefusedError,
    RejectedError,
    UnavailableError,
)
"""Errors that end with the attachment they happened to."""


@dataclass(frozen=True, slots=True)
class Keeping:
    """Where attachments are kept, and by which rules. `gate` bounds downloads in flight, all accounts together."""

    index: Index
    store: Store
    views: Views
    clock: Clock
    observer: Observer
    manifest: Manifest
    gate: asyncio.Semaphore
    max_size: int


@dataclass(frozen=True, slots=True)
class _Bytes:
    """Bytes that are in the store: what they are, and whether they were fetched for this."""

    digest: Digest
    size: int
    media_type: str | None
    fetched: bool


class Fetcher:
    """Takes one account's attachments from listed to visible."""

    def __init__(self, source: Source, tracks: Mapping[str, Track], keeping: Keeping) -> None:
        self._source = source
        self._tracks = tracks
        self._keep = keeping
        self._busy: dict[str, asyncio.Lock] = {}
        self.changed = False
        """Whether files/ is not what it was."""

    async def fetch(self, entry: Entry) -> UnavailableError | None:
        """Mirror a row without a digest, and settle what became of it; the error if the service could not be reached.

        Raises AccountError and StorageError, which reach further than one attachment.
        """
        try:
            await self._fetch(entry, self._tracks[entry.attachment.track])
        except _ITEM_ERRORS as error:
            self._settle(entry, error)
            return error if isinstance(error, UnavailableError) and error.status is None else None
        return None

    async def _fetch(self, entry: Entry, track: Track) -> None:
        attachment = entry.attachment
        facts = await self._source.inspect(track, attachment)
        self._keep.index.attachments.inspected(entry, facts, self._check_at(facts))
        if facts.standing is Standing.NOT_YET:
            raise NotReadyError(facts.reason, after=retry.DAY)
        if facts.standing is Standing.BAD:
            raise RefusedError(facts.reason, code="scan")
        expected = _expected(attachment, facts)
        if expected.size is not None and expected.size > self._keep.max_size:
            limit = human_size(self._keep.max_size)
            raise RefusedError(f"{human_size(expected.size)} is larger than max_size ({limit})", code="too_large")
        async with self._alone(facts.sha256 or attachment.content):
            found = self._stored_already(entry, facts, expected) or await self._download(track, entry, facts, expected)
        await self._show(entry, found)

    def _check_at(self, facts: Facts) -> float | None:
        return None if facts.final else self._keep.clock.now() + retry.DAY

    # --- bytes --------------------------------------------------------------------------------------------------

    def _stored_already(self, entry: Entry, facts: Facts, expected: Expected) -> _Bytes | None:
        """Bytes of the store that the service's own record states, or that this account fetched as the same blob.

        A hash that only the listing states proves nothing: clients write it (contract 3).
        """
        store, attachment = self._keep.store, entry.attachment
        candidates = [(Digest(facts.sha256), facts.size)] if facts.sha256 and facts.size is not None else []
        if attachment.content:
            twin = self._keep.index.attachments.twin(entry.account, attachment.content)
            candidates += [(twin[0], twin[1])] if twin else []
        for digest, size in candidates:
            if store.has(digest, size) and expected.fault(digest, size) is None:
                return _Bytes(digest, size, facts.media_type or attachment.media_type, fetched=False)
        return None

    async def _download(self, track: Track, entry: Entry, facts: Facts, expected: Expected) -> _Bytes:
        """Fetch, once more if what came is not what was stated (specs/datatrails.md 8)."""
        async with self._keep.gate:
            try:
                return await self._download_once(track, entry.attachment, facts, expected)
            except MismatchError:
                return await self._download_once(track, entry.attachment, facts, expected)

    async def _download_once(self, track: Track, attachment: Attachment, facts: Facts, expected: Expected) -> _Bytes:
        async with self._source.read(track, attachment, facts) as body:
            if body.size is not None and body.size > self._keep.max_size:
                raise RefusedError(f"{human_size(body.size)} is larger than max_size", code="too_large")
            digest, size = await self._keep.store.add(self._counted(body.chunks), expected, self._keep.max_size)
            media_type = facts.media_type or attachment.media_type or body.media_type
        return _Bytes(digest, size, media_type, fetched=True)

    async def _counted(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for chunk in chunks:
            self._keep.observer.received(len(chunk))
            yield chunk

    @asynccontextmanager
    async def _alone(self, content: str | None) -> AsyncIterator[None]:
        """One at a time for the same content: the second finds it in the store."""
        if content is None:
            yield
            return
        lock = self._busy.setdefault(content, asyncio.Lock())
        try:
            async with lock:
                yield
        finally:
            if not lock.locked():
                self._busy.pop(content, None)

    # --- names and rows -----------------------------------------------------------------------------------------

    async def _show(self, entry: Entry, found: _Bytes) -> None:
        index, views, store = self._keep.index.attachments, self._keep.views, self._keep.store
        path = index.claim(entry.account, entry.attachment, found.media_type)
        self.changed = True
        await store.run(views.show, path, found.digest)
        if entry.path and entry.path != path and entry.shown and not index.shows(entry.path, entry.shown, entry.id)[0]:
            await store.run(views.hide, entry.path)
        now = self._keep.clock.now()
        if index.stored(entry, found.digest, found.size, found.media_type, path, now):
            self._tell(entry, State.STORED, "", path, found)

    def _settle(self, entry: Entry, error: AttachsyncError) -> None:
        state, wait, failed = _reaction(error, entry)
        self._keep.index.attachments.settled(entry, state, str(error), self._keep.clock.now() + wait, failed=failed)
        self._tell(entry, state, str(error))

    def _tell(
        self, entry: Entry, state: State, reason: str, path: str | None = None, found: _Bytes | None = None
    ) -> None:
        self._keep.observer.settled(
            Outcome(
                account=entry.account,
                track=entry.attachment.track,
                key=entry.attachment.key,
                state=state,
                reason=reason,
                path=path,
                digest=found.digest if found else None,
                size=found.size if found else None,
                media_type=found.media_type if found else None,
                changed=entry.shown is not None,
                fetched=found.fetched if found else False,
            )
        )

    # --- stored rows, asked about again -------------------------------------------------------------------------

    async def recheck(self, entry: Entry) -> None:
        """Ask the service's record of a stored attachment again; what turned bad leaves `files/`."""
        index, now = self._keep.index.attachments, self._keep.clock.now()
        try:
            facts = await self._source.inspect(self._tracks[entry.attachment.track], entry.attachment)
        except _ITEM_ERRORS:
            index.check_again(entry, now + retry.delay(1, base=3600.0))
            return
        if facts.standing is Standing.GOOD:
            index.inspected(entry, facts, self._check_at(facts))
            return
        await self._take_away(entry, quarantine=facts.standing is Standing.BAD)
        state = State.QUARANTINED if facts.standing is Standing.BAD else State.WAITING
        index.inspected(entry, facts, None)
        index.hidden(entry, state, facts.reason, now + retry.DAY)
        self._tell(entry, state, facts.reason)

    async def _take_away(self, entry: Entry, *, quarantine: bool) -> None:
        """Take an entry out of `files/`; its bytes to quarantine, unless others in good standing show them."""
        if entry.path is None or entry.shown is None:
            return
        self.changed = True
        path_is_shared, bytes_are_shared = self._keep.index.attachments.shows(entry.path, entry.shown, entry.id)
        if not path_is_shared:
            await self._keep.store.run(self._keep.views.hide, entry.path)
        if quarantine and not bytes_are_shared:
            await self._keep.store.run(self._keep.store.quarantine, entry.shown)


def _expected(attachment: Attachment, facts: Facts) -> Expected:
    digests = frozenset(digest for digest in (attachment.sha256, facts.sha256) if digest)
    return Expected(digests, facts.size if facts.size is not None else attachment.size)


def _reaction(error: AttachsyncError, entry: Entry) -> tuple[State, float, bool]:
    """(state, seconds until the next attempt, whether it counts as a failure) for an error of one attachment."""
    backing_off = retry.delay(entry.failures + 1, base=30.0)
    state, wait = State.FAILED, backing_off
    match error:
        case NotReadyError():
            state, wait = State.WAITING, error.after or backing_off
        case MismatchError():
            state, wait = State.MISMATCH, retry.DAY
        case RefusedError():
            still_bad = error.code == "scan" and entry.state is State.QUARANTINED
            state, wait = State.QUARANTINED if still_bad else State.REFUSED, retry.DAY
        case GoneError():
            state, wait = State.GONE, retry.DAY
        case RejectedError(status=403):
            wait = _FORBIDDEN_WAIT
        case UnavailableError():
            wait = max(error.retry_after or 0.0, backing_off)
    return state, wait, state is not State.WAITING

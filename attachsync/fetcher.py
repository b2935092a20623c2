"""One attachment, from listed to visible (architecture 4): record, bytes, name, row, in this order.

Every step before the row is safe to repeat, so a crash or a cancellation anywhere loses nothing but time. The other way
round, what must leave `files/` is marked in its row first, and taken away after.
"""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from attachsync import retry
from attachsync.clock import Clock
from attachsync.errors import (
    AttachsyncError,
    EndedError,
    GoneError,
    MalformedError,
    MismatchError,
    NoRoomError,
    NotModifiedError,
    NotReadyError,
    RefusedError,
    RejectedError,
    UnavailableError,
    UnsupportedError,
)
from attachsync.grace import unbroken
from attachsync.index import Entry, Index
from attachsync.manifest import Manifest
from attachsync.model import JSON, Attachment, Digest, Facts, Source, Standing, State, Track
from attachsync.observer import Observer, Outcome
from attachsync.store import Expected, Store
from attachsync.units import human_size
from attachsync.views import Views

_FORBIDDEN_WAIT = 6 * 3600.0
_NO_ROOM_WAIT = 600.0
_DOWNLOADS = 3
"""So often a body that breaks off is begun anew within one try."""
_GRACE = 4.0
"""When stopped, what can be had only once gets so many seconds to come."""
_MOST_PARKED = 1000
_ITEM_ERRORS = (
    GoneError,
    MalformedError,
    MismatchError,
    NoRoomError,
    NotModifiedError,
    NotReadyError,
    RefusedError,
    RejectedError,
    UnavailableError,
    UnsupportedError,
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
    record: Mapping[str, JSON] = field(default_factory=dict)
    """What the source wants kept of the reading."""


class Fetcher:
    """Takes one account's attachments from listed to visible."""

    def __init__(self, source: Source, tracks: Mapping[str, Track], keeping: Keeping) -> None:
        self._source = source
        self._tracks = tracks
        self._keep = keeping
        self._parked: dict[str, list[tuple[Entry, Facts]]] = {}
        self._leaving = asyncio.Lock()
        self.unread: dict[str, str] = {}
        """Track -> why content that is shown, and may have changed, could not be read again in this pass."""

    async def fetch(self, entry: Entry) -> UnavailableError | None:
        """Mirror a row without a digest, and settle what became of it; the error if the service was not available.

        Of rows with the same content one is fetched, and the others wait for it without keeping anybody busy. Raises
        AccountError and StorageError, which reach further than one attachment.
        """
        try:
            entry = await self._finish_withdrawal(entry)
            entry, facts = await self._inspected(entry)
        except _ITEM_ERRORS as error:
            return self._settle(entry, error)
        content = facts.sha256 or entry.attachment.content or str(entry.id)
        waiting = self._parked.get(content)
        if waiting is not None and len(waiting) < _MOST_PARKED:
            waiting.append((entry, facts))
            return None
        return await self._fetch_for_all(entry, facts, content)

    async def _fetch_for_all(self, entry: Entry, facts: Facts, content: str) -> UnavailableError | None:
        waiting = self._parked.setdefault(content, [])
        try:
            unavailable = await self._mirrored(entry, facts)
            while waiting:
                await self._mirrored(*waiting.pop())
        finally:
            self._parked.pop(content, None)
        return unavailable

    async def _inspected(self, entry: Entry) -> tuple[Entry, Facts]:
        """What the service's record says, kept, and what still holds of the row; raises what it forbids."""
        attachment = entry.attachment
        facts = await self._source.inspect(self._tracks[attachment.track], attachment, entry.record)
        self._keep.index.attachments.inspected(entry, facts, self._check_at(facts))
        if facts.standing is Standing.NOT_YET:
            raise NotReadyError(facts.reason, after=retry.DAY)
        if facts.standing is Standing.BAD:
            raise RefusedError(facts.reason, code="scan")
        entry = _as_stated(entry, facts)
        size = _expected(entry.attachment, facts).size
        if size is not None and size > self._keep.max_size:
            limit = human_size(self._keep.max_size)
            raise RefusedError(f"{human_size(size)} is larger than max_size ({limit})", code="too_large")
        return entry, dataclasses.replace(facts, refetch=False)  # nothing is there that could be unchanged

    async def _mirrored(self, entry: Entry, facts: Facts) -> UnavailableError | None:
        expected = _expected(entry.attachment, facts)
        try:
            found = self._stored_already(entry, facts, expected) or await self._download(entry, facts, expected)
            await self._show(entry, found)
        except _ITEM_ERRORS as error:
            return self._settle(entry, error)
        if found.record:
            self._keep.index.attachments.read(entry, {**facts.record, **found.record})
        return None

    def _check_at(self, facts: Facts) -> float | None:
        return None if facts.again is None else self._keep.clock.now() + facts.again

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

    async def _download(self, entry: Entry, facts: Facts, expected: Expected) -> _Bytes:
        """Fetch; anew if it breaks off, and once more if what came is not what was stated (specs/datatrails.md 8)."""
        differed = False
        repeatable = self._source.repeatable(self._tracks[entry.attachment.track])
        tries = _DOWNLOADS if repeatable else 1
        async with self._keep.gate:
            self._keep.store.check_room(expected.size or 0)
            for attempt in range(1, tries + 1):
                try:
                    if not repeatable:
                        return await unbroken(self._download_for_good(entry, facts, expected), _GRACE)
                    return await self._download_once(entry.attachment, facts, expected)
                except MismatchError:
                    if differed or attempt == tries:
                        raise
                    differed = True
                except UnavailableError as error:
                    if not error.begun or isinstance(error.__cause__, TimeoutError) or attempt == tries:
                        raise
                    await self._keep.clock.sleep(retry.delay(attempt, base=0.2))
        raise AssertionError("the last attempt returns or raises")

    async def _download_for_good(self, entry: Entry, facts: Facts, expected: Expected) -> _Bytes:
        """What can be had only once is stored and noted: whatever fails from here on, the next try finds it."""
        found = await self._download_once(entry.attachment, facts, expected)
        came: dict[str, JSON] = {"sha256": found.digest, "size": found.size, "media_type": found.media_type}
        noted = dataclasses.replace(facts, record={**facts.record, **came})
        with self._keep.index.database.transaction(durable=True):
            self._keep.index.attachments.inspected(entry, noted, self._check_at(facts))
        return found

    async def _download_once(self, attachment: Attachment, facts: Facts, expected: Expected) -> _Bytes:
        async with self._source.read(self._tracks[attachment.track], attachment, facts) as body:
            if body.size is not None and body.size > self._keep.max_size:
                raise RefusedError(f"{human_size(body.size)} is larger than max_size", code="too_large")
            digest, size = await self._keep.store.add(self._counted(body.chunks), expected, self._keep.max_size)
            media_type = facts.media_type or attachment.media_type or body.media_type
        return _Bytes(digest, size, media_type, fetched=True, record=body.record)

    async def _counted(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for chunk in chunks:
            self._keep.observer.received(len(chunk))
            yield chunk

    # --- names and rows -----------------------------------------------------------------------------------------

    async def _show(self, entry: Entry, found: _Bytes) -> None:
        index, views, store = self._keep.index.attachments, self._keep.views, self._keep.store
        path = index.claim(entry.account, entry.attachment, found.media_type)
        self._keep.manifest.outdated()
        await store.run(views.show, path, found.digest)
        if entry.path and entry.path != path and entry.shown and not index.shows(entry.path, entry.shown, entry.id)[0]:
            await store.run(views.hide, entry.path)
        if index.stored(entry, found.digest, found.size, found.media_type, path, self._keep.clock.now()):
            self._tell(entry, State.STORED, "", path, found)
        elif path != entry.path:
            await store.run(views.hide, path)  # its version changed meanwhile, and its name

    def _settle(self, entry: Entry, error: AttachsyncError) -> UnavailableError | None:
        state, wait, failed = _reaction(error, entry)
        due, over = self._keep.clock.now() + wait, isinstance(error, EndedError)
        self._keep.index.attachments.settled(entry, state, str(error), due, failed=failed, over=over)
        self._tell(entry, state, str(error))
        return error if isinstance(error, UnavailableError) else None

    def _tell(
        self, entry: Entry, state: State, reason: str, path: str | None = None, found: _Bytes | None = None
    ) -> None:
        outcome = Outcome(
            account=entry.account,
            track=entry.attachment.track,
            key=entry.attachment.key,
            state=state,
            reason=reason,
            path=path,
            changed=entry.shown is not None,
        )
        if found is not None:
            outcome = dataclasses.replace(
                outcome, digest=found.digest, size=found.size, media_type=found.media_type, fetched=found.fetched
            )
        self._keep.observer.settled(outcome)

    # --- stored rows, asked about again -------------------------------------------------------------------------

    async def recheck(self, entry: Entry) -> None:
        """Ask the service's record of a stored attachment again; what turned bad leaves `files/`."""
        index, now = self._keep.index.attachments, self._keep.clock.now()
        track = self._tracks[entry.attachment.track]
        try:
            facts = await self._source.inspect(track, entry.attachment, entry.record)
        except _ITEM_ERRORS:
            index.check_again(entry, now + retry.delay(1, base=3600.0))
            return
        if facts.standing is Standing.GOOD:
            again = await self._read_again(entry, facts) if facts.refetch else facts
            index.inspected(entry, again, self._check_at(again))
            return
        state = State.QUARANTINED if facts.standing is Standing.BAD else State.WAITING
        index.inspected(entry, facts, None)
        index.withdraw(entry, state, facts.reason, now + retry.DAY)
        await self._finish_withdrawal(dataclasses.replace(entry, withdrawn=True, state=state))
        self._tell(entry, state, facts.reason)

    async def _read_again(self, entry: Entry, facts: Facts) -> Facts:
        """Read content that may have changed; show it if it has. What is shown stays if it cannot be read.

        Returns the facts with what is to be kept of the reading, and when to try again if it failed.
        """
        try:
            entry = _as_stated(entry, facts)
            found = await self._download(entry, facts, _expected(entry.attachment, facts))
            if found.digest != entry.shown:
                await self._show(entry, found)
        except NotModifiedError:
            return facts
        except _ITEM_ERRORS as error:
            if not isinstance(error, NotReadyError):
                self._tell(entry, State.FAILED, str(error))
                self.unread[entry.attachment.track] = f"could not be read again: {error}"
            return dataclasses.replace(facts, again=retry.delay(1, base=3600.0))
        return dataclasses.replace(facts, record={**facts.record, **found.record})

    async def _finish_withdrawal(self, entry: Entry) -> Entry:
        """Take a marked row's entry out of `files/`, unless others in good standing show it; bad bytes to quarantine.

        One at a time: the last of those who show the same bytes takes them away.
        """
        if not entry.withdrawn:
            return entry
        index, store, views = self._keep.index.attachments, self._keep.store, self._keep.views
        if entry.path and entry.shown:
            self._keep.manifest.outdated()
            async with self._leaving:
                path_is_shared, bytes_are_shared = index.shows(entry.path, entry.shown, entry.id)
                if not path_is_shared:
                    await store.run(views.hide, entry.path)
                if entry.state is State.QUARANTINED and not bytes_are_shared:
                    await store.run(store.quarantine, entry.shown)
        index.hidden(entry)
        return dataclasses.replace(entry, path=None, shown=None, withdrawn=False)


def _as_stated(entry: Entry, facts: Facts) -> Entry:
    """A row without the size, type and hash of content that may have changed since."""
    if not facts.refetch:
        return entry
    attachment = dataclasses.replace(entry.attachment, size=None, sha256=None, media_type=None)
    return dataclasses.replace(entry, attachment=attachment)


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
        case UnsupportedError():
            state, wait = State.UNSUPPORTED, retry.DAY
        case NoRoomError():
            wait = _NO_ROOM_WAIT
        case RejectedError(status=403):
            wait = _FORBIDDEN_WAIT
        case UnavailableError():
            wait = max(error.retry_after or 0.0, backing_off)
    return state, max(wait, 1.0), state is not State.WAITING

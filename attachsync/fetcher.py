"""One attachment, from listed to visible (architecture 4): record, bytes, name, row, in this order.

Every step before the row is safe to repeat, so a crash or a cancellation anywhere loses nothing but time. The other way
round, what must leave `files/` is marked in its row first, and taken away after.
"""

import asyncio
import dataclasses
from collections.abc import Mapping

from attachsync import retry
from attachsync.canonical import compact
from attachsync.downloading import Downloader, kept_as
from attachsync.errors import (
    ITEM_ERRORS,
    AttachsyncError,
    EndedError,
    GoneError,
    MismatchError,
    NoRoomError,
    NotModifiedError,
    NotReadyError,
    RefusedError,
    RejectedError,
    UnavailableError,
    UnsupportedError,
)
from attachsync.incoming import Bytes, Expected
from attachsync.index import Entry
from attachsync.keeping import Keeping
from attachsync.lane import Lane
from attachsync.model import Attachment, Digest, Facts, Source, Standing, State, Track
from attachsync.observer import Outcome
from attachsync.pins import Pin
from attachsync.unforeseen import malformed
from attachsync.units import human_size

_HOUR = 3600.0
_FORBIDDEN_WAIT = 6 * _HOUR
_NO_ROOM_WAIT = 600.0
_MOST_PARKED = 1000


class Fetcher:
    """Takes one account's attachments from listed to visible."""

    def __init__(self, source: Source, tracks: Mapping[str, Track], keeping: Keeping) -> None:
        self._source = source
        self._tracks = tracks
        self._keep = keeping
        self._downloader = Downloader(source, tracks, keeping)
        self._parked: dict[str, list[tuple[Entry, Facts]]] = {}
        self.parked: set[int] = set()
        """Rows that wait for another with the same content: being worked on, though they keep nobody busy."""
        self._leaving = asyncio.Lock()
        self.unread: dict[str, str] = {}
        """Track -> why content that is shown, and may have changed, could not be read again in this pass."""

    def is_fetching(self, content: str) -> bool:
        """Whether this content (a digest) is being fetched for some row."""
        return content in self._parked

    async def fetch(self, entry: Entry, lane: Lane) -> UnavailableError | None:
        """Mirror a row without a digest, and settle what became of it; the error if the service was not available.

        Of rows with the same content one is fetched, and the others wait for it without keeping anybody busy. The lane
        is left as soon as the service is not needed any more. Raises AccountError and StorageError, which reach further
        than one attachment.
        """
        try:
            entry = await self._finish_withdrawal(entry)
            entry, facts = await self._inspected(entry)
        except ITEM_ERRORS as error:
            return self._settle(entry, error)
        content = facts.sha256 or entry.attachment.content or str(entry.id)
        waiting = self._parked.get(content)
        if waiting is not None and len(waiting) < _MOST_PARKED:
            waiting.append((entry, facts))
            self.parked.add(entry.id)
            return None
        return await self._fetch_for_all(entry, facts, content, lane)

    async def _fetch_for_all(self, entry: Entry, facts: Facts, content: str, lane: Lane) -> UnavailableError | None:
        waiting = self._parked.setdefault(content, [])
        try:
            unavailable = await self._mirrored(entry, facts, lane)
            while waiting:
                other, its_facts = waiting.pop()
                if unavailable:  # it would be again, and each could take its time over it
                    self._settle(other, unavailable)
                else:
                    await self._mirrored(other, its_facts, lane)
                self.parked.discard(other.id)
        finally:
            self._parked.pop(content, None)
        return unavailable

    async def _inspected(self, entry: Entry) -> tuple[Entry, Facts]:
        """What the service's record says, and the row with it; raises what it forbids. Kept when the row ends."""
        facts = await self._asked(entry)
        try:
            self._check_allowed(entry, facts)
        except (NotReadyError, RefusedError):
            self._keep.index.attachments.inspected(entry, facts, facts.check_at(self._keep.clock.now()))
            raise
        check_at = facts.check_at(self._keep.clock.now())
        entry = _as_stated(entry, facts)._replace(record=facts.record, check_at=check_at)
        if facts.refetch:
            facts = dataclasses.replace(facts, refetch=False)  # nothing is there that could be unchanged
        return entry, facts

    async def _asked(self, entry: Entry) -> Facts:
        """What the service's record says, which can be kept. Raises MalformedError."""
        attachment = entry.attachment
        with malformed():
            facts = await self._source.inspect(self._tracks[attachment.track], attachment, entry.record)
            compact(facts.record)
        return facts

    def _check_allowed(self, entry: Entry, facts: Facts) -> None:
        if facts.standing is Standing.NOT_YET:
            raise NotReadyError(facts.reason, after=retry.DAY)
        if facts.standing is Standing.BAD:
            raise RefusedError(facts.reason, code="scan")
        size = _expected(_as_stated(entry, facts).attachment, facts).size
        if size is not None and size > self._keep.max_size:
            limit = human_size(self._keep.max_size)
            raise RefusedError(f"{human_size(size)} is larger than max_size ({limit})", code="too_large")

    async def _mirrored(self, entry: Entry, facts: Facts, lane: Lane) -> UnavailableError | None:
        expected = _expected(entry.attachment, facts)
        try:
            with malformed(), self._keep.store.pins.pinning() as pin:
                found = self._stored_already(entry, facts, expected, pin)
                found = found or await self._shown_before(entry, facts, expected, pin)
                found = found or await self._downloaded(entry, facts, expected, lane, pin)
                lane.leave()
                await self._show(entry, found)
        except ITEM_ERRORS as error:
            if self._source.repeatable(self._tracks[entry.attachment.track]):
                self._keep.index.attachments.inspected(entry, facts, entry.check_at)
            return self._settle(entry, error)
        return None

    async def _downloaded(self, entry: Entry, facts: Facts, expected: Expected, lane: Lane, pin: Pin) -> Bytes:
        """The bytes, fetched in a lane, which is ours again where we had left it."""
        await lane.enter()
        return await self._downloader.download(entry, facts, expected, pin)

    # --- bytes --------------------------------------------------------------------------------------------------

    def _stored_already(self, entry: Entry, facts: Facts, expected: Expected, pin: Pin) -> Bytes | None:
        """Bytes of the store that the service's own record states, or that this account fetched as the same blob.

        A hash that only the listing states proves nothing: clients write it (contract 3).
        """
        store, attachment = self._keep.store, entry.attachment
        stated = facts.media_type or attachment.media_type
        candidate: tuple[Digest, int, str | None] | None = None
        if facts.sha256 and facts.size is not None:
            candidate = Digest(facts.sha256), facts.size, stated
        elif attachment.content:
            candidate = self._keep.index.attachments.twin(entry.account, attachment.content)
        if candidate is None:
            return None
        digest, size, media_type = candidate
        if not store.has(digest, size) or expected.fault(digest, size) is not None:
            return None
        pin.add(digest)
        store.partials.drop(kept_as(entry))
        return Bytes(digest, size, stated or media_type, fetched=False)

    async def _shown_before(self, entry: Entry, facts: Facts, expected: Expected, pin: Pin) -> Bytes | None:
        """Bytes that this attachment showed before the index was lost, where the service has no record that tells."""
        if self._keep.salvage is None or facts.sha256:
            return None
        found = await self._keep.salvage.find(entry, expected)
        if found is None or not self._keep.store.has(found[0]):
            return None
        pin.add(found[0])
        return Bytes(found[0], found[1], found[2], fetched=False)

    # --- names and rows -----------------------------------------------------------------------------------------

    async def _show(self, entry: Entry, found: Bytes) -> None:
        entry = entry._replace(record={**entry.record, **found.record}) if found.record else entry
        path = await self._keep.showing.show(entry, found)
        if path is not None:
            self.stored(entry, path, found)

    def stored(self, entry: Entry, path: str, found: Bytes) -> None:
        """Tell that a row shows its bytes."""
        self._tell(entry, State.STORED, "", path, found)

    def _settle(self, entry: Entry, error: AttachsyncError) -> UnavailableError | None:
        state, wait, failed = _reaction(error, entry)
        if state is State.GONE:
            self._keep.store.partials.drop(kept_as(entry))
        due, over = self._keep.clock.now() + wait, isinstance(error, EndedError)
        rule = error.code if isinstance(error, RefusedError) else ""
        self._keep.index.attachments.settled(entry, state, str(error), due, failed=failed, over=over, rule=rule)
        self._tell(entry, state, str(error))
        return error if isinstance(error, UnavailableError) else None

    def _tell(
        self, entry: Entry, state: State, reason: str, path: str | None = None, found: Bytes | None = None
    ) -> None:
        outcome = Outcome(
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
            fetched=found is not None and found.fetched,
        )
        self._keep.observer.settled(outcome)

    # --- stored rows, asked about again -------------------------------------------------------------------------

    async def recheck(self, entry: Entry) -> None:
        """Ask the service's record of a stored attachment again; what turned bad leaves `files/`."""
        index, now = self._keep.index.attachments, self._keep.clock.now()
        track = self._tracks[entry.attachment.track]
        try:
            facts = await self._asked(entry)
        except ITEM_ERRORS as error:
            self._doubt(entry, error)
            index.check_again(entry, now + retry.delay(1, base=_HOUR))
            return
        self._doubt(entry, None)
        if facts.standing is Standing.GOOD:
            is_other = facts.sha256 not in (None, entry.shown) and self._source.repeatable(track)
            again = await self._read_again(entry, facts) if facts.refetch or is_other else facts
            if again is not None:
                index.inspected(entry, again, again.check_at(self._keep.clock.now()))
            return
        state = State.QUARANTINED if facts.standing is Standing.BAD else State.WAITING
        index.withdraw(entry, state, facts, now + retry.DAY)
        await self._finish_withdrawal(entry._replace(withdrawn=True, state=state))
        self._tell(entry, state, facts.reason)

    async def _read_again(self, entry: Entry, facts: Facts) -> Facts | None:
        """Read content that may have changed; show it if it has. What is shown stays if it cannot be read.

        Returns the facts with what is to be kept of the reading; None if it failed, and is to be made up for.
        """
        try:
            entry = _as_stated(entry, facts)
            expected = _expected(entry.attachment, facts)
            if len(expected.digests) > 1:
                raise MismatchError("its record states another SHA-256 than the list: no bytes can be both")
            with malformed(), self._keep.store.pins.pinning() as pin:
                found = await self._downloader.download(entry, facts, expected, pin)
                if found.digest != entry.shown:
                    await self._show(entry, found)
                else:
                    await self._downloader.landed(found)
        except NotModifiedError:
            return facts
        except ITEM_ERRORS as error:
            if isinstance(error, NotReadyError):
                return dataclasses.replace(facts, again=retry.delay(1, base=_HOUR))
            self._doubt(entry, error)
            self._tell(entry, State.FAILED, str(error))
            self.unread[entry.attachment.track] = reason = f"could not be read again: {error}"
            if isinstance(error, GoneError):
                return dataclasses.replace(facts, again=retry.delay(1, base=_HOUR))
            _, wait, _ = _reaction(error, entry)
            self._keep.index.attachments.not_read(entry, reason, self._keep.clock.now() + wait)
            return None
        return dataclasses.replace(facts, record={**facts.record, **found.record})

    def _doubt(self, entry: Entry, error: AttachsyncError | None) -> None:
        """Keep whether what is stored was refused when it was asked about again; that alone removes nothing."""
        refused = isinstance(error, GoneError) or (isinstance(error, RejectedError) and error.status in (403, 404, 410))
        if refused or error is None:
            tracks = self._keep.index.tracks
            tracks.asked(entry.attachment.track, entry.id, self._keep.clock.now(), refused=refused)

    async def _finish_withdrawal(self, entry: Entry) -> Entry:
        """Take a marked row's entry out of `files/`, unless others in good standing show it; bad bytes to quarantine.

        One at a time: the last of those who show the same bytes takes them away.
        """
        if not entry.withdrawn:
            return entry
        index, store, views = self._keep.index.attachments, self._keep.store, self._keep.views
        path, shown = entry.path, entry.shown
        with self._keep.manifest.outdated():
            if path and shown:
                async with self._leaving:
                    if not index.shows(path, shown, entry.id)[0]:
                        await store.run(views.hide, path)
                    if entry.state is State.QUARANTINED:
                        await store.quarantine(shown, lambda: index.shows(path, shown, entry.id)[1])
            index.hidden(entry)
        return entry._replace(path=None, shown=None, withdrawn=False)


def _as_stated(entry: Entry, facts: Facts) -> Entry:
    """A row without the size, type and hash of content that may have changed since."""
    if not facts.refetch:
        return entry
    attachment = entry.attachment._replace(size=None, sha256=None, media_type=None)
    return entry._replace(attachment=attachment)


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

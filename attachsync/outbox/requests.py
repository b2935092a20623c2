"""The requests of one file, each with its line in the journal, and a little time to end when the process is to stop."""

import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import BinaryIO

from attachsync import receipts, units
from attachsync.clock import Clock
from attachsync.errors import AttachsyncError, StorageError
from attachsync.grace import unbroken
from attachsync.index.uploads import Upload, Uploads
from attachsync.model import Draft, Sender
from attachsync.outbox import reactions
from attachsync.outbox.journal import Journal
from attachsync.settle import Arrival

GRACE = 2.0
"""Seconds that a request under way may take after a cancellation: an answer read is one orphan less."""
HASTE = 0.6
"""The same when a saved config is to take over, within a second (contract 2)."""


class Requests:
    """Uploads and posts of one outbox. What the service says of one comes back as a value, an error too.

    What the index says (StorageError) is raised.
    """

    def __init__(
        self, sender: Sender, uploads: Uploads, journal: Journal, clock: Clock, grace: Callable[[], float]
    ) -> None:
        self._sender = sender
        self._uploads = uploads
        self._journal = journal
        self._clock = clock
        self._grace = grace

    async def upload(
        self, begin: Callable[[], Upload], arrival: Arrival, file: BinaryIO
    ) -> tuple[Upload, AttachsyncError | None]:
        """Journal the attempt, and send the bytes; the row as `uploaded`, journaled with the answer."""
        upload = await self._journal.write(begin, rank=arrival, undo=self._not_begun)
        if upload.state == "uploaded":
            return upload, None  # by an earlier attempt
        return await unbroken(self._upload(upload, file), self._grace)

    async def kept(self, draft: Draft, receipt: Mapping[str, str]) -> Mapping[str, str] | None:
        """What the receipt says of an upload before this one, if it need not be made again. Raises PausedError."""
        if receipts.UPLOADED_AT not in receipt:
            return None
        try:
            found = await self._sender.kept(draft, receipt)
        except AttachsyncError as error:
            raise reactions.pause(error) from error
        return None if found is None else {**found, receipts.UPLOADED_AT: receipt[receipts.UPLOADED_AT]}

    def _not_begun(self, upload: Upload) -> None:
        """A cancellation came between the journal and the request: none was made, so its outcome is known."""
        if upload.state == "uploaded":
            return
        now = self._clock.now()
        with contextlib.suppress(StorageError):
            self._uploads.postpone(upload, "", now, now, state="retry")

    async def _upload(self, upload: Upload, file: BinaryIO) -> tuple[Upload, AttachsyncError | None]:
        try:
            answer = await self._sender.upload(upload.draft, file)
        except AttachsyncError as error:
            return upload, error
        said = {**answer, receipts.UPLOADED_AT: units.rfc3339(self._clock.now()) or ""}
        # At once: a kill must not forget it. The next step, durable, is milliseconds away; power lost before it makes
        # this an unknown outcome.
        with self._uploads.together(durable=False):
            return self._uploads.advance(upload, "uploaded", self._clock.now(), receipt=said), None

    async def deliver(self, upload: Upload) -> Mapping[str, str] | AttachsyncError:
        """Post the message, if one is wanted: what the receipt says of it.

        A row that is `posting` already may have been posted: it is looked for first.
        """
        if not self._sender.posts():
            return {}
        since = upload.attempted_at if upload.state == "posting" else None
        if since is None:
            begin = partial(self._uploads.advance, upload, "posting", self._clock.now())
            upload = await self._journal.write(begin)
        return await unbroken(self._deliver(upload, since), self._grace)

    async def _deliver(self, upload: Upload, since: float | None) -> Mapping[str, str] | AttachsyncError:
        try:
            return await self._sender.deliver(upload.draft, upload.receipt, since)
        except AttachsyncError as error:
            return error

    async def take_back(self, upload: Upload) -> AttachsyncError | None:
        """Delete what was uploaded."""
        try:
            await self._sender.delete(upload.receipt)
        except AttachsyncError as error:
            return error
        return None

"""The requests of one file, each with its line in the journal, and a little time to end when the process is to stop."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import BinaryIO, TypeVar

from attachsync import receipts, units
from attachsync.clock import Clock
from attachsync.errors import AttachsyncError
from attachsync.index.uploads import Upload, Uploads
from attachsync.model import Sender
from attachsync.outbox.journal import Journal

T = TypeVar("T")

_GRACE = 2.0
"""Seconds that a request under way may take after a cancellation: an answer read is one orphan less."""


class Requests:
    """Uploads and posts of one outbox. What the service says of one comes back as a value, an error too.

    A step of the journal and the request that it is about are one: a cancellation does not come between them.
    """

    def __init__(self, sender: Sender, uploads: Uploads, journal: Journal, clock: Clock) -> None:
        self._sender = sender
        self._uploads = uploads
        self._journal = journal
        self._clock = clock

    async def upload(self, begin: Callable[[], Upload], file: BinaryIO) -> tuple[Upload, AttachsyncError | None]:
        """Journal the attempt, and send the bytes; the row as `uploaded`, journaled with the answer."""
        return await _with_grace(self._upload(begin, file))

    async def _upload(self, begin: Callable[[], Upload], file: BinaryIO) -> tuple[Upload, AttachsyncError | None]:
        upload = await self._journal.write(begin)
        try:
            answer = await self._sender.upload(upload.draft, file)
        except AttachsyncError as error:
            return upload, error
        said = {**answer, receipts.UPLOADED_AT: units.rfc3339(self._clock.now()) or ""}
        done = partial(self._uploads.advance, upload, "uploaded", self._clock.now(), receipt=said)
        # The next step, durable, is milliseconds away; power lost before it makes this an unknown outcome.
        return await self._journal.write(done, durable=False), None

    async def deliver(self, upload: Upload) -> Mapping[str, str] | AttachsyncError:
        """Post the message, if one is wanted: what the receipt says of it.

        A row that is `posting` already may have been posted: it is looked for first.
        """
        return await _with_grace(self._deliver(upload)) if self._sender.posts() else {}

    async def _deliver(self, upload: Upload) -> Mapping[str, str] | AttachsyncError:
        since = upload.attempted_at if upload.state == "posting" else None
        if since is None:
            begin = partial(self._uploads.advance, upload, "posting", self._clock.now())
            upload = await self._journal.write(begin)
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


async def _with_grace(work: Coroutine[object, object, T]) -> T:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.done():
                await asyncio.wait({task}, timeout=_GRACE)
            raise

"""Where files and their records go below sent/ and failed/, and the moves to there: many at a time, each step synced
for all of them.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

from attachsync import receipts
from attachsync.clock import Clock
from attachsync.durable import Syncing, synced_together, syncing
from attachsync.errors import StorageError
from attachsync.filing import FAILED, SENT, Filing
from attachsync.groups import Groups
from attachsync.index.uploads import Upload, Uploads
from attachsync.model import Draft, Outbox
from attachsync.outbox.journal import Journal
from attachsync.threads import in_strides, in_thread

if TYPE_CHECKING:
    from attachsync.logger import FilteringBoundLogger

_PLACES = 100
_TOGETHER = 64
_LARGE = 32 * 1024 * 1024
"""What is larger is moved by itself: its sync may take long."""


class Stowing:
    """The last steps of the files of one open outbox. Blocking work is done in threads."""

    def __init__(
        self,
        config: Outbox,
        filing: Filing,
        uploads: Uploads,
        journal: Journal,
        clock: Clock,
        log: "FilteringBoundLogger",
    ) -> None:
        self._config = config
        self._filing = filing
        self._uploads = uploads
        self._journal = journal
        self._clock = clock
        self._log = log
        self._placing = asyncio.Lock()
        self._promised: set[str] = set()
        self._together = Groups(self._put_together, None, most=_TOGETHER, moment=0.0)

    async def placed(self, upload: Upload, kind: str, said: Mapping[str, str]) -> Upload:
        """Journal what the record says, and a place (below `kind`) that nothing has. StorageError, OSError."""
        write = partial(self._uploads.advance, upload, "filing", self._clock.now(), receipt=said)
        return await self._promise(kind, upload.name, write)

    async def refused(self, name: str, draft: Draft, said: Mapping[str, str]) -> Upload:
        """Journal a file that goes to failed/ without a request. StorageError, OSError."""
        outbox = str(self._config.directory)
        write = partial(self._uploads.refuse, outbox, name, draft, self._clock.now(), receipt=said)
        return await self._promise(FAILED, name, write)

    async def _promise(self, kind: str, name: str, write: Callable[..., Upload]) -> Upload:
        """`write` a place (`filed_as`) that nothing has, and nobody else gets until the file is there."""
        async with self._placing:
            place = await in_thread(self._filing.place, kind, name, frozenset(self._promised))
            self._promised.add(place)
        try:
            return await self._journal.write(partial(write, filed_as=place))
        except BaseException:
            self._promised.discard(place)
            raise

    async def put(self, upload: Upload, file: BinaryIO | None) -> Upload:
        """The record, then the file, to their place; elsewhere if somebody was quicker to take the name."""
        kind = FAILED if receipts.is_failure(upload) else SENT
        for _ in range(_PLACES):
            place = upload.filed_as or ""
            try:
                if upload.draft.size > _LARGE:
                    await in_strides(syncing(self._putting(upload, file)))
                else:
                    await self._together.add((upload, file))
            except FileExistsError:
                upload = await self.placed(upload, kind, upload.receipt)
            else:
                return upload
            finally:
                self._promised.discard(place)
        raise StorageError(f"{self._config.directory}: no free name for {upload.name} below {kind}/")

    async def record(self, upload: Upload) -> None:
        """The receipt alone, of what was uploaded of a file that is no longer there."""
        await self.put(await self.placed(upload, SENT, upload.receipt), None)

    def _put_together(self, group: Sequence[tuple[Upload, BinaryIO | None]]) -> Sequence[Exception | None]:
        return synced_together([self._putting(*one) for one in group])

    def _putting(self, upload: Upload, file: BinaryIO | None) -> Syncing[None]:
        assert upload.filed_as is not None
        document = receipts.written(receipts.document(upload, self._config.account))
        yield from self._filing.putting(upload.filed_as, document, file)
        if file is not None and not (yield from self._filing.moving(upload.name, upload.filed_as, file)):
            self._log.warning("replaced_while_sent", file=upload.name, filed_as=upload.filed_as)

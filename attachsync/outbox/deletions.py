"""`propagate_deletes`: what left sent/ is deleted upstream, unless it looks like an accident (contract 3)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from attachsync import receipts
from attachsync.clock import Clock
from attachsync.errors import AttachsyncError
from attachsync.filing import SENT, Filing
from attachsync.index.uploads import Uploads
from attachsync.model import Outbox, Sender
from attachsync.outbox import reactions
from attachsync.outbox.reactions import Reaction
from attachsync.spool import Spool
from attachsync.threads import in_thread

if TYPE_CHECKING:
    from attachsync.logger import FilteringBoundLogger

MOST = 10
"""More than this at once wait for `outbox confirm`."""

Receipts = dict[str, receipts.Document]


@dataclass(frozen=True, slots=True)
class Deleted:
    """What one look came to."""

    done: int = 0
    held: int = 0
    error: str = ""


class Deletions:
    """The receipts of one open outbox whose file is gone."""

    def __init__(
        self,
        config: Outbox,
        opened: Spool,
        sender: Sender,
        uploads: Uploads,
        clock: Clock,
        log: "FilteringBoundLogger",
    ) -> None:
        self._config = config
        self._outbox = str(config.directory)
        self._spool = opened
        self._filing = Filing(opened.descriptor)
        self._sender = sender
        self._uploads = uploads
        self._clock = clock
        self._log = log

    async def run(self) -> Deleted:
        """Delete upstream what is gone from sent/. Raises PausedError, OSError, StorageError."""
        gone = await self._gone()
        if gone:
            # A folder that is being emptied, or a file on its way out and back, is not understood at first sight.
            await self._clock.sleep(max(self._config.settle, 0.1))
            if (await self._gone()).keys() != gone.keys():
                return Deleted(error="" if len(gone) <= MOST else "the files of sent/ are going away")
        return await self._delete(gone)

    async def _gone(self) -> Receipts:
        busy = {row.filed_as for row in self._uploads.unfinished(self._outbox) if row.filed_as}
        return await in_thread(self._look, busy)

    def _look(self, busy: set[str]) -> Receipts:
        found: Receipts = {}
        for name, text in self._filing.lone(SENT):
            if f"{SENT}/{name}" in busy:
                continue
            document = receipts.parsed(text)
            if document is None or not receipts.is_receipt(document, self._config.account):
                continue
            if "deleted_at" not in document and not self._spool.has(name):
                found[name] = document
        return found

    async def _delete(self, gone: Receipts) -> Deleted:
        before = self._uploads.held(self._outbox)
        unasked = [name for name in gone if not before.get(name)]
        held = {name for name in unasked if len(unasked) > MOST or name in before}  # once held, it takes a person
        done, error = set(), ""
        for name in (name for name in gone if name not in held):
            try:
                await self._delete_one(name, gone[name])
                done.add(name)
            except AttachsyncError as failed:
                if reactions.reaction(failed) is Reaction.PAUSE:
                    raise reactions.pause(failed) from failed
                error = f"{name} could not be deleted upstream: {failed}"
                self._log.error("delete_failed", file=name, error=str(failed))
        left = held | (before.keys() & gone.keys()) - done
        if left or before:
            self._uploads.hold(self._outbox, left, self._clock.now())
        if held - before.keys():
            self._log.error("deletions_held", count=len(held), hint="run: attachsync outbox confirm")
        return Deleted(len(done), len(held), error)

    async def _delete_one(self, name: str, document: receipts.Document) -> None:
        there = await self._sender.delete(document)
        text = receipts.written(receipts.deleted(document, self._clock.now()))
        await in_thread(self._filing.rewrite, f"{SENT}/{name}", text)
        self._log.info("deleted_upstream", file=name, was_there=there)

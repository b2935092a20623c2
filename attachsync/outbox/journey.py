"""One dropped file's way from the outbox to sent/ or failed/: each step journaled before it is taken.

Whatever a kill leaves is taken up again by `resume` or `recover`, from the journal and the folders alone.
"""

import contextlib
import enum
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

from attachsync import names, receipts, retry, spool, writers
from attachsync.clock import Clock
from attachsync.errors import AttachsyncError
from attachsync.filing import FAILED, SENT, Filing
from attachsync.index.uploads import Upload, Uploads
from attachsync.model import Digest, Draft, Outbox, Sender
from attachsync.outbox import reactions
from attachsync.outbox.foresight import refusal
from attachsync.outbox.journal import Journal
from attachsync.outbox.reactions import Reaction
from attachsync.outbox.requests import Requests
from attachsync.outbox.stowing import Stowing
from attachsync.redirects import may_be_done
from attachsync.settle import Stamp, arrival
from attachsync.spool import Spool
from attachsync.threads import Steps, in_strides, in_thread

if TYPE_CHECKING:
    from attachsync.logger import FilteringBoundLogger

NoMore = Callable[[], None]
"""To be called when a file makes no more requests: another one may begin while it is filed. It need not be."""

Later = Callable[[str, float, float], float]
"""Told of a file that is left for later, the seconds that the service asked for, and those that are journaled: in how
many it is tried again."""

_STRIKES = 5
"""A file is held for a person after so many attempts of unknown outcome, a day or more after the first of them."""


class Ending(enum.Enum):
    """How one try to send a file ended."""

    SENT = "sent"
    FAILED = "failed"
    HELD = "held"
    LATER = "later"
    BUSY = "busy"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Notice:
    """What hooks are told: `event` is `sent` or `failed`; `document` is what the receipt or record says."""

    event: str
    account: str
    outbox: str
    file: str
    filed_as: str
    document: Mapping[str, object]
    size: int = 0


class Journey:
    """The way of the files of one open outbox. Blocking work is done in threads."""

    def __init__(
        self,
        config: Outbox,
        opened: Spool,
        sender: Sender,
        uploads: Uploads,
        clock: Clock,
        log: "FilteringBoundLogger",
        notify: Callable[[Notice], None],
        later: Later,
        grace: Callable[[], float],
    ) -> None:
        self._config = config
        self._outbox = str(config.directory)
        self._spool = opened
        self._sender = sender
        self._journal = Journal(uploads)
        self._requests = Requests(sender, uploads, self._journal, clock, grace)
        self._uploads = uploads
        self._clock = clock
        self._log = log
        self._notify = notify
        self._later = later
        self._stowing = Stowing(config, Filing(opened.descriptor), uploads, self._journal, clock, log)

    # --- from the start -----------------------------------------------------------------------------------------

    async def take(self, name: str, stamp: Stamp, no_more: NoMore) -> Ending:
        """Send a file that has settled. Raises PausedError, OSError, StorageError."""
        file = await in_thread(self._spool.open_seen, name, stamp)
        if file is None:
            return Ending.BUSY
        with file:
            match await in_strides(self._look(name, stamp.size, file)):
                case None:
                    return Ending.BUSY
                case (code, reason):
                    no_more()
                    return await self._refuse(name, stamp.size, file, code, reason)
                case digest:
                    return await self._send(name, stamp, file, digest, no_more)

    def _look(self, name: str, size: int, file: BinaryIO) -> Steps[Digest | tuple[str, str] | None]:
        """The digest of a file that may be sent; code and reason if it may not; None while somebody writes it."""
        if writers.being_written(file.fileno()):
            return None
        return refusal(self._sender, name, size, file) or (yield from spool.digesting(file.fileno()))

    async def _refuse(self, name: str, size: int, file: BinaryIO, code: str, reason: str) -> Ending:
        """To failed/ without a request. Its bytes are not hashed: name and size alone decided."""
        before = self._uploads.open(self._outbox, name)
        if before is not None:
            self._drop(before, "it is refused by now")
        said = receipts.refused({}, error=reason, code=code, at=self._clock.now())
        upload = await self._stowing.refused(name, _draft(name, size, Digest("")), said)
        return await self._file(upload, file)

    async def _send(self, name: str, stamp: Stamp, file: BinaryIO, found: Digest, no_more: NoMore) -> Ending:
        before = self._uploads.open(self._outbox, name)
        if before is not None and (before.draft.sha256, before.draft.size) != (found, stamp.size):
            self._drop(before, "other bytes took its name")
            before = None
        if before is not None and before.state == "held":
            return Ending.HELD
        now = self._clock.now()
        if before is not None:
            begin = partial(self._uploads.again, before, now)
        else:
            begin = await self._beginning(name, _draft(name, stamp.size, found), now)
        upload, error = await self._requests.upload(begin, arrival(stamp, name), file)
        if error is not None:
            return await self._not_uploaded(upload, file, error)
        if not await in_strides(_unchanged(file, stamp, found)):
            return await self._take_back(upload)
        return await self._onward(upload, file, no_more)

    async def _beginning(self, name: str, draft: Draft, now: float) -> "partial[Upload]":
        """A file that failed, and has come back from failed/, may have a copy upstream that its record told of.

        Where it is as good as new, it is not sent again.
        """
        failed = self._uploads.failed(self._outbox, name, draft.sha256)
        again = await in_thread(self._came_back, failed) if failed else None
        kept, copies = None, 0
        if again is not None:
            kept = await self._requests.kept(draft, again.receipt)
            copies = again.unknown + (kept is None and receipts.UPLOADED_AT in again.receipt)
        return partial(self._uploads.begin, self._outbox, name, draft, now, again=again, copies=copies, kept=kept)

    def _came_back(self, failed: Sequence[Upload]) -> Upload | None:
        """The one of these whose file is no longer in failed/."""
        return next((one for one in failed if one.filed_as and not self._spool.has(one.filed_as)), None)

    async def _take_back(self, upload: Upload) -> Ending:
        """The file changed while it was sent, or is about to: what was sent is nobody's file. It settles anew."""
        error = await self._requests.take_back(upload)
        if error is not None:
            self._log.warning("possible_orphan", file=upload.name, error=str(error))
            await self._stowing.record(upload)  # it says where it is
        self._drop(upload, "it changed while it was sent", orphan=error is not None or upload.possible_orphan)
        return Ending.BUSY

    # --- what a kill or a failed delivery left ------------------------------------------------------------------

    async def recover(self, upload: Upload) -> Ending:
        """A request was under way when the process ended: nobody knows what came of it."""
        return self._unknown(upload, "attachsync ended while the file was being sent", at_once=True)

    async def resume(self, upload: Upload, no_more: NoMore) -> Ending:
        """Finish what was uploaded (or refused) before: post, file, move. Raises as `take` does."""
        file = await in_strides(self._find(upload))
        if file is None:
            return await self._without_file(upload)
        with file:
            if upload.state == "filing":
                no_more()
                return await self._file(upload, file)
            return await self._onward(upload, file, no_more)

    def _find(self, upload: Upload) -> Steps[BinaryIO | None]:
        """The bytes of an upload: where they were to be moved to, or still in the outbox."""
        for name in filter(None, (upload.filed_as, upload.name)):
            file = self._spool.open_file(name)
            if file is not None:
                with contextlib.ExitStack() as stack:
                    stack.enter_context(file)
                    if (yield from _is_of(file, upload.draft)):
                        stack.pop_all()
                        return file
        return None

    async def _without_file(self, upload: Upload) -> Ending:
        """The file went away, or another took its name. What was uploaded keeps its receipt, or it would be lost."""
        if not receipts.is_failure(upload):
            await self._stowing.record(upload)
        self._drop(upload, "it is no longer there", orphan=False)
        return Ending.DROPPED

    async def gone(self, upload: Upload) -> Ending:
        """The file of an upload that waits is no longer in the outbox."""
        if upload.receipt:
            return await self._without_file(upload)
        self._drop(upload, "it is no longer there")
        return Ending.DROPPED

    # --- what an attempt came to --------------------------------------------------------------------------------

    async def _not_uploaded(self, upload: Upload, file: BinaryIO, error: AttachsyncError) -> Ending:
        match reactions.reaction(error):
            case Reaction.FAIL:
                return await self._fail(upload, file, error)
            case Reaction.UNKNOWN:
                return self._unknown(upload, str(error), asked=reactions.asked(error))
            case Reaction.PAUSE:
                perhaps, now = may_be_done(error), self._clock.now()
                state = "held" if perhaps and self._config.on_unknown == "hold" else "retry"
                self._uploads.postpone(upload, str(error), now, now, state=state, unknown=perhaps)
                raise reactions.pause(error)

    def _unknown(self, upload: Upload, error: str, *, asked: float | None = None, at_once: bool = False) -> Ending:
        """Nobody knows whether it was sent, or, if that is known, its message."""
        is_sent, strikes, now = bool(upload.receipt), upload.strikes + 1, self._clock.now()
        held = self._is_hopeless(upload, now) or (self._config.on_unknown == "hold" and not is_sent)
        state = "held" if held else "posting" if is_sent else "retry"
        wait = 0.0 if held or (at_once and strikes < _STRIKES) else max(asked or 0.0, retry.delay(strikes))
        self._uploads.postpone(upload, error, now + wait, now, state=state, unknown=not is_sent, strike=True)
        if held:
            self._log.error("send_held", file=upload.name, error=error)
            return Ending.HELD
        if not at_once:
            wait = self._later(upload.name, asked or 0.0, wait)
        event = "post_unknown" if is_sent else "send_unknown"
        self._log.warning(event, file=upload.name, error=error, retry_in=round(wait, 1))
        return Ending.LATER

    def _is_hopeless(self, upload: Upload, now: float) -> bool:
        """Whether a person is to look after another attempt of unknown outcome: trouble of an hour is not enough."""
        since = self._uploads.doubted_since(upload)
        return upload.strikes + 1 >= _STRIKES and since is not None and now - since >= retry.DAY

    async def _not_delivered(self, upload: Upload, file: BinaryIO, error: AttachsyncError) -> Ending:
        """The upload is done, its message is not, or nobody knows: the next try looks for it first.

        A try that did nothing leaves it as it was: where none did before, there is nothing to look for.
        """
        match reactions.reaction(error):
            case Reaction.FAIL:
                return await self._fail(upload, file, error)
            case Reaction.PAUSE:
                state, now = "posting" if may_be_done(error) else upload.state, self._clock.now()
                self._uploads.postpone(upload, str(error), now, now, state=state)
                raise reactions.pause(error)
            case Reaction.UNKNOWN:
                return self._unknown(upload, str(error), asked=reactions.asked(error))

    async def _fail(self, upload: Upload, file: BinaryIO, error: AttachsyncError) -> Ending:
        code, status = reactions.code_of(error)
        said = receipts.refused(upload.receipt, error=str(error), code=code, at=self._clock.now(), status=status)
        return await self._file(await self._stowing.placed(upload, FAILED, said), file)

    def _drop(self, upload: Upload, why: str, *, orphan: bool | None = None) -> None:
        possible = upload.possible_orphan or upload.state == "sending" if orphan is None else orphan
        self._uploads.end(upload, "dropped", self._clock.now(), why)
        self._log.warning("send_dropped", file=upload.name, reason=why, possible_orphan=possible)

    # --- to the end ---------------------------------------------------------------------------------------------

    async def _onward(self, upload: Upload, file: BinaryIO, no_more: NoMore) -> Ending:
        """After the upload: the message, if one is wanted, once; then receipt and move."""
        answer = await self._requests.deliver(upload)
        if isinstance(answer, AttachsyncError):
            return await self._not_delivered(upload, file, answer)
        no_more()
        return await self._file(await self._stowing.placed(upload, SENT, {**upload.receipt, **answer}), file)

    async def _file(self, upload: Upload, file: BinaryIO) -> Ending:
        kind = FAILED if receipts.is_failure(upload) else SENT
        upload = await self._stowing.put(upload, file)
        error = str(upload.receipt.get("error", ""))
        await self._journal.write(partial(self._uploads.end, upload, kind, self._clock.now(), error), durable=False)
        return self._ended(upload)

    def _ended(self, upload: Upload) -> Ending:
        document = receipts.document(upload, self._config.account)
        failed = receipts.is_failure(upload)
        if failed:
            self._log.error("send_failed", file=upload.name, error=document["error"], code=document["code"])
        else:
            self._log.info("sent", file=upload.name, filed_as=upload.filed_as, size=upload.draft.size)
        self._notify(
            Notice(
                event="failed" if failed else "sent",
                account=self._config.account,
                outbox=self._outbox,
                file=upload.name,
                filed_as=upload.filed_as or "",
                document=document,
                size=upload.draft.size,
            )
        )
        return Ending.FAILED if failed else Ending.SENT


def _draft(name: str, size: int, digest: Digest) -> Draft:
    base = name.rpartition("/")[2]
    return Draft(uuid.uuid4().hex, base, names.media_type_of(base), size, digest)


def _unchanged(file: BinaryIO, stamp: Stamp, digest: Digest) -> Steps[bool]:
    """Whether a file is still what was sent, and nobody is at it.

    A new change time alone (chmod, a rename over it) may leave the bytes.
    """
    if writers.being_written(file.fileno()):
        return False
    now = spool.stamp_of(os.fstat(file.fileno()))
    if (now.size, now.mtime_ns) != (stamp.size, stamp.mtime_ns):
        return False
    return now == stamp or (yield from spool.digesting(file.fileno())) == digest


def _is_of(file: BinaryIO, draft: Draft) -> Steps[bool]:
    if os.fstat(file.fileno()).st_size != draft.size:
        return False
    return not draft.sha256 or (yield from spool.digesting(file.fileno())) == draft.sha256

"""The daemon re-hashes a slice of the store every day, what was checked longest ago first (contract 2: `scrub`).

It keeps to one thread of low priority, and rests as long as it works.
"""

import contextlib
import errno
import json
import math
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from attachsync import damage, pruning
from attachsync.errors import StorageError
from attachsync.hashing import Hashing
from attachsync.index import Index
from attachsync.index.health import DAMAGE, SLICE, damage_found, progress
from attachsync.keeping import Keeping
from attachsync.logger import structlog
from attachsync.model import Digest
from attachsync.threads import in_thread

T = TypeVar("T")

log = structlog.get_logger()

_DAY = 86400.0
_LONGEST_REST = 600.0
"""The clock is looked at this often (seconds): it may jump."""
_BATCH = 10_000
_BLOCKS = 8
"""So many blocks (MiB) are hashed at a time; a stop waits for no more."""
_BREATH = 0.05


class Scrubber:
    """Looks after one mirror's store. `period`: seconds in which everything is re-hashed once; `state`: the index's
    folder; `wake` is called when something is to be fetched again.
    """

    def __init__(
        self, keep: Keeping, state: Path, tracks: Sequence[str], period: float, wake: Callable[[], None]
    ) -> None:
        self._keep = keep
        self._state = state
        self._tracks = list(tracks)
        self._period = period
        self._interval = min(_DAY, period)
        self._wake = wake
        self._debt = 0.0

    async def keep_on(self) -> None:
        """Slice after slice, for ever."""
        clock = self._keep.clock
        with ThreadPoolExecutor(1, "scrub", initializer=_gently) as pool:
            while True:
                try:
                    rest = self._until_due()
                    if rest <= 0:
                        await self._slice(pool)
                        continue
                except StorageError as error:
                    log.error("scrub_failed", error=str(error))
                    rest = _LONGEST_REST
                await clock.sleep(min(rest, _LONGEST_REST))

    def _until_due(self) -> float:
        """Seconds until there is something to do: a slice that was interrupted, or the next one."""
        began, left = progress(self._keep.index)
        now = self._keep.clock.now()
        return began + self._interval - now if not left and began <= now else 0.0

    async def _slice(self, pool: ThreadPoolExecutor) -> None:
        index, clock = self._keep.index, self._keep.clock
        began, left = progress(index)
        if not left or began > clock.now():
            began, left = clock.now(), math.ceil(index.upkeep.count() * self._interval / self._period)
            self._note(began, left)
        while left:
            batch = await self._run(pool, self._oldest, min(left, _BATCH), began)
            for digest in batch:
                await self._look(pool, digest)
                left -= 1
                self._note(began, left)
            if not batch:
                left = 0
        await self._run(pool, self._notice)
        self._note(began, 0)
        log.info("scrubbed", next_in=round(self._interval))

    def _note(self, began: float, left: int) -> None:
        self._keep.index.database.note(SLICE, json.dumps({"began": began, "left": left}))

    def _oldest(self, limit: int, before: float) -> list[Digest]:
        index = Index.peek(self._state)  # a connection of this thread's own
        try:
            return index.upkeep.least_checked(limit, before)
        finally:
            index.close()

    def _notice(self) -> None:
        index = Index.open(self._state)  # a connection of this thread's own
        try:
            pruning.notice(self._keep.store, index, self._tracks, self._keep.clock.now())
        finally:
            index.close()

    # --- one object -------------------------------------------------------------------------------------------------

    async def _look(self, pool: ThreadPoolExecutor, digest: Digest) -> None:
        """Re-hash one; what is damaged is looked at twice before it is given up."""
        upkeep = self._keep.index.upkeep
        fault = await self._fault(pool, digest) and await self._fault(pool, digest)
        if not fault:
            upkeep.good([digest], self._keep.clock.now())
        elif fault not in ("corrupt", "missing"):
            log.error("scrub_unread", sha256=digest, error=fault)
            upkeep.good([digest], self._keep.clock.now())  # its turn comes again
        elif upkeep.is_expected(digest):  # else it was removed meanwhile
            await self._damaged(digest, fault)

    async def _damaged(self, digest: Digest, fault: str) -> None:
        paths = self._keep.index.upkeep.entries(digest)
        rows = await damage.lost(self._keep, digest, corrupt=fault == "corrupt")
        mended = self._keep.store.has(digest)
        what = "stored again from files/" if mended else "to be fetched again" if rows else "an older version: lost"
        log.error("damaged", sha256=digest, fault=fault, paths=paths[:5], what=what)
        count = damage_found(self._keep.index).get("count", 0)
        said = {"count": int(str(count)) + 1, "at": self._keep.clock.now(), "sha256": digest, "what": what}
        self._keep.index.database.note(DAMAGE, json.dumps(said))
        self._keep.index.upkeep.good([digest], self._keep.clock.now())  # it was looked at, and told
        if rows:
            self._wake()

    async def _fault(self, pool: ThreadPoolExecutor, digest: Digest) -> str:
        """`corrupt`, `missing`, why it cannot be read, or nothing."""
        try:
            with await in_thread(Hashing, self._keep.store.path(digest), pool=pool) as hashing:
                while await self._run(pool, _some, hashing):
                    pass
                return "" if hashing.digest == digest else "corrupt"
        except FileNotFoundError:
            return "missing"
        except OSError as error:
            return "corrupt" if error.errno == errno.EIO else str(error)

    async def _run(self, pool: ThreadPoolExecutor, function: Callable[..., T], *values: object) -> T:
        """Run something in the thread, then rest as long as it took."""
        clock = self._keep.clock
        began = clock.monotonic()
        found = await in_thread(function, *values, pool=pool)
        self._debt += clock.monotonic() - began
        if self._debt > _BREATH:
            debt, self._debt = self._debt, 0.0
            await clock.sleep(debt)
        return found


def _some(hashing: Hashing) -> int:
    """Hash some blocks: how many bytes."""
    before = hashing.size
    for _ in range(_BLOCKS):
        if not hashing.step():
            break
    return hashing.size - before


def _gently() -> None:
    """Give this thread the lowest priority, for the processor and (with BFQ) for the disk, where that is allowed."""
    with contextlib.suppress(OSError):  # a system call filter may forbid it
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)


async def scrub(
    keep: Keeping, state: Path, tracks: Sequence[str], period: float | None, wake: Callable[[], None]
) -> None:
    """Look after the store for ever; not at all without a `period`."""
    if period is not None:
        await Scrubber(keep, state, tracks, period, wake).keep_on()

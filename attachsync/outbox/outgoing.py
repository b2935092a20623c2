"""One `[[outbox]]` kept empty: by a single pass (`sync`) or for as long as the daemon runs."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from attachsync.clock import Clock
from attachsync.errors import MirrorHeldError, StorageError
from attachsync.index.uploads import Uploads
from attachsync.model import Outbox, Sender
from attachsync.outbox.deletions import Deletions
from attachsync.outbox.journey import Ending, Journey, Notice
from attachsync.outbox.outcome import Outcome
from attachsync.outbox.pacing import Once, Pace, Pause, Steady
from attachsync.outbox.reactions import PausedError
from attachsync.outbox.round import Job, Round
from attachsync.outbox.watching import Watch
from attachsync.spool import Spool

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

_LONGEST_REST = 30.0
"""An outbox is looked at this often (seconds), whatever the watcher says."""
_SHORTEST_REST = 0.05
_BUSY_REST = 1.0
_TROUBLE_REST = 5.0
_DELETIONS_APART = 10.0
_WIDTH = 4
"""Uploads at once; one where each is also a message, so that messages keep their order."""


class Outgoing:
    """One outbox. `notify` is told of each file that was sent or failed (hooks)."""

    def __init__(
        self,
        config: Outbox,
        sender: Sender,
        uploads: Uploads,
        clock: Clock,
        *,
        notify: Callable[[Notice], None] = lambda _notice: None,
        log: "FilteringBoundLogger | None" = None,
    ) -> None:
        self.config = config
        self._sender = sender
        self._uploads = uploads
        self._clock = clock
        self._notify = notify
        import structlog

        bound: FilteringBoundLogger = structlog.get_logger() if log is None else log
        self._log = bound.bind(account=config.account, outbox=str(config.directory))
        self._wake = asyncio.Event()
        self._pause = Pause(clock)
        self._round: Round | None = None
        self._deletions_at = float("-inf")
        self._deletions_wait = False
        self._told: set[str] = set()
        self._odd: frozenset[str] = frozenset()
        self._made = False
        self._finishing = False
        self._watch = Watch(config.directory, self.look_now, clock, self._log, also_filed=config.propagate_deletes)

    # --- open and closed ----------------------------------------------------------------------------------------

    def open(self) -> None:
        """Open the directory (made at the first time, with mode 0700) and lock it. MirrorHeldError, StorageError."""
        if self._round is not None:
            return
        config = self.config
        try:
            spool = Spool.open(config.directory, config.ignore, lock=True, make=not self._made)
        except OSError as error:
            raise StorageError(f"outbox {config.directory}: {error.strerror}") from error
        self._made = True
        journey = Journey(config, spool, self._sender, self._uploads, self._clock, self._log, self._notify)
        deletions = Deletions(config, spool, self._sender, self._uploads, self._clock, self._log)
        self._round = Round(config, spool, journey, deletions, self._uploads, self._clock)

    def close(self) -> None:
        """Close the directory and give up its lock. The sender and the index are the caller's."""
        if self._round is not None:
            self._round.spool.close()
            self._round = None

    def look_now(self) -> None:
        """Have `keep` look at once."""
        self._wake.set()

    def finish(self) -> None:
        """Have `keep` (or `flush`) return when the uploads under way are done; it begins no other."""
        self._finishing = True
        self._wake.set()

    # --- a single pass ------------------------------------------------------------------------------------------

    async def flush(self, patience: float | None = None) -> Outcome:
        """Send all that is there, waiting up to `patience` seconds (default 10 x settle) for files to settle.

        What fails for the moment is tried up to three times more, after short waits. Raises MirrorHeldError, and
        StorageError where the directory cannot be opened; later trouble is in the outcome.
        """
        opened_here = self._round is None
        self.open()
        pace, outcome = Once(self._clock), Outcome()
        deadline = self._clock.monotonic() + (10 * self.config.settle if patience is None else patience)
        self._pause.skip()
        try:
            while True:
                await self._look(pace, outcome, single=True)
                wait = self._worth_waiting(pace, outcome, deadline)
                if wait is None or self._finishing:
                    break
                await self._clock.sleep(max(wait, 0.01))
            await self._propagate(pace, outcome)
        except (OSError, StorageError) as error:
            self._trouble(error, outcome)
        finally:
            if opened_here:
                self.close()
        return outcome

    def _worth_waiting(self, pace: Once, outcome: Outcome, deadline: float) -> float | None:
        """How long a single pass waits before it looks again; None: what is left is left for the next pass."""
        if self._pause.error is not None:
            return self._pause.left() if self._pause.over_soon() else None
        assert self._round is not None
        now = self._clock.monotonic()
        spans = []
        if (outcome.waiting or outcome.busy) and now < deadline:
            spans.append(min(self._settling(outcome), deadline - now))
        turn = pace.next_at(outcome.later)
        if turn is not None:
            spans.append(turn - now)
        return min(spans, default=None)

    def _settling(self, outcome: Outcome) -> float:
        assert self._round is not None
        soonest = self._round.next_ready()
        step = _BUSY_REST / 5 if outcome.busy else _LONGEST_REST
        return step if soonest is None else min(step, soonest)

    # --- for as long as the daemon runs -------------------------------------------------------------------------

    async def keep(self) -> None:
        """Keep the outbox empty until cancelled or `finish`. Raises MirrorHeldError, StorageError only at the start."""
        self.open()
        pace = Steady(self._clock)
        try:
            async with asyncio.TaskGroup() as group:
                watching = group.create_task(self._watch.run())
                while not self._finishing:
                    self._wake.clear()
                    rest = await self._turn(pace)
                    if not self._finishing:
                        await self._rest(rest)
                watching.cancel()
        finally:
            self.close()

    async def _turn(self, pace: Pace) -> float:
        """One look; seconds until the next one."""
        outcome = Outcome()
        try:
            self._reopen()
            await self._look(pace, outcome, single=False)
            self._deletions_wait = self._clock.monotonic() < self._deletions_at
            if self.config.propagate_deletes and not self._deletions_wait:
                await self._propagate(pace, outcome)
                self._deletions_at = self._clock.monotonic() + _DELETIONS_APART
        except (OSError, StorageError, MirrorHeldError) as error:
            self._trouble(error, outcome)
            return _TROUBLE_REST
        if not outcome.trouble:
            self._told.clear()
        return self._until_next(outcome)

    def _reopen(self) -> None:
        """Follow the path to another directory: the old one, renamed or unmounted, is no longer the outbox."""
        if self._round is not None and self._round.spool.is_current():
            return
        self.close()
        self.open()
        self._watch.renew()

    def _until_next(self, outcome: Outcome) -> float:
        spans = [_LONGEST_REST]
        if self._pause.error is not None and self._pause.left():
            spans.append(self._pause.left())
        else:
            if outcome.waiting or outcome.busy:
                spans.append(_BUSY_REST if outcome.busy else self._settling(outcome))
            now = self._clock.now()
            rows = self._uploads.unfinished(str(self.config.directory))
            spans += [row.retry_at - now for row in rows if row.retry_at > now]
        if self._deletions_wait:
            spans.append(self._deletions_at - self._clock.monotonic())
        return max(_SHORTEST_REST, min(spans))

    async def _rest(self, span: float) -> None:
        async with asyncio.TaskGroup() as group:
            ends = {group.create_task(self._clock.sleep(span)), group.create_task(_waited(self._wake))}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for end in ends:
                end.cancel()

    # --- both ---------------------------------------------------------------------------------------------------

    async def _look(self, pace: Pace, outcome: Outcome, *, single: bool) -> None:
        """Scan, then send what is ready."""
        assert self._round is not None
        outcome.begin()
        jobs = deque(await self._round.jobs(pace, outcome, single=single))
        for name in sorted(outcome.odd.keys() - self._odd):
            self._log.warning("odd_name", file=name, reason=outcome.odd[name])
        self._odd = frozenset(outcome.odd)
        width = 1 if self._sender.posts() else _WIDTH
        async with asyncio.TaskGroup() as group:
            for _ in range(min(width, len(jobs))):
                group.create_task(self._work(jobs, pace, outcome))
        outcome.later |= {job.name for job in jobs}
        outcome.held = self._uploads.counts(str(self.config.directory)).get("held", 0)
        if self._pause.error is not None:
            outcome.trouble = str(self._pause.error)

    async def _work(self, jobs: deque[Job], pace: Pace, outcome: Outcome) -> None:
        assert self._round is not None
        while jobs and not self._pause.left() and not self._finishing:
            job, began = jobs.popleft(), self._clock.monotonic()
            try:
                ending = await job.run()
            except PausedError as error:
                outcome.later.add(job.name)
                pace.tried(job.name)
                self._begin_pause(error, pace)
            except (OSError, StorageError) as error:
                outcome.later.add(job.name)
                pace.tried(job.name)
                self._trouble(error, outcome, job.name)
            else:
                outcome.note(job.name, ending)
                self._round.tried(job, ending, pace)
                if ending is Ending.SENT and self._pause.lift(began):
                    self._log.info("account_back")

    def _begin_pause(self, error: PausedError, pace: Pace) -> None:
        if self._pause.begin(error, pace):
            self._log.error("account_down", error=str(error), retry_in=round(self._pause.left(), 1))

    async def _propagate(self, pace: Pace, outcome: Outcome) -> None:
        assert self._round is not None
        if not self.config.propagate_deletes or self._pause.left():
            return
        try:
            deleted = await self._round.deletions.run()
        except PausedError as error:
            self._begin_pause(error, pace)
            outcome.trouble = str(error)
            return
        outcome.deleted += deleted.done
        outcome.held_deletions = deleted.held
        outcome.trouble = outcome.trouble or deleted.error

    def _trouble(self, error: Exception, outcome: Outcome, file: str = "") -> None:
        """Say what the disk refused, once until it is well again."""
        outcome.trouble = str(error)
        if outcome.trouble not in self._told:
            self._told.add(outcome.trouble)
            self._log.error("outbox_trouble", error=outcome.trouble, **({"file": file} if file else {}))


async def _waited(event: asyncio.Event) -> None:
    await event.wait()

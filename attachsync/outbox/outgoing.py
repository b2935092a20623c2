"""One `[[outbox]]` kept empty: by a single pass (`sync`) or for as long as the daemon runs."""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from attachsync.clock import Clock
from attachsync.errors import MirrorHeldError, StorageError
from attachsync.index.uploads import Uploads
from attachsync.model import Outbox, Sender
from attachsync.outbox.crew import Crew, Job
from attachsync.outbox.deletions import Deletions
from attachsync.outbox.either import either
from attachsync.outbox.journey import Ending, Journey, NoMore, Notice
from attachsync.outbox.outcome import Outcome
from attachsync.outbox.pacing import Once, Pace, Pause, Steady
from attachsync.outbox.reactions import PausedError
from attachsync.outbox.requests import GRACE, HASTE
from attachsync.outbox.round import Round
from attachsync.outbox.telling import Telling
from attachsync.outbox.watching import Watch
from attachsync.spool import Spool

if TYPE_CHECKING:
    from attachsync.logger import FilteringBoundLogger

_LONGEST_REST = 30.0
"""An outbox is looked at this often (seconds), whatever the watcher says."""
_TROUBLE_REST = 5.0
_SHORTEST_REST = 0.05
_SHARE = 4
"""Between two looks lies at least so many times what the last one took: a full outbox is not looked at all the time."""
_ROOT_REST = 2.0
"""How often (seconds) the path is compared with the directory that is open: no watcher tells when they part."""
_DELETIONS_APART = 10.0


class Outgoing:
    """One outbox. `notify` is told of each file that was sent or failed, `queued` how many there are to send.

    `width`: uploads at once; one where each is also a message, so that messages keep their order. `secrets`: the
    account's secret files.
    """

    def __init__(
        self,
        config: Outbox,
        sender: Sender,
        uploads: Uploads,
        clock: Clock,
        *,
        width: int = 8,
        secrets: Sequence[Path] = (),
        notify: Callable[[Notice], None] = lambda _notice: None,
        queued: Callable[[int], None] = lambda _count: None,
        log: "FilteringBoundLogger | None" = None,
    ) -> None:
        self.config = config
        self._sender = sender
        self._uploads = uploads
        self._clock = clock
        self._notify = notify
        self._queued = queued
        from attachsync.logger import structlog

        bound: FilteringBoundLogger = structlog.get_logger() if log is None else log
        self._log = bound.bind(account=config.account, outbox=str(config.directory))
        self._wake = asyncio.Event()
        self._ended = asyncio.Event()
        """A job came to an end that may bring the next look forward."""
        self._pause = Pause(clock, secrets)
        self._pace: Pace = Steady(clock)
        self._outcome = Outcome()
        self._width = 1 if sender.posts() else width
        self._crew = Crew(self._do, self._room, self._left)
        self._round: Round | None = None
        self._looked_at = self._deletions_at = -math.inf
        self._deletions_wait = False
        self._down_at = 0.0
        """When (monotonic) the account went down, if it is."""
        self._telling = Telling(str(config.directory), uploads, self._log)
        self._odd: frozenset[str] = frozenset()
        self._made = False
        self._finishing = False
        self._grace = GRACE
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
        common = config, spool, self._sender, self._uploads, self._clock, self._log
        journey = Journey(*common, self._notify, self._later, lambda: self._grace)
        deletions = Deletions(*common)
        self._round = Round(config, spool, journey, deletions, self._uploads, self._clock)

    def close(self) -> None:
        """Close the directory and give up its lock. The sender and the index are the caller's."""
        if self._round is not None:
            self._round.spool.close()
            self._round = None

    def look_now(self) -> None:
        """Have `keep` look at once."""
        self._wake.set()

    def hurry(self) -> None:
        """Another config is about to take over: uploads under way have less time to end."""
        self._grace = HASTE

    def finish(self) -> None:
        """Have `keep` (or `flush`) return when the uploads under way are done; it begins no other."""
        self._finishing = True
        self._crew.drop()
        self._wake.set()

    # --- a single pass ------------------------------------------------------------------------------------------

    async def flush(self, patience: float | None = None) -> Outcome:
        """Send all that is there, waiting up to `patience` seconds (default 10 x settle) for files to settle.

        What fails for the moment is tried up to three times more, after short waits. Raises MirrorHeldError, and
        StorageError where the directory cannot be opened; later trouble is in the outcome.
        """
        opened_here = self._round is None
        self.open()
        pace = Once(self._clock)
        deadline = self._clock.monotonic() + (10 * self.config.settle if patience is None else patience)
        self._pause.skip()
        try:
            async with self._at_work(pace) as outcome:
                try:
                    await self._send_all(pace, outcome, deadline)
                    await self._propagate()
                except (OSError, StorageError) as error:
                    self._trouble(error)
        finally:
            if opened_here:
                self.close()
        return outcome

    async def _send_all(self, pace: Once, outcome: Outcome, deadline: float) -> None:
        is_late = False
        while True:
            looked = self._clock.monotonic()
            await self._look(single=True)
            await self._crew.idle()
            now = self._clock.monotonic()
            if looked < deadline <= now and not is_late:  # others took so long: what has settled meanwhile is not left
                is_late, deadline = True, now + 2 * self.config.settle
            outcome.held = self._uploads.waiting_for_person(str(self.config.directory))
            if self._pause.error is not None:
                outcome.trouble = str(self._pause.error)
            wait = self._worth_waiting(pace, outcome, deadline)
            if wait is None or self._finishing:
                return
            await self._clock.sleep(max(wait, 0.01))

    def _worth_waiting(self, pace: Once, outcome: Outcome, deadline: float) -> float | None:
        """How long a single pass waits before it looks again; None: what is left is left for the next pass."""
        if self._pause.error is not None and outcome.later:
            return self._pause.left() if self._pause.over_soon() else None
        assert self._round is not None
        if self._round.more:
            return 0.0
        now = self._clock.monotonic()
        spans = []
        if (outcome.waiting or outcome.busy) and now < deadline:
            spans.append(min(self._round.next_time(), deadline) - now)
        turn = pace.next_at(outcome.later)
        if turn is not None:
            spans.append(turn - now)
        return min(spans, default=None)

    # --- for as long as the daemon runs -------------------------------------------------------------------------

    async def keep(self) -> None:
        """Keep the outbox empty until cancelled or `finish`. Raises MirrorHeldError, StorageError only at the start."""
        self.open()
        try:
            async with self._at_work(Steady(self._clock)), asyncio.TaskGroup() as group:
                watching = group.create_task(self._watch.run())
                while not self._finishing:
                    self._wake.clear()
                    await self._rest(*await self._turn())
                await self._crew.idle()
                watching.cancel()
        finally:
            self.close()

    async def _turn(self) -> tuple[float, float]:
        """One look; the seconds that the next one stays away at least, and at most."""
        self._looked_at = self._clock.monotonic()
        try:
            await self._reopen()
            await self._look(single=False)
            self._deletions_wait = self._clock.monotonic() < self._deletions_at
            if self.config.propagate_deletes and not self._deletions_wait:
                await self._propagate()
                self._deletions_at = self._clock.monotonic() + _DELETIONS_APART
        except (OSError, StorageError, MirrorHeldError) as error:
            self._trouble(error)
            return _TROUBLE_REST, _TROUBLE_REST
        assert self._round is not None
        return max(_SHORTEST_REST, _SHARE * self._round.cost), _LONGEST_REST

    async def _reopen(self) -> None:
        """Follow the path to another directory: the old one, renamed or unmounted, is no longer the outbox."""
        if self._round is not None and self._round.spool.is_current():
            return
        self._crew.drop()
        await self._crew.idle()
        self.close()
        self.open()
        self._watch.renew()

    async def _rest(self, least: float, most: float) -> None:
        """Wait for the next look: for a hint, a time, or the path to lead elsewhere."""
        end = self._clock.monotonic() + most
        await self._clock.sleep(least)
        while not self._wake.is_set():
            self._ended.clear()
            wait = min(end, self._next_time()) - self._clock.monotonic()
            if wait <= 0 or self._round is None or not self._round.spool.is_current():
                return
            await either(self._clock.sleep(min(wait, _ROOT_REST)), self._wake, self._ended)

    def _next_time(self) -> float:
        """The moment (monotonic) at which there may be something to do without a hint.

        What has come up since the last look began counts, even if its time is over by now.
        """
        self._pause.look()
        now, wall = self._clock.monotonic(), self._clock.now()
        times = [self._deletions_at] if self._deletions_wait else []
        if self._pause.until > self._looked_at:
            times.append(self._pause.until)
        elif self._round is not None:
            times.append(self._round.next_time())
            retry = self._uploads.next_retry(str(self.config.directory), wall - (now - self._looked_at))
            times += [] if retry is None else [now + retry - wall]
        return min(times, default=math.inf)

    # --- both ---------------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _at_work(self, pace: Pace) -> AsyncIterator[Outcome]:
        """Do what looks bring, in the background."""
        self._pace, self._outcome = pace, Outcome()
        self._telling.begin(deletes=self.config.propagate_deletes)
        async with asyncio.TaskGroup() as group:
            working = group.create_task(self._crew.work())
            try:
                yield self._outcome
            finally:
                working.cancel()

    async def _look(self, *, single: bool) -> None:
        """Scan, and hand on what is ready."""
        assert self._round is not None
        outcome = self._outcome
        if not (single or outcome.trouble or self._round.in_trouble):
            self._telling.well()
        outcome.begin()
        jobs = await self._round.jobs(self._pace, outcome, lambda: self._crew.names, single=single)
        self._watch.follow(self._round.folders)
        for name in sorted(outcome.odd.keys() - self._odd):
            self._log.warning("odd_name", file=name, reason=outcome.odd[name])
        self._odd = frozenset(outcome.odd)
        self._crew.add(jobs)
        self._queued(len(self._crew) + len(outcome.waiting | outcome.busy))

    def _room(self) -> int:
        """How many jobs may be under way. An account that was in trouble is tried with one."""
        if self._finishing or self._pause.left():
            return 0
        return self._width if self._pause.error is None else 1

    def _later(self, name: str, asked: float, journaled: float) -> float:
        return self._pace.tried(name, asked, journaled)

    def _left(self, name: str) -> None:
        self._outcome.later.add(name)

    async def _do(self, job: Job, no_more: NoMore) -> None:
        assert self._round is not None
        began, ending = self._clock.monotonic(), None
        try:
            ending = await job.run(no_more)
        except PausedError as error:
            self._outcome.later.add(job.name)
            self._pace.tried(job.name)
            self._begin_pause(error)
        except (OSError, StorageError) as error:
            self._outcome.later.add(job.name)
            self._pace.tried(job.name)
            self._round.tried(job, None)
            self._trouble(error, job.name)
        else:
            self._outcome.note(job.name, ending)
            self._round.tried(job, ending)
            if ending is Ending.SENT and self._pause.lift(began):
                self._log.info("account_up", down_for=round(self._clock.monotonic() - self._down_at, 1))
        in_trouble = self._telling.told and not self._round.in_trouble
        if in_trouble or self._round.overtaken(job) or self._round.hungry(len(self._crew)):
            self._wake.set()
        if ending not in (Ending.SENT, Ending.FAILED):
            self._ended.set()

    def _begin_pause(self, error: PausedError) -> None:
        if self._pause.begin(error, self._pace):
            self._down_at = self._clock.monotonic()
            self._log.error("account_down", error=str(error), retry_in=round(self._pause.left(), 1))

    async def _propagate(self) -> None:
        assert self._round is not None
        outcome = self._outcome
        if not self.config.propagate_deletes or self._pause.left():
            return
        try:
            deleted = await self._round.deletions.run()
        except PausedError as error:
            self._begin_pause(error)
            outcome.trouble = str(error)
            self._telling.deletions(outcome.trouble)
            return
        self._telling.deletions(deleted.error)
        outcome.deleted += deleted.done
        outcome.held_deletions = deleted.held
        outcome.trouble = outcome.trouble or deleted.error

    def _trouble(self, error: Exception, file: str = "") -> None:
        self._outcome.trouble = self._telling.disk(error, file)

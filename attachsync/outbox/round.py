"""What there is to do in an open outbox: its scan, its journal, and whose turn it is."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from attachsync import settle
from attachsync.clock import Clock
from attachsync.index.uploads import Upload, Uploads
from attachsync.model import Outbox
from attachsync.outbox.deletions import Deletions
from attachsync.outbox.journey import Ending, Journey
from attachsync.outbox.outcome import Outcome
from attachsync.outbox.pacing import Pace
from attachsync.settle import Sighting, Stamp
from attachsync.spool import Found, Spool
from attachsync.threads import in_thread

_UNDER_WAY = frozenset({"uploaded", "posting", "filing"})
"""Journal states in which the upload itself is done."""


@dataclass(frozen=True, slots=True)
class Job:
    """One file to send, or to finish."""

    name: str
    stamp: Stamp | None
    run: Callable[[], Awaitable[Ending]]


class Round:
    """The jobs of one open outbox, look by look."""

    def __init__(
        self,
        config: Outbox,
        spool: Spool,
        journey: Journey,
        deletions: Deletions,
        uploads: Uploads,
        clock: Clock,
    ) -> None:
        self.spool = spool
        self.deletions = deletions
        self._config = config
        self._journey = journey
        self._uploads = uploads
        self._clock = clock
        self._sightings: dict[str, Sighting] = {}
        self._last: dict[str, Stamp] = {}
        """What a file that is to be tried again, or is held, looked like when it was tried."""

    async def jobs(self, pace: Pace, outcome: Outcome, *, single: bool) -> list[Job]:
        """Scan, settle what a kill left in the journal, and list what is to be done now.

        `single`: there is no next look soon, so a file's own times count for an empty file's minute.
        """
        found = await in_thread(self.spool.scan)
        outcome.odd = found.odd
        self._sightings = settle.observe(self._sightings, found.files, self._clock.monotonic())
        self._last = {name: stamp for name, stamp in self._last.items() if name in found.files}
        rows = await self._rows(found, outcome)
        finishing = [row for row in rows.values() if row.state in _UNDER_WAY]
        jobs = [Job(row.name, None, partial(self._journey.resume, row)) for row in finishing if pace.due(row.name, row)]
        outcome.later |= {row.name for row in finishing} - {job.name for job in jobs}
        return jobs + self._takes(found, rows, pace, outcome, single=single)

    async def _rows(self, found: Found, outcome: Outcome) -> dict[str, Upload]:
        """The unfinished rows, after those left by a kill, or of files that are gone, were dealt with."""
        outbox = str(self._config.directory)
        for row in self._uploads.unfinished(outbox):
            lost = row.name not in found.files and row.state not in _UNDER_WAY
            if lost and not await in_thread(self.spool.has, row.name):
                outcome.note(row.name, await self._journey.gone(row))
            elif row.state == "sending":
                await self._journey.recover(row)
        return {row.name: row for row in self._uploads.unfinished(outbox)}

    def _takes(self, found: Found, rows: dict[str, Upload], pace: Pace, outcome: Outcome, *, single: bool) -> list[Job]:
        now, wall = self._clock.monotonic(), self._clock.now() if single else None
        ready = settle.ready(self._sightings, now, self._config.settle, wall=wall)
        under_way = {row.name for row in rows.values() if row.state in _UNDER_WAY}
        outcome.waiting = found.files.keys() - set(ready) - under_way
        jobs = []
        for name in ready:
            row, stamp = rows.get(name), found.files[name]
            if row is None or self._wanted(row, stamp, pace):
                jobs.append(Job(name, stamp, partial(self._journey.take, name, stamp)))
            elif row.state == "retry":
                outcome.later.add(name)
        return jobs

    def _wanted(self, row: Upload, stamp: Stamp, pace: Pace) -> bool:
        """Whether a file with an open row is taken now: its turn has come, or it is another file by now."""
        last = self._last.get(row.name)
        if row.state == "held":
            return last != stamp  # to see whether the bytes are still those that are held
        return row.state == "retry" and (pace.due(row.name, row) or (last is not None and last != stamp))

    def tried(self, job: Job, ending: Ending, pace: Pace) -> None:
        """Remember how a try ended."""
        if ending is Ending.LATER:
            pace.tried(job.name)
        if ending in (Ending.LATER, Ending.HELD) and job.stamp is not None:
            self._last[job.name] = job.stamp

    def next_ready(self) -> float | None:
        """Seconds until the next file may have settled."""
        return settle.next_ready(self._sightings, self._clock.monotonic(), self._config.settle)

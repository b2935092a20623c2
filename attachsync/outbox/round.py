"""What there is to do in an open outbox: its scan, its journal, and whose turn it is."""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial

from attachsync import settle
from attachsync.clock import Clock
from attachsync.folders import Identity
from attachsync.index.uploads import Upload, Uploads
from attachsync.model import Outbox
from attachsync.outbox.crew import Job
from attachsync.outbox.deletions import Deletions
from attachsync.outbox.journey import Ending, Journey
from attachsync.outbox.outcome import Outcome
from attachsync.outbox.pacing import Pace
from attachsync.settle import Sighting, Stamp
from attachsync.spool import Found, Spool
from attachsync.threads import in_thread

_UNDER_WAY = frozenset({"uploaded", "posting", "filing"})
"""Journal states in which the upload itself is done."""
_MOST = 2000
"""So many jobs are under way or wait for their turn; the rest of a full outbox waits in its folder."""
_SHORTEST_REST = 0.1
_LONGEST_BUSY_REST = 1.0
_LONGEST_TROUBLE_REST = 30.0


@dataclass(frozen=True, slots=True)
class _Rest:
    """A file that could not be taken: how often in a row, and when (monotonic) it is tried again."""

    tries: int
    until: float
    busy: bool


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
        self.folders: Mapping[str, Identity] = {}
        """The sub-folders that the latest scan saw."""
        self.cost = 0.0
        """How long the latest scan took, in seconds."""
        self.more = False
        """Whether the latest look left files that could be taken for another one, or one may be there by now."""
        self._config = config
        self._journey = journey
        self._uploads = uploads
        self._clock = clock
        self._sightings: dict[str, Sighting] = {}
        self._last: dict[str, Stamp] = {}
        """What a file that is to be tried again, or is held, looked like when it was tried."""
        self._rests: dict[str, _Rest] = {}
        self._looked_at = -math.inf
        self._settled_at = math.inf

    async def jobs(
        self, pace: Pace, outcome: Outcome, under_way: Callable[[], Collection[str]], *, single: bool
    ) -> list[Job]:
        """Scan, settle what a kill left in the journal, and list what is to be done now, in order of arrival.

        `under_way`: the files that are being worked on at this moment; they are left alone. `single`: there is no
        next look soon, so a file's own times count for an empty file's minute.
        """
        taken = set(under_way())
        wall = self._clock.now() if single else None
        found, ready = await in_thread(self._survey, wall)
        taken.update(under_way())
        outcome.odd, self.folders = found.odd, found.folders
        outcome.waiting = found.files.keys() - set(ready) - taken
        self._last = {name: stamp for name, stamp in self._last.items() if name in found.files}
        self._rests = {name: rest for name, rest in self._rests.items() if name in found.files}
        rows = await self._rows(found, outcome, taken)
        finishing = [row for row in rows.values() if row.state in _UNDER_WAY]
        outcome.waiting -= {row.name for row in finishing}
        jobs = [Job(row.name, None, partial(self._journey.resume, row)) for row in finishing if pace.due(row.name, row)]
        outcome.later |= {row.name for row in finishing} - {job.name for job in jobs}
        jobs += self._takes(found, [name for name in ready if name not in taken], rows, pace, outcome)
        room = max(0, _MOST - len(taken))
        self.more = len(jobs) > room
        return jobs[:room]

    def _survey(self, wall: float | None) -> tuple[Found, list[str]]:
        """What is there, and the names that have settled. Runs in a thread: there may be very many."""
        began = self._clock.monotonic()
        found = self.spool.scan()
        now = self._clock.monotonic()
        self._sightings = settle.observe(self._sightings, found.files, now)
        ready = settle.ready(self._sightings, now, self._config.settle, wall=wall)
        following = settle.next_ready(self._sightings, now, self._config.settle)
        self._settled_at = math.inf if following is None else now + following
        self._looked_at, self.cost = now, self._clock.monotonic() - began
        return found, ready

    async def _rows(self, found: Found, outcome: Outcome, taken: Collection[str]) -> dict[str, Upload]:
        """The unfinished rows, after those left by a kill, or of files that are gone, were dealt with."""
        outbox = str(self._config.directory)
        for row in self._uploads.unfinished(outbox):
            if row.name in taken:
                continue
            lost = row.name not in found.files and row.state not in _UNDER_WAY
            if lost and not await in_thread(self.spool.has, row.name):
                outcome.note(row.name, await self._journey.gone(row))
            elif row.state == "sending":
                await self._journey.recover(row)
        return {row.name: row for row in self._uploads.unfinished(outbox) if row.name not in taken}

    def _takes(
        self, found: Found, ready: list[str], rows: dict[str, Upload], pace: Pace, outcome: Outcome
    ) -> list[Job]:
        jobs = []
        for name in ready:
            row, stamp, rest = rows.get(name), found.files[name], self._rests.get(name)
            if rest is not None and rest.until > self._looked_at:
                (outcome.busy if rest.busy else outcome.later).add(name)
            elif row is None or self._wanted(row, stamp, pace):
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

    def tried(self, job: Job, ending: Ending | None) -> None:
        """Remember how a try ended; None: the disk was in the way."""
        self.more |= ending is Ending.DROPPED  # another file may have its name
        if ending in (Ending.LATER, Ending.HELD) and job.stamp is not None:
            self._last[job.name] = job.stamp
        before = self._rests.pop(job.name, None)
        if ending in (Ending.BUSY, None):
            tries, busy = (before.tries + 1 if before else 0), ending is Ending.BUSY
            longest = min(_LONGEST_BUSY_REST, self._config.settle) if busy else _LONGEST_TROUBLE_REST
            rest = max(_SHORTEST_REST, min(longest, _SHORTEST_REST * 2.0 ** min(tries, 20)))
            self._rests[job.name] = _Rest(tries, self._clock.monotonic() + rest, busy)

    def hungry(self, under_way: int) -> bool:
        """Whether it is time to look for more jobs."""
        return self.more and under_way < _MOST // 2

    def overtaken(self, job: Job) -> bool:
        """Whether a look saw another file under a job's name while it was done: it was left alone then."""
        seen = self._sightings.get(job.name)
        return seen is not None and seen.stamp != job.stamp

    @property
    def in_trouble(self) -> bool:
        """Whether the disk is in the way of a file."""
        return any(not rest.busy for rest in self._rests.values())

    def next_time(self) -> float:
        """When (monotonic) the next file may have settled since the latest look, or may be taken after all."""
        rests = (rest.until for rest in self._rests.values() if rest.until > self._looked_at)
        return min(self._settled_at, min(rests, default=math.inf))

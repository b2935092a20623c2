"""Having many small attachments where nothing is out of the ordinary: record, bytes, store, name. In another process.

An errand is done wholly, or left: of one that was left nothing is there that matters, and the ordinary way begins it
from the start. So here is no word on what to do about trouble. All can be done twice, and be broken off anywhere.
"""

import asyncio
import contextlib
import functools
import hashlib
import signal
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TypeGuard

import uvloop

from attachsync.answers import Reply, is_about_more
from attachsync.canonical import compact
from attachsync.durable import sync
from attachsync.errors import MalformedError
from attachsync.line import Direct, Line, Refusal
from attachsync.linking import Placing, Shown
from attachsync.model import Standing
from attachsync.objects import Landing
from attachsync.orders import LARGEST, PATIENCE, STOP, Done, Had, Order
from attachsync.refusals import Refusals
from attachsync.threads import in_thread

_RECORD = 256 * 1024
"""Larger records (bytes) are left."""
_AT_FIRST, TOGETHER = 8, 64
"""So many records are read together, the first time and at most."""
IN_MEMORY = 8 * 1024 * 1024
"""So many bytes wait to be stored together."""
_LINES = 8
"""To so many origins, and with so many tokens, connections are kept."""


class _OverError(Exception):
    """Nothing more is to be asked."""


_Came = dict[int, tuple[Had, bytes | None]]
"""Number of an errand -> what is had once its bytes are stored; None where they are."""


class _Run:
    """One order being done."""

    def __init__(self, order: Order, place: "_Place", refused: Callable[[Refusal], None]) -> None:
        self.done = Done()
        self._order = order
        self._place = place
        self._refused = refused
        self._refused_at = place.refusals.at(order.to)
        self._waiting = deque(range(len(order.errands)))
        self._said: list[tuple[int, bytes]] = []
        self._together = _AT_FIRST
        self._due: deque[tuple[int, Had]] = deque()
        self._came: _Came = {}
        self._held = 0
        self._storing: asyncio.Task[None] | None = None

    async def run(self) -> Done:
        """Ask for all of it until that is done, or over; store and show what came."""
        async with asyncio.TaskGroup() as self._stores:
            try:
                line = self._place.line(self._order.to)
                async with self._place.limit(self._order), asyncio.TaskGroup() as group:
                    for _ in range(min(self._order.width, len(self._order.errands))):
                        group.create_task(self._some(line))
            except* (_OverError, OSError):  # of which TimeoutError is one
                self.done.is_broken = True
            if self._storing is not None:
                await asyncio.wait({self._storing})
            if self._came:
                self._store()
        return self.done

    async def _some(self, line: Line) -> None:
        """Ask for one thing after the other: bytes, where it is known of what, or else the next record."""
        while self._due or self._waiting or self._said:
            if self._place.is_late:
                self.done.is_broken = True
                return
            if self._due:
                await self._fetch(*self._due.popleft(), line)
            elif self._waiting:
                await self._ask(self._waiting.popleft(), line)
            else:
                self._read()

    async def _ask(self, number: int, line: Line) -> None:
        said = await self._get(line, self._order.errands[number].record, _RECORD)
        if said is not None:
            self._said.append((number, said))
            if len(self._said) >= self._together:
                self._read()

    def _read(self) -> None:
        """Read the records that have come, all together: between two requests it would take three times as long.

        More of them each time: where bytes take long, few records are asked for in vain.
        """
        said, self._said = self._said, []
        self._together = min(2 * self._together, TOGETHER)
        for number, record in said:
            with contextlib.suppress(MalformedError):
                self._read_one(number, record)

    def _read_one(self, number: int, said: bytes) -> None:
        errand, order = self._order.errands[number], self._order
        facts = errand.facts(Reply(200, {}, said, errand.record).json())
        if facts.standing is not Standing.GOOD or facts.sha256 != errand.digest:
            return
        if facts.size is None or facts.size > order.max_size or facts.media_type is None:
            return
        is_here = order.linker.objects.has(errand.digest, facts.size)
        had = Had(facts.size, facts.media_type, compact(facts.record), facts.again, not is_here)
        if is_here:
            self._came[number] = had, None
        elif facts.size <= LARGEST:
            self._due.append((number, had))

    async def _fetch(self, number: int, had: Had, line: Line) -> None:
        body = await self._get(line, self._order.errands[number].content, had.size)
        if body is None or len(body) != had.size:
            return
        self._came[number] = had, body
        self._held += had.size
        if self.done.is_torn:
            raise _OverError
        while self._held >= IN_MEMORY:
            if self._storing is None or self._storing.done():
                self._store()
            else:
                await asyncio.wait({self._storing})

    async def _get(self, line: Line, target: str, most: int) -> bytes | None:
        """The body of a plain answer; None where it is not plain. Raises _OverError, OSError."""
        if self._refused_at.is_since(self._order.made_at):
            raise _OverError
        answer = await line.get(target, most)
        if is_about_more(answer.status):
            self._refused_at.note()
            self._refused((answer.status, answer.headers))
            raise _OverError
        return answer.body if answer.is_plain else None

    def _store(self) -> None:
        """Begin to store what came."""
        came, self._came, self._held = self._came, {}, 0
        self._storing = self._stores.create_task(self._keep(came))

    async def _keep(self, came: _Came) -> None:
        """Store and show what came and is what it should be, all together; what the disk refuses is left.

        Meanwhile the time stands still. Only for the syncs is there a thread: for all of it, it would take longer, as
        it would have to wait for us at each step.
        """
        for number, (_, body) in list(came.items()):
            if body is not None and hashlib.sha256(body).hexdigest() != self._order.errands[number].digest:
                del came[number]
        placings = [self._placing(number, body) for number, (_, body) in came.items()]
        shown = Shown([], {})
        try:
            with self._place.standing_still(), contextlib.closing(self._order.linker.showing(placings, shown)) as work:
                for wanted in work:
                    await in_thread(sync, wanted)
        except OSError:
            self.done.is_broken = self.done.is_torn = True
            return
        self.done.fell_back |= shown.fell_back
        for (number, (had, _)), error in zip(came.items(), shown.errors, strict=True):
            if error is None:
                self.done.had[number] = had

    def _placing(self, number: int, body: bytes | None) -> Placing:
        errand = self._order.errands[number]
        landing = None if body is None else Landing(errand.digest, len(body), (body,))
        return Placing(errand.path, errand.digest, landing)


class _Place:
    """What a process keeps between orders: its event loop, and connections."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._loop = self._runner.get_loop()
        self._limit: asyncio.Timeout | None = None
        self._made_at = self._span = 0.0
        self._stopped_at = 0.0
        self._lines: dict[Direct, Line] = {}
        self.refusals = Refusals()
        signal.signal(STOP, self._stop)

    @contextlib.asynccontextmanager
    async def limit(self, order: Order) -> AsyncIterator[None]:
        """As long as an order may take at most, and not beyond STOP. Raises TimeoutError."""
        self._made_at, self._span = order.made_at, order.span
        if self._is_over:
            raise TimeoutError
        try:
            async with asyncio.timeout(order.span * PATIENCE) as self._limit:
                yield
        finally:
            self._limit = None

    @property
    def _is_over(self) -> bool:
        return self._stopped_at > self._made_at

    @property
    def is_late(self) -> bool:
        """Whether nothing more is to be begun."""
        ends_at = None if self._limit is None else self._limit.when()
        return ends_at is not None and self._loop.time() > ends_at - (PATIENCE - 1) * self._span

    @contextlib.contextmanager
    def standing_still(self) -> Iterator[None]:
        """Time does not count, unless it is over."""
        began, limit = time.monotonic(), self._limit
        ends_at = None if limit is None else limit.when()
        if self._is_counting(limit):
            limit.reschedule(None)
        try:
            yield
        finally:
            if self._is_counting(limit) and ends_at is not None:
                limit.reschedule(ends_at + time.monotonic() - began)

    def _is_counting(self, limit: asyncio.Timeout | None) -> TypeGuard[asyncio.Timeout]:
        return limit is not None and limit is self._limit and not limit.expired() and not self._is_over

    def _stop(self, _number: int, _frame: object) -> None:
        """STOP came. It may find an order under way, or be there before it; one that is made later is not meant."""
        self._stopped_at = time.monotonic()
        self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        if self._is_over and self._limit is not None and not self._limit.expired():
            self._limit.reschedule(0)

    def do(self, order: Order, refused: Callable[[Refusal], None]) -> Done:
        """Do an order; blocks."""
        return self._runner.run(self._do(order, refused))

    async def _do(self, order: Order, refused: Callable[[Refusal], None]) -> Done:
        return await _Run(order, self, refused).run()

    def line(self, to: Direct) -> Line:
        """The connections there, of which nobody else's are used. Raises OSError where `ca_file` cannot be read."""
        if to not in self._lines:
            self._lines[to] = Line(to)
            if len(self._lines) > _LINES:
                self._lines.pop(next(iter(self._lines))).close()
        return self._lines[to]


@functools.cache
def _place() -> _Place:
    return _Place()


def prepare(refusals: int) -> None:
    """Be ready for orders, and for STOP; `refusals`: a descriptor of memory that is shared with others."""
    _place().refusals = Refusals(refusals)


def run(order: Order, refused: Callable[[Refusal], None]) -> Done:
    """Do an order, in this process: let it be one of its own. `refused` hears of a refusal as soon as it comes."""
    return _place().do(order, refused)

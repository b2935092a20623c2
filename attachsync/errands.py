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
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import uvloop

from attachsync.answers import Reply, is_about_more
from attachsync.canonical import compact
from attachsync.errors import MalformedError
from attachsync.line import Direct, Line, Refusal
from attachsync.linking import Linker, Placing
from attachsync.model import JSON, Digest, Facts, Standing
from attachsync.objects import Landing
from attachsync.refusals import Refusals

LARGEST = 1024 * 1024
"""Larger bodies (bytes) are no errands,"""
_RECORD = 256 * 1024
"""nor are such records."""
_IN_MEMORY = 8 * 1024 * 1024
"""So many bytes wait to be stored together."""
STOP = signal.SIGUSR1
"""Sent to the process, it breaks off what was ordered before."""
_PATIENCE = 3
_LINES = 8
"""To so many origins, and with so many tokens, connections are kept."""


class Errand(NamedTuple):
    """One attachment that two GETs of the account's own origin should bring: its record, then its bytes.

    Tuples are sent from process to process in a third of the time.
    """

    record: str
    """Path and query of its record, below the account's base URL,"""
    content: str
    """and of its bytes."""
    facts: Callable[[JSON], Facts]
    """Reads the record; raises MalformedError. It is sent to the other process: a function of a module."""
    digest: Digest
    """What the listing states, and the record and the bytes have to agree with."""
    path: str
    """What is to show it, relative to the mirror."""


@dataclass(frozen=True, slots=True)
class Order:
    """Errands to one origin, `width` at a time. What is larger than `max_size` (bytes) is left.

    After `span` seconds nothing more is begun; after `_PATIENCE` times as many, what has been begun is broken off.
    """

    to: Direct
    errands: Sequence[Errand]
    linker: Linker
    width: int
    max_size: int
    span: float
    made_at: float = field(default_factory=time.monotonic)
    """By the clock that processes share: a STOP is for what was made before it."""


class Had(NamedTuple):
    """An attachment whose bytes are stored and shown, durably, and what its record said."""

    size: int
    media_type: str
    record: str
    """What is to be kept of the record, as JSON,"""
    again: float | None
    """and after how many seconds to ask for it again; None: never."""
    is_fetched: bool
    """Whether its bytes were not in the store already."""


@dataclass(slots=True)
class Done:
    """What became of an order's errands."""

    had: dict[int, Had] = field(default_factory=dict)
    """Number of an errand that was done -> what came of it."""
    is_broken: bool = False
    """It was broken off: by a refusal of the service or the disk, a failed connection, STOP, or the end of the time."""
    is_torn: bool = False
    """Something may be stored or shown of what was left."""
    fell_back: dict[str, str] = field(default_factory=dict)
    """As `Shown` has it."""


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
        self._ends_at = asyncio.get_running_loop().time() + order.span
        self._waiting = self._numbers()
        self._came: _Came = {}
        self._held = 0

    async def run(self) -> Done:
        """Ask for all of it until that is done, or over; store and show what came."""
        try:
            line = self._place.line(self._order.to)
            async with self._place.limit(self._order), asyncio.TaskGroup() as group:
                for _ in range(min(self._order.width, len(self._order.errands))):
                    group.create_task(self._some(line))
        except* (_OverError, OSError):  # of which TimeoutError is one
            self.done.is_broken = True
        self._store()
        return self.done

    def _numbers(self) -> Iterator[int]:
        """Errands, one after the other, as long as there is time to begin one."""
        for number in range(len(self._order.errands)):
            if asyncio.get_running_loop().time() > self._ends_at:
                self.done.is_broken = True
                return
            yield number

    async def _some(self, line: Line) -> None:
        for number in self._waiting:
            with contextlib.suppress(MalformedError):
                await self._do(number, line)

    async def _do(self, number: int, line: Line) -> None:
        errand, order = self._order.errands[number], self._order
        said = await self._get(line, errand.record, _RECORD)
        if said is None:
            return
        facts = errand.facts(Reply(200, {}, said, errand.record).json())
        if facts.standing is not Standing.GOOD or facts.sha256 != errand.digest:
            return
        if facts.size is None or facts.size > order.max_size or facts.media_type is None:
            return
        body = None
        if not order.linker.objects.has(errand.digest, facts.size):
            body = await self._get(line, errand.content, facts.size) if facts.size <= LARGEST else None
            if body is None or len(body) != facts.size:
                return
        record = compact(facts.record)
        self._came[number] = Had(facts.size, facts.media_type, record, facts.again, body is not None), body
        self._held += len(body or b"")
        if self._held >= _IN_MEMORY:
            began = time.monotonic()
            self._store()
            self._allow(time.monotonic() - began)

    def _allow(self, span: float) -> None:
        """Nobody could ask for so many seconds: they are added."""
        self._ends_at += span
        self._place.allow(span)

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
        """Store and show what came and is what it should be, all together; what the disk refuses is left.

        Nobody is asked meanwhile: a thread would take longer, as it would have to wait for the others at each step.
        """
        came, self._came, self._held = self._came, {}, 0
        for number, (_, body) in list(came.items()):
            if body is not None and hashlib.sha256(body).hexdigest() != self._order.errands[number].digest:
                del came[number]
        try:
            shown = self._order.linker.show([self._placing(number, body) for number, (_, body) in came.items()])
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
        self._made_at = 0.0
        self._stopped_at = 0.0
        self._lines: dict[Direct, Line] = {}
        self.refusals = Refusals()
        signal.signal(STOP, self._stop)

    @contextlib.asynccontextmanager
    async def limit(self, order: Order) -> AsyncIterator[None]:
        """As long as an order may take at most, and not beyond STOP. Raises TimeoutError."""
        self._made_at = order.made_at
        if self._is_over:
            raise TimeoutError
        try:
            async with asyncio.timeout(order.span * _PATIENCE) as self._limit:
                yield
        finally:
            self._limit = None

    @property
    def _is_over(self) -> bool:
        return self._stopped_at > self._made_at

    def allow(self, span: float) -> None:
        """The limit is so many seconds later, unless it is over."""
        limit = self._limit
        if limit is not None and not limit.expired() and (ends_at := limit.when()) is not None:
            limit.reschedule(ends_at + span)

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

"""What is shown of a pass while it goes on: counts, rates, and the time that is left. Pure: the clock is passed in."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import click
from rich.cells import cell_len, set_cell_size

from attachsync.cli import rates
from attachsync.cli.columns import Cell, table
from attachsync.cli.rates import Meter
from attachsync.model import NEEDS_A_PERSON
from attachsync.observer import Filed, Observer, Outcome, Reading
from attachsync.units import human_size, printable

_LONG = 1.0
"""What has been on its way for so long (seconds) is shown by itself."""
_MOST_READINGS = 4
_AROUND = 4
"""Lines that are neither a row nor a file: headings, an empty one, and two of sums."""
_NUMBERS = ("listed", "done", "to go", "files/s", "bytes/s", "left")
_NARROW = 72
"""Windows less wide than this have no room for the rates of each row."""
_STEADY = {"done": 5, "to go": 5, "bytes/s": 9, "left": 7}
"""Columns as wide as what may come: the view is not to jump."""
_LONGEST_BAR = 40


@dataclass(slots=True)
class Row:
    """The progress of a track, an account, an outbox, or all. `listed`: None where nobody lists."""

    name: str
    listed: int | None = 0
    done: int = 0
    to_go: int = 0
    files_rate: float = 0.0
    bytes_rate: float = 0.0
    coming: int = 0
    """Bytes that are yet to come of what is on its way, as far as that is known."""
    ended: bool = False
    """Whether its listing has: then all that is to do is known."""
    failed: bool = False

    @property
    def left(self) -> float | None:
        """Seconds; None: that cannot be told."""
        return rates.left(self.to_go, self.coming, self.files_rate, self.bytes_rate)


@dataclass(slots=True)
class _Lane:
    """What happened on a track or in an outbox."""

    account: str
    row: Row
    meter: Meter


@dataclass(slots=True)
class _Coming:
    """An attachment's bytes on their way."""

    reading: Reading
    since: float
    got: int = 0


@dataclass(slots=True)
class Board(Observer):
    """Hears of a pass. `clock` is monotonic; `lines` may be asked by another thread."""

    clock: Callable[[], float]
    dashes: tuple[str, str] = ("━", "─")
    """What the bar is made of."""
    troubled: int = 0
    """Attachments and files that could not be mirrored or sent."""
    _tracks: dict[str, _Lane] = field(default_factory=dict)
    _outboxes: dict[str, _Lane] = field(default_factory=dict)
    _coming: dict[tuple[str, str], _Coming] = field(default_factory=dict)
    bytes: int = 0
    """How many came, and were sent."""
    _began: float = 0.0

    def __post_init__(self) -> None:
        self._began = self.clock()

    # --- what happens ---------------------------------------------------------------------------------------------

    def _track(self, account: str, track: str) -> _Lane:
        if track not in self._tracks:
            self._tracks[track] = _Lane(account, Row(track), Meter(self.clock()))
        return self._tracks[track]

    def _outbox(self, account: str, outbox: str) -> _Lane:
        if outbox not in self._outboxes:
            self._outboxes[outbox] = _Lane(account, Row(outbox, listed=None, ended=True), Meter(self.clock()))
        return self._outboxes[outbox]

    def outstanding(self, account: str, track: str, count: int) -> None:
        """More to do."""
        self._track(account, track).row.to_go += count

    def listed(self, account: str, track: str, listed: int, new: int) -> None:
        """More to do."""
        row = self._track(account, track).row
        row.listed = (row.listed or 0) + listed
        row.to_go += new

    def received(self, reading: Reading, count: int) -> None:
        """More bytes; a new reading of the same attachment begins anew."""
        coming = self._coming.get((reading.track, reading.key))
        if coming is None or coming.reading is not reading:
            coming = self._coming[reading.track, reading.key] = _Coming(reading, self.clock(), reading.start)
        coming.got += count
        self.bytes += count
        self._track(reading.account, reading.track).meter.bytes += count

    def ended(self, reading: Reading) -> None:
        """Nothing of it is on its way any more, unless it is being read anew."""
        coming = self._coming.get((reading.track, reading.key))
        if coming is not None and coming.reading is reading:
            del self._coming[reading.track, reading.key]

    def settled(self, outcome: Outcome) -> None:
        """One less to do."""
        self.troubled += outcome.state in NEEDS_A_PERSON
        self._one(self._track(outcome.account, outcome.track))

    def queued(self, account: str, outbox: str, count: int) -> None:
        """So many to send."""
        self._outbox(account, outbox).row.to_go = count

    def filed(self, filed: Filed) -> None:
        """One less to send."""
        lane = self._outbox(filed.account, filed.outbox)
        self.troubled += filed.event == "failed"
        lane.meter.bytes += filed.size
        self.bytes += filed.size
        self._one(lane)

    def _one(self, lane: _Lane) -> None:
        lane.meter.files += 1
        lane.row.done += 1
        lane.row.to_go = max(lane.row.to_go - 1, 0)

    def track_ended(self, account: str, track: str, error: str) -> None:
        """All that is to do is known now, or will not be."""
        row = self._track(account, track).row
        row.ended, row.failed = True, bool(error)

    # --- what is shown --------------------------------------------------------------------------------------------

    def lines(self, width: int, height: int) -> list[str]:
        """The whole view, in at most so many lines; tracks one by one where there is room, else by account."""
        now = self.clock()
        self._measure(now)
        tracks, outboxes = list(self._tracks.values()), [lane.row for lane in list(self._outboxes.values())]
        files = [line for coming in self._longest(now) for line in self._file(coming, width)]
        room = max(height - _AROUND - len(files), 1)
        rows = [lane.row for lane in tracks] + outboxes
        if len(rows) > room:
            rows = [*_by_account(tracks), *outboxes]
        shown = [*rows[: room - 1], _together(f"{len(rows) - room + 1} more", rows[room - 1 :])]
        rows = rows if len(rows) <= room else shown
        whole = _together("", [lane.row for lane in tracks] + outboxes)
        heading = "track" if len(rows) == len(tracks) + len(outboxes) else "account"
        body = self._table(heading, rows, width)
        return [*body, *files, "", *self._sums(whole, now, width)][:height]

    def _table(self, heading: str, rows: list[Row], width: int) -> Iterator[str]:
        numbers = [number for number in _NUMBERS if width >= _NARROW or not number.endswith("/s")]
        cells = [[cell[name] for name in ("", *numbers)] for cell in map(_cells, rows)]
        return table((heading, *numbers), cells, right=numbers, elastic=heading, width=width, least=_STEADY)

    def progress(self) -> str:
        """How far it has come: `60 of 105 done`."""
        rows = [lane.row for lane in (*self._tracks.values(), *self._outboxes.values())]
        whole = _together("", rows)
        return f"{whole.done:,} of {whole.done + whole.to_go:,}" + ("" if whole.ended else " so far") + " done"

    def _measure(self, now: float) -> None:
        for lane in (*list(self._tracks.values()), *list(self._outboxes.values())):
            lane.row.files_rate, lane.row.bytes_rate = lane.meter.rates(now)
            lane.row.coming = 0
        for coming in list(self._coming.values()):
            if coming.reading.size is not None:
                row = self._track(coming.reading.account, coming.reading.track).row
                row.coming += max(coming.reading.size - coming.got, 0)

    def _longest(self, now: float) -> list[_Coming]:
        """What has been on its way longest."""
        found = [coming for coming in list(self._coming.values()) if now - coming.since >= _LONG]
        return sorted(found, key=lambda coming: coming.since)[:_MOST_READINGS]

    def _file(self, coming: _Coming, width: int) -> Iterator[str]:
        size, room = coming.reading.size, max(width - 34, 10)
        of = f"{100 * coming.got // size:>3}% of {human_size(size)}" if size else human_size(coming.got)
        yield f"  {set_cell_size(printable(coming.reading.name), room)}  {of}"[: width - 1]

    def _sums(self, whole: Row, now: float, width: int) -> Iterator[str]:
        of = whole.done + whole.to_go
        known = f"{whole.done:,} of {of:,}" + ("" if whole.ended else " so far")
        speed = f"{_rate(whole.files_rate)} files/s, {human_size(whole.bytes_rate)}/s"
        none = "nothing is new" if whole.ended and self._tracks else "listing"
        told = f"{known}, {speed}, {_left(whole)} left" if of else none
        room = min(_LONGEST_BAR, width - cell_len(told) - 2)
        yield f"{self._bar(whole.done, of, room)}  {told}" if of and room >= 5 else told
        trouble = f"; {self.troubled:,} could not be mirrored or sent" if self.troubled else ""
        yield f"{human_size(self.bytes)} in {rates.clock(now - self._began)}" + click.style(trouble, fg="red")

    def _bar(self, done: int, of: int, width: int) -> str:
        full = width * done // of
        return click.style(self.dashes[0] * full, fg="green") + click.style(self.dashes[1] * (width - full), dim=True)


def _by_account(tracks: Iterable[_Lane]) -> list[Row]:
    found: dict[str, list[Row]] = {}
    for lane in tracks:
        found.setdefault(lane.account, []).append(lane.row)
    return [_together(account, rows) for account, rows in found.items()]


def _together(name: str, rows: list[Row]) -> Row:
    """Several rows as one."""
    return Row(
        name,
        listed=sum(row.listed or 0 for row in rows),
        done=sum(row.done for row in rows),
        to_go=sum(row.to_go for row in rows),
        files_rate=sum(row.files_rate for row in rows),
        bytes_rate=sum(row.bytes_rate for row in rows),
        coming=sum(row.coming for row in rows),
        ended=all(row.ended for row in rows),
        failed=any(row.failed for row in rows),
    )


def _cells(row: Row) -> dict[str, object]:
    """A row's cells by heading; its name under the empty one."""
    left = Cell("failed", "red") if row.failed else Cell(_left(row), None if row.to_go or not row.ended else "green")
    listed = "" if row.listed is None else f"{row.listed:,}"
    at_work = row.to_go or not row.ended
    speed = human_size(row.bytes_rate) if at_work and row.bytes_rate >= 1 else ""
    return {
        "": row.name,
        "listed": listed,
        "done": f"{row.done:,}",
        "to go": f"{row.to_go:,}",
        "files/s": _rate(row.files_rate) if at_work else "",
        "bytes/s": speed,
        "left": left,
    }


def _rate(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}" if rate > 0.05 else ""


def _left(row: Row) -> str:
    if not row.to_go:
        return "done" if row.ended else "listing"
    if row.left is None:
        return "?"
    return ("" if row.ended else ">") + rates.clock(row.left)

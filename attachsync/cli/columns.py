"""Tables for people: aligned, styled on terminals, and no wider than these are. Pure, but for a terminal's size."""

import shutil
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import click
from rich.cells import cell_len, set_cell_size

from attachsync.units import printable

_GAP = "  "
_LEAST = 16
"""A column that gives way keeps so many cells."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Text with a colour; which is left out where nobody could see it (click)."""

    text: str
    colour: str | None = None

    def padded(self, width: int, *, right: bool) -> str:
        """As wide as its column."""
        blank = " " * (width - cell_len(self.text))
        text = click.style(self.text, fg=self.colour) if self.colour and self.text else self.text
        return blank + text if right else text + blank


def terminal_width() -> int | None:
    """How many cells a line of the terminal has; None where standard output is none: nothing is cut there."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def table(
    headings: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    right: Collection[str] = (),
    elastic: str | None = None,
    width: int | None = None,
    least: Mapping[str, int] = {},
) -> Iterator[str]:
    """Lines of a table. `right`: headings of numbers; `elastic`: of the column that is shortened to keep to `width`.

    `least`: how wide a column is at least, for tables that are drawn again and again. A last column that is not elastic
    is never cut: a path can be copied from it.
    """
    cells = [[_cell(value) for value in row] for row in rows]
    titles = [Cell(heading) for heading in headings]
    widths = [max(cell_len(cell.text) for cell in column) for column in zip(titles, *cells, strict=True)]
    widths = [max(cells_wide, least.get(heading, 0)) for cells_wide, heading in zip(widths, headings, strict=True)]
    if elastic is not None and width is not None:
        at = list(headings).index(elastic)
        over = sum(widths) + len(_GAP) * (len(widths) - 1) - width
        if over > 0:
            widths[at] = max(widths[at] - over, min(_LEAST, widths[at]))
            cells = [[*row[:at], _shortened(row[at], widths[at]), *row[at + 1 :]] for row in cells]
    yield click.style(_line(titles, widths, headings, right), bold=True)
    for row in cells:
        yield _line(row, widths, headings, right)


def _cell(value: object) -> Cell:
    cell = value if isinstance(value, Cell) else Cell("" if value is None else str(value))
    return Cell(printable(cell.text), cell.colour)


def _line(cells: Sequence[Cell], widths: Sequence[int], headings: Sequence[str], right: Collection[str]) -> str:
    padded = (
        cell.padded(width, right=heading in right) for cell, width, heading in zip(cells, widths, headings, strict=True)
    )
    return _GAP.join(padded).rstrip()


def _shortened(cell: Cell, width: int) -> Cell:
    """Cut in the middle: names of tracks differ at both ends."""
    if cell_len(cell.text) <= width:
        return cell
    behind = (width - 1) // 3
    before = set_cell_size(cell.text, width - 1 - behind).rstrip()
    return Cell(f"{before}…{_end(cell.text, behind)}", cell.colour)


def _end(text: str, width: int) -> str:
    """The last cells of a text."""
    while cell_len(text) > width:
        text = text[1:]
    return text

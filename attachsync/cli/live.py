"""A pass on a terminal: a view that is drawn in place, and above it a line for each thing that went wrong."""

import sys
import time
from types import TracebackType
from typing import Self

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from attachsync.cli.board import Board
from attachsync.cli.watching import Tally, down, filed_line, line
from attachsync.model import State
from attachsync.observer import Filed, Outcome, Reading
from attachsync.units import printable

_A_SECOND = 5
"""So often it is drawn anew."""


class LiveView(Tally):
    """The view, while it is open. Logs and warnings go above it."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self.board = Board(time.monotonic, ("━", "─") if console.encoding.startswith("utf") else ("#", "-"))
        self._drawn: list[str] = []
        self._width = console.width
        self._live = Live(
            get_renderable=self._view,
            console=console,
            refresh_per_second=_A_SECOND,
            transient=True,
            redirect_stderr=sys.stderr.isatty(),
            vertical_overflow="crop",
        )

    @classmethod
    def here(cls) -> "LiveView | None":
        """A view on standard output, if that is a terminal that can show one."""
        console = Console()
        return cls(console) if sys.stdout.isatty() and console.is_terminal and not console.is_dumb_terminal else None

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()
        if kind is not None and issubclass(kind, KeyboardInterrupt | click.exceptions.Exit):
            self._say(f"{self.board.progress()}; the next pass goes on from here")

    def _view(self) -> Text:
        """What is to be drawn now, after what a narrower window made of the last drawing is wiped away."""
        width, height = self._console.size
        if width < self._width and self._drawn:
            more = sum(-(-len(line) // width) - 1 for line in self._drawn if line)
            self._console.file.write("\r\x1b[2K\x1b[1A" * more)
        self._width = width
        lines = [Text.from_ansi(line) for line in self.board.lines(width, height - 1)]
        self._drawn = [line.plain for line in lines]
        return Text("\n", no_wrap=True, overflow="crop").join(lines)

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    # --- what happens ---------------------------------------------------------------------------------------------

    def outstanding(self, account: str, track: str, count: int) -> None:
        """Shown."""
        self.board.outstanding(account, track, count)

    def listed(self, account: str, track: str, listed: int, new: int) -> None:
        """Counted, and shown."""
        super().listed(account, track, listed, new)
        self.board.listed(account, track, listed, new)

    def received(self, reading: Reading, count: int) -> None:
        """Shown."""
        self.board.received(reading, count)

    def ended(self, reading: Reading) -> None:
        """Shown."""
        self.board.ended(reading)

    def settled(self, outcome: Outcome) -> None:
        """Counted, and shown; what could not be mirrored is said."""
        super().settled(outcome)
        self.board.settled(outcome)
        if outcome.state not in (State.STORED, State.WAITING):
            self._say(line(outcome))

    def queued(self, account: str, outbox: str, count: int) -> None:
        """Shown."""
        self.board.queued(account, outbox, count)

    def filed(self, filed: Filed) -> None:
        """Counted, shown, and said."""
        super().filed(filed)
        self.board.filed(filed)
        self._say(filed_line(filed))

    def track_ended(self, account: str, track: str, error: str) -> None:
        """Shown."""
        self.board.track_ended(account, track, error)

    def account_down(self, account: str, error: str) -> None:
        """Said."""
        self._say(printable(down(account, error)))

"""A screen that is drawn again and again, in place: nothing of it stays behind, and nothing of it flickers."""

import shutil
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import click

from attachsync.cli import TERMINATED

_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l"
"""The other screen, without a cursor; what is too long is cut, not folded."""
_LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l"


class Screen:
    """A terminal's screen, while it is ours."""

    def __init__(self) -> None:
        self._resized = threading.Event()

    def resized(self, _number: int, _frame: FrameType | None) -> None:
        """SIGWINCH: what is there is drawn anew at once."""
        self._resized.set()

    def draw(self, lines: Sequence[str]) -> None:
        """Show these lines; those that do not fit are counted."""
        rows = shutil.get_terminal_size().lines
        if len(lines) > rows:
            lines = [*lines[: rows - 1], f"… {len(lines) - rows + 1} more lines: make the window higher"]
        click.echo("\x1b[H" + "\n".join(f"{line}\x1b[K" for line in lines) + "\x1b[J", nl=False)
        sys.stdout.flush()

    def rest(self, seconds: float) -> None:
        """Wait, but no longer than until the terminal has another size."""
        self._resized.wait(seconds)
        self._resized.clear()


@contextmanager
def full_screen() -> Iterator[Screen]:
    """The terminal's screen until the end of this, whatever ends it."""
    screen = Screen()
    before = {signal.SIGWINCH: screen.resized, signal.SIGTERM: _terminate}
    old = {number: signal.signal(number, handler) for number, handler in before.items()}
    click.echo(_ENTER, nl=False)
    try:
        yield screen
    finally:
        click.echo(_LEAVE, nl=False)
        for number, handler in old.items():
            signal.signal(number, handler)


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise click.exceptions.Exit(TERMINATED)

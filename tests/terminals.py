"""A real terminal for the tests of the commands: a pseudo-terminal of a size, what was written to it, and its keys."""

import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.commands import environment

_TAKE = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
"""Makes the terminal that of the new session, for Ctrl-C to reach it, and becomes the command."""
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass
class Terminal:
    """A command in a terminal."""

    process: "subprocess.Popen[bytes]"
    keyboard: int
    _written: bytearray = field(default_factory=bytearray)

    @property
    def raw(self) -> str:
        """All that was written so far, with its control sequences."""
        return bytes(self._written).decode(errors="replace")

    @property
    def lines(self) -> list[str]:
        """The same without them."""
        return re.split(r"\r*\n|\r", _CONTROL.sub("", self.raw))

    def resize(self, columns: int, rows: int) -> None:
        """Give it another size; the command is told."""
        fcntl.ioctl(self.keyboard, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def interrupt(self) -> None:
        """Ctrl-C."""
        os.write(self.keyboard, b"\x03")

    def read(self) -> None:
        """Read until the other side closes."""
        with contextlib.suppress(OSError):
            while block := os.read(self.keyboard, 65536):
                self._written += block

    def ended(self, within: float = 20) -> int:
        """Its exit code."""
        return self.process.wait(within)


@contextlib.contextmanager
def terminal(*arguments: object, home: Path, columns: int = 80, rows: int = 24, **variables: str) -> Iterator[Terminal]:
    """Run the real command in a terminal of its own, which is also where its keys come from."""
    keyboard, screen = pty.openpty()
    said = {name: value for name, value in environment(home).items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    running = subprocess.Popen(
        [sys.executable, "-c", _TAKE, sys.executable, "-m", "attachsync", *map(str, arguments)],
        env=said | {"TERM": "xterm-256color"} | variables,
        cwd=home,
        stdin=screen,
        stdout=screen,
        stderr=screen,
        start_new_session=True,
    )
    one = Terminal(running, keyboard)
    one.resize(columns, rows)
    os.close(screen)
    reading = threading.Thread(target=one.read)
    reading.start()
    try:
        yield one
    finally:
        if running.poll() is None:
            running.send_signal(signal.SIGKILL)
        running.wait()
        reading.join()
        os.close(keyboard)

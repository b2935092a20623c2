"""A process of its own for the disk: where there is much to do, its Python does not wait for ours, nor ours for it.

It is given functions whose every effect is on the disk, and which can be done a second time: whatever it had begun when
it was lost is done again, here. It ends with the process that began it, and not before, whatever signals a terminal or
a service manager sends to all of them.
"""

import contextlib
import ctypes
import functools
import gc
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

T = TypeVar("T")
R = TypeVar("R")

_MUCH = 16
"""So many items at once are worth starting a process for,"""
_FEW = 4
"""and fewer than this not worth bothering it."""
_REST = 10.0
"""Unused for so many seconds, it may end."""
_CALL = "call"
_DIES_WITH_PARENT = 1
"""PR_SET_PDEATHSIG (man 2 prctl)."""


class Worker:
    """At most one such process. All of it blocks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._is_ready = False
        """Whether it has said so."""
        self.is_lost = False
        self._used_at = 0.0

    def do(self, function: Callable[[Sequence[T]], R], items: Sequence[T]) -> R:
        """What `function` makes of items: there, if it is ready and they are not few, else here. Raises what it raises.

        Function and items have to be such that they can be sent.
        """
        with self._lock:
            is_started = self._connection is not None
            if not is_started and len(items) >= _MUCH:
                self._start()
            answer = self._asked(function, items) if is_started and len(items) >= _FEW else None
        return function(items) if answer is None else _given(answer)

    def ask(self, function: Callable[[T, Callable[[], None]], R], item: T, hear: Callable[[], object]) -> R | None:
        """The same of one item that is much to do: there, and nowhere else. None if the process is lost.

        What the function gets besides, it may call: it is heard here at once, in this thread.
        """
        with self._lock:
            if self._connection is None:
                self._start()
            answer = self._asked(function, item, hear)
        return None if answer is None else _given(answer)

    def interrupt(self, number: signal.Signals) -> None:
        """Send the process a signal, if it is there and ready for any."""
        process = self._process
        if process is not None and self._is_ready:
            process.send_signal(number)

    def _asked(
        self, function: Callable[..., R], item: T, hear: Callable[[], object] | None = None
    ) -> tuple[bool, Any] | None:
        """(True, what `function` makes of it) or (False, what it raises); None if the process is lost."""
        self._used_at = time.monotonic()
        if self._connection is None or self.is_lost:
            return None
        try:
            if not self._is_ready:
                self._connection.recv()
                self._is_ready = True
            self._connection.send((function, item, hear is not None))
            while (answer := self._connection.recv()) == _CALL:
                if hear is not None:
                    hear()
        except (OSError, EOFError):
            self.is_lost = True
            return None
        given: tuple[bool, Any] = answer
        return given

    def _start(self) -> None:
        if self.is_lost:
            return
        from multiprocessing import Pipe

        ours, theirs = Pipe()
        with theirs:
            command = [sys.executable, "-P", "-m", __name__, str(theirs.fileno())]
            try:
                self._process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=[theirs.fileno()]
                )
            except OSError:
                ours.close()
                self.is_lost = True
                return
        self._connection = ours

    @property
    def is_at_rest(self) -> bool:
        """Whether there is a process that has not been used for a while. Does not block."""
        return self._process is not None and time.monotonic() - self._used_at > _REST

    def close(self) -> None:
        """End the process."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            if self._process is not None:
                self._process.wait()
            self._connection = self._process = None
            self._is_ready = self.is_lost = False


def _given(answer: tuple[bool, Any]) -> Any:
    is_done, said = answer
    if is_done:
        return said
    raise said


def _serve(descriptor: int) -> None:
    """Do what comes until nobody is there any more."""
    from multiprocessing.connection import Connection

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, signal.SIGKILL)
    with Connection(descriptor) as connection, contextlib.suppress(EOFError, ConnectionError):
        connection.send("ready")
        call = functools.partial(connection.send, _CALL)
        while True:
            function, items, may_call = connection.recv()
            answer: tuple[bool, Any]
            try:
                answer = True, function(items, call) if may_call else function(items)
            except Exception as error:  # whatever it is, the one who asked is to have it
                answer = False, error
            try:
                connection.send(answer)
            except (pickle.PicklingError, RecursionError, TypeError, AttributeError) as error:
                connection.send((False, RuntimeError(f"what it came to cannot be sent: {error}")))


if __name__ == "__main__":
    os.umask(0o077)
    gc.set_threshold(50_000)  # it makes no circles to speak of
    _serve(int(sys.argv[1]))
    gc.freeze()  # who waits for the end of it need not wait for garbage

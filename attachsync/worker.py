"""A process of its own for the disk: where there is much to do, its Python does not wait for ours, nor ours for it.

It is given functions whose every effect is on the disk, and which can be done a second time: whatever it had begun when
it was lost is done again, here. It ends with the process that began it, and not before, whatever signals a terminal or
a service manager sends to all of them.
"""

import contextlib
import ctypes
import gc
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

T = TypeVar("T")
R = TypeVar("R")
S = TypeVar("S")

_MUCH = 16
"""So many items at once are worth starting a process for,"""
_FEW = 4
"""and fewer than this not worth bothering it."""
_REST = 10.0
"""Unused for so many seconds, it may end."""
_GARBAGE = 50_000
"""After so many new objects, circles are looked for in it: it makes none to speak of."""
_CALL = "call"
_NOT_FOR_IT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_DIES_WITH_PARENT = 1
"""PR_SET_PDEATHSIG (man 2 prctl)."""


class Worker:
    """At most one such process. It inherits `descriptors`, and does `prepare` before it is ready. All of it blocks."""

    def __init__(self, prepare: Callable[[], object] | None = None, descriptors: Sequence[int] = ()) -> None:
        self._prepare = prepare
        self._descriptors = descriptors
        self._lock = threading.Lock()
        self._process: _Process | None = None
        self._connection: Connection | None = None
        self.is_ready = False
        """Whether it has said so: for what it is asked, and for signals."""
        self.is_lost = False
        self._used_at = 0.0

    def fork(self) -> None:
        """Begin it now, as a copy of this process, which has loaded what takes a new one a tenth of a second.

        Before there is an event loop here. Where there are other threads it is left for later: they cannot be copied.
        """
        if threading.active_count() == 1:
            with self._lock:
                self._start(_forked)

    def ready(self) -> None:
        """Have it begun, and wait until it is ready, or lost."""
        with self._lock, self._losing():
            self._used_at = time.monotonic()
            if self._connection is None:
                self._start(_spawned)
            self._wait()

    def do(self, function: Callable[[Sequence[T]], R], items: Sequence[T]) -> R:
        """What `function` makes of items: there, if it is ready and they are not few, else here. Raises what it raises.

        Function and items have to be such that they can be sent.
        """
        with self._lock:
            is_started = self._connection is not None
            if not is_started and len(items) >= _MUCH:
                self._start(_spawned)
            answer = self._asked(function, items) if is_started and len(items) >= _FEW else None
        return function(items) if answer is None else _given(answer)

    def ask(self, function: Callable[[T, Callable[[S], None]], R], item: T, hear: Callable[[S], object]) -> R | None:
        """The same of one item that is much to do: there, and nowhere else. None if the process is lost.

        What the function gets besides, it may call with what is to be heard here at once, in this thread.
        """
        with self._lock:
            if self._connection is None:
                self._start(_spawned)
            answer = self._asked(function, item, hear)
        return None if answer is None else _given(answer)

    def interrupt(self, number: signal.Signals) -> None:
        """Send the process a signal, if it is there and ready for any."""
        process = self._process
        if process is not None and self.is_ready:
            process.send_signal(number)

    def _asked(
        self, function: Callable[..., R], item: T, hear: Callable[[Any], object] | None = None
    ) -> tuple[bool, Any] | None:
        """(True, what `function` makes of it) or (False, what it raises); None if the process is lost."""
        self._used_at = time.monotonic()
        with self._losing():
            self._wait()
            if self._connection is not None and not self.is_lost:
                self._connection.send((function, item, hear is not None))
                answer: tuple[Any, Any]
                while (answer := self._connection.recv())[0] == _CALL:
                    if hear is not None:
                        hear(answer[1])
                return answer
        return None

    def _wait(self) -> None:
        if self._connection is not None and not self.is_lost and not self.is_ready:
            self._connection.recv()
            self.is_ready = True

    @contextlib.contextmanager
    def _losing(self) -> Iterator[None]:
        """Where it does not answer, it is lost."""
        try:
            yield
        except (OSError, EOFError):
            self.is_lost = True

    def _start(self, begin: "Callable[[int, Sequence[int]], _Process]") -> None:
        if self.is_lost:
            return
        from multiprocessing import Pipe

        with self._losing(), contextlib.ExitStack() as stack:
            ours, theirs = map(stack.enter_context, Pipe())
            self._process = begin(theirs.fileno(), self._descriptors)
            ours.send(self._prepare)
            theirs.close()
            stack.pop_all()
            self._connection = ours

    @property
    def is_at_rest(self) -> bool:
        """Whether there is a process that has not been used for a while. Does not block."""
        return self._process is not None and time.monotonic() - self._used_at > _REST

    def end(self) -> None:
        """Have the process end, for which `close` waits."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()

    def close(self) -> None:
        """End the process."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            if self._process is not None:
                if not self.is_ready:
                    self._process.kill()  # nothing was asked of it yet
                self._process.wait()
            self._connection = self._process = None
            self.is_ready = self.is_lost = False


def _given(answer: tuple[bool, Any]) -> Any:
    is_done, said = answer
    if is_done:
        return said
    raise said


class _Process(Protocol):
    """One that was begun here."""

    def send_signal(self, number: int, /) -> None: ...

    def kill(self) -> None: ...

    def wait(self) -> int: ...


def _spawned(descriptor: int, others: Sequence[int]) -> _Process:
    """A new process, which serves on a descriptor, and inherits it and others."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", __name__, str(descriptor)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=[descriptor, *others],
        process_group=0,  # Ctrl-C is not for it, from its first moment
    )


def _forked(descriptor: int, others: Sequence[int]) -> _Process:
    """The same, as a copy of this one."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _NOT_FOR_IT)  # there, until it ignores them
    try:
        pid = os.fork()
        if pid == 0:
            _live(descriptor, others, before)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return _Copy(pid)


def _live(descriptor: int, others: Sequence[int], mask: Iterable[int]) -> NoReturn:
    """What a copy does in place of what it is a copy of, of which it keeps nothing open."""
    try:
        os.setpgid(0, 0)
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        os.dup2(nothing, 1)
        for number in {int(name) for name in os.listdir("/proc/self/fd")} - {0, 1, 2, descriptor, *others}:
            with contextlib.suppress(OSError):  # that of the list itself is closed already
                os.close(number)
        gc.set_threshold(_GARBAGE)
        _serve(descriptor, mask)
    finally:
        os._exit(0)


class _Copy:
    """A process that was forked, with what is asked of one that `subprocess` began."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def send_signal(self, number: int, /) -> None:
        os.kill(self._pid, number)

    def kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)

    def wait(self) -> int:
        return os.waitpid(self._pid, 0)[1]


def _serve(descriptor: int, mask: Iterable[int] = ()) -> None:
    """Prepare, then do what comes until nobody is there any more."""
    from multiprocessing.connection import Connection

    for number in _NOT_FOR_IT:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, signal.SIGKILL)
    if os.sched_getscheduler(0) == os.SCHED_OTHER:
        with contextlib.suppress(OSError):  # our units refuse it
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))  # let who is at work go on when it has to wake
    with Connection(descriptor) as connection, contextlib.suppress(EOFError, ConnectionError):
        prepare = connection.recv()
        if prepare is not None:
            prepare()
        connection.send("ready")

        def call(said: object) -> None:
            connection.send((_CALL, said))

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
    gc.set_threshold(_GARBAGE)
    _serve(int(sys.argv[1]))
    os._exit(0)  # who waits for the end of it need not wait for an interpreter to take itself apart

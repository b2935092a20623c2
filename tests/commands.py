"""What the tests of the commands share: a sandbox behind a thread, a config that uses it, and running attachsync."""

import asyncio
import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
import structlog

from attachsync import cli
from attachsync.sandbox import Sandbox, sample, serve, write_config

T = TypeVar("T")
_LEFT_OUT = re.compile(r"\[accounts\.(ids|signing)|\[\[track\]\]\naccount = \"(ids|signing|support)")
"""What the tests of the commands do without: two services more say nothing new of them."""
LIGHT = "ledger/assets/c04d5ecf-02e0-4be2-a014-ffbbf0e8ddeb"


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def documents(self) -> list[Any]:
        """Standard output as one JSON document a line."""
        return [json.loads(line) for line in self.out.splitlines()]


def environment(home: Path) -> dict[str, str]:
    """An environment in which only `home` can hold a config."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("ATTACHSYNC", "XDG_", "NOTIFY_"))}
    return {**kept, "HOME": str(home), "COLUMNS": "100", "PYTHONUNBUFFERED": "1"}


def attachsync(*arguments: object, home: Path, **variables: str) -> Done:
    """Run a command in this process: the same code as the real one, without a second of start-up."""
    out, err = io.StringIO(), io.StringIO()
    said = {**environment(home), **variables}
    try:
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            for name in os.environ.keys() - said.keys():
                patch.delenv(name)
            for name, value in said.items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["attachsync", *map(str, arguments)])
            code = cli.main()
    finally:
        structlog.reset_defaults()
    assert "Traceback" not in err.getvalue(), err.getvalue()
    return Done(code, out.getvalue(), err.getvalue())


def spawn(*arguments: object, home: Path, before: tuple[str, ...] = (), **variables: str) -> "subprocess.Popen[str]":
    """Start the real command, `before` in front of it; its standard error goes to `home/log`."""
    with (home / "log").open("a") as log:
        return subprocess.Popen(
            [*before, sys.executable, "-m", "attachsync", *map(str, arguments)],
            env=environment(home) | variables,
            cwd=home,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )


@contextlib.contextmanager
def process(
    *arguments: object, home: Path, before: tuple[str, ...] = (), **variables: str
) -> "Iterator[subprocess.Popen[str]]":
    """The real command, killed at the end if it has not ended by then."""
    with spawn(*arguments, home=home, before=before, **variables) as running:
        try:
            yield running
        finally:
            running.kill()


def others_can_run() -> bool:
    """Whether another user can reach the interpreter and the package: not where the checkout is private."""
    places = (Path(sys.executable), Path(sys.prefix), Path(cli.__file__))
    return all(parent.stat().st_mode & 0o001 for place in places for parent in place.parents)


needs_two_users = pytest.mark.skipif(
    os.geteuid() != 0 or not others_can_run(), reason="needs root, to be two users, and a checkout that both can reach"
)


def until(condition: Callable[[], T], seconds: float = 10) -> T:
    """Look again and again until something is so; fail if it never is."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.02)
    return found


@dataclass
class Stage:
    """A sandbox, and a config in `home` that uses it."""

    box: Sandbox
    base: str
    home: Path
    config: Path = field(init=False)
    mirror: Path = field(init=False)
    outbox: Path = field(init=False)

    def __post_init__(self) -> None:
        self.mirror, self.outbox = self.home / "mirror", self.home / "outbox"
        folder = self.home / "config"
        folder.mkdir()
        whole = write_config(self.box, self.base, folder, self.outbox)
        text = "\n\n".join(table for table in whole.split("\n\n") if not _LEFT_OUT.match(table))
        self.config = folder / "config.toml"
        self.config.write_text(text.replace(str(folder / "mirror"), str(self.mirror)) + 'settle = "50ms"\n')

    def run(self, *arguments: object, **variables: str) -> Done:
        """A command with this config, in this process."""
        return attachsync("--config", self.config, *arguments, home=self.home, **variables)

    def process(
        self, *arguments: object, before: tuple[str, ...] = (), **variables: str
    ) -> "contextlib.AbstractContextManager[Any]":
        """The real command with this config."""
        return process("--config", self.config, *arguments, home=self.home, before=before, **variables)

    def drop(self, name: str, text: str = "quarterly\n") -> Path:
        """Put a file into the outbox."""
        path = self.outbox / name
        path.write_text(text)
        return path

    def edit(self, old: str, new: str) -> None:
        """Save a changed config, whole."""
        text = self.config.read_text()
        assert old in text
        fresh = self.config.with_suffix(".new")
        fresh.write_text(text.replace(old, new))
        fresh.replace(self.config)

    def tree(self, *below: str) -> list[str]:
        """All files below `home`."""
        root = self.home.joinpath(*below)
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())

    def first(self, *filters: object) -> Any:
        """The first attachment that `ls` lists."""
        return self.run("ls", "--json", *filters).documents[0]


@contextlib.contextmanager
def stage(home: Path, *, full: bool = True) -> Iterator[Stage]:
    """Serve a sandbox (`full`: with the sample data) in a thread of its own."""
    box = Sandbox()
    if full:
        sample(box)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    runner, port = asyncio.run_coroutine_threadsafe(serve(box), loop).result(5)
    try:
        yield Stage(box, f"http://127.0.0.1:{port}", home)
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def stop(running: "subprocess.Popen[str]", number: int = signal.SIGTERM, within: float = 30) -> int:
    """Send a signal, and wait for the end: the exit code."""
    running.send_signal(number)
    return running.wait(within)

"""What commands share: the config, running coroutines under signals, and printing results."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Collection, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from attachsync import config as configs
from attachsync import ownership
from attachsync.cli import TERMINATED, nobody_reads
from attachsync.index import Index
from attachsync.reader import Config
from attachsync.units import counted, printable

__all__ = [
    "config_of",
    "counted",
    "json_line",
    "json_option",
    "opened",
    "peeked",
    "print_json",
    "print_pairs",
    "print_table",
    "printable",
    "run",
    "say",
]

T = TypeVar("T")

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def config_of(context: click.Context) -> Config:
    """The config that this command is to use. Raises ConfigError."""
    config = configs.load(configs.search(context.obj, os.environ), os.environ)
    ownership.check_mirror(config)
    return config


@contextmanager
def peeked(config: Config) -> Iterator[Index]:
    """The index, for reading beside a daemon."""
    index = Index.peek(config.state_directory)
    try:
        yield index
    finally:
        index.close()


@contextmanager
def opened(config: Config) -> Iterator[Index]:
    """The index, for writing beside a daemon; where there is none yet, an empty one that is not kept."""
    folder = config.state_directory
    index = Index.open(folder) if Index.is_in(folder) else Index.peek(folder)
    try:
        yield index
    finally:
        index.close()


def in_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in an event loop of its own, as `asyncio.run` does; this one takes less time for each request."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end. SIGTERM ends it, tidily, and the command exits 143; Ctrl-C exits 130."""
    terminated, before = False, signal.getsignal(signal.SIGTERM)

    async def under_signals() -> T:
        task = asyncio.ensure_future(work)

        def terminate() -> None:
            nonlocal terminated
            terminated = True
            task.cancel()

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminate)
        return await task

    try:
        return in_loop(under_signals())
    except asyncio.CancelledError:
        if terminated:
            raise click.exceptions.Exit(TERMINATED) from None
        raise
    finally:
        signal.signal(signal.SIGTERM, before)  # the loop leaves the system's own way of ending behind


def say(text: str) -> None:
    """One line of what goes on, at once. Where it cannot be written, nothing more is said, and what goes on does so."""
    try:
        sys.stdout.write(f"{text}\n")  # click.echo would look at the terminal each time
        sys.stdout.flush()
    except OSError as error:
        nobody_reads(sys.stdout)
        if not isinstance(error, BrokenPipeError):
            click.echo(f"attachsync: standard output: {error.strerror}; nothing more is said there", err=True)


def json_line(value: object) -> str:
    """One JSON document, on one line."""
    return json.dumps(value, ensure_ascii=False, default=str)


def print_json(value: object) -> None:
    """One JSON document, on one line, printed."""
    click.echo(json_line(value))


def print_table(
    headings: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    right: Collection[str] = (),
    elastic: str | None = None,
) -> None:
    """A table for people: aligned, no wider than a terminal, and never cut where nobody looks."""
    from attachsync.cli import columns

    for line in columns.table(headings, rows, right=right, elastic=elastic, width=columns.terminal_width()):
        click.echo(line)


def print_pairs(values: Mapping[str, object]) -> None:
    """`name  value` lines for people; what is not known is left out, what has parts is shown by part."""
    for line in _pairs({name.replace("_", " "): value for name, value in values.items()}, ""):
        click.echo(line)


def _pairs(values: Mapping[str, object], indent: str) -> Iterator[str]:
    shown = {printable(name): value for name, value in values.items() if value not in (None, "", [], {}, ())}
    width = max((len(name) for name, value in shown.items() if not _parts(value)), default=0)
    for name, value in shown.items():
        if parts := _parts(value):
            for part in parts:
                yield indent + name
                yield from _pairs(part, indent + "  ")
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            yield f"{indent}{name:<{width}}  {printable(text)}"


def _parts(value: object) -> list[Mapping[str, object]]:
    """The mappings that a value is, or has; none where it has anything else."""
    found: list[object] = value if isinstance(value, list) else [value]
    parts = [part for part in found if isinstance(part, Mapping)]
    return parts if len(parts) == len(found) else []

"""What commands share: the config, running coroutines under signals, and printing results."""

import asyncio
import json
import os
import signal
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from attachsync import config as configs
from attachsync import ownership
from attachsync.index import Index
from attachsync.reader import Config
from attachsync.units import counted, printable

__all__ = [
    "config_of",
    "counted",
    "json_option",
    "opened",
    "peeked",
    "print_json",
    "print_pairs",
    "print_table",
    "printable",
    "run",
]

T = TypeVar("T")

_TERMINATED = 143

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
            raise click.exceptions.Exit(_TERMINATED) from None
        raise
    finally:
        signal.signal(signal.SIGTERM, before)  # the loop leaves the system's own way of ending behind


def print_json(value: object) -> None:
    """One JSON document, on one line."""
    click.echo(json.dumps(value, ensure_ascii=False, default=str))


def print_table(headings: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """A table for people: aligned; folded to a terminal's width, and never cut where nobody looks."""
    from rich.cells import cell_len
    from rich.console import Console

    cells = [tuple("" if cell is None else printable(str(cell)) for cell in row) for row in rows]
    console = Console()
    if console.is_terminal:
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading in headings:
            table.add_column(heading, overflow="fold")
        for row in cells:
            table.add_row(*map(Text, row))
        console.print(table)
        return
    lines = [tuple(headings), *cells]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        padded = (cell + " " * (width - cell_len(cell)) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(padded).rstrip())


def print_pairs(pairs: Mapping[str, object]) -> None:
    """`name  value` lines for people; what is not known is left out."""
    shown = {name: value for name, value in pairs.items() if value not in (None, [], {})}
    width = max(map(len, shown), default=0)
    for name, value in shown.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        click.echo(f"{name.replace('_', ' '):<{width}}  {printable(text)}")

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
from attachsync.daemon import refuse_foreign_mirror
from attachsync.index import Index
from attachsync.reader import Config

T = TypeVar("T")

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
TERMINATED = 143


def config_of(context: click.Context) -> Config:
    """The config that this command is to use. Raises ConfigError."""
    config = configs.load(configs.search(context.obj, os.environ), os.environ)
    refuse_foreign_mirror(config)
    return config


@contextmanager
def peeked(config: Config) -> Iterator[Index]:
    """The index, for reading beside a daemon."""
    index = Index.peek(config.state_directory)
    try:
        yield index
    finally:
        index.close()


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end. SIGTERM ends it, tidily, and the command exits 143; Ctrl-C exits 130."""
    terminated = False

    async def under_signals() -> T:
        task = asyncio.ensure_future(work)

        def terminate() -> None:
            nonlocal terminated
            terminated = True
            task.cancel()

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminate)
        return await task

    try:
        return asyncio.run(under_signals())
    except asyncio.CancelledError:
        if terminated:
            raise click.exceptions.Exit(TERMINATED) from None
        raise


def print_json(value: object) -> None:
    """One JSON document, on one line."""
    click.echo(json.dumps(value, ensure_ascii=False, default=str))


def print_table(headings: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """A table for people: aligned, as wide as the terminal allows, never cut where nobody looks."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(soft_wrap=False)
    table = Table(box=None, pad_edge=False, header_style="bold" if console.is_terminal else "")
    for heading in headings:
        table.add_column(heading, overflow="fold", no_wrap=not console.is_terminal)
    for row in rows:
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    if not console.is_terminal:
        console = Console(width=10_000)
    console.print(table)


def print_pairs(pairs: Mapping[str, object]) -> None:
    """`name  value` lines for people."""
    width = max(map(len, pairs), default=0)
    for name, value in pairs.items():
        click.echo(f"{name:<{width}}  {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}")

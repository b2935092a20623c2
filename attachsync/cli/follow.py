"""`follow`: the change feed, for scripts and people (contract 4)."""

import re
import time
from collections.abc import Iterator, Mapping

import click

from attachsync.cli.session import config_of, json_option, peeked, print_json, printable
from attachsync.feed import attributed
from attachsync.model import JSON
from attachsync.reader import Config
from attachsync.units import human_size

_BATCH = 500
_GLANCE = 0.25
"""The index is looked at this often (seconds)."""


def _cursor(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    if value is not None and not re.fullmatch(r"[0-9a-f]{8}-[0-9]{1,18}", value):
        raise click.BadParameter(f"{value!r} is no cursor: take the one that a change came with")
    return value


@click.command()
@click.option("--since", callback=_cursor, metavar="CURSOR", help="Only what came after the change with this cursor.")
@click.option("--once", is_flag=True, help="Show what there is, then exit; do not wait for more.")
@json_option
@click.pass_context
def follow(context: click.Context, since: str | None, once: bool, as_json: bool) -> None:
    """Show what changes, as it happens: the change feed.

    Changes are: mirrored, changed, quarantined, gone, sent, failed. Begins with the oldest one that is kept (each start
    of attachsync keeps the last million), and goes on until Ctrl-C. Each has a cursor: to go on where you stopped, give
    it to --since. Whoever keeps the last cursor misses nothing, whatever restarts in between.
    """
    for change in _changes(config_of(context), since, wait=not once):
        if as_json:
            print_json(change)
        else:
            click.echo(_line(change))


def _changes(config: Config, cursor: str | None, *, wait: bool) -> Iterator[Mapping[str, JSON]]:
    """Changes after a cursor, as they come. The index is opened anew each time: it may not be there yet."""
    while True:
        with peeked(config) as index:
            batch = index.changes.since(cursor, _BATCH)
        for change in batch:
            cursor = str(change["cursor"])
            yield attributed(change, config.outboxes)
        if not batch:
            if not wait:
                return
            time.sleep(_GLANCE)


def _line(change: Mapping[str, JSON]) -> str:
    """One change for people: when, what, how large, where, why; and its cursor."""
    size = human_size(change["size"]) if isinstance(change["size"], int) else ""
    place = f"{change['outbox']}/{change['path']}" if "outbox" in change else change["path"] or f"({change['key']})"
    why = f": {change['reason']}" if change["reason"] else ""
    return printable(f"{change['at']}  {change['event']:<11}  {size:>10}  {place}{why}  [{change['cursor']}]")

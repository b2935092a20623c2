"""`status`, `ls` and `show`: what is known, beside a running daemon."""

import os
import re
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import click

from attachsync import keys, lock, units
from attachsync.cli import screen
from attachsync.cli.columns import Cell, terminal_width
from attachsync.cli.fullscreen import full_screen
from attachsync.cli.session import (
    config_of,
    counted,
    json_option,
    peeked,
    print_json,
    print_pairs,
    print_table,
    printable,
)
from attachsync.index import Filter
from attachsync.model import JSON, NEEDS_A_PERSON, State
from attachsync.reader import Config
from attachsync.status import Status, gathered

_EVERY = 2.0
_NARROW = 100
_STATES = f"Only these: {', '.join(State)}."


@click.command()
@click.option("--watch", is_flag=True, help="Show it again every two seconds, until Ctrl-C.")
@click.option("--check", is_flag=True, help="Exit 1 if something needs a person.")
@json_option
@click.pass_context
def status(context: click.Context, watch: bool, check: bool, as_json: bool) -> None:
    """Show whether all is well: tracks, outboxes, store, daemon."""
    config = config_of(context)
    if watch:
        _watch(config, as_json=as_json)
    found, now = _looked(config)
    if as_json:
        print_json(found.document())
    else:
        screen.show(found, now)
    context.exit(1 if check and found.needs else 0)


def _looked(config: Config) -> tuple[Status, float]:
    """The state of everything, and when that was (Unix time)."""
    now = time.time()
    with peeked(config) as index:
        return gathered(config, index, lock.holder(config.state_directory), now), now


def _watch(config: Config, *, as_json: bool) -> NoReturn:
    """Show it again and again: in place on a terminal, one after the other elsewhere."""
    if as_json or not sys.stdout.isatty():
        while True:
            found, now = _looked(config)
            if as_json:
                print_json(found.document())
            else:
                screen.show(found, now)
                click.echo()
            sys.stdout.flush()
            time.sleep(_EVERY)
    with full_screen() as shown:
        while True:
            found, now = _looked(config)
            shown.draw(list(screen.lines(found, now, terminal_width(), needs_first=True)))
            shown.rest(_EVERY)


_SINCE = "Mirrored (what is not: listed) since an RFC 3339 time, or in the last 2h, 7d, …"


def _since(_context: click.Context, _option: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    try:
        return time.time() - units.seconds(value) if re.fullmatch(r"[\d.]+[a-z]*", value) else units.moment(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is neither an RFC 3339 time nor a duration such as 2h") from None


@click.command()
@click.option("--account", metavar="NAME", help="Only this account.")
@click.option("--track", metavar="NAME", help="Only this track.")
@click.option("--since", callback=_since, metavar="T", help=_SINCE)
@click.option("--media-type", metavar="GLOB", help='Only media types that match, such as "image/*".')
@click.option("--state", type=click.Choice([state.value for state in State]), metavar="S", help=_STATES)
@json_option
@click.pass_context
def ls(
    context: click.Context,
    account: str | None,
    track: str | None,
    since: float | None,
    media_type: str | None,
    state: str | None,
    as_json: bool,
) -> None:
    """List attachments: what is mirrored, and what is not."""
    config = config_of(context)
    known = ((account, config.accounts, "account"), (track, [one.name for one in config.tracks], "track"))
    for name, names, what in known:
        if name is not None and name not in names:
            click.echo(f"note: the config has no {what} {name!r}{keys.nearest(name, names)}", err=True)
    with peeked(config) as index:
        rows = index.reports.listing(Filter(account, track, since, media_type, state))
        if as_json:
            for row in rows:
                print_json({name: value for name, value in row.items() if name != "reason"})
            return
        _print_ls(list(rows), terminal_width())


def _print_ls(rows: list[dict[str, JSON]], width: int | None) -> None:
    """A line each; the digest is left out of narrow terminals, and a terminal gets the sum."""
    headings = ["state", "size", "mirrored at", "sha256", "path"]
    if width is not None and width < _NARROW:
        headings.remove("sha256")
    lines = (_ls_cells(row) for row in rows)
    print_table(headings, ([cells[heading] for heading in headings] for cells in lines), right=("size",))
    if width is not None:
        states = Counter(str(row["state"]) for row in rows)
        each = ", ".join(f"{count:,} {state}" for state, count in states.most_common())
        click.echo(f"\n{counted(len(rows), 'attachment')}" + (f": {each}" if rows else ""))


def _ls_cells(row: Mapping[str, JSON]) -> dict[str, object]:
    where, state = row["path"] or f"({row['account']}: {row['key']})", State(str(row["state"]))
    return {
        "state": Cell(state, "green" if state is State.STORED else "red" if state in NEEDS_A_PERSON else "yellow"),
        "size": units.human_size(row["size"]) if isinstance(row["size"], int) else "",
        "mirrored at": row["mirrored_at"],
        "sha256": str(row["sha256"])[:12] if row["sha256"] else "",
        "path": f"{where}: {row['reason']}" if row["reason"] else where,
    }


@click.command()
@click.argument("what", metavar="WHAT")
@json_option
@click.pass_context
def show(context: click.Context, what: str, as_json: bool) -> None:
    """Show all that is known of one attachment.

    WHAT is its SHA-256 (or a unique prefix of at least 4 digits), its path in the mirror, or its upstream identity.
    Exits 1 if nothing is known by it, and 2 if it is ambiguous.
    """
    config = config_of(context)
    with peeked(config) as index:
        ids = index.reports.find(what)
        if not ids:
            ids = index.reports.find(what := within(config, what))
        documents = [index.reports.describe(row_id) for row_id in ids[:100]]
    if not documents:
        click.echo(f"nothing is known by {what!r}: it is no digest, path or identity of an attachment here", err=True)
        context.exit(1)
    contents = set[JSON]().union(*(_meant(document, what.lower()) for document in documents))
    documents.sort(key=lambda document: document["shown_sha256"] not in contents)
    if len(contents) > 1:
        click.echo(f"{what!r} is ambiguous: it names {len(ids)} attachments, of different content:", err=True)
        for document in documents[:20]:
            line = f"  {document['shown_sha256'] or '-':<64}  {document['path'] or document['key']}"
            click.echo(printable(line), err=True)
        context.exit(2)
    found = {**documents[0], "also": [{"track": doc["track"], "path": doc["path"]} for doc in documents[1:]]}
    if as_json:
        print_json(found)
    else:
        print_pairs(found)


def _meant(document: Mapping[str, JSON], what: str) -> set[JSON]:
    """The digests of an attachment, of now or before, that a digest or the beginning of one means; else that of now."""
    history = document["history"]
    digests = {past["sha256"] for past in history if isinstance(past, Mapping)} if isinstance(history, list) else set()
    digests.add(document["shown_sha256"])
    return {one for one in digests if str(one).startswith(what)} or {document["shown_sha256"]}


def within(config: Config, what: str) -> str:
    """A path as the index knows it: relative to the mirror; of a stored file, its digest."""
    mirror, path = config.mirror.directory, Path(os.path.abspath(what))
    root = next((root for root in (mirror, mirror.resolve()) if path.is_relative_to(root)), None)
    known = what if root is None else str(path.relative_to(root))
    return Path(known).name if known.startswith("sha256/") else known

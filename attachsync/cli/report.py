"""`status`, `ls` and `show`: what is known, beside a running daemon."""

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import click

from attachsync import keys, lock, units
from attachsync.cli import screen
from attachsync.cli.session import config_of, json_option, peeked, print_json, print_pairs, print_table, printable
from attachsync.index import Filter
from attachsync.model import JSON, State
from attachsync.reader import Config
from attachsync.status import gathered

_STATES = f"Only these: {', '.join(State)}."


@click.command()
@click.option("--watch", is_flag=True, help="Show it again every two seconds, until Ctrl-C.")
@click.option("--check", is_flag=True, help="Exit 1 if something needs a person.")
@json_option
@click.pass_context
def status(context: click.Context, watch: bool, check: bool, as_json: bool) -> None:
    """Show whether all is well: tracks, outboxes, store, daemon."""
    config = config_of(context)
    while True:
        now = time.time()
        with peeked(config) as index:
            found = gathered(config, index, lock.holder(config.state_directory), now)
        if as_json:
            print_json(found.document())
        else:
            if watch:
                click.clear()
            screen.show(found, now)
        if not watch:
            context.exit(1 if check and found.needs_a_person else 0)
        time.sleep(2)


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
@click.option("--since", callback=_since, metavar="T", help="Mirrored since an RFC 3339 time, or in the last 2h, 7d, …")
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
                print_json(row)
            return
        headings = ("state", "size", "mirrored at", "sha256", "path")
        print_table(headings, _ls_rows(rows))


def _ls_rows(rows: Iterator[dict[str, JSON]]) -> Iterator[tuple[object, ...]]:
    for row in rows:
        digest = str(row["sha256"])[:12] if row["sha256"] else ""
        yield row["state"], row["size"], row["mirrored_at"], digest, row["path"] or f"({row['account']}: {row['key']})"


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
        ids = index.reports.find(what) or index.reports.find(within(config, what))
        documents = [index.reports.describe(row_id) for row_id in ids[:100]]
    if not documents:
        click.echo(f"nothing is known by {what!r}: it is no digest, path or identity of an attachment here", err=True)
        context.exit(1)
    contents = {document["shown_sha256"] for document in documents}
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


def within(config: Config, what: str) -> str:
    """A path as the index knows it: relative to the mirror; of a stored file, its digest."""
    mirror, path = config.mirror.directory, Path(os.path.abspath(what))
    root = next((root for root in (mirror, mirror.resolve()) if path.is_relative_to(root)), None)
    known = what if root is None else str(path.relative_to(root))
    return Path(known).name if known.startswith("sha256/") else known

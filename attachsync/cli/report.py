"""`status`, `ls` and `show`: what is known, beside a running daemon."""

import re
import time
from collections.abc import Iterator, Mapping

import click

from attachsync import lock, units
from attachsync.cli.session import config_of, json_option, peeked, print_json, print_pairs, print_table
from attachsync.index import Filter
from attachsync.model import JSON, State
from attachsync.status import Status, gathered


@click.command()
@click.option("--watch", is_flag=True, help="Show it again every two seconds, until Ctrl-C.")
@click.option("--check", is_flag=True, help="Exit 1 if something needs a person.")
@json_option
@click.pass_context
def status(context: click.Context, watch: bool, check: bool, as_json: bool) -> None:
    """Accounts, tracks, outboxes, store, and whether a daemon runs."""
    config = config_of(context)
    while True:
        with peeked(config) as index:
            found = gathered(config, index, lock.holder(config.state_directory), time.time())
        if watch and not as_json:
            click.clear()
        if as_json:
            print_json(found.document())
        else:
            _print(found)
        if not watch:
            context.exit(1 if check and found.needs_a_person else 0)
        time.sleep(2)


def _print(found: Status) -> None:
    document = found.document()
    store = found.store
    click.echo(f"daemon   {found.daemon or 'not running'}")
    click.echo(
        f"mirror   {store['directory']}: {store['objects']} files, {units.human_size(float(str(store['bytes'])))}; "
        f"{units.human_size(float(str(store['free'])))} free"
    )
    click.echo(f"state    {'; '.join(found.needs_a_person) or 'nothing needs a person'}\n")
    headings = ("track", "state", "attachments", "last whole pass", "next pass", "last error")
    print_table(
        headings,
        (
            (
                track["name"],
                track["state"],
                _counted(track["counts"]),
                track["last_complete"] or "never",
                track["next_pass"] or "",
                track["last_error"] or "",
            )
            for track in found.tracks
        ),
    )
    if document["outboxes"]:
        click.echo()
        rows = ((box["directory"], box["waiting"], box["sent"], box["failed"], box["held"]) for box in found.outboxes)
        print_table(("outbox", "waiting", "sent", "failed", "held"), rows)


def _counted(counts: JSON) -> str:
    return ", ".join(f"{count} {state}" for state, count in counts.items()) if isinstance(counts, Mapping) else ""


def _since(_context: click.Context, _option: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    try:
        return time.time() - units.seconds(value) if re.fullmatch(r"[\d.]+[a-z]*", value) else units.moment(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is neither an RFC 3339 time nor a duration such as 2h") from None


@click.command()
@click.option("--account", help="Only this account.")
@click.option("--track", help="Only this track.")
@click.option("--since", callback=_since, metavar="T", help="Mirrored since an RFC 3339 time, or in the last 2h, 7d, …")
@click.option("--media-type", metavar="GLOB", help='Only media types that match, such as "image/*".')
@click.option("--state", type=click.Choice([state.value for state in State]), help="Only attachments in this state.")
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
    """List attachments."""
    with peeked(config_of(context)) as index:
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
@click.argument("what")
@json_option
@click.pass_context
def show(context: click.Context, what: str, as_json: bool) -> None:
    """All that is known of one attachment: by digest (or a unique prefix), path in the mirror, or upstream identity."""
    config = config_of(context)
    with peeked(config) as index:
        wanted = what.removeprefix(f"{config.mirror.directory}/")
        ids = index.reports.find(wanted)
        documents = [index.reports.describe(row_id) for row_id in ids[:100]]
    if not documents:
        click.echo(f"nothing known by {what!r}", err=True)
        context.exit(1)
    contents = {document["shown_sha256"] for document in documents}
    if len(contents) > 1:
        click.echo(f"{what!r} names {len(ids)} attachments of different content:", err=True)
        for document in documents[:20]:
            click.echo(f"  {document['shown_sha256'] or '-':<64}  {document['path'] or document['key']}", err=True)
        context.exit(2)
    found = {**documents[0], "also": [{"track": doc["track"], "path": doc["path"]} for doc in documents[1:]]}
    if as_json:
        print_json(found)
    else:
        print_pairs(found)

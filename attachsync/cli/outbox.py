"""`outbox`: what waits, failed or is held; try again; let held deletions go."""

import time

import click

from attachsync import lock
from attachsync import outbox as outboxes
from attachsync.cli.session import config_of, counted, json_option, opened, peeked, print_json, print_table, printable
from attachsync.units import human_size


@click.group()
def outbox() -> None:
    """See what waits in the outboxes, and try again. Works beside a running daemon."""


@outbox.command("ls")
@json_option
@click.pass_context
def list_files(context: click.Context, as_json: bool) -> None:
    """List what waits to be sent, what failed, and what is held."""
    config = config_of(context)
    rows: list[dict[str, object]] = []
    running = lock.holder(config.state_directory) is not None
    with peeked(config) as index:
        for box in config.outboxes:
            found = outboxes.waiting(box, index.uploads, running=running)
            rows += [{"outbox": str(box.directory), **row} for row in found]
    if as_json:
        for row in rows:
            print_json(row)
        return
    cells = (
        (
            row["state"],
            human_size(row["size"]) if isinstance(row["size"], int) else "",
            row["since"],
            f"{row['outbox']}/{row['name']}",
            row["error"],
        )
        for row in rows
    )
    print_table(("state", "size", "since", "file", "error"), cells, right=("size",))


@outbox.command("retry")
@click.argument("names", nargs=-1, required=True, metavar="NAME…")
@json_option
@click.pass_context
def try_again(context: click.Context, names: tuple[str, ...], as_json: bool) -> None:
    """Try files again that failed or are held.

    NAME is the path within the outbox, or the whole path.
    """
    config = config_of(context)
    known: dict[str, bool] = {}
    with opened(config) as index:
        for name in names:
            wanted = [(box, _within(str(box.directory), name)) for box in config.outboxes]
            known[name] = any(outboxes.retry(box, index.uploads, inner, time.time()) for box, inner in wanted if inner)
            if not known[name]:
                click.echo(printable(f"{name}: neither failed nor held in any outbox"), err=True)
            elif not as_json:
                click.echo(printable(f"{name}: will be tried again"))
    if as_json:
        print_json({"tried_again": [name for name in known if known[name]]})
    context.exit(0 if all(known.values()) else 1)


def _within(directory: str, name: str) -> str | None:
    """`name` as a path within an outbox: an absolute path must be below it."""
    if not name.startswith("/"):
        return name
    return name.removeprefix(directory + "/") if name.startswith(directory + "/") else None


@outbox.command()
@json_option
@click.pass_context
def confirm(context: click.Context, as_json: bool) -> None:
    """Let deletions go that wait because there were many at once."""
    config = config_of(context)
    with opened(config) as index:
        count = sum(outboxes.confirm(box, index.uploads) for box in config.outboxes)
    if as_json:
        print_json({"confirmed": count})
        return
    said = f"{counted(count, 'deletion')} confirmed: the next pass carries them out" if count else "no deletion waits"
    click.echo(said)

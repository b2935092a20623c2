"""`explain`: why something is, or is not, where one would expect it (contract 4)."""

import click

from attachsync import explaining
from attachsync.cli.report import within
from attachsync.cli.session import config_of, json_option, peeked, print_json, printable
from attachsync.units import as_text

_MOST = 20


@click.command()
@click.argument("what", metavar="WHAT", type=click.UNPROCESSED)  # a name in an outbox may be no text
@json_option
@click.pass_context
def explain(context: click.Context, what: str, as_json: bool) -> None:
    """Say why an attachment or a dropped file is, or is not, where you expect it.

    WHAT is a path in an outbox or in the mirror, a name as `outbox ls` shows it, a SHA-256 (or a unique prefix of it),
    or an upstream identity. Exits 1 if nothing is known by it.
    """
    config = config_of(context)
    with peeked(config) as index:
        file = explaining.of_file(config, index, what)
        known = as_text(what)
        ids = [] if file else index.reports.find(known) or index.reports.find(within(config, known))
        found = [file] if file else [explaining.of_attachment(config, index, one) for one in ids[:_MOST]]
        if not found and (awaited := explaining.of_listing(config, index, known)):
            found = [awaited]
    if not found:
        click.echo(f"nothing is known by {known!r}", err=True)
        click.echo("  - what is not listed yet is not known: `attachsync status` tells when each track was", err=True)
        context.exit(1)
    if as_json:
        print_json(found)
        return
    for about in found:
        for line in explaining.sentences(about):
            click.echo(printable(line))
    if len(ids) > _MOST:
        click.echo(f"and {len(ids) - _MOST} more")

"""`init` and `check`: from nothing to a right config."""

import os
from importlib import resources
from pathlib import Path

import click

from attachsync import config as configs
from attachsync.cli.session import config_of, json_option, print_json, run
from attachsync.clock import Clock
from attachsync.errors import AttachsyncError
from attachsync.http import Http
from attachsync.reader import Config
from attachsync.sources import SERVICES

EXAMPLE = "config.example.toml"


def example() -> str:
    """The commented example config, as shipped."""
    packaged = resources.files("attachsync") / EXAMPLE
    if packaged.is_file():
        return packaged.read_text(encoding="utf-8")
    return (Path(__file__).parents[2] / EXAMPLE).read_text(encoding="utf-8")  # an editable installation


@click.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.pass_context
def init(context: click.Context, file: Path | None) -> None:
    """Write a commented config to FILE (default: the user's place); an existing file is left alone."""
    target = file or configs.user_file(os.environ)
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        click.echo(f"{target} exists already; left as it is", err=True)
        context.exit(1)
    except OSError as error:
        raise click.ClickException(f"{target} cannot be written: {error.strerror}") from None
    with open(descriptor, "w", encoding="utf-8") as written:
        written.write(example())
    click.echo(f"{target} written. Edit it, then run: attachsync --config {target} check --online")


@click.command()
@click.option("--online", is_flag=True, help="Also sign in to every account and look up every track.")
@json_option
@click.pass_context
def check(context: click.Context, online: bool, as_json: bool) -> None:
    """Validate the config: every fault at once."""
    config = config_of(context)
    found = run(_probe(config)) if online else []
    failed = [row for row in found if not row["ok"]]
    if as_json:
        print_json({"config": str(config.path), "ok": not failed, "not_yet": config.not_yet, "online": found})
    else:
        tracks, outboxes = len(config.tracks), len(config.outboxes)
        click.echo(f"{config.path}: {len(config.accounts)} accounts, {tracks} tracks, {outboxes} outboxes: no faults")
        for key in config.not_yet:
            click.echo(f"warning: {key} is understood, but this version does not act upon it")
        for row in found:
            click.echo(f"{'ok  ' if row['ok'] else 'FAIL'} {row['what']}: {row['said']}")
    context.exit(1 if failed else 0)


async def _probe(config: Config) -> list[dict[str, object]]:
    """Sign in to each account, look up each track: what was found, or what the service answered."""
    rows: list[dict[str, object]] = []
    for account in config.accounts.values():
        service = SERVICES[account.service]
        if service.pull is None:
            continue
        http = Http(account, service.credentials(account), Clock())
        source = service.pull.source(http)
        tracks = [track for track in config.tracks if track.account == account.name]
        try:
            for track in [None, *tracks]:
                what = f"track {track.name}" if track else f"account {account.name}"
                try:
                    said, ok = await source.probe(track), True
                except AttachsyncError as error:
                    said, ok = str(error), False
                rows.append({"what": what, "ok": ok, "said": said})
        finally:
            await http.close()
    return rows

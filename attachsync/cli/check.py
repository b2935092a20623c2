"""`init` and `check`: from nothing to a right config."""

import os
import shlex
from collections.abc import Awaitable
from importlib import resources
from pathlib import Path

import click

from attachsync import config as configs
from attachsync import log
from attachsync.cli.session import config_of, counted, json_option, print_json, printable, run
from attachsync.clock import Clock
from attachsync.errors import AttachsyncError, ConfigError
from attachsync.http import Credentials, Http
from attachsync.model import Account, Source
from attachsync.reader import Config
from attachsync.services import SERVICES
from attachsync.sources.service import Service

EXAMPLE = "config.example.toml"


def example() -> str:
    """The commented example config, as shipped."""
    packaged = resources.files("attachsync") / EXAMPLE
    if packaged.is_file():
        return packaged.read_text(encoding="utf-8")
    return (Path(__file__).parents[2] / EXAMPLE).read_text(encoding="utf-8")  # an editable installation


@click.command()
@click.argument("file", type=click.Path(path_type=Path, readable=False), required=False)
@json_option
@click.pass_context
def init(context: click.Context, file: Path | None, as_json: bool) -> None:
    """Write a commented config.

    It goes to FILE; an existing one is left alone, and the exit code is 1. Without FILE: to where --config says, else
    to the user's own place, ~/.config/attachsync/config.toml.
    """
    target = file or context.obj or configs.user_file(os.environ)
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
    if as_json:
        print_json({"config": os.path.abspath(target)})
        return
    given = "" if target == configs.user_file(os.environ) else f" --config {shlex.quote(str(target))}"
    click.echo(f"{target} written. Edit it, then run: attachsync{given} check --online")


@click.command()
@click.option("--online", is_flag=True, help="Also sign in to every account and look up every track.")
@json_option
@click.pass_context
def check(context: click.Context, online: bool, as_json: bool) -> None:
    """Check the config, and name every fault at once.

    Exits 78 if there is one, and 1 if --online an account or a track could not be reached.
    """
    try:
        config = config_of(context)
    except ConfigError as error:
        if as_json:
            print_json({"ok": False, "faults": error.faults})
        raise
    log.quietly()
    found = run(_probed(config)) if online else []
    failed = [row for row in found if not row["ok"]]
    if as_json:
        print_json({"config": str(config.path), "ok": not failed, "faults": [], "online": found})
    else:
        nouns = {"account": config.accounts, "track": config.tracks, "outbox": config.outboxes}
        has = ", ".join(counted(len(things), noun) for noun, things in nouns.items())
        click.echo(f"{config.path}: {has}: no faults")
        for row in found:
            click.echo(printable(f"{'ok  ' if row['ok'] else 'FAIL'}  {row['what']}: {row['said']}"))
    context.exit(1 if failed else 0)


async def _probed(config: Config) -> list[dict[str, object]]:
    """Sign in to each account, look up each track: what was found, or what the service answered."""
    rows: list[dict[str, object]] = []
    for account in config.accounts.values():
        service = SERVICES[account.service]
        credentials = service.credentials(account)
        http = Http(account, credentials, Clock())
        try:
            rows.append(await _row(f"account {account.name}", account, _signed_in(service, http, credentials)))
            source = service.pull.source(http) if service.pull else None
            for track in config.tracks:
                if source and track.account == account.name:
                    rows.append(await _row(f"track {track.name}", account, source.probe(track)))
        finally:
            await http.close()
    return rows


async def _row(what: str, account: Account, answer: Awaitable[str]) -> dict[str, object]:
    """One line of `check --online`; the account is named already, at its beginning or in its track."""
    try:
        return {"what": what, "ok": True, "said": await answer}
    except AttachsyncError as error:
        return {"what": what, "ok": False, "said": str(error).removeprefix(f"{account.name}: ")}


async def _signed_in(service: Service, http: Http, credentials: Credentials) -> str:
    """What signing in came to. Raises what the service answered."""
    if not await credentials.headers(http):
        return "has no credentials: for public assets only"
    if service.pull is None:
        return f"its secret can be read; {service.name} is not asked, as this version only sends there"
    source: Source = service.pull.source(http)
    return await source.probe(None)

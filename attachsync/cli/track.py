"""`track` and `untrack`: tracks added to config.d/, and taken out of it; hand-written files are never touched."""

import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import tomli_w

from attachsync import config as configs
from attachsync import keys, log, names
from attachsync.cli.session import config_of, counted, json_option, peeked, print_json, printable, run
from attachsync.clock import Clock
from attachsync.errors import ConfigError
from attachsync.http import Http
from attachsync.model import Track
from attachsync.plan import planned
from attachsync.reader import Config
from attachsync.services import SERVICES
from attachsync.units import human_size

_NOTE = "# Written by `attachsync track`; `attachsync untrack` removes it.\n"
_MOST = 5000
"""So many attachments are counted when a track is looked up."""


@click.command()
@click.argument("account", metavar="ACCOUNT")
@click.argument("pairs", metavar="KEY=VALUE…", nargs=-1, required=True)
@click.option("--offline", is_flag=True, help="Do not look it up first.")
@json_option
@click.pass_context
def track(context: click.Context, account: str, pairs: Sequence[str], offline: bool, as_json: bool) -> None:
    """Track something more: look it up, then add it to config.d/.

    For example: `attachsync track ledger asset=c04d5ecf-02e0-4be2-a014-ffbbf0e8ddeb retain=90d`. A VALUE is text, or
    true, false, a [list] or a {table} as TOML has them. A running daemon takes the new track up at once. Exits 1,
    and adds nothing, if it cannot be looked up.
    """
    config = config_of(context)
    log.quietly()
    table = {"account": account, **dict(map(_pair, pairs))}
    fresh, file = _with(config, table)
    added = fresh.tracks[-1]
    about: dict[str, object] = {"track": added.name, "file": str(file)}
    if not offline:
        about |= run(_looked_up(fresh, added))
    _write(file, {"track": [{**table, "name": added.name}]}, config.path)
    if as_json:
        print_json(about)
        return
    if not offline:
        click.echo(printable(f"{added.name}: {about['found']}"))
        more = "" if about["counted"] else " or more"
        size = f", {human_size(int(str(about['bytes'])))} where known" if about["bytes"] else ""
        click.echo(f"it would mirror {counted(int(str(about['attachments'])), 'attachment')}{more}{size}")
    click.echo(printable(f"{added.name}: added to {file}"))


def _pair(text: str) -> tuple[str, object]:
    """`KEY=VALUE`; what looks like one of TOML's own forms is read as such."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise click.UsageError(f"{text!r} is not KEY=VALUE")
    if value not in ("true", "false") and not value.startswith(("[", "{")):
        return key.strip(), value
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"{key}: not TOML: {error}") from None


def _with(config: Config, table: Mapping[str, object]) -> tuple[Config, Path]:
    """The config with one track more, and the file that this is for; its faults are wrong usage."""
    folder = config.path.parent / "config.d"
    try:
        fresh = configs.load(config.path, os.environ, {folder / "a new track": {"track": [table]}})
    except ConfigError as error:
        prefix = f"{folder / 'a new track'}: track[1]."
        raise click.UsageError("\n".join(fault.removeprefix(prefix) for fault in error.faults)) from None
    leaf = names.safe(fresh.tracks[-1].name.replace("/", "-").replace("*", "all"))
    file = folder / f"{leaf}.toml"
    if file.exists():
        file = folder / f"{names.distinct(leaf, repr(sorted(table.items())))}.toml"
    return fresh, file


async def _looked_up(config: Config, added: Track) -> dict[str, object]:
    """What the service says of a track, and what listing it brings. Raises what the service answered."""
    account = config.accounts[added.account]
    service = SERVICES[account.service]
    assert service.pull is not None
    http = Http(account, service.credentials(account), Clock())
    try:
        found = await service.pull.source(http).probe(added)
    finally:
        await http.close()
    count, size = 0, 0
    with peeked(config) as index:
        async for one in planned(config, index, [added], outboxes=False):
            if one.action == "error":
                raise click.ClickException(one.reason)
            if one.action == "fetch":
                count, size = count + 1, size + (one.size or 0)
            if count == _MOST:
                break
    return {"found": found, "attachments": count, "counted": count < _MOST, "bytes": size}


def _write(file: Path, document: Mapping[str, object], beside: Path) -> None:
    """Write a file of config.d, whole or not at all, as readable as the config itself."""
    try:
        file.parent.mkdir(mode=0o755 if beside.stat().st_mode & 0o004 else 0o700, exist_ok=True)
        temporary = file.with_name(f".{file.name}.{os.getpid()}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as written:
            written.write(_NOTE + tomli_w.dumps(document))
            os.fchmod(descriptor, beside.stat().st_mode & 0o644)
            written.flush()
            os.fsync(descriptor)
        os.rename(temporary, file)
    except OSError as error:
        raise click.ClickException(f"{file} cannot be written: {error.strerror}") from None


@click.command()
@click.argument("name", metavar="NAME")
@json_option
@click.pass_context
def untrack(context: click.Context, name: str, as_json: bool) -> None:
    """Stop tracking something that `track` added.

    A file in config.d/ that holds more than that is left alone, and the exit code is 1. What was mirrored stays;
    `attachsync prune --untracked` removes it when it has been so for a week.
    """
    config = config_of(context)
    known = [one.name for one in config.tracks]
    if name not in known:
        raise click.UsageError(f"{name!r} is not a track{keys.nearest(name, known)}")
    for file in configs.files(config.path):
        if _holds(file, name):
            try:
                file.unlink()
            except OSError as error:
                raise click.ClickException(f"{file} cannot be removed: {error.strerror}") from None
            break
    else:
        said = "is in a file that was written by hand, in part at least: take its [[track]] out of it yourself"
        click.echo(printable(f"{name} {said}"), err=True)
        context.exit(1)
    if as_json:
        print_json({"track": name, "file": str(file)})
    else:
        click.echo(printable(f"{name}: {file} removed; what was mirrored stays"))


def _holds(file: Path, name: str) -> bool:
    """Whether a file is what `track` wrote for the track of this name, and no more: people may have added to it."""
    text = file.read_text(encoding="utf-8")
    if not text.startswith(_NOTE):
        return False
    document = tomllib.loads(text)
    has_comments = text.count("#") != (_NOTE + tomli_w.dumps(document)).count("#")
    return list(document) == ["track"] and [one.get("name") for one in document["track"]] == [name] and not has_comments

"""`verify`: is everything there, and unchanged?"""

import dataclasses
import random
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from attachsync import lock, log
from attachsync.cli.session import config_of, counted, json_option, peeked, print_json, printable, run
from attachsync.cli.sync import synced
from attachsync.cli.watching import JsonLines, Lines
from attachsync.errors import MirrorHeldError, StorageError
from attachsync.index import Index
from attachsync.reader import Config
from attachsync.repairing import prepare
from attachsync.store import Store, storage_errors
from attachsync.units import human_size
from attachsync.verifying import Finding, Verifier


def _percent(_context: click.Context, _option: click.Parameter, value: str) -> float:
    try:
        share = float(value.removesuffix("%")) / 100
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise click.BadParameter(f"{value!r} is not a percentage such as 5%")
    return share


@click.command()
@click.option("--repair", is_flag=True, help="Fetch again what is damaged or missing.")
@click.option(
    "--sample", default="100%", callback=_percent, metavar="N%", help="Re-hash only so much, chosen by chance."
)
@json_option
@click.pass_context
def verify(context: click.Context, repair: bool, sample: float, as_json: bool) -> None:
    """Check that all that was mirrored is there, and unchanged.

    Re-hashes the store, and compares with names, with what the services state, and with files/. Exits 1 if it finds
    anything corrupt, missing, stray or edited.
    """
    config = config_of(context)
    log.quietly()
    holder = lock.holder(config.state_directory)
    if repair and holder:
        raise MirrorHeldError(f"{config.mirror.directory} is held by {holder}; stop it, or wait")
    if not config.mirror.directory.is_dir():
        raise StorageError(f"{config.mirror.directory} does not exist: nothing was mirrored yet")
    found = _verified(config, sample, as_json=as_json)
    if repair and found:
        found = _repaired(config, found, as_json=as_json)
    context.exit(1 if found else 0)


def _verified(config: Config, sample: float, *, as_json: bool) -> list[Finding]:
    """All findings, each printed as it is found, then a summary."""
    store = Store(config.mirror.directory)
    with ExitStack() as stack:
        stack.callback(store.close)
        index = stack.enter_context(peeked(config))
        stack.enter_context(storage_errors(config.mirror.directory))
        verifier = Verifier(store, index, _bar(stack, index, sample), lambda _: random.random() < sample)
        holder = lock.holder(config.state_directory)
        found = []
        for finding in verifier.findings(beside_daemon=holder is not None, now=time.time()):
            found.append(finding)
            _print(finding, as_json=as_json)
    if as_json:
        print_json({"event": "verified", "objects": verifier.objects, "bytes": verifier.bytes, "findings": len(found)})
    else:
        checked = f"{counted(verifier.objects, 'file')}, {human_size(verifier.bytes)} re-hashed"
        click.echo(f"{checked}: {counted(len(found), 'finding') if found else 'all as it should be'}")
    return found


def _print(finding: Finding, *, as_json: bool) -> None:
    if as_json:
        print_json({"event": "finding", **dataclasses.asdict(finding)})
    else:
        click.echo(printable(f"{finding.kind:<12}  {finding.path}: {finding.detail}"))


def _bar(stack: ExitStack, index: Index, sample: float) -> Callable[[int], None]:
    """A progress bar on a terminal; told of bytes read."""
    console = Console(stderr=True)
    if not (sys.stderr.isatty() and console.is_terminal):
        return lambda _: None
    columns = (TextColumn("verifying"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    bar = stack.enter_context(Progress(*columns, console=console, transient=True))
    task = bar.add_task("verifying", total=index.reports.totals()[1] * sample)
    return lambda count: bar.advance(task, count)


def _repaired(config: Config, found: list[Finding], *, as_json: bool) -> list[Finding]:
    """Set damaged bytes aside, fetch them again in one pass, and verify once more: what is left."""
    run(prepare(config, found))
    with JsonLines() if as_json else Lines() as observer:
        run(synced(config, [track.name for track in config.tracks], observer))
    return _verified(config, 1.0, as_json=as_json)

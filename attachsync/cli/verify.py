"""`verify`: is everything there, and unchanged?"""

import dataclasses
import random
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress

import click

from attachsync import lock, log
from attachsync.cli.session import config_of, counted, json_option, peeked, print_json, printable, run
from attachsync.cli.sync import synced
from attachsync.cli.watching import JsonLines, Lines
from attachsync.errors import MirrorHeldError, StorageError
from attachsync.index import Index
from attachsync.reader import Config
from attachsync.repairing import prepare
from attachsync.store import Store
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
@click.option("--resume", is_flag=True, help="Go on where the last one was interrupted.")
@json_option
@click.pass_context
def verify(context: click.Context, repair: bool, sample: float, resume: bool, as_json: bool) -> None:
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
    with _Journal(config, resume=resume, whole=sample == 1) as journal:
        found = _verified(config, journal, lambda _: random.random() < sample, sample, as_json=as_json)
        if sample == 1:
            journal.finished(clean=not found)
    is_whole = not found
    if repair and found:
        is_whole = _is_repaired(config, found, as_json=as_json)
    context.exit(0 if is_whole else 1)


class _Journal:
    """Remembers in the index what was re-hashed and good, so that a verification that is interrupted can go on.

    Where the index cannot be written, nothing is remembered.
    """

    _BEGAN = "verify_began"
    _APART = 5.0

    def __init__(self, config: Config, *, resume: bool, whole: bool) -> None:
        self._index: Index | None = None
        self._good: list[str] = []
        self._saved = time.monotonic()
        self._since: float | None = None
        with suppress(StorageError):
            self._index = Index.open(config.state_directory) if Index.is_in(config.state_directory) else None
        if self._index is not None:
            began = self._index.database.noted(self._BEGAN) if resume else None
            self._since = float(began) if began else None
            if whole:
                self._note(str(self._since or time.time()))

    def __enter__(self) -> "_Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self._save()
        if self._index is not None:
            self._index.close()

    def is_done(self, digest: str) -> bool:
        """Whether the verification that goes on here has re-hashed this already."""
        return (
            self._index is not None and self._since is not None and self._index.upkeep.good_since(digest, self._since)
        )

    def good(self, digest: str) -> None:
        """This one is what its name says."""
        self._good.append(digest)
        if time.monotonic() - self._saved > self._APART:
            self._save()

    def finished(self, *, clean: bool) -> None:
        """It came to its end; `clean`: nothing was found, so damage that the daemon met is past."""
        self._note("")
        if clean and self._index is not None:
            with suppress(StorageError):
                self._index.database.note("damage", "")

    def _note(self, began: str) -> None:
        with suppress(StorageError):
            if self._index is not None:
                self._index.database.note(self._BEGAN, began)

    def _save(self) -> None:
        with suppress(StorageError):
            if self._index is not None:
                self._index.upkeep.good(self._good, time.time())
        self._good.clear()
        self._saved = time.monotonic()


def _verified(
    config: Config, journal: _Journal | None, chosen: Callable[[str], bool], share: float, *, as_json: bool
) -> list[Finding]:
    """All findings, each printed as it is found, then a summary. `share` of the store is about what is chosen."""
    store = Store(config.mirror.directory)
    with ExitStack() as stack:
        stack.callback(store.close)
        index = stack.enter_context(peeked(config))
        verifier = Verifier(
            store,
            index,
            progress=_bar(stack, index, share),
            chosen=lambda digest: chosen(digest) and not (journal and journal.is_done(digest)),
            good=journal.good if journal else lambda _: None,
        )
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


def _bar(stack: ExitStack, index: Index, share: float) -> Callable[[int], None]:
    """A progress bar on a terminal; told of bytes read."""
    if not sys.stderr.isatty():
        return lambda _: None
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        return lambda _: None
    columns = (TextColumn("verifying"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    bar = stack.enter_context(Progress(*columns, console=console, transient=True))
    task = bar.add_task("verifying", total=index.reports.totals()[1] * share)
    return lambda count: bar.advance(task, count)


def _is_repaired(config: Config, found: list[Finding], *, as_json: bool) -> bool:
    """Set damaged bytes aside, fetch them again in one pass, and look once more: whether all is well then.

    What was sound just now is not hashed again.
    """
    hindrances = run(prepare(config, found))
    for hindrance in hindrances:
        click.echo(printable(f"attachsync: {hindrance}"), err=True)
    with JsonLines() if as_json else Lines() as observer:
        summary = run(synced(config, [track.name for track in config.tracks], observer))
    suspects = {finding.digest for finding in found}
    left = _verified(config, None, lambda digest: digest in suspects, 0.0, as_json=as_json)
    return not hindrances and not left and not summary.incomplete

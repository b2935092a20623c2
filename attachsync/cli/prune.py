"""`prune`: deletes what you name, and says what it was."""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import click

from attachsync import lock, log, pruning, units
from attachsync.cli.report import within
from attachsync.cli.session import config_of, counted, json_option, peeked, print_json, printable, run
from attachsync.clock import Clock
from attachsync.daemon import equipped, holding
from attachsync.errors import MirrorHeldError
from attachsync.index import Index
from attachsync.model import JSON
from attachsync.observer import Observer
from attachsync.pruning import AmbiguousError, Plan, UnknownError
from attachsync.reader import Config
from attachsync.store import Store


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the command line asks for: exactly one of these."""

    names: tuple[str, ...]
    older_than: float | None
    untracked: bool
    tracked: bool
    now: float
    """When it was asked (Unix time): what comes of age while somebody thinks about it stays."""

    def plan(self, config: Config, store: Store, index: Index) -> Plan:
        """What that is now. Raises UnknownError, AmbiguousError."""
        tracks = [track.name for track in config.tracks]
        if self.names:
            return pruning.named(store, index, [(name, within(config, name)) for name in self.names])
        if self.older_than is not None:
            return pruning.older(store, index, self.now - self.older_than, tracks, tracked=self.tracked)
        return pruning.untracked(store, index, tracks, self.now)


def _duration(_context: click.Context, _option: click.Parameter, value: str | None) -> float | None:
    try:
        return None if value is None else units.seconds(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command()
@click.argument("names", nargs=-1, metavar="[WHAT]…")
@click.option("--older-than", callback=_duration, metavar="D", help="What was mirrored so long ago: 90d, 12h, …")
@click.option("--untracked", is_flag=True, help="What no track shows, and has been so for 7 days.")
@click.option("--tracked", is_flag=True, help="With --older-than: also what a track shows.")
@click.option("--dry-run", is_flag=True, help="Say what would be removed; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_context
def prune(
    context: click.Context,
    names: tuple[str, ...],
    older_than: float | None,
    untracked: bool,
    tracked: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Delete what you name from the mirror, after asking. It is not fetched again.

    WHAT is a SHA-256 (or a unique prefix of at least 4 digits), a path in the mirror, or an upstream identity, as in
    `show`. An attachment goes with its older versions; a SHA-256 names just these bytes.

    --older-than removes older versions, and what no track shows any more. --untracked removes what tracks showed that
    are no longer in the config, and files that no attachment accounts for. Exits 1 if nothing is known by a WHAT, or
    if you say no, and 2 if one is ambiguous.
    """
    if bool(names) + (older_than is not None) + untracked != 1:
        raise click.UsageError("name what to remove: WHAT…, --older-than D or --untracked, one of them")
    if tracked and older_than is None:
        raise click.UsageError("--tracked goes with --older-than: what is named is removed in any case")
    config = config_of(context)
    log.quietly()
    wanted = _Wanted(names, older_than, untracked, tracked, time.time())
    holder = lock.holder(config.state_directory)
    if holder and not dry_run:
        raise MirrorHeldError(f"{config.mirror.directory} is held by {holder}; stop it, or wait")
    plan = _looked_up(context, config, wanted)
    rows = list(_rows(plan))
    if not dry_run:
        if rows and not yes and not _agreed(rows, plan):
            click.echo("nothing was removed", err=True)
            context.exit(1)
        plan, rows = run(_pruned(config, wanted))
    _report(rows, plan, dry_run=dry_run, as_json=as_json)


def _looked_up(context: click.Context, config: Config, wanted: _Wanted) -> Plan:
    store = Store(config.mirror.directory)
    try:
        with peeked(config) as index:
            return wanted.plan(config, store, index)
    except UnknownError as error:
        click.echo(printable(str(error)), err=True)
        context.exit(1)
    except AmbiguousError as error:
        click.echo(printable(str(error)), err=True)
        for one in error.found[:20]:
            click.echo(printable(f"  {one}"), err=True)
        context.exit(2)
    finally:
        store.close()


def _agreed(rows: list[dict[str, JSON]], plan: Plan) -> bool:
    """Ask, on standard error. Raises UsageError where nobody can answer."""
    if not sys.stdin.isatty():
        raise click.UsageError("prune asks first, and there is no terminal: give --yes, or look with --dry-run")
    for row in rows:
        click.echo(_line("remove", row), err=True)
    return click.confirm(f"Remove {_sum(plan)}?", err=True)


async def _pruned(config: Config, wanted: _Wanted) -> tuple[Plan, list[dict[str, JSON]]]:
    """Hold the mirror, and remove what is wanted; what it was."""
    clock = Clock()
    async with (
        holding(config, "prune", clock) as index,
        equipped(config, index, clock, Observer(), outboxes=False) as plant,
    ):
        if wanted.untracked:
            pruning.notice(plant.store, index, [track.name for track in config.tracks], clock.now())
        plan = wanted.plan(config, plant.store, index)
        rows = list(_rows(plan))
        await pruning.remove(plant.keeping, plan)
        return plan, rows


def _rows(plan: Plan) -> Iterator[dict[str, JSON]]:
    """Each thing that goes, as `--json` prints it. `kind`: attachment, version (an older one) or stray."""
    for item in plan.items:
        size = item.size
        if size is None and item.digest:
            size = plan.digests.get(item.digest)
        yield {
            "kind": "version" if item.past else "attachment",
            "account": item.account,
            "track": item.track,
            "key": item.key,
            "path": item.path,
            "sha256": item.digest,
            "size": size,
        }
    for stray in plan.strays:
        nobody = dict.fromkeys(("account", "track", "key"))
        yield {"kind": "stray", **nobody, "path": stray.path, "sha256": stray.digest, "size": stray.size}


def _line(verb: str, row: dict[str, JSON]) -> str:
    size = units.human_size(row["size"]) if isinstance(row["size"], int) else ""
    where = row["path"] or f"({row['account']}: {row['key']})"
    what = {"version": f" (an older version, {str(row['sha256'])[:12]})", "stray": " (no attachment's)"}
    return printable(f"{verb}  {size:>10}  {where}{what.get(str(row['kind']), '')}")


def _sum(plan: Plan) -> str:
    """'2 attachments, 1 older version, 1.5 MiB'."""
    past = sum(item.past for item in plan.items)
    counts = {"attachment": len(plan.items) - past, "older version": past, "stray file": len(plan.strays)}
    parts = [counted(count, noun) for noun, count in counts.items() if count]
    return ", ".join([*(parts or ["nothing"]), units.human_size(plan.bytes)])


def _report(rows: list[dict[str, JSON]], plan: Plan, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        left: dict[str, JSON] = {"not_long_enough": plan.young, "never_listed": list(plan.unlisted)}
        print_json({"dry_run": dry_run, "removed": rows, "bytes": plan.bytes, "left": left})
        return
    for row in rows:
        click.echo(_line("would remove" if dry_run else "removed", row))
    click.echo(f"{'would remove' if dry_run else 'removed'} {_sum(plan)}")
    if plan.young:
        click.echo(f"left {counted(plan.young, 'file')} that {_have(plan.young)} not been untracked for 7 days")
    if plan.unlisted:
        names = ", ".join(plan.unlisted)
        click.echo(printable(f"no file of the store was taken for untracked: never listed whole: {names}"))


def _have(count: int) -> str:
    return "has" if count == 1 else "have"

"""`sync`: one pass, then exit."""

import contextlib
import dataclasses
import sys

import click

from attachsync import keys, log
from attachsync.cli.session import config_of, json_option, peeked, print_json, printable, run
from attachsync.cli.summary import report
from attachsync.cli.watching import JsonLines, Lines, Tally
from attachsync.clock import Clock
from attachsync.courier import Couriers
from attachsync.daemon import Summary, equipped, has_errands, holding, one_pass
from attachsync.model import Track
from attachsync.observer import Observer
from attachsync.plan import Planned, planned
from attachsync.reader import Config
from attachsync.units import human_size


@click.command()
@click.argument("tracks", nargs=-1, metavar="[TRACK]…")
@click.option("--dry-run", is_flag=True, help="List what would be fetched, sent and refused; write nothing.")
@json_option
@click.pass_context
def sync(context: click.Context, tracks: tuple[str, ...], dry_run: bool, as_json: bool) -> None:
    """Make one pass over all tracks and outboxes, then exit.

    With TRACKs: over these only, and no outbox.

    Everything that is not mirrored yet is tried once, whatever its retry time. Exits 1 if something could not be
    mirrored or sent.
    """
    config = config_of(context)
    log.quietly()
    chosen = _chosen(config, tracks)
    if dry_run:
        context.exit(run(_dry_run(config, chosen, outboxes=not tracks, as_json=as_json)))
    observer = JsonLines() if as_json else _view() or Lines()
    with contextlib.closing(Couriers()) as couriers:
        if any(has_errands(config, track) for track in chosen):
            couriers.fork()  # before anything that has threads
        with observer:
            summary = run(synced(config, [track.name for track in chosen] if tracks else None, observer, couriers))
    report(summary, observer, as_json=as_json)
    context.exit(1 if summary.incomplete else 0)


def _view() -> Tally | None:
    if not sys.stdout.isatty():
        return None
    from attachsync.cli.live import LiveView

    return LiveView.here()


async def synced(
    config: Config, names: list[str] | None, observer: Observer, couriers: Couriers | None = None
) -> Summary:
    """Hold the mirror, and make one pass; `couriers` as `equipped` has it."""
    clock = Clock()
    async with (
        holding(config, "sync", clock) as index,
        equipped(config, index, clock, observer, outboxes=names is None, couriers=couriers) as plant,
    ):
        return await one_pass(plant, names)


def _chosen(config: Config, wanted: tuple[str, ...]) -> list[Track]:
    known = {track.name: track for track in config.tracks}
    for name in wanted:
        if name not in known:
            raise click.UsageError(f"{name!r} is not a track{keys.nearest(name, known)}")
    return [known[name] for name in dict.fromkeys(wanted)] if wanted else list(config.tracks)


async def _dry_run(config: Config, tracks: list[Track], *, outboxes: bool, as_json: bool) -> int:
    failed = False
    with peeked(config) as index:
        async for one in planned(config, index, tracks, outboxes=outboxes):
            failed = failed or one.action == "error"
            if as_json:
                print_json({**dataclasses.asdict(one), "reason": one.reason or None})
            else:
                click.echo(printable(_planned_line(one)), err=one.action == "error")
    return 1 if failed else 0


def _planned_line(one: Planned) -> str:
    if one.action == "error":
        return f"{one.track}: {one.reason}"
    what = one.path if one.track else f"{one.path}/{one.key}"
    why = f": {one.reason}" if one.action == "refuse" else f" (the last time: {one.reason})" if one.reason else ""
    return f"would {one.action}  {human_size(one.size) if one.size is not None else '?':>10}  {what}{why}"

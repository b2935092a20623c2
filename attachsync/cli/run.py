"""`run`: the daemon."""

import asyncio
import functools
import os
import signal
from contextlib import suppress
from pathlib import Path

import click

from attachsync import config as configs
from attachsync import log
from attachsync.cli.session import config_of, in_loop
from attachsync.clock import Clock
from attachsync.log import LogObserver
from attachsync.reader import Config
from attachsync.serving import Signals, serve
from attachsync.stamps import Stamp, stamps
from attachsync.systemd import Notifier

_GLANCE = 0.3
"""The config's files are looked at this often (seconds): a watcher would lose them where a link, or a folder in their
path, leads elsewhere."""


@click.command()
@click.pass_context
def run(context: click.Context) -> None:
    """Run the daemon: mirror and send until told to stop.

    SIGTERM and SIGINT stop it; a second one leaves at once. SIGHUP re-reads the config, as does saving it. SIGUSR1
    starts a pass now.
    """
    config = config_of(context)
    log.set_up(config.daemon.log_format, daemon=True)
    in_loop(_run(config))


async def _run(config: Config) -> None:
    signals, clock, seen = Signals(), Clock(), _seen(config.path)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, signals, number)
    loop.add_signal_handler(signal.SIGHUP, signals.reload.set)
    loop.add_signal_handler(signal.SIGUSR1, signals.look.set)
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(_watch(config.path, seen, clock, signals))
        try:
            load = functools.partial(configs.load, config.path, os.environ)
            await serve(load, clock, LogObserver(), Notifier(os.environ), signals)
        finally:
            watching.cancel()


def _stop(signals: Signals, number: signal.Signals) -> None:
    """Stop tidily; whoever says so twice does not want to wait. What is not done is made good at the next start."""
    if signals.stop.is_set():
        os._exit(128 + number)
    signals.stop.set()


def _seen(path: Path) -> dict[Path, Stamp]:
    """What differs when a config was saved: its files, those in config.d too, wherever they lead."""
    files = [path]
    with suppress(OSError):  # a config.d that cannot be listed is told when it is read
        files = configs.files(path)
    return dict(zip(files, stamps(files), strict=True))


async def _watch(path: Path, known: dict[Path, Stamp], clock: Clock, signals: Signals) -> None:
    """A saved config asks for a reload, when nobody writes it any more."""
    before = known
    while True:
        await clock.sleep(_GLANCE)
        found = _seen(path)
        if found == before and found != known:
            known = found
            signals.reload.set()
        before = found

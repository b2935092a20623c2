"""`run`: the daemon."""

import asyncio
import functools
import os
import signal
from pathlib import Path

import click
from watchfiles import awatch

from attachsync import config as configs
from attachsync import log
from attachsync.cli.session import config_of, in_loop
from attachsync.clock import Clock
from attachsync.log import LogObserver
from attachsync.logger import structlog
from attachsync.reader import Config
from attachsync.serving import Signals, serve
from attachsync.systemd import Notifier


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
    signals = Signals()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, signals, number)
    loop.add_signal_handler(signal.SIGHUP, signals.reload.set)
    loop.add_signal_handler(signal.SIGUSR1, signals.look.set)
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(_watch(config.path, signals))
        try:
            load = functools.partial(configs.load, config.path, os.environ)
            await serve(load, Clock(), LogObserver(), Notifier(os.environ), signals)
        finally:
            watching.cancel()


def _stop(signals: Signals, number: signal.Signals) -> None:
    """Stop tidily; whoever says so twice does not want to wait. What is not done is made good at the next start."""
    if signals.stop.is_set():
        os._exit(128 + number)
    signals.stop.set()


async def _watch(path: Path, signals: Signals) -> None:
    """A saved config asks for a reload. Only its own folder and config.d are watched, not what is below them."""
    beside = path.parent / "config.d"

    def is_config(_change: object, changed: str) -> bool:
        return changed in (str(path), str(beside)) or (
            changed.endswith(".toml") and os.path.dirname(changed) == str(beside)
        )

    try:
        while True:
            places = [place for place in (path.parent, beside) if place.is_dir()]
            async for _ in awatch(*places, watch_filter=is_config, recursive=False, step=200, debounce=400):
                signals.reload.set()
                if beside.is_dir() != (beside in places):
                    break  # config.d came or went: watch what is there now
    except (OSError, RuntimeError) as error:
        structlog.get_logger().warning("config_not_watched", error=str(error), note="reload with SIGHUP")

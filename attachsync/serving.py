"""The daemon: passes for ever, under signals, with configs that are replaced while it runs."""

import asyncio
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field

from attachsync.clock import Clock
from attachsync.daemon import Plant, equipped, holding
from attachsync.difference import differences
from attachsync.errors import ConfigError
from attachsync.log import set_up
from attachsync.logger import structlog
from attachsync.metrics import Metrics
from attachsync.observer import Observer
from attachsync.reader import Config
from attachsync.scrubbing import scrub
from attachsync.systemd import Notifier

log = structlog.get_logger()


class _Stop(Exception):
    """SIGTERM or SIGINT: shutdown is an exception in the task group."""


@dataclass(frozen=True, slots=True)
class Signals:
    """What the outside asks of a running daemon."""

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    reload: asyncio.Event = field(default_factory=asyncio.Event)
    look: asyncio.Event = field(default_factory=asyncio.Event)


async def serve(
    load: Callable[[], Config], clock: Clock, observer: Observer, notifier: Notifier, signals: Signals
) -> None:
    """The daemon: mirror and send until `signals.stop`. `load` reads the config, anew at each reload."""
    config = load()
    metrics = Metrics(config, observer, clock)
    async with holding(config, "run", clock) as index, metrics.served():
        following: Config | None = config
        while following is not None:
            if following.daemon.log_format != config.daemon.log_format:
                set_up(following.daemon.log_format, daemon=True)
            metrics.config = config = following
            async with equipped(config, index, clock, metrics.observer) as plant:
                notifier.ready(f"tracks: {len(config.tracks)}, outboxes: {len(config.outboxes)}")
                log.info("running", config=str(config.path), tracks=len(config.tracks), outboxes=len(config.outboxes))
                following = await _serve_one(plant, load, clock, notifier, signals, metrics)
        notifier.stopping()
        log.info("stopped")


async def _serve_one(
    plant: Plant, load: Callable[[], Config], clock: Clock, notifier: Notifier, signals: Signals, metrics: Metrics
) -> Config | None:
    """Run one config until it is replaced (the new one is returned) or the daemon is stopped (None)."""
    interval = plant.config.daemon.interval
    reloaded: list[Config] = []
    try:
        async with asyncio.TaskGroup() as group:
            for mirror in plant.mirrors.values():
                group.create_task(mirror.keep(lambda track: track.interval or interval))
            for outgoing in plant.outgoing:
                group.create_task(outgoing.keep())
            group.create_task(plant.adopter.keep())
            group.create_task(plant.hooks.keep())
            group.create_task(metrics.keep_file())
            names = [track.name for track in plant.config.tracks]
            period, state = plant.config.mirror.scrub, plant.config.state_directory
            group.create_task(scrub(plant.keeping, state, names, period, signals.look.set))
            group.create_task(_until_stopped(signals))
            group.create_task(_until_reloaded(plant.config, load, notifier, signals, reloaded))
            group.create_task(_look_when_asked(plant, signals))
            if notifier.watchdog:
                group.create_task(_stay_alive(notifier, clock))
    except* _Stop:
        pass
    return reloaded[0] if reloaded else None


async def _until_stopped(signals: Signals) -> None:
    await signals.stop.wait()
    raise _Stop


async def _until_reloaded(
    current: Config, load: Callable[[], Config], notifier: Notifier, signals: Signals, found: list[Config]
) -> None:
    """Wait for a config that differs and has no faults; one that has is reported, and the old one stays."""
    while True:
        await signals.reload.wait()
        signals.reload.clear()
        notifier.reloading()
        try:
            fresh = _movable(current, load())
        except ConfigError as error:
            log.error("config_refused", faults=list(error.faults), note="the old config stays in force")
            notifier.ready("the saved config has faults; the old one stays in force")
            continue
        if fresh == current:
            notifier.ready("config unchanged")
            continue
        changes = list(differences(current, fresh))
        for change in changes:
            log.info("config_changed", **change.whose, change=change.what)
        log.info("config_reloaded", config=str(fresh.path), changes=len(changes))
        found.append(fresh)
        raise _Stop


def _movable(current: Config, fresh: Config) -> Config:
    """The new config, but for what needs a restart, which is said and stays as it was."""
    for key in ("directory", "state_directory"):
        _restart_needed(f"mirror.{key}", getattr(current.mirror, key), getattr(fresh.mirror, key))
    _restart_needed("daemon.metrics", current.daemon.metrics, fresh.daemon.metrics)
    mirror = dataclasses.replace(
        fresh.mirror, directory=current.mirror.directory, state_directory=current.mirror.state_directory
    )
    daemon = dataclasses.replace(fresh.daemon, metrics=current.daemon.metrics)
    return dataclasses.replace(fresh, mirror=mirror, daemon=daemon)


def _restart_needed(key: str, now: object, saved: object) -> None:
    if now != saved:
        log.warning("restart_needed", key=key, now=str(now or "unset"), saved=str(saved or "unset"))


async def _look_when_asked(plant: Plant, signals: Signals) -> None:
    """SIGUSR1: a pass over everything, now."""
    while True:
        await signals.look.wait()
        signals.look.clear()
        for mirror in plant.mirrors.values():
            mirror.look_now()
        for outgoing in plant.outgoing:
            outgoing.look_now()


async def _stay_alive(notifier: Notifier, clock: Clock) -> None:
    while True:
        notifier.alive()
        await clock.sleep(notifier.watchdog)

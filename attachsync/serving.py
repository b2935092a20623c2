"""The daemon: passes for ever, under signals, with configs that are replaced while it runs."""

import asyncio
import dataclasses
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field

from attachsync.clock import Clock
from attachsync.daemon import Limits, Plant, equipped, holding
from attachsync.difference import differences
from attachsync.errors import ConfigError, MirrorHeldError, StorageError
from attachsync.index import Index
from attachsync.log import set_up
from attachsync.logger import structlog
from attachsync.metrics import Metrics
from attachsync.observer import Observer
from attachsync.outbox import Outgoing
from attachsync.reader import Config
from attachsync.scrubbing import scrub
from attachsync.systemd import Notifier

log = structlog.get_logger()

Work = Coroutine[object, object, object]

_IN_FORCE = "the old config stays in force"
_REFUSED_REST = 2.0
"""A config with faults is read again this often (seconds): what it lacks, a secret file say, may come later than it."""
_CLOSED_REST = 5.0
"""When not even the old config can be opened, it is tried again this often (seconds)."""
_CLOCK_REST = 300.0


class _Stop(Exception):
    """SIGTERM or SIGINT, or another config: shutdown is an exception in the task group."""


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
        await _Serving(load, clock, notifier, signals, metrics, index).serve(config)
        notifier.stopping()
        log.info("stopped")


class _Serving:
    """One config after the other, around one index."""

    def __init__(
        self,
        load: Callable[[], Config],
        clock: Clock,
        notifier: Notifier,
        signals: Signals,
        metrics: Metrics,
        index: Index,
    ) -> None:
        self._load = load
        self._clock = clock
        self._notifier = notifier
        self._signals = signals
        self._metrics = metrics
        self._index = index
        self._limits: Limits = {}
        self._faults: tuple[str, ...] = ()
        """Of the saved config, which is refused for them."""
        self._unopened = False
        """Whether it is refused because not all that it names can be opened."""
        self._told = ""
        """What was said last about configs that cannot be opened."""

    async def serve(self, config: Config) -> None:
        """A config, then those that take its place, until the daemon is stopped.

        What cannot be opened (StorageError, MirrorHeldError) ends the daemon only at its start.
        """
        wanted: Config | None = config
        before: Config | None = None
        while wanted is not None:
            async with AsyncExitStack() as stack:
                plant = await self._opened(stack, wanted, before)
                if plant is None:
                    wanted = await self._at_work(wanted, [self._rested()], ())
                else:
                    before = plant.config
                    wanted = await self._at_work(before, self._works(plant), plant.outgoing)

    async def _opened(self, stack: AsyncExitStack, wanted: Config, before: Config | None) -> Plant | None:
        """What a config names, or else the one before it; None where neither can be opened now."""
        refused = ""
        for config in (wanted,) if before is None else (wanted, before):
            try:
                plant = await stack.enter_async_context(
                    equipped(config, self._index, self._clock, self._metrics.observer, limits=self._limits)
                )
            except (StorageError, MirrorHeldError) as error:
                if before is None:
                    raise
                refused = refused or str(error)
            else:
                self._took_over(before, config, refused)
                return plant
        if refused != self._told:
            log.error("not_running", error=refused, note="neither the old config nor the saved one can be opened yet")
            self._told = refused
        self._notifier.ready(f"waits: {refused}")
        return None

    def _took_over(self, before: Config | None, config: Config, refused: str) -> None:
        """Say that a config is in force."""
        self._told = ""
        if before is not None and config.daemon.log_format != before.daemon.log_format:
            set_up(config.daemon.log_format, daemon=True)
        self._metrics.config = config
        if refused:
            self._unopened = True
            log.error("config_refused", faults=[refused], note=f"{_IN_FORCE}; once mended, save it again")
        elif before is not None and config != before:
            changes = list(differences(before, config))
            for change in changes:
                log.info("config_changed", **change.whose, change=change.what)
            log.info("config_reloaded", config=str(config.path), changes=len(changes))
        self._notifier.ready(f"tracks: {len(config.tracks)}, outboxes: {len(config.outboxes)}")
        log.info("running", config=str(config.path), tracks=len(config.tracks), outboxes=len(config.outboxes))

    # --- while one is in force ----------------------------------------------------------------------------------

    async def _at_work(self, config: Config, works: Iterable[Work], outgoing: Sequence[Outgoing]) -> Config | None:
        """Do all this until there is another config, which is returned, or the daemon is stopped (None)."""
        found: list[Config] = []
        try:
            async with asyncio.TaskGroup() as group:
                for work in works:
                    group.create_task(work)
                group.create_task(self._until_stopped())
                group.create_task(self._until_reloaded(config, found, outgoing))
                if self._notifier.watchdog:
                    group.create_task(self._stay_alive())
        except* _Stop:
            pass
        if self._signals.stop.is_set():
            return None
        return found[0] if found else config

    def _works(self, plant: Plant) -> Iterator[Work]:
        config, look = plant.config, self._signals.look
        interval = config.daemon.interval
        for mirror in plant.mirrors.values():
            yield mirror.keep(lambda track: track.interval or interval)
        for outgoing in plant.outgoing:
            yield outgoing.keep()
        yield plant.adopter.keep()
        yield plant.hooks.keep()
        yield self._metrics.keep_file()
        names = [track.name for track in config.tracks]
        yield scrub(plant.keeping, config.state_directory, names, config.mirror.scrub, look.set)
        yield self._look_when_asked(plant)
        yield self._mind_the_clock()

    async def _until_stopped(self) -> None:
        await self._signals.stop.wait()
        raise _Stop

    async def _rested(self) -> None:
        """Wait before what could not be opened is tried again; SIGUSR1 has it tried at once."""
        await self._clock.wait(self._signals.look, _CLOSED_REST)
        self._signals.look.clear()
        raise _Stop

    async def _until_reloaded(self, current: Config, found: list[Config], outgoing: Sequence[Outgoing]) -> None:
        """Wait for a config that differs and has no faults; one that has is reported, and the old one stays."""
        while True:
            asked = await self._asked()
            if asked:
                self._notifier.reloading()
            try:
                fresh = _movable(current, self._load())
            except ConfigError as error:
                if asked or error.faults != self._faults:
                    log.error("config_refused", faults=list(error.faults), note=_IN_FORCE)
                if asked:
                    self._notifier.ready("the saved config has faults; the old one stays in force")
                self._faults = error.faults
                continue
            if fresh == current:
                if self._faults or self._unopened:
                    log.info("config_mended", config=str(fresh.path), note="it is the one in force")
                self._notifier.ready("config unchanged")
                self._faults, self._unopened = (), False
                continue
            if not asked:
                self._notifier.reloading()
            self._faults, self._unopened = (), False
            for one in outgoing:
                one.hurry()
            found.append(fresh)
            raise _Stop

    async def _asked(self) -> bool:
        """Wait until the config is to be read: False if nobody asked, but what was wrong may be mended by now."""
        reload = self._signals.reload
        asked = await (self._clock.wait(reload, _REFUSED_REST) if self._faults else reload.wait())
        reload.clear()
        return asked

    async def _look_when_asked(self, plant: Plant) -> None:
        """SIGUSR1: a pass over everything, now."""
        look = self._signals.look
        while True:
            await look.wait()
            look.clear()
            for mirror in plant.mirrors.values():
                mirror.look_now()
            for outgoing in plant.outgoing:
                outgoing.look_now()

    async def _mind_the_clock(self) -> None:
        """A clock that is set right after the start may have been far ahead."""
        while True:
            await self._clock.sleep(_CLOCK_REST)
            with suppress(StorageError):  # a full disk is told by the passes
                self._index.upkeep.mend_times(self._clock.now())

    async def _stay_alive(self) -> None:
        while True:
            self._notifier.alive()
            await self._clock.sleep(self._notifier.watchdog)


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

"""The composition root: opens everything a config names, and runs it, once (`sync`) or for ever (`run`)."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import structlog

from attachsync import lock
from attachsync.adopting import Adopter
from attachsync.clock import Clock
from attachsync.errors import ConfigError, StorageError
from attachsync.fetcher import Keeping
from attachsync.http import Http
from attachsync.index import Index
from attachsync.manifest import Manifest
from attachsync.mirror import Mirror, Turn
from attachsync.model import NEEDS_A_PERSON, Account, Outbox, State
from attachsync.observer import Filed, Observer
from attachsync.outbox import Notice, Outgoing
from attachsync.outbox import Outcome as Sent
from attachsync.reader import Config
from attachsync.sources import SERVICES
from attachsync.store import Store, make_folder, storage_errors
from attachsync.systemd import Notifier
from attachsync.views import Modes, Views

log = structlog.get_logger()

_MARK = "mirror"


@dataclass(frozen=True, slots=True)
class Plant:
    """Everything that a config names, opened."""

    config: Config
    index: Index
    store: Store
    views: Views
    mirrors: Mapping[str, Mirror]
    outgoing: Sequence[Outgoing]
    adopter: Adopter


@dataclass(slots=True)
class Summary:
    """What one pass came to."""

    tracks: list[str]
    counts: Mapping[str, Mapping[str, int]]
    errors: dict[str, str] = field(default_factory=dict)
    sent: dict[str, Sent] = field(default_factory=dict)
    """By the outbox's folder."""

    @property
    def incomplete(self) -> bool:
        """Whether something could not be mirrored or sent (exit 1)."""
        states = {state for counts in self.counts.values() for state, count in counts.items() if count}
        stuck = any(State(state) in NEEDS_A_PERSON for state in states)
        return bool(self.errors) or stuck or not all(sent.complete for sent in self.sent.values())


@asynccontextmanager
async def holding(config: Config, command: str, clock: Clock) -> AsyncIterator[Index]:
    """Hold the mirror, its index open. Raises MirrorHeldError, StorageError, ConfigError."""
    directory = config.mirror.directory
    lock.refuse_foreign(directory)
    with storage_errors(directory):
        directory.parent.mkdir(parents=True, exist_ok=True)
        make_folder(directory, config.mirror.dir_mode, directory)
    with lock.held(directory, config.state_directory, command, clock.now()), ExitStack() as stack:
        index = Index.open(config.state_directory)
        stack.callback(index.close)
        index.database.note(_MARK, lock.marked(directory, index.database.noted(_MARK)))
        yield index


@asynccontextmanager
async def equipped(
    config: Config, index: Index, clock: Clock, observer: Observer, *, outboxes: bool = True
) -> AsyncIterator[Plant]:
    """Open all that a config names, around an index that is held already. Raises StorageError, MirrorHeldError."""
    settings = config.mirror
    async with AsyncExitStack() as stack:
        store = Store(
            settings.directory,
            file_mode=settings.file_mode,
            store_mode=settings.store_mode,
            min_free=settings.min_free,
        )
        stack.callback(store.close)
        await store.run(store.prepare)
        modes = {name: account.dir_mode for name, account in config.accounts.items() if account.dir_mode is not None}
        views = Views(store, settings.link, Modes(settings.file_mode, settings.dir_mode, modes), _fallbacks(index))
        await store.run(views.prepare)
        gate = asyncio.Semaphore(config.daemon.concurrency)
        manifest = Manifest(store, index, config.state_directory)
        keeping = Keeping(index, store, views, clock, observer, manifest, gate, settings.max_size)
        adopter = Adopter(store, settings.max_size)
        stack.push_async_callback(adopter.finish)
        mirrors, outgoing = {}, []
        for account in config.accounts.values():
            http = Http(account, SERVICES[account.service].credentials(account), clock)
            stack.push_async_callback(http.close)
            mirror = _mirror(config, account, http, keeping)
            if mirror:
                mirrors[account.name] = mirror
            if outboxes:
                outgoing += [
                    stack.enter_context(_outgoing(box, account, http, keeping, _adopt(config, box, adopter)))
                    for box in config.outboxes
                    if box.account == account.name
                ]
        yield Plant(config, index, store, views, mirrors, outgoing, adopter)


def _mirror(config: Config, account: Account, http: Http, keeping: Keeping) -> Mirror | None:
    pull = SERVICES[account.service].pull
    tracks = [track for track in config.tracks if track.account == account.name]
    if pull is None or not tracks:
        return None
    return Mirror(account, pull.source(http), tracks, pull, keeping, lambda: http.skew)


def _adopt(config: Config, box: Outbox, adopter: Adopter) -> Callable[[Notice], None]:
    """What keeps sent files of an outbox for the tracks that list them; nothing where none does."""
    account = config.accounts[box.account]
    push = SERVICES[account.service].push
    tracks = [track for track in config.tracks if track.account == account.name]
    if push is None or not any(push.mirrored(box.options, track.options) for track in tracks):
        return lambda _notice: None
    return adopter.heard


@contextmanager
def _outgoing(
    box: Outbox, account: Account, http: Http, keeping: Keeping, adopt: Callable[[Notice], None]
) -> Iterator[Outgoing]:
    """An outbox, its folder open and locked."""
    push = SERVICES[account.service].push
    assert push is not None

    def notify(notice: Notice) -> None:
        reason = str(notice.document.get("error", ""))
        keeping.observer.filed(Filed(notice.event, notice.account, notice.outbox, notice.file, notice.filed_as, reason))
        adopt(notice)

    outgoing = Outgoing(box, push.sender(http, box.options), keeping.index.uploads, keeping.clock, notify=notify)
    outgoing.open()
    try:
        yield outgoing
    finally:
        outgoing.close()


def _fallbacks(index: Index) -> Callable[[str, str, str], None]:
    """Says, in the log and for `status`, that files/ is made of other links than the config asks for.

    It is called in the store's threads; the index belongs to the event loop's.
    """
    loop = asyncio.get_running_loop()

    def report(wanted: str, made: str, reason: str) -> None:
        log.warning("link_fallback", wanted=wanted, made=made, reason=reason)
        loop.call_soon_threadsafe(index.database.note, "link_fallback", f"{made} instead of {wanted}: {reason}")

    return report


async def one_pass(plant: Plant, names: Sequence[str] | None) -> Summary:
    """One pass over the named tracks (None: all of them, and the outboxes); whatever their retry times."""
    index, config = plant.index, plant.config
    tracks = [track for track in config.tracks if names is None or track.name in names]
    turns: list[Turn] = []
    sent: dict[str, Sent] = {}

    async def mirror(one: Mirror) -> None:
        mine = [track for track in tracks if track.account == one.account.name]
        if mine:
            turns.append(await one.turn(mine))

    async def send(one: Outgoing) -> None:
        try:
            sent[str(one.config.directory)] = await one.flush()
        except StorageError as error:
            sent[str(one.config.directory)] = Sent(trouble=str(error))

    async with asyncio.TaskGroup() as group:
        for one in plant.mirrors.values():
            group.create_task(mirror(one))
        for outgoing in plant.outgoing:
            group.create_task(send(outgoing))
    listed = [track.name for track in tracks]
    summary = Summary(listed, index.tracks.counts(listed), sent=sent)
    for turn in turns:
        summary.errors.update(turn.errors)
    return summary


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
    async with holding(config, "run", clock) as index:
        following: Config | None = config
        while following is not None:
            config = following
            async with equipped(config, index, clock, observer) as plant:
                notifier.ready(f"tracks: {len(config.tracks)}, outboxes: {len(config.outboxes)}")
                log.info("running", config=str(config.path), tracks=len(config.tracks), outboxes=len(config.outboxes))
                following = await _serve_one(plant, load, clock, notifier, signals)
        notifier.stopping()
        log.info("stopped")


async def _serve_one(
    plant: Plant, load: Callable[[], Config], clock: Clock, notifier: Notifier, signals: Signals
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
        log.info("config_reloaded", config=str(fresh.path))
        found.append(fresh)
        raise _Stop


def _movable(current: Config, fresh: Config) -> Config:
    """The new config, but for what needs a restart, which is said and stays as it was."""
    for key in ("directory", "state_directory"):
        if getattr(fresh.mirror, key) != getattr(current.mirror, key):
            log.warning("restart_needed", key=f"mirror.{key}")
    if fresh.daemon.metrics != current.daemon.metrics:
        log.warning("restart_needed", key="daemon.metrics")
    mirror = dataclasses.replace(
        fresh.mirror, directory=current.mirror.directory, state_directory=current.mirror.state_directory
    )
    daemon = dataclasses.replace(fresh.daemon, metrics=current.daemon.metrics)
    return dataclasses.replace(fresh, mirror=mirror, daemon=daemon)


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

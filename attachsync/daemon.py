"""The composition root: opens everything a config names, and runs it, once (`sync`) or for ever (`run`)."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from attachsync import lock, ownership, rebuilding, retention
from attachsync.adopting import Adopter
from attachsync.bulk import Bulk
from attachsync.clock import Clock
from attachsync.completeness import Completeness
from attachsync.courier import Couriers
from attachsync.credentials import secret_files
from attachsync.durable import make_folder
from attachsync.errors import StorageError
from attachsync.hooks import Hooks
from attachsync.http import Http
from attachsync.index import Index
from attachsync.keeping import Keeping
from attachsync.linking import Modes
from attachsync.logger import structlog
from attachsync.manifest import Manifest, in_the_way
from attachsync.mirror import Mirror
from attachsync.model import NEEDS_A_PERSON, Account, Outbox, State, Track
from attachsync.observer import Filed, Observer
from attachsync.outbox import Notice, Outgoing
from attachsync.outbox import Outcome as Sent
from attachsync.pace import Limited
from attachsync.patience import Patience
from attachsync.reader import Config
from attachsync.services import SERVICES
from attachsync.showing import Showing
from attachsync.sources.service import no_errand
from attachsync.store import Store, storage_errors
from attachsync.turn import Turn
from attachsync.views import Views

log = structlog.get_logger()

_PATIENCE = Patience()

Limits = dict[tuple[str, str], Limited]
"""Of accounts, by name and base_url."""


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
    hooks: Hooks
    keeping: Keeping


@dataclass(slots=True)
class Summary:
    """What one pass came to."""

    tracks: list[str]
    counts: Mapping[str, Mapping[str, int]]
    completeness: Mapping[str, Completeness]
    errors: dict[str, str] = field(default_factory=dict)
    sent: dict[str, Sent] = field(default_factory=dict)
    """By the outbox's folder."""
    hindrance: str = ""
    """What is in the way of SHA256SUMS, if anything is."""

    @property
    def incomplete(self) -> bool:
        """Whether something could not be mirrored or sent (exit 1)."""
        states = {state for counts in self.counts.values() for state, count in counts.items() if count}
        stuck = any(State(state) in NEEDS_A_PERSON for state in states)
        return bool(self.errors or self.hindrance) or stuck or not all(sent.complete for sent in self.sent.values())


@asynccontextmanager
async def holding(config: Config, command: str, clock: Clock) -> AsyncIterator[Index]:
    """Hold the mirror, its index open. Raises MirrorHeldError, StorageError, ConfigError."""
    ownership.check_parts(config)
    directory = config.mirror.directory
    lock.recognised(directory, _remembered(config.state_directory))  # before anything is made in a wrong folder
    with storage_errors(directory):
        directory.parent.mkdir(parents=True, exist_ok=True)
        make_folder(directory, config.mirror.dir_mode, directory)
    with lock.held(directory, config.state_directory, command, clock.now()), ExitStack() as stack:
        index = rebuilding.opened(directory, config.state_directory, clock.now())
        stack.callback(rebuilding.closed, config.state_directory)
        stack.callback(index.close)
        lock.marked(directory, index.database.noted(lock.MARK), partial(_remember, index))
        index.changes.begin()
        yield index


def _remember(index: Index, mirror: str) -> None:
    with index.database.transaction(durable=True):
        index.database.note(lock.MARK, mirror)


def _remembered(state: Path) -> str | None:
    """The identity of the mirror that an index belongs to; None where there is no sound index."""
    with suppress(StorageError):
        index = Index.peek(state)
        try:
            return index.database.noted(lock.MARK)
        finally:
            index.close()
    return None


@asynccontextmanager
async def equipped(
    config: Config,
    index: Index,
    clock: Clock,
    observer: Observer,
    *,
    outboxes: bool = True,
    patience: Patience = _PATIENCE,
    couriers: Couriers | None = None,
    limits: Limits | None = None,
) -> AsyncIterator[Plant]:
    """Open all that a config names, around an index that is held already. Raises StorageError, MirrorHeldError.

    `couriers`: those that were made for it, by whoever closes them. `limits`: what is asked of accounts already.
    """
    settings = config.mirror
    lock.recognised(settings.directory, index.database.noted(lock.MARK))  # its disk may have gone meanwhile
    async with AsyncExitStack() as stack:
        store = stack.enter_context(closing(_store(config)))
        await store.run(store.prepare)
        own = {name: account.dir_mode for name, account in config.accounts.items()}
        modes = {name: settings.dir_mode if mode is None else mode for name, mode in own.items()}
        views = Views(store, settings.link, Modes(settings.file_mode, settings.dir_mode, modes), _fallbacks(index))
        await store.run(views.prepare)
        gate = asyncio.Semaphore(config.daemon.concurrency)
        manifest = Manifest(store, index, config.state_directory, clock, _hindered)
        names = [track.name for track in config.tracks]
        salvage = await rebuilding.salvage(store, index, config.state_directory, names)
        showing = Showing(index, store, views, manifest, clock)
        couriers = couriers or stack.enter_context(closing(Couriers()))
        keeping = Keeping(
            index, store, views, clock, observer, manifest, showing, gate, settings.max_size, couriers, salvage
        )
        await retention.finish(keeping)
        with suppress(StorageError):  # a full disk is told by the passes
            await manifest.publish()
        index.upkeep.notice_tracks(names, clock.now())
        index.upkeep.mend_times(clock.now())
        adopter = Adopter(store, settings.max_size)
        stack.push_async_callback(adopter.finish)
        hooks = Hooks(config.hooks, settings.directory, config.outboxes, index, clock)
        stack.push_async_callback(hooks.close)
        mirrors, outgoing = {}, []
        for account in config.accounts.values():
            http = _client(account, clock, patience, {} if limits is None else limits)
            stack.push_async_callback(http.close)
            mirror = _mirror(config, account, http, keeping)
            if mirror:
                mirrors[account.name] = mirror
            if outboxes:
                rebuilding.suspect(account, config.outboxes, http, index, clock.now())
                outgoing += [
                    stack.enter_context(_outgoing(box, account, http, keeping, _adopt(config, box, adopter)))
                    for box in config.outboxes
                    if box.account == account.name
                ]
        if outboxes:
            rebuilding.journal_is_made_good(index)
        yield Plant(config, index, store, views, mirrors, outgoing, adopter, hooks, keeping)


def _client(account: Account, clock: Clock, patience: Patience, limits: Limits) -> Http:
    credentials = SERVICES[account.service].credentials(account)
    limited = limits.setdefault((account.name, account.base_url), Limited())
    return Http(account, credentials, clock, patience=patience, limited=limited)


def _store(config: Config) -> Store:
    settings = config.mirror
    return Store(
        settings.directory, file_mode=settings.file_mode, store_mode=settings.store_mode, min_free=settings.min_free
    )


def has_errands(config: Config, track: Track) -> bool:
    """Whether attachments of a track may be had as errands."""
    pull = SERVICES[config.accounts[track.account].service].pull
    return pull is not None and pull.errand is not no_errand


def _mirror(config: Config, account: Account, http: Http, keeping: Keeping) -> Mirror | None:
    pull = SERVICES[account.service].pull
    tracks = [track for track in config.tracks if track.account == account.name]
    if pull is None or not tracks:
        return None
    bulk = Bulk(http, pull.errand, keeping)
    return Mirror(account, pull.source(http), tracks, pull, bulk, keeping, lambda: http.skew)


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
        said = (notice.event, notice.account, notice.outbox, notice.file, notice.filed_as, reason, notice.size)
        keeping.observer.filed(Filed(*said))
        adopt(notice)

    sender, uploads = push.sender(http, box.options), keeping.index.uploads
    queued = partial(keeping.observer.queued, account.name, str(box.directory))
    width, secrets = account.concurrency, secret_files(account.options)
    outgoing = Outgoing(box, sender, uploads, keeping.clock, width=width, secrets=secrets, notify=notify, queued=queued)
    outgoing.open()
    try:
        yield outgoing
    finally:
        outgoing.close()


def _hindered(what: str) -> None:
    log.error("manifest_in_the_way", error=what)


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
    listed = [track.name for track in tracks]
    for track, counts in zip(tracks, index.tracks.counts(listed).values(), strict=True):
        left = sum(count for state, count in counts.items() if state != State.STORED)
        plant.keeping.observer.outstanding(track.account, track.name, left)

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
    await plant.hooks.drain()
    summary = Summary(
        listed,
        index.tracks.counts(listed),
        index.tracks.completeness(listed),
        sent=sent,
        hindrance=in_the_way(config.mirror.directory),
    )
    for turn in turns:
        summary.errors.update(turn.errors)
    return summary

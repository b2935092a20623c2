"""Metrics for Prometheus, and `/healthz`: over HTTP, a socket, or as a text file (contract 2, `[daemon]`).

What is known is read from the index at each scrape; only what happens is counted in memory.
"""

import os
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from attachsync import __version__, lock
from attachsync.clock import Clock
from attachsync.errors import AttachsyncError
from attachsync.index import Index
from attachsync.logger import structlog
from attachsync.model import JSON
from attachsync.observer import Filed, Observer, Outcome, Reading
from attachsync.reader import Config
from attachsync.status import Status, gathered
from attachsync.threads import in_thread

log = structlog.get_logger()

_SOCKET = "unix:"
_EVERY = 15.0
"""The text file is written this often (seconds)."""


class Counting(Observer):
    """Counts what happens, and tells another observer of it."""

    def __init__(self, then: Observer, registry: CollectorRegistry) -> None:
        self._then = then
        labels = ("account", "track", "state")
        self._settled = Counter(
            "attachsync_attachments_settled", "Attachments that came to a state", labels, registry=registry
        )
        self._received = Counter("attachsync_received_bytes", "Bytes of attachments received", registry=registry)
        self._passes = Counter(
            "attachsync_passes", "Passes over a track that ended", ("account", "track", "outcome"), registry=registry
        )

    def outstanding(self, account: str, track: str, count: int) -> None:
        """Passed on."""
        self._then.outstanding(account, track, count)

    def listed(self, account: str, track: str, listed: int, new: int) -> None:
        """Passed on."""
        self._then.listed(account, track, listed, new)

    def received(self, reading: Reading, count: int) -> None:
        """Counted."""
        self._received.inc(count)
        self._then.received(reading, count)

    def ended(self, reading: Reading) -> None:
        """Passed on."""
        self._then.ended(reading)

    def settled(self, outcome: Outcome) -> None:
        """Counted."""
        self._settled.labels(outcome.account, outcome.track, outcome.state.value).inc()
        self._then.settled(outcome)

    def queued(self, account: str, outbox: str, count: int) -> None:
        """Passed on."""
        self._then.queued(account, outbox, count)

    def filed(self, filed: Filed) -> None:
        """Passed on: the index counts what was sent."""
        self._then.filed(filed)

    def track_ended(self, account: str, track: str, error: str) -> None:
        """Counted."""
        self._passes.labels(account, track, "failed" if error else "complete").inc()
        self._then.track_ended(account, track, error)

    def account_down(self, account: str, error: str) -> None:
        """Passed on."""
        self._then.account_down(account, error)


class Metrics:
    """Collects, and exposes. `config` is the one in force; it is replaced when the daemon takes over another."""

    def __init__(self, config: Config, observer: Observer, clock: Clock) -> None:
        self.config = config
        self.registry = CollectorRegistry()
        self.observer = Counting(observer, self.registry)
        self._clock = clock
        self._started = clock.now()
        ProcessCollector(registry=self.registry)
        self.registry.register(self)

    # --- what there is ------------------------------------------------------------------------------------------

    def collect(self) -> Iterator[Metric]:
        """The metrics of this moment (blocking)."""
        yield _gauge("attachsync_build_info", "Version of attachsync", ("version",), [((__version__,), 1.0)])
        found = self._status(self.config)
        yield from _of_tracks(found)
        yield from _of_outboxes(found)
        yield from _of_store(found.store)
        needs = [((), float(len(found.needs_a_person)))]
        yield _gauge("attachsync_needs_a_person", "Things that `attachsync status` says need a person", (), needs)

    def _status(self, config: Config) -> Status:
        index = Index.peek(config.state_directory)
        try:
            return gathered(config, index, lock.holder(config.state_directory), self._clock.now())
        finally:
            index.close()

    def stale(self) -> list[str]:
        """Tracks without a whole pass for longer than `stale_after`, since we run at least (blocking)."""
        now, config, found = self._clock.now(), self.config, []  # one config: another may be taken over meanwhile
        tracks = {track.name: track for track in config.tracks}
        for row in self._status(config).tracks:
            interval = tracks[str(row["name"])].interval or config.daemon.interval
            complete = _time(row["last_complete"]) or 0.0
            if now - max(complete, self._started) > max(config.daemon.stale_after, interval):
                found.append(str(row["name"]))
        return found

    # --- over HTTP ----------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def served(self) -> AsyncIterator[None]:
        """Serve `/metrics` and `/healthz` where the config says, if it does; a place that is taken is only told."""
        place = self.config.daemon.metrics
        if place is None:
            yield
            return
        app = web.Application()
        app.router.add_get("/metrics", self._answer_metrics)
        app.router.add_get("/healthz", self._answer_health)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            served = False
            try:
                await _site(runner, place).start()
                served = True
            except OSError as error:
                log.error("metrics_not_served", place=place, error=os.strerror(error.errno or 0) or str(error))
            yield
        finally:
            await runner.cleanup()
            if served and place.startswith(_SOCKET):
                Path(place.removeprefix(_SOCKET)).unlink(missing_ok=True)  # nobody listens there any more

    async def _answer_metrics(self, _request: web.Request) -> web.Response:
        text = await in_thread(generate_latest, self.registry)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    async def _answer_health(self, _request: web.Request) -> web.Response:
        try:
            stale = await in_thread(self.stale)
        except AttachsyncError as error:
            return web.json_response({"healthy": False, "error": str(error)}, status=503)
        return web.json_response({"healthy": not stale, "stale": stale}, status=503 if stale else 200)

    # --- as a file ----------------------------------------------------------------------------------------------

    async def keep_file(self) -> None:
        """For ever: write the text file, if the config names one."""
        while True:
            await self.write_file()
            await self._clock.sleep(_EVERY)

    async def write_file(self) -> None:
        """Write the text file once, whole or not at all; trouble with it is only told."""
        path = self.config.daemon.metrics_textfile
        if path is None:
            return
        try:
            await in_thread(self._write, path)
        except (OSError, AttachsyncError) as error:
            log.error("metrics_not_written", path=str(path), error=str(error))

    def _write(self, path: Path) -> None:
        text = generate_latest(self.registry)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            with open(descriptor, "wb") as file:
                file.write(text)
                os.fchmod(descriptor, 0o644)  # another user's collector reads it
            os.rename(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def _site(runner: web.AppRunner, place: str) -> web.BaseSite:
    if place.startswith(_SOCKET):
        return web.UnixSite(runner, place.removeprefix(_SOCKET))
    host, _, port = place.rpartition(":")
    return web.TCPSite(runner, host.strip("[]"), int(port))


def _gauge(
    name: str, text: str, labels: tuple[str, ...], rows: Iterable[tuple[tuple[str, ...], float]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family


def _of_tracks(found: Status) -> Iterator[Metric]:
    whose = ("account", "track")
    rows = [((str(row["account"]), str(row["name"])), row) for row in found.tracks]
    counts = [
        ((*name, state), _number(count))
        for name, row in rows
        if isinstance(row["counts"], Mapping)
        for state, count in row["counts"].items()
    ]
    yield _gauge("attachsync_attachments", "Attachments known, by state", (*whose, "state"), counts)
    removed = [(name, _number(row["removed"])) for name, row in rows]
    yield _gauge("attachsync_attachments_removed", "Attachments removed on purpose", whose, removed)
    for metric, key, text in (
        ("last_pass", "last_pass", "When the last pass over a track ended"),
        ("last_complete_pass", "last_complete", "When the last pass ended that listed a track whole"),
    ):
        times = [(name, _time(row[key]) or 0.0) for name, row in rows]
        yield _gauge(f"attachsync_track_{metric}_timestamp_seconds", f"{text}; 0: never", whose, times)
    failing = [(name, float(bool(row["last_error"]))) for name, row in rows]
    yield _gauge("attachsync_track_failing", "1 while passes over a track fail", whose, failing)


def _of_outboxes(found: Status) -> Iterator[Metric]:
    whose = ("account", "outbox")
    rows = [((str(box["account"]), str(box["directory"])), box) for box in found.outboxes]
    states = ("waiting", "failed", "held", "odd")
    files = [((*name, state), _number(box[state])) for name, box in rows for state in states]
    yield _gauge("attachsync_outbox_files", "Files in an outbox, by state", (*whose, "state"), files)
    sent = CounterMetricFamily("attachsync_outbox_sent", "Files sent from an outbox", labels=whose)
    for name, box in rows:
        sent.add_metric(name, _number(box["sent"]))
    yield sent


def _of_store(store: Mapping[str, JSON]) -> Iterator[Metric]:
    for key, name, text in (
        ("objects", "attachsync_store_objects", "Files that the store should hold"),
        ("bytes", "attachsync_store_bytes", "Bytes that the store should hold"),
        ("free", "attachsync_store_free_bytes", "Bytes free on the mirror's file system"),
    ):
        yield _gauge(name, text, (), [((), _number(store[key]))])


def _number(value: JSON) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _time(value: JSON) -> float | None:
    return datetime.fromisoformat(value).timestamp() if isinstance(value, str) else None

"""Many attachments at a time: they come as they would one by one, and whatever is odd goes the ordinary way."""

import asyncio
import contextlib
import dataclasses
import itertools
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from attachsync.cli.watching import Tally
from attachsync.clock import Clock
from attachsync.courier import Courier
from attachsync.daemon import equipped, holding, one_pass
from attachsync.durable import Syncing
from attachsync.errands import IN_MEMORY, TOGETHER
from attachsync.http import Http
from attachsync.line import Refusal
from attachsync.linking import Linker, Modes, Placing, Shown
from attachsync.model import JSON, Attachment
from attachsync.orders import LARGEST, PATIENCE, STOP, Done, Order
from attachsync.refusals import shared
from attachsync.sandbox import Fault
from attachsync.sources.datatrails import SERVICE
from attachsync.store import Store
from attachsync.views import Views
from tests.ledgers import BYTES, DOWNLOADS, Ledgers, ledgers
from tests.test_mirror import attached, sha256

MANY = 100
INFO = DOWNLOADS + "/info"
ONE_BY_ONE = "concurrency = 1\n"
"""With one request at a time, nothing is sent for together."""


def fill(one: Ledgers, many: int = MANY, *, scanned: str = "SCANNED_OK") -> None:
    """An asset with so many events, and an attachment on each."""
    trail = one.box.datatrails
    asset = trail.add_asset({})
    for number in range(many):
        trail.add_event(asset, {"report": attached(one, b"%d" % number * 9, f"{number}.txt", scanned=scanned)})


def asked(one: Ledgers) -> Counter[str]:
    """How often each attachment's record and bytes were asked for."""
    return Counter(request.path for request in one.box.requests if "/attachments/" in request.path)


def sent_for(one: Ledgers) -> int:
    """How many records were asked for by whoever asks for many: the ordinary way wants JSON, and says so."""
    accepted = (request.headers.get("Accept") for request in one.box.requests if request.path.endswith("/info"))
    return sum(accept == "*/*" for accept in accepted)


def known(one: Ledgers) -> list[dict[str, JSON]]:
    """What is known of all attachments, but for times."""
    rows = one.rows()
    times = {"mirrored_at"}
    return sorted(({name: row[name] for name in row.keys() - times} for row in rows), key=lambda row: str(row["key"]))


def sums_are_right(one: Ledgers) -> bool:
    """Whether SHA256SUMS is of all that is shown, and of nothing else."""
    lines = (one.mirror / "SHA256SUMS").read_text().splitlines()
    checked = subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=one.mirror, check=False)
    return checked.returncode == 0 and len(lines) == len(one.shown())


async def test_each_takes_two_requests(ledger: Ledgers) -> None:
    """Its record and its bytes; what is known of it then is all that there is to know."""
    fill(ledger, scanned="NOT_SCANNED")
    summary, recorder = await ledger.sync()
    assert not summary.incomplete
    assert recorder.tallies["ledger/assets/*"]["fetched"] == MANY
    assert set(asked(ledger).values()) == {1}
    assert sent_for(ledger) > MANY / 2
    assert {request.headers.get("Authorization") for request in ledger.box.requests} == {"Bearer (valid)"}
    assert sums_are_right(ledger)
    assert len(ledger.stored()) == MANY
    with ledger.index() as index:
        rows = index.database.rows("SELECT record, check_at, path, shown, media_type FROM attachment")
    for row in rows:
        assert '"scanned_status":"NOT_SCANNED"' in row["record"]
        assert row["check_at"] > 0
        assert row["media_type"] == "text/plain"
        shown = ledger.mirror / row["path"]
        assert sha256(shown.read_bytes()) == row["shown"]
        assert shown.stat().st_mode & 0o777 == 0o440
    assert list((ledger.mirror / ".attachsync/tmp").iterdir()) == []


async def test_odd_ones_among_them_come_as_they_would_alone(tmp_path: Path) -> None:
    """Infected, tampered with, equal, large, without an extension, not there, stated wrongly: all is the same."""

    async def mirrored(root: Path, account: str) -> Ledgers:
        root.mkdir()
        async with ledgers(root) as one:
            one.account += account
            trail = one.box.datatrails
            fill(one)
            trail.add_asset({"bad": attached(one, b"bad", scanned="SCANNED_BAD")})
            blob = trail.add_blob(b"right", "text/plain", "SCANNED_OK")
            trail.add_asset({"tampered": trail.attach(blob, file_name="tampered.txt")})
            trail.tamper(blob, b"wrong")
            trail.add_asset({f"equal{n}": attached(one, b"equal", f"equal{n}.txt") for n in range(9)})
            trail.add_asset({"large": attached(one, b"large" * LARGEST, "large.txt")})
            trail.add_asset({"bare": attached(one, b"bare", "bare")})
            trail.add_asset({"lie": {**attached(one, b"lie"), "arc_blob_hash_value": "0" * 64}})
            trail.add_asset({"silent": {**attached(one, b"silent"), "arc_blob_hash_value": ""}})
            del trail.blobs[blob_of(trail.add_asset({"lost": attached(one, b"lost")}).attributes["lost"])]
            await one.sync()
            assert sums_are_right(one)
            assert bool(sent_for(one)) == (not account)
            return one

    together, alone = await mirrored(tmp_path / "a", ""), await mirrored(tmp_path / "b", ONE_BY_ONE)
    assert [row["state"] for row in known(together)] == [row["state"] for row in known(alone)]
    assert together.stored() == alone.stored()
    assert together.quarantined() == alone.quarantined()
    assert Counter(row["sha256"] for row in known(together)) == Counter(row["sha256"] for row in known(alone))


def blob_of(attribute: object) -> str:
    assert isinstance(attribute, dict)
    return str(attribute["arc_blob_identity"]).rpartition("/")[2]


async def test_where_the_way_is_long_bytes_are_asked_for_once(ledger: Ledgers) -> None:
    """When the time of an order is over, nothing more of it is begun, and few records were asked for in vain."""
    fill(ledger, 200)
    ledger.box.faults.add(Fault(path=BYTES, kind="drip", size=3, every=0.02))
    summary, _ = await ledger.sync()
    assert not summary.incomplete
    assert 0 < sent_for(ledger) < 200
    again = [path for path, times in asked(ledger).items() if times > 1]
    assert set(asked(ledger).values()) <= {1, 2}
    assert len(again) < TOGETHER
    assert all(path.endswith("/info") for path in again)


async def test_equal_bytes_are_fetched_once(ledger: Ledgers) -> None:
    """Of two tracks, and of one: whoever comes second waits for the first, and finds them stored."""
    fill(ledger)
    trail = ledger.box.datatrails
    asset = next(iter(trail.assets.values()))
    for number in range(2 * MANY):
        trail.add_event(asset, {"same": attached(ledger, b"same", f"same{number}.txt", scanned="SCANNED_OK")})
    ledger.tracks += f'[[track]]\naccount = "ledger"\nasset = "{asset.uuid}"\n'
    summary, _ = await ledger.sync()
    assert not summary.incomplete
    assert sent_for(ledger) > 0
    assert ledger.downloads() == len(ledger.stored()) == MANY + 1
    assert len(ledger.shown()) == 3 * MANY
    assert len(ledger.rows(state="stored")) == 6 * MANY
    assert sums_are_right(ledger)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(path=BYTES, kind="status", status=500, times=1, skip=50),
        Fault(path=BYTES, kind="reset", times=1, skip=50),
        Fault(path=BYTES, kind="truncate", after=2, times=1, skip=50),
        Fault(path=BYTES, kind="gzip", times=9, skip=50),
        pytest.param(Fault(path=BYTES, kind="no_length", times=9, skip=50), marks=pytest.mark.slow),
        Fault(path=BYTES, kind="tamper", times=1, skip=50),
        pytest.param(Fault(path=BYTES, kind="wrong_length", extra=3, times=1, skip=50), marks=pytest.mark.slow),
        pytest.param(Fault(path=BYTES, kind="endless", times=1, skip=50), marks=pytest.mark.slow),
        Fault(path=BYTES, kind="hang", times=1, skip=50),
        Fault(path=BYTES, kind="headers", headers={"Connection": "close"}),
        Fault(path=INFO, kind="headers", headers={"Connection": "close"}),
        Fault(path=INFO, kind="status", status=401, times=1, skip=50),
        pytest.param(Fault(path=INFO, kind="status", status=503, times=1, skip=50), marks=pytest.mark.slow),
        Fault(path=INFO, kind="json", value=[1, 2], times=1, skip=50),
        Fault(path=INFO, kind="html", times=1, skip=50),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status or fault.after or fault.extra}",
)
async def test_trouble_among_them_is_the_ordinary_ways(ledger: Ledgers, fault: Fault) -> None:
    """What that overcomes, it overcomes; each comes once, or twice where it is asked for again."""
    fill(ledger)
    ledger.box.faults.add(fault)
    summary, _ = await ledger.sync()
    assert sent_for(ledger) > 0
    if summary.incomplete:  # an answer that makes no sense is not asked for again within a pass
        assert fault.kind in ("json", "html")
        assert Counter(row["state"] for row in ledger.rows()) == {"stored": MANY - 1, "failed": 1}
        summary, _ = await ledger.sync()
    assert not summary.incomplete
    assert ledger.stored() == {sha256(b"%d" % number * 9) for number in range(MANY)}
    assert len(ledger.shown()) == MANY
    assert sums_are_right(ledger)
    assert list((ledger.mirror / ".attachsync/tmp").iterdir()) == []


async def test_a_429_among_them_pauses_everybody(ledger: Ledgers) -> None:
    """Once all have heard of it, nothing is asked before the time that is named."""
    fill(ledger, 300)
    fault = Fault(path=INFO, kind="status", status=429, headers={"Retry-After": "2"}, times=1, skip=100)
    ledger.box.faults.add(fault)
    summary, _ = await ledger.sync()
    assert not summary.incomplete
    (refused,) = (request.time for request in ledger.box.requests if request.status == 429)
    since = [0.0, *sorted(request.time - refused for request in ledger.box.requests if request.time > refused)]
    heard, resumed = max(itertools.pairwise(since), key=lambda pair: pair[1] - pair[0])
    assert resumed >= 2.0
    assert resumed - heard > 0.5


async def test_a_wait_that_another_request_is_told_breaks_them_off(ledger: Ledgers) -> None:
    """Whoever asks directly is told to stop; and meanwhile nobody begins to."""
    account = ledger.config().accounts["ledger"]
    http = Http(account, SERVICE.credentials(account), Clock())
    stopped = asyncio.Event()
    ledger.box.faults.add(Fault(path="*/assets", kind="status", status=429, headers={"Retry-After": "9"}))
    try:
        async with http.direct(stopped.set) as direct, asyncio.TaskGroup() as group:
            assert direct is not None
            asking = group.create_task(http.get(http.url("/archivist/v2/assets")))
            await stopped.wait()
            async with http.direct(stopped.set) as another:
                assert another is None
            asking.cancel()
    finally:
        await http.close()


async def test_an_order_that_is_stopped_comes_back_with_what_it_has(ledger: Ledgers) -> None:
    """Before its time is over."""
    fill(ledger)
    ledger.box.faults.add(Fault(path=BYTES, kind="hang", skip=60, times=1))
    order = await order_of(ledger, 3600.0)
    with ThreadPoolExecutor() as threads, sharing() as refusals:
        courier = Courier(threads, refusals)
        going = asyncio.create_task(courier.sent(order, print))
        await ledger.box.requests.until(61, path=BYTES)
        courier.stop()
        found = await going
        courier.worker.close()
    assert found is not None
    assert found.is_broken
    assert not found.is_torn
    assert 0 < len(found.had) < MANY
    assert all(had.is_fetched for had in found.had.values())
    assert ledger.stored() == {order.errands[number].digest for number in found.had}


async def test_what_was_ordered_before_a_stop_is_not_begun(ledger: Ledgers) -> None:
    """Though it is read after it; what is ordered after it is done."""
    fill(ledger)
    before = await order_of(ledger, 3600.0)
    ledger.box.requests.clear()
    with ThreadPoolExecutor() as threads, sharing() as refusals:
        courier = Courier(threads, refusals)
        await courier.ready()
        courier.worker.interrupt(STOP)
        found = await courier.sent(before, print)
        assert found == Done(is_broken=True)
        assert len(ledger.box.requests) == 0
        after = dataclasses.replace(before, made_at=time.monotonic())
        found = await courier.sent(after, print)
        assert found is not None
        assert len(found.had) == MANY
        courier.worker.close()


class Piped(list[str]):
    """What is to be synced: to know it takes as long as somebody could write to the pipe that it begins with."""

    def __iter__(self) -> Iterator[str]:
        Path(super().__getitem__(0)).read_bytes()
        return iter(())


@dataclasses.dataclass(frozen=True, slots=True)
class Slow(Linker):
    """Has a disk that does not sync as long as somebody could write to `pipe`."""

    pipe: str = ""

    def showing(self, entries: Sequence[Placing], shown: Shown) -> Syncing[None]:
        yield Piped([self.pipe])
        yield from Linker(self.objects, self.link, self.modes).showing(entries, shown)


@contextlib.contextmanager
def stuck(order: Order, pipe: Path) -> Iterator[tuple[Order, Callable[[], None]]]:
    """An order whose disk does not sync, and what makes it."""
    os.mkfifo(pipe)
    (nothing := pipe.with_name("nothing")).touch()
    with contextlib.ExitStack() as held:
        held.callback(os.close, os.open(pipe, os.O_RDWR))
        held.callback(os.rename, nothing, pipe)  # who comes later finds no pipe
        linker = order.linker
        slow = Slow(linker.objects, linker.link, linker.modes, str(pipe))
        yield dataclasses.replace(order, linker=slow, width=1, made_at=time.monotonic()), held.close


async def test_a_refusal_is_heard_of_before_what_came_is_stored(ledger: Ledgers, tmp_path: Path) -> None:
    """And nobody else asks there for what was ordered before."""
    fill(ledger)
    ledger.box.faults.add(Fault(path=INFO, kind="status", status=401, skip=TOGETHER + 9))
    order, heard = await order_of(ledger, 3600.0), asyncio.Queue[Refusal]()
    with ThreadPoolExecutor() as threads, sharing() as refusals, stuck(order, tmp_path / "pipe") as (slow, release):
        one, other = Courier(threads, refusals), Courier(threads, refusals)
        await asyncio.gather(one.ready(), other.ready())
        going = asyncio.create_task(one.sent(slow, heard.put_nowait))
        status, _ = await heard.get()
        ledger.box.requests.clear()
        assert await other.sent(order, print) == Done(is_broken=True)
        assert len(ledger.box.requests) == 0
        assert not going.done()
        release()
        found = await going
        for courier in (one, other):
            courier.worker.close()
    assert status == 401
    assert found is not None
    assert found.is_broken
    assert 0 < len(found.had) < MANY


async def test_once_one_hears_of_a_refusal_nobody_begins_a_request(ledger: Ledgers) -> None:
    """What they had begun is under way still: one request of each of their lanes, but the one that was refused."""
    fill(ledger, 300)
    ledger.box.faults.add(Fault(path=INFO, kind="status", status=429, skip=100, times=1))
    order, begun = await order_of(ledger, 3600.0), list[int]()
    ledger.box.requests.clear()

    def hear(_refusal: Refusal) -> None:
        begun.append(ledger.box.requests.arrived())

    parts = [dataclasses.replace(order, errands=order.errands[first::2]) for first in range(2)]
    with ThreadPoolExecutor() as threads, sharing() as refusals:
        couriers = [Courier(threads, refusals) for _ in parts]
        await asyncio.gather(*(courier.ready() for courier in couriers))
        done = await asyncio.gather(*(one.sent(part, hear) for one, part in zip(couriers, parts, strict=True)))
        for courier in couriers:
            courier.worker.close()
    (before,) = begun
    assert ledger.box.requests.arrived() - before < 2 * order.width
    for one in done:
        assert one is not None
        assert one.is_broken
        assert len(one.had) < 150


async def test_while_the_disk_syncs_others_are_asked_for(ledger: Ledgers, tmp_path: Path) -> None:
    """As many as are held in memory; and the time that it takes is none of the service's."""
    trail, together, span = ledger.box.datatrails, -(-IN_MEMORY // LARGEST), 0.7
    asset = trail.add_asset({})
    for number in range(3 * together):
        trail.add_event(asset, {"report": attached(ledger, b"%8d" % number * (LARGEST // 8), f"{number}.txt")})
    order = await order_of(ledger, span)
    with ThreadPoolExecutor() as threads, sharing() as refusals:
        courier = Courier(threads, refusals)
        await courier.ready()
        with stuck(order, tmp_path / "pipe") as (slow, release):
            going = asyncio.create_task(courier.sent(slow, print))
            await ledger.box.requests.until(2 * together, path=BYTES)
            assert not ledger.stored()
            assert (await asyncio.wait({going}, timeout=PATIENCE * span + 0.1)) == (set(), {going})
            release()
            found = await going
        courier.worker.close()
    assert found is not None
    assert len(found.had) == 3 * together
    assert not found.is_broken


@dataclasses.dataclass(frozen=True, slots=True)
class Broken(Linker):
    """Has a disk that does not sync at all."""

    def showing(self, entries: Sequence[Placing], shown: Shown) -> Syncing[None]:
        yield ["/nowhere"]


async def test_for_a_disk_that_is_broken_nothing_more_is_asked_for(ledger: Ledgers) -> None:
    """And it takes no longer than it may, even if nothing more is answered."""
    trail, together = ledger.box.datatrails, -(-IN_MEMORY // LARGEST)
    asset = trail.add_asset({})
    for number in range(4 * together):
        trail.add_event(asset, {"report": attached(ledger, b"%8d" % number * (LARGEST // 8), f"{number}.txt")})
    order = await order_of(ledger, 0.5)
    broken = Broken(order.linker.objects, order.linker.link, order.linker.modes)
    ledger.box.faults.add(Fault(path=BYTES, kind="hang", skip=together, times=1))
    with ThreadPoolExecutor() as threads, sharing() as refusals:
        courier = Courier(threads, refusals)
        await courier.ready()
        for _ in range(2):
            order = dataclasses.replace(order, linker=broken, width=1, made_at=time.monotonic())
            ledger.box.requests.clear()
            assert await courier.sent(order, print) == Done(is_broken=True, is_torn=True)
            assert together <= ledger.box.requests.arrived(path=BYTES) < 3 * together
        courier.worker.close()


@contextlib.contextmanager
def sharing() -> Iterator[int]:
    """Memory that couriers share."""
    refusals = shared()
    try:
        yield refusals
    finally:
        os.close(refusals)


@pytest.mark.parametrize("status", [401, 429, 503])
async def test_a_refusal_breaks_off_what_is_under_way(ledger: Ledgers, status: int) -> None:
    """And a wait that the service asks for is kept to."""
    account = ledger.config().accounts["ledger"]
    http = Http(account, SERVICE.credentials(account), Clock())
    try:
        stopped = asyncio.Event()
        async with http.direct(stopped.set):
            http.refused((status, {"retry-after": "9"}))
            assert stopped.is_set()
        async with http.direct(print) as direct:
            assert (direct is None) == (status == 429)
    finally:
        await http.close()


class Signing:
    """Takes its time to sign in."""

    def __init__(self) -> None:
        self.asked, self.may_go_on = asyncio.Event(), asyncio.Event()

    async def headers(self, http: Http) -> Mapping[str, str]:
        self.asked.set()
        await self.may_go_on.wait()
        return {}

    async def renew(self, used: Mapping[str, str]) -> bool:
        return False


async def test_a_wait_that_is_told_while_signing_in_holds(ledger: Ledgers) -> None:
    signing = Signing()
    http = Http(ledger.config().accounts["ledger"], signing, Clock())
    try:
        async with contextlib.AsyncExitStack() as stack:
            going = asyncio.create_task(stack.enter_async_context(http.direct(print)))
            await signing.asked.wait()
            http.refused((429, {"retry-after": "9"}))
            signing.may_go_on.set()
            assert await going is None
    finally:
        await http.close()


async def order_of(one: Ledgers, span: float, *, max_size: int = LARGEST) -> Order:
    """All of a ledger, as it is sent for."""
    account, track = one.config().accounts["ledger"], one.config().tracks[0]
    http = Http(account, SERVICE.credentials(account), Clock())
    store = Store(one.mirror)
    store.prepare()
    views = Views(store, "hardlink", Modes(), lambda *_: None)
    views.prepare()
    store.close()
    found = [event for event in one.box.datatrails.events if "report" in event.event_attributes]
    try:
        async with http.direct(lambda: None) as direct:
            assert direct is not None
            assert SERVICE.pull is not None
            errands = []
            for number, event in enumerate(found):
                value = event.event_attributes["report"]
                assert isinstance(value, dict)
                key, digest = f"{event.identity}#report", str(value["arc_blob_hash_value"])
                item = Attachment(track.name, key, "1", ("a.txt",), sha256=digest, content=blob_of(value))
                errand = SERVICE.pull.errand(track.options, item, f"files/ledger/{number}.txt")
                assert errand is not None
                errands.append(errand)
            return Order(direct, errands, views.linker, 4, max_size, span)
    finally:
        await http.close()


async def done(order: Order) -> Done:
    """What a process of its own makes of an order."""
    with ThreadPoolExecutor() as threads, sharing() as refusals:
        courier = Courier(threads, refusals)
        found = await courier.sent(order, print)
        courier.worker.close()
    assert found is not None
    return found


async def test_what_is_stored_is_too_large_as_well(ledger: Ledgers) -> None:
    """After `max_size` was lowered."""
    fill(ledger, 3)
    assert (await done(await order_of(ledger, 9.0))).had.keys() == {0, 1, 2}
    again = await done(await order_of(ledger, 9.0))
    assert again.had.keys() == {0, 1, 2}
    assert not any(had.is_fetched for had in again.had.values())
    assert (await done(await order_of(ledger, 9.0, max_size=8))).had == {}


async def test_a_ca_file_that_is_gone_leaves_all(ledger: Ledgers) -> None:
    """The other process reads it when it comes to need it."""
    fill(ledger, 3)
    order = await order_of(ledger, 9.0)
    to = dataclasses.replace(order.to, is_secure=True, ca_file="/nowhere/ca.pem")
    found = await done(dataclasses.replace(order, to=to))
    assert found.is_broken
    assert not found.is_torn
    assert not found.had


async def test_a_session_that_ended_leaves_nothing_behind(ledger: Ledgers) -> None:
    """In the midst of many, the token is refused; the next session has all of it done."""
    fill(ledger, 400)
    ledger.account += "concurrency = 3\n"
    ledger.box.faults.add(Fault(path="*/events", kind="status", status=401, skip=3))
    config = ledger.config()
    async with holding(config, "sync", ledger.clock) as index, equipped(config, index, ledger.clock, Tally()) as plant:
        assert (await one_pass(plant, None)).incomplete
        ledger.box.faults.clear()
        assert not (await one_pass(plant, None)).incomplete
    assert len(ledger.stored()) == 400


@pytest.mark.parametrize("account", ["rate = 1000\n", 'proxy = "http://127.0.0.1:1"\n'])
async def test_some_accounts_are_never_asked_directly(ledger: Ledgers, account: str) -> None:
    """Each request of one with a `rate` takes its turn; one with a proxy goes there."""
    ledger.account += account
    found = ledger.config().accounts["ledger"]
    http = Http(found, SERVICE.credentials(found), Clock())
    try:
        async with http.direct(lambda: None) as direct:
            assert direct is None
    finally:
        await http.close()


async def test_a_token_goes_nowhere_else(ledger: Ledgers, tmp_path: Path) -> None:
    """A redirect is not followed by whoever asks for many."""
    fill(ledger)
    async with ledgers(tmp_path / "other") as other:
        location = f"http://127.0.0.1:{other.port}/datatrails/archivist/v1/blobs/x"
        ledger.box.faults.add(Fault(path=BYTES, kind="redirect", location=location, status=302, skip=50))
        summary, _ = await ledger.sync()
        assert summary.incomplete
        assert sent_for(ledger) > 0
        assert len(other.box.requests) > 0
        assert all("Authorization" not in request.headers for request in other.box.requests)


async def test_the_loss_of_the_process_is_no_loss(ledger: Ledgers) -> None:
    """Killed in the midst of an order, all of it goes the ordinary way."""
    fill(ledger)
    ledger.box.faults.add(Fault(path=BYTES, kind="hang", skip=60, times=1))
    pass_ = asyncio.create_task(ledger.sync())
    await ledger.box.requests.until(61, path=BYTES)
    (child,) = children()
    os.kill(child, signal.SIGKILL)
    summary, _ = await pass_
    assert not summary.incomplete
    assert len(ledger.shown()) == len(ledger.stored()) == MANY
    assert sums_are_right(ledger)


async def test_a_pass_that_is_broken_off_is_taken_up(ledger: Ledgers) -> None:
    """Ctrl-C in the midst of an order; nothing of it is under way then."""
    fill(ledger)
    ledger.box.faults.add(Fault(path=BYTES, kind="hang", skip=60, times=1))
    pass_ = asyncio.create_task(ledger.sync())
    await ledger.box.requests.until(61, path=BYTES)
    (child,) = children()
    assert os.getpgid(child) == child  # Ctrl-C is not for it
    pass_.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pass_
    assert children() == []
    summary, _ = await ledger.sync()
    assert not summary.incomplete
    assert len(ledger.shown()) == len(ledger.stored()) == MANY
    assert sums_are_right(ledger)


def children() -> list[int]:
    """Processes that this one has started."""
    found = [pid for file in Path("/proc/self/task").glob("*/children") for pid in file.read_text().split()]
    names = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in found}
    return [int(pid) for pid, name in names.items() if b"attachsync.worker" in name]

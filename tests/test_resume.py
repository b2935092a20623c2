"""Large attachments that break off: kept, continued by Range and If-Range, and hashed whole all the same."""

import asyncio
import contextlib
import hashlib
import json
import os
import stat
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from attachsync import partials, ranges
from attachsync.errors import StorageError
from attachsync.index import Index
from attachsync.model import Held, State
from attachsync.sandbox import Fault, Sandbox, serve
from attachsync.sandbox.content import Grown
from attachsync.store import Store
from tests.ledgers import BYTES, Ledgers
from tests.outboxes import until
from tests.worlds import SERVICES, World

MIB = 1024 * 1024
BODY = Grown(13 * MIB + 321, "large")
HALF = 10 * MIB


def rare(case: Any) -> Any:
    """A case for the long run."""
    return pytest.param(case, marks=pytest.mark.slow)


@pytest.fixture
def large(ledger: Ledgers) -> Ledgers:
    """A ledger with one large attachment, whose service gives parts."""
    trail = ledger.box.datatrails
    trail.ranges = True
    blob = trail.add_blob(BODY, "application/zip", scanned="SCANNED_OK")
    ledger.tracks += "events = false\n"
    trail.add_asset({"a": trail.attach(blob, file_name="large.zip")})
    return ledger


def partial(one: Ledgers) -> Path:
    return one.mirror / ".attachsync/partial"


def kept(one: Ledgers) -> list[str]:
    return sorted(path.name for path in partial(one).iterdir())


def sidecar(one: Ledgers) -> tuple[Path, dict[str, Any]]:
    (path,) = partial(one).glob("*.json")
    return path, json.loads(path.read_text())


def sent(one: Ledgers) -> list[tuple[int, str, int]]:
    """(status, Range, bytes of the body) of each request for bytes in the last pass."""
    return [
        (request.status, request.headers.get("Range", ""), request.body_bytes_sent)
        for request in one.box.requests
        if request.path.startswith(BYTES.partition("*")[0]) and not request.path.endswith("/info")
    ]


async def broken_off(one: Ledgers) -> None:
    """A pass in which the body breaks off, and no more of it is to be had."""
    one.box.faults.add(Fault(path=BYTES, kind="truncate", after=HALF, times=1))
    one.box.faults.add(Fault(path=BYTES, kind="status", status=400))
    summary, _ = await one.sync()
    assert summary.incomplete
    one.box.faults.clear()


async def whole(one: Ledgers) -> None:
    """A pass after which all is well, and nothing is left of earlier ones."""
    summary, _ = await one.sync()
    assert not summary.incomplete
    assert one.stored() == {BODY.sha256}
    assert hashlib.sha256((one.mirror / str(one.rows()[0]["path"])).read_bytes()).hexdigest() == BODY.sha256
    assert kept(one) == os.listdir(one.mirror / ".attachsync/tmp") == []
    assert one.quarantined() == set()


async def test_what_came_is_kept_and_continued(large: Ledgers) -> None:
    """Private, without secrets; the next pass reads only the rest."""
    await broken_off(large)
    path, said = sidecar(large)
    assert said.keys() == {"size", "total", "validator", "sha256"}
    assert (said["total"], said["validator"]) == (BODY.size, f'"{BODY.sha256}"')
    assert said["size"] >= partials.LEAST
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(path.with_suffix("").stat().st_mode) == 0o600
    assert stat.S_IMODE(partial(large).stat().st_mode) == 0o700
    await whole(large)
    assert sent(large) == [(206, f"bytes={said['size']}-", BODY.size - said["size"])]


async def test_a_rest_that_is_small_joins_what_is_kept(large: Ledgers) -> None:
    """It comes at once, and is not all that there is."""
    await broken_off(large)
    path, said = sidecar(large)
    begun = b"".join(BODY.chunks())[:-1000]
    path.with_suffix("").write_bytes(begun)
    path.write_text(json.dumps({**said, "size": len(begun), "sha256": hashlib.sha256(begun).hexdigest()}))
    await whole(large)
    assert sent(large) == [(206, f"bytes={len(begun)}-", 1000)]


async def test_each_try_goes_on_where_the_last_one_ended(large: Ledgers) -> None:
    """Within a pass, too."""
    large.box.faults.add(Fault(path=BYTES, kind="truncate", after=HALF // 3, times=2))
    await whole(large)
    assert [(status, span[:6]) for status, span, _ in sent(large)] == [(200, ""), (206, "bytes="), (206, "bytes=")]


@pytest.mark.parametrize("service", ["auco", "sunshine", rare("rkvst"), rare("trinsic")])
async def test_every_service(tmp_path: Path, service: str) -> None:
    """Links of their own, fresh ones included, lead to the rest; what comes in JSON is begun anew, whole."""
    box = Sandbox()
    runner, port = await serve(box)
    world = World(box, port, port, tmp_path, service, max_size="1GiB")
    box.rkvst.ranges = box.sunshine.ranges = True
    place = SERVICES[service](world, "large", BODY)["bytes"]
    try:
        box.faults.add(place.fault({"kind": "truncate", "after": HALF, "times": 1}))
        box.faults.add(place.fault({"kind": "status", "status": 400}))
        assert (await world.sync())[0].incomplete
        held = [path.stat().st_size for path in (world.mirror / ".attachsync/partial").glob("*") if not path.suffix]
        box.faults.clear()
        assert not (await world.sync())[0].incomplete
    finally:
        await runner.cleanup()
    assert world.stored() == {BODY.sha256}
    assert world.left() == []
    last = [request for request in box.requests if fnmatchcase(request.path, place.path)][-1]
    if service == "trinsic":
        assert (held, last.status, last.headers.get("Range")) == ([], 200, None)
    else:
        assert (last.status, last.headers["Range"]) == (206, f"bytes={held[0]}-")
        assert last.headers["If-Range"]


async def test_two_tracks_of_one_attachment(tmp_path: Path) -> None:
    """At the same time: only one of them goes on with what is kept, and what each reads is its own."""
    box = Sandbox()
    runner, port = await serve(box)
    world = World(box, port, port, tmp_path, "sunshine", max_size="1GiB")
    box.sunshine.ranges = True
    place = SERVICES["sunshine"](world, "by user", BODY)["bytes"]
    world.tracks["by id"] = f'conversation = "{next(iter(box.sunshine.conversations))}"'
    try:
        box.faults.add(place.fault({"kind": "truncate", "after": HALF, "times": 1}))
        assert not (await world.sync())[0].incomplete
    finally:
        await runner.cleanup()
    assert world.stored() == {BODY.sha256}
    assert world.states() == {"by user": "stored", "by id": "stored"}
    assert world.left() == []


async def test_a_service_that_gives_no_parts_is_asked_for_all(large: Ledgers) -> None:
    """Nothing is kept of a body that could not be continued."""
    large.box.datatrails.ranges = False
    await broken_off(large)
    assert kept(large) == []
    await whole(large)


async def test_small_bodies_are_fetched_anew(ledger: Ledgers) -> None:
    trail = ledger.box.datatrails
    trail.ranges = True
    small = Grown(partials.LEAST - 1, "small")
    trail.add_asset({"a": trail.attach(trail.add_blob(small, "text/plain"), file_name="a.txt")})
    ledger.box.faults.add(Fault(path=BYTES, kind="truncate", after=MIB * 3, times=1))
    summary, _ = await ledger.sync()
    assert not summary.incomplete
    assert {span for _, span, _ in sent(ledger)} == {""}


@pytest.mark.parametrize(
    "answer",
    [
        Fault(path=BYTES, kind="status", status=416, times=1),
        Fault(path=BYTES, kind="headers", headers={"Content-Range": "bytes 0-9/10"}, times=1),
        Fault(path=BYTES, kind="headers", headers={"Content-Range": ""}, times=1),
        Fault(path=BYTES, kind="headers", headers={"Content-Range": f"bytes {HALF}-{BODY.size}/*"}, times=1),
        Fault(path=BYTES, kind="headers", headers={"ETag": '"another"'}, times=1),
        Fault(path=BYTES, kind="gzip", times=1),
    ],
    ids=["416", "other part", "no range", "no total", "other etag", "gzip"],
)
async def test_an_answer_that_is_not_the_rest_starts_anew(large: Ledgers, answer: Fault) -> None:
    """And within the pass, the whole is had."""
    await broken_off(large)
    large.box.faults.add(answer)
    await whole(large)
    assert sent(large)[-1][:2] == (200, "")


async def test_content_that_changed_is_sent_whole(large: Ledgers) -> None:
    """If-Range: the service answers 200 when what it has is no longer what it was."""
    await broken_off(large)
    path, said = sidecar(large)
    path.write_text(json.dumps({**said, "validator": '"of an earlier content"'}))
    await whole(large)
    assert sent(large) == [(200, f"bytes={said['size']}-", BODY.size)]


async def test_a_rest_that_does_not_fit_is_no_mismatch(large: Ledgers) -> None:
    """Bytes of two readings prove nothing: all is read anew before anything is called a mismatch."""
    await broken_off(large)
    large.box.faults.add(Fault(path=BYTES, kind="tamper", after=100, times=1))
    await whole(large)
    assert [status for status, _, _ in sent(large)] == [206, 200]


async def test_a_mismatch_after_all_is_told(large: Ledgers) -> None:
    """The service's bytes are wrong, whole or in parts: quarantine holds what came in one reading."""
    await broken_off(large)
    large.box.faults.add(Fault(path=BYTES, kind="tamper", after=100))
    summary, _ = await large.sync()
    assert summary.incomplete
    assert [row["state"] for row in large.rows()] == [State.MISMATCH]
    assert len(large.quarantined()) == 1
    assert kept(large) == []
    large.box.faults.clear()
    assert not (await large.sync())[0].incomplete


def torn(path: Path) -> None:
    """What a power cut leaves: the size, but not the bytes."""
    with path.open("r+b") as file:
        file.seek(3 * MIB)
        file.write(bytes(4096))


def shorter(path: Path) -> None:
    os.truncate(path, 3 * MIB)


def gone(path: Path) -> None:
    path.unlink()


def linked(path: Path) -> None:
    moved = path.rename(path.parents[2] / "elsewhere")
    path.symlink_to(moved)


def no_sidecar(path: Path) -> None:
    path.with_suffix(".json").unlink()


def odd_sidecar(path: Path) -> None:
    path.with_suffix(".json").write_text('{"size": "x"}')


def negative(path: Path) -> None:
    said = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps({**said, "size": -1}))


def two_lines(path: Path) -> None:
    said = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps({**said, "validator": '"a"\r\nX: y'}))


@pytest.mark.parametrize(
    "damage", [torn, shorter, linked, odd_sidecar, *map(rare, (gone, no_sidecar, negative, two_lines))]
)
async def test_what_is_damaged_is_thrown_away(large: Ledgers, damage: Any) -> None:
    """Nothing is asked for that what is there could not be continued with."""
    await broken_off(large)
    damage(sidecar(large)[0].with_suffix(""))
    await whole(large)
    assert sent(large) == [(200, "", BODY.size)]


async def test_a_kill_while_the_sidecar_is_written_costs_nothing(large: Ledgers) -> None:
    """The one before it counts; nothing else stays in the folder."""
    await broken_off(large)
    path, said = sidecar(large)
    path.with_suffix(".new").write_text('{"si')
    (partial(large) / "README").touch()
    await whole(large)
    assert sent(large) == [(206, f"bytes={said['size']}-", BODY.size - said["size"])]


async def test_bytes_beyond_the_sidecar_do_not_count(large: Ledgers) -> None:
    """They were written after it, and may be torn."""
    await broken_off(large)
    path, said = sidecar(large)
    with path.with_suffix("").open("ab") as file:
        file.write(b"x" * BODY.size)
    await whole(large)
    assert sent(large) == [(206, f"bytes={said['size']}-", BODY.size - said["size"])]


async def test_what_is_stored_otherwise_or_gone_leaves_nothing(large: Ledgers) -> None:
    """No path leads to it any more: its beginning goes as well."""
    await broken_off(large)
    assert kept(large)
    for place in ("attachments", "blobs"):
        large.box.faults.add(Fault(path=f"*/{place}/*", kind="status", status=404))
    await large.sync()
    assert [row["state"] for row in large.rows()] == [State.GONE]
    assert kept(large) == []


async def test_what_nobody_went_on_with_is_removed(large: Ledgers) -> None:
    """After a week, whatever became of its attachment."""
    await broken_off(large)
    path, _ = sidecar(large)
    aged = path.stat().st_mtime - 8 * 86400
    os.utime(path, (aged, aged))
    large.box.faults.add(Fault(path=BYTES, kind="status", status=400))
    await large.sync()
    assert kept(large) == []


async def test_what_is_kept_is_in_nobodys_way(large: Ledgers) -> None:
    """When the disk is too full for something, it goes first; but not what is in somebody's hands."""
    await broken_off(large)
    name = sidecar(large)[0].stem
    store = Store(large.mirror, min_free=1 << 60)
    store.prepare()
    with contextlib.closing(Index.peek(large.mirror / ".attachsync")) as index:
        [row] = index.database.rows("SELECT account, key, version FROM attachment")
    with store.partials.taken(tuple(row)), pytest.raises(StorageError):
        store.check_room(0)
    assert kept(large) == [name, f"{name}.json"]
    with pytest.raises(StorageError):
        store.check_room(0)
    assert kept(large) == []
    store.close()


async def test_kill_9_in_the_middle_of_a_body(large: Ledgers) -> None:
    """The next process goes on; nothing is read twice but what no sidecar vouched for."""
    large.config()
    large.box.faults.add(Fault(path=BYTES, kind="stall", after=HALF, times=1))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "attachsync", "--config", str(large.root / "config.toml"), "sync",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    await until(lambda: partial(large).is_dir() and list(partial(large).glob("*.json")), 60)
    process.kill()
    await process.wait()
    held = sidecar(large)[1]["size"]
    assert held >= partials.LEAST
    assert not large.rows(state="stored")
    await whole(large)
    assert sent(large)[-1] == (206, f"bytes={held}-", BODY.size - held)  # the killed one's may end after it


async def test_a_stop_in_the_middle_of_a_body(large: Ledgers) -> None:
    """A cancelled pass vouches for all that it has written."""
    large.box.faults.add(Fault(path=BYTES, kind="stall", after=HALF, times=1))
    running = asyncio.ensure_future(large.sync())
    await until(lambda: partial(large).is_dir() and list(partial(large).glob("*.json")), 60)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    path, said = sidecar(large)
    assert said["size"] == path.with_suffix("").stat().st_size
    await whole(large)


def test_what_is_kept_is_hashed_in_steps(tmp_path: Path) -> None:
    """Each of them short: a stop waits for one only."""
    data = Grown(70 * MIB, "steps")
    path = tmp_path / ("0" * 32)
    with path.open("wb") as file:
        file.writelines(data.chunks())
    said = {"size": data.size, "total": data.size + 1, "validator": '"a"', "sha256": data.sha256}
    path.with_suffix(".json").write_text(json.dumps(said))
    part = partials.Part(path.parent, lambda: path.name)
    assert [part.recover(), part.recover()] == [True, False]
    assert part.held == Held(data.size, data.size + 1, '"a"')


# --- pure ---------------------------------------------------------------------------------------------------------

DATES = {"Date": "Sun, 06 Nov 1994 08:49:37 GMT"}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"ETag": '"a"'}, '"a"'),
        ({"ETag": 'W/"a"'}, None),
        ({"ETag": "a"}, None),
        ({"ETag": '"a\r\nX: y"'}, None),
        ({"ETag": 'W/"a"', "Last-Modified": "Sun, 06 Nov 1994 08:40:00 GMT", **DATES}, None),
        ({"Last-Modified": "Sun, 06 Nov 1994 08:40:00 GMT", **DATES}, "Sun, 06 Nov 1994 08:40:00 GMT"),
        ({"Last-Modified": "Sun, 06 Nov 1994 08:49:00 GMT", **DATES}, None),
        ({"Last-Modified": "Sun, 06 Nov 1994 08:40:00 GMT"}, None),
        ({"Last-Modified": "long ago", **DATES}, None),
        ({}, None),
    ],
)
def test_what_tells_that_a_body_is_the_same(headers: dict[str, str], expected: str | None) -> None:
    assert ranges.validator(headers) == expected


def answers() -> Iterator[tuple[int, dict[str, str], bool]]:
    right = {"ETag": '"a"', "Content-Range": "bytes 10-99/100"}
    yield 206, right, True
    yield 206, {"Last-Modified": '"a"', "Content-Range": "bytes 10-99/100"}, True
    yield 200, right, False
    yield 206, {**right, "ETag": '"b"'}, False
    yield 206, {"Content-Range": "bytes 10-99/100"}, False
    yield 206, {**right, "Content-Encoding": "gzip"}, False
    for wrong in ("", "bytes 9-99/100", "bytes 10-98/100", "bytes 10-99/101", "bytes 10-99/*", "items 10-99/100", "x"):
        yield 206, {**right, "Content-Range": wrong}, False


@pytest.mark.parametrize(("status", "headers", "expected"), list(answers()))
def test_what_is_exactly_the_rest(status: int, headers: dict[str, str], expected: bool) -> None:
    assert ranges.continues(status, headers, Held(10, 100, '"a"')) is expected

"""Every endpoint of every service under every fault: the right reaction, no further than it should reach, and bounded.

Each endpoint has a world of its own: one track for each fault, all in one pass, so that none may hold up another.
"""

import asyncio
import contextlib
import hashlib
import json
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from random import Random
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from attachsync import reading, retry
from attachsync.clock import Clock
from attachsync.errors import AccountError, MalformedError, RejectedError, UnavailableError
from attachsync.http import Http
from attachsync.loops import Loop, Repeats
from attachsync.model import Account
from attachsync.patience import Patience, hurried
from attachsync.sandbox import Sandbox, serve
from attachsync.sources.datatrails.credentials import Anonymous
from attachsync.sources.datatrails.paging import walk
from attachsync.trouble import Trouble
from tests.worlds import SERVICES, Place, World

PATIENT = Patience(pause=0.001)
IMPATIENT = Patience(quiet=0.8, window=0.4, whole=2.0, pause=0.001)
"""For what takes for ever; a machine that is busy may well take half a second for anything."""
MIB = 1024 * 1024
BUFFERS = 10 * MIB
"""What may be on its way, in sockets and buffers, when a client has had enough."""
SIZE = 40_000

Given = dict[str, Any]
SOON = "a date"
"""Stands for one some seconds ahead."""
ELSEWHERE = "http://127.0.0.1:{other}{exactly}"
ONCE = {"times": 1}
TWICE = {"times": 2}

PASSING: dict[str, Given] = {
    "429 in seconds": {"kind": "status", "status": 429, "headers": {"Retry-After": "7"}, **TWICE},
    "429 with a date": {
        "kind": "status",
        "status": 429,
        "headers": {"Retry-After": SOON},
        **ONCE,
    },
    "429 of the archivist": {
        "kind": "status",
        "status": 429,
        "headers": {"Archivist-Rate-Limit-Reset": "0.25"},
        **TWICE,
    },
    "429 without a word": {"kind": "status", "status": 429, **TWICE},
    "500 twice": {"kind": "status", "status": 500, **TWICE},
    "502 in HTML": {"kind": "html", "status": 502, **TWICE},
    "503 in seconds": {"kind": "status", "status": 503, "headers": {"Retry-After": "0"}, **ONCE},
    "reset": {"kind": "reset", **TWICE},
    "lost": {"kind": "lost", **TWICE},
    "reset in the middle": {"kind": "reset", "after": 50, **TWICE},
    "truncated": {"kind": "truncate", "after": 50, **TWICE},
    "longer length": {"kind": "wrong_length", "extra": 10, **TWICE},
    "gzip": {"kind": "gzip"},
    "no length": {"kind": "no_length"},
    "other type": {"kind": "headers", "headers": {"Content-Type": "text/html"}},
    "no type": {"kind": "headers", "headers": {"Content-Type": ""}},
    "dripping fast": {"kind": "drip", "size": 500, "every": 0.001},
    "redirected": {"kind": "redirect", "status": 307, **ONCE},
}
"""What a pass gets over by itself."""
LASTING: dict[str, Given] = {
    "500": {"kind": "status", "status": 500},
    "503 for an hour": {"kind": "status", "status": 503, "headers": {"Retry-After": "3600"}},
    "reset": {"kind": "reset"},
    "lost": {"kind": "lost"},
    "reset in the middle": {"kind": "reset", "after": 50},
    "truncated": {"kind": "truncate", "after": 50},
    "longer length": {"kind": "wrong_length", "extra": 10},
    "shorter length": {"kind": "wrong_length", "extra": -10},
    "endless": {"kind": "endless"},
    "dripping": {"kind": "drip", "size": 1, "every": 0.1},
    "hanging": {"kind": "hang"},
    "stalling": {"kind": "stall", "after": 50},
    "HTML": {"kind": "html"},
    "no content": {"kind": "html", "body": "", "status": 202},
    "redirected for ever": {"kind": "redirect", "status": 307},
    "redirected to another origin": {"kind": "redirect", "location": ELSEWHERE},
    "redirected to nothing": {"kind": "redirect", "location": "http://127.0.0.1:1/"},
    "redirected to a private address": {"kind": "redirect", "location": "http://10.0.0.1/"},
    "redirected to no host": {"kind": "redirect", "location": "https://xn--/x"},
    "redirected to no port": {"kind": "redirect", "location": "https://x.example:99999/"},
    "redirected to a file": {"kind": "redirect", "location": "file:///etc/passwd"},
}
"""What lasts as long as it lasts."""
SHAPES: dict[str, Given] = {
    "a list": {"kind": "json", "value": []},
    "null": {"kind": "json", "value": None},
    "a number": {"kind": "json", "value": 7},
    "another object": {"kind": "json", "value": {"message": "ok"}},
    "deep": {"kind": "json", "depth": 100_000},
    "huge": {"kind": "html", "body": b"[" + b"[]," * (6 * MIB), "headers": {"Content-Type": "application/json"}},
    "no JSON": {"kind": "html", "body": '{"assets": [', "headers": {"Content-Type": "application/json"}},
    "no UTF-8": {"kind": "html", "body": b'{"assets": "\xff"}', "headers": {"Content-Type": "application/json"}},
}
"""JSON that is not what it should be, as long as it lasts."""


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def body(name: str) -> bytes:
    """Bytes of one's own, as long as a dripping one needs."""
    return (name + "\n").encode().ljust(SIZE, b".")


@pytest.fixture
async def sandbox() -> AsyncIterator[tuple[Sandbox, int, int]]:
    box = Sandbox()
    runners = [await serve(box), await serve(box)]
    yield box, runners[0][1], runners[1][1]
    for runner, _ in runners:
        await runner.cleanup()


MakeWorld = Callable[[str], World]


@pytest.fixture
def make(sandbox: tuple[Sandbox, int, int], tmp_path: Path) -> MakeWorld:
    root = tmp_path / "config"
    root.mkdir()
    return lambda service: World(*sandbox, root, service, PATIENT)


def arm(world: World, place: Place, given: Given) -> None:
    """Put a fault in force at a place."""
    world.patience = IMPATIENT if given["kind"] in ("hang", "stall") or given.get("every", 0) >= 0.1 else world.patience
    headers = dict(given.get("headers", {}))
    if headers.get("Retry-After") == SOON:
        headers["Retry-After"] = formatdate(world.clock.now() + 5, usegmt=True)
    location = given.get("location", "http://127.0.0.1:{port}{exactly}")
    location = "" if place.exactly == "?" and "location" not in given else location
    location = location.format(port=world.port, other=world.other, exactly=place.exactly)
    world.box.faults.add(place.fault({**given, "headers": headers, "location": location}))


def disarm(world: World) -> None:
    """All is well again."""
    world.box.faults.clear()
    world.patience = PATIENT


def fill(world: World, endpoint: str, *tables: dict[str, Given]) -> dict[str, Given]:
    """A track for each fault, with the fault at its endpoint; and one without."""
    faults = {name: given for table in tables for name, given in table.items()}
    for name, given in faults.items():
        arm(world, SERVICES[world.service](world, name, body(name))[endpoint], given)
    SERVICES[world.service](world, "sound", body("sound"))
    return faults


async def lifted(world: World) -> None:
    """Without the faults, the next pass makes all good."""
    disarm(world)
    summary, _ = await world.sync()
    assert (summary.errors, set(world.states().values()), summary.incomplete) == ({}, {"stored"}, False)
    assert world.stored() == {sha256(body(name)) for name in world.tracks}
    assert world.left() == []


def rare(*values: Any) -> Any:
    """A case for the long run."""
    return pytest.param(*values, marks=pytest.mark.slow, id="-".join(values))


def some(names: Iterable[str], *often: str) -> list[Any]:
    """All faults, of which some are tried each time."""
    return [name if name in often else rare(name) for name in names]


LISTS = [
    ("datatrails", "events"),
    ("trinsic", "results"),
    ("auco", "signer"),
    ("sunshine", "messages"),
    rare("datatrails", "asset"),
    rare("rkvst", "events"),
    rare("auco", "overview"),
    rare("sunshine", "conversations"),
]
POSTS = {"results"}
"""Endpoints whose redirects are not followed."""


ALONE = {("datatrails", "asset")}
"""What does not keep back what else there is on its track."""


@pytest.mark.parametrize(("service", "endpoint"), LISTS)
async def test_what_passes_with_a_list(make: MakeWorld, service: str, endpoint: str) -> None:
    """Is waited for, tried again or put up with: the pass is whole."""
    world = make(service)
    faults = fill(world, endpoint, PASSING)
    summary, _ = await world.sync()
    expected = {"redirected"} if endpoint in POSTS else set()
    assert set(summary.errors) == expected
    assert {name for name, state in world.states().items() if state == "stored"} == {*faults, "sound"} - expected
    await lifted(world)


@pytest.mark.parametrize(("service", "endpoint"), LISTS)
async def test_what_lasts_with_a_list(make: MakeWorld, service: str, endpoint: str) -> None:
    """Ends with its track, which says so; all others are mirrored whole; no answer is read without end."""
    world = make(service)
    faults = fill(world, endpoint, LASTING, SHAPES)
    summary, recorder = await world.sync()
    # There, a 202 and a 503 say that it is not done yet.
    pending = {"no content", "503 for an hour"} if endpoint == "results" else set()
    assert set(summary.errors) ^ set(faults) == pending
    assert recorder.down == []
    mirrored = {*faults, "sound"} if (service, endpoint) in ALONE else {"sound"}
    assert world.states() == dict.fromkeys(mirrored, "stored")
    assert max(request.body_bytes_sent for request in world.box.requests) < reading.MAX_JSON + BUFFERS
    await lifted(world)


ITEMS = [
    ("datatrails", "bytes"),
    ("trinsic", "bytes"),
    ("auco", "bytes"),
    ("sunshine", "bytes"),
    rare("datatrails", "info"),
    rare("rkvst", "bytes"),
    rare("auco", "document"),
]
UNSOUND = {"HTML", "endless", "shorter length"}
UNTOLD = {("auco", "shorter length")}
"""What nothing that is stated tells from the truth."""
REFUSED = {"redirected to a private address", "redirected to a file"}


def becomes(service: str, endpoint: str, fault: str) -> str:
    """The state of an attachment whose endpoint has a fault that lasts."""
    if endpoint == "document" or (endpoint, fault) == ("info", "another object"):
        return "stored"  # whether a process has ended is asked again next time; a record may state nothing
    if service == "trinsic":
        return "waiting" if fault in ("503 for an hour", "no content") else "failed"
    if fault in REFUSED:
        return "refused"
    if service == "auco" and fault in ("endless", "redirected to another origin"):
        return "refused" if fault == "endless" else "gone"
    if endpoint == "bytes" and fault in UNSOUND and service != "auco":
        return "mismatch"
    return "failed"


@pytest.mark.parametrize(("service", "endpoint"), ITEMS)
async def test_what_passes_with_an_attachment(make: MakeWorld, service: str, endpoint: str) -> None:
    """Is waited for, tried again or put up with: the pass is whole."""
    world = make(service)
    faults = fill(world, endpoint, PASSING)
    summary, _ = await world.sync()
    expected = dict.fromkeys((*faults, "sound"), "stored")
    if service == "trinsic":
        expected |= {"redirected": "failed", "503 in seconds": "waiting"}
    assert (summary.errors, world.states()) == ({}, expected)
    await lifted(world)


@pytest.mark.parametrize(("service", "endpoint"), ITEMS)
async def test_what_lasts_with_an_attachment(make: MakeWorld, service: str, endpoint: str) -> None:
    """Ends with its attachment, in the right state; no body is read without end."""
    world = make(service)
    lasting = {name: given for name, given in LASTING.items() if (service, name) not in UNTOLD}
    faults = fill(world, endpoint, lasting, SHAPES if endpoint == "info" else {})
    summary, recorder = await world.sync()
    assert (summary.errors, recorder.down) == ({}, [])
    expected = {name: becomes(service, endpoint, name) for name in faults}
    assert world.states() == {**expected, "sound": "stored"}
    assert max(request.body_bytes_sent for request in world.box.requests) < 20 * MIB + BUFFERS
    await lifted(world)


# --- how far it reaches -------------------------------------------------------------------------------------------

ACCOUNT: dict[str, Given] = {
    "429 for an hour": {"kind": "status", "status": 429, "headers": {"Retry-After": "3600"}},
    "401": {"kind": "status", "status": 401},
}
"""What is the whole account's trouble, wherever it happens."""


@pytest.mark.parametrize(("service", "endpoint"), [*LISTS, *ITEMS[:-1]])
async def test_being_told_to_wait_for_long_is_the_accounts_trouble(
    make: MakeWorld, service: str, endpoint: str
) -> None:
    """The pass ends, every track says why, and nobody is asked again."""
    world = make(service)
    fill(world, endpoint, {"limited": ACCOUNT["429 for an hour"]})
    summary, recorder = await world.sync()
    assert len(recorder.down) == 1
    assert "429" in recorder.down[0]
    assert set(summary.errors) == {"limited", "sound"}
    assert sum(request.status == 429 for request in world.box.requests) == 1
    await lifted(world)


@pytest.mark.parametrize(("service", "endpoint"), [one for one in LISTS if one != ("trinsic", "results")])
async def test_being_refused_is_the_accounts_trouble(make: MakeWorld, service: str, endpoint: str) -> None:
    """No credentials to try but those that were refused. (What is posted carries a key of its own: test_trinsic.)"""
    world = make(service)
    fill(world, endpoint, {"refused": ACCOUNT["401"]})
    summary, recorder = await world.sync()
    assert set(summary.errors) == {"refused", "sound"}
    assert "401" in recorder.down[0]
    await lifted(world)


def signing_in(world: World) -> Place:
    """An account that exchanges client credentials for tokens."""
    access = world.box.rkvst.access
    access.add_client("me", "secret")
    SERVICES["rkvst"](world, "sound", body("sound"))
    world.account = f'client_id = "me"\nclient_secret_file = "{world.secret("secret", "secret")}"\n'
    path = "/rkvst/archivist/iam/v1/appidp/token"
    return Place(path, "POST", exactly=path)


@pytest.mark.parametrize("fault", some([name for name in PASSING if name != "redirected"], "429 in seconds", "reset"))
async def test_what_passes_with_signing_in(make: MakeWorld, fault: str) -> None:
    world = make("rkvst")
    arm(world, signing_in(world), PASSING[fault])
    await world.sync()
    assert world.states() == {"sound": "stored"}
    await lifted(world)


@pytest.mark.parametrize(
    "fault", some([*LASTING, *SHAPES, *ACCOUNT], "500", "hanging", "HTML", "a list", "redirected for ever", "401")
)
async def test_what_lasts_with_signing_in(make: MakeWorld, fault: str) -> None:
    """Is the account's trouble, and soon over."""
    world = make("rkvst")
    arm(world, signing_in(world), {**LASTING, **SHAPES, **ACCOUNT}[fault])
    summary, recorder = await world.sync()
    assert (set(summary.errors), len(recorder.down)) == ({"sound"}, 1)
    assert not world.states()
    await lifted(world)


async def test_a_bad_track_does_not_hold_up_another(make: MakeWorld) -> None:
    """Though it has more attachments than there are workers, all of them hanging; nor are all of those waited for."""
    world = make("sunshine")
    sunshine = world.box.sunshine
    place = SERVICES["sunshine"](world, "bad", body("bad"))["bytes"]
    arm(world, place, LASTING["hanging"])
    (chat,) = sunshine.conversations.values()
    for number in range(100):
        media = sunshine.add_media(b"%d" % number, "bad.txt", "text/plain", chat)
        sunshine.add_message(chat, sunshine.file_content(media))
        arm(world, Place(f"/sunshine{media.path}"), LASTING["hanging"])
    SERVICES["sunshine"](world, "sound", body("sound"))
    summary, recorder = await world.sync()
    assert "given up for now" in summary.errors["bad"]
    assert set(summary.errors) == {"bad"}
    assert recorder.down == []
    assert world.stored() == {sha256(body("sound"))}
    assert sum(request.status == 0 for request in world.box.requests) <= 24  # 16 in a row, and those under way


async def test_content_that_is_not_available_is_waited_for_once(make: MakeWorld) -> None:
    """Of many attachments with the same bytes, which would all have to wait for them."""
    world = make("datatrails")
    place = SERVICES["datatrails"](world, "bad", body("bad"))["bytes"]
    ledger = world.box.datatrails
    ((uuid, blob),), ((_, asset),) = ledger.blobs.items(), ledger.assets.items()
    for number in range(10):
        ledger.add_event(asset, {"a": ledger.attach(blob, file_name=f"{number}.zip")})
    arm(world, replace(place, path=f"*{uuid}"), LASTING["hanging"])
    await world.sync()
    assert set(world.states().values()) == {"failed"}
    assert world.box.requests.arrived("GET", f"*{uuid}") == 1
    await lifted(world)


@pytest.mark.parametrize("fault", some(["hanging", "dripping", "stalling"], "dripping"))
async def test_a_bad_account_does_not_hold_up_another(make: MakeWorld, fault: str) -> None:
    """Though its downloads take all the room there is for downloads of all accounts."""
    world, other = make("datatrails"), make("sunshine")
    for number in range(12):
        arm(world, SERVICES["datatrails"](world, f"bad{number}", body(f"{number}"))["bytes"], LASTING[fault])
    for number in range(12):
        SERVICES["sunshine"](other, f"sound{number}", body(f"sound{number}"))
    world.beside = other
    summary, _ = await world.sync()
    assert world.stored() == {sha256(body(f"sound{number}")) for number in range(12)}
    assert summary.incomplete


async def test_a_service_that_is_down_is_given_up_soon(make: MakeWorld) -> None:
    """All tracks alike: it is the account's trouble, and not every attachment is tried."""
    world = make("trinsic")
    for number in range(40):
        place = SERVICES["trinsic"](world, f"{number}", body(f"{number}"))["bytes"]
        arm(world, place, LASTING["500"])
    summary, recorder = await world.sync()
    assert len(recorder.down) == 1
    assert "is not available" in recorder.down[0]
    assert len(summary.errors) == 40
    assert len({request.path for request in world.box.requests if request.status == 500}) <= 24
    await lifted(world)


STEPS = [7, pytest.param(1, marks=pytest.mark.slow, id="all")]
"""Faults one after the other take their time: each seventh is tried each time."""


def every(step: int, faults: dict[str, Given]) -> list[tuple[str, Given]]:
    return list(faults.items())[::step]


# --- keys that may be good for one exchange -----------------------------------------------------------------------


@pytest.mark.parametrize("api", some(["exchange", "attachment"], "exchange"))
@pytest.mark.parametrize("step", STEPS)
async def test_access_keys(make: MakeWorld, api: str, step: int) -> None:
    """One exchange a pass whatever happens (but for a 429, which exchanged nothing); well again when the service is."""
    world = make("trinsic")
    SERVICES["trinsic"](world, "sound", body("sound"))
    world.account += f'attachments_api = "{api}"\n'
    trinsic, place = world.box.trinsic, Place("/trinsic/api/v1/attachments/*", "POST")
    well = {"gzip", "no length", "other type", "no type", "dripping fast"}
    well |= {name for name in PASSING if name.startswith("429")}
    lasting = {
        name: given for name, given in LASTING.items() if name != "shorter length"
    }  # nothing tells, if it is raw
    for name, given in every(step, {**{f"{name} once": given for name, given in PASSING.items()}, **lasting}):
        trinsic.add_access_key(body(name), "application/zip", key=f"aak_{len(world.tracks)}", uses=None)
        lines = world.secret(f"{len(world.tracks)}.keys", f"aak_{len(world.tracks)}\n")
        world.tracks[name] = f'access_keys_file = "{lines}"'
        arm(world, place, given)
        await world.sync()
        assert (world.states()[name] == "stored") is (name.removesuffix(" once") in well), name
        refused = sum(request.status == 429 for request in world.box.requests)
        assert world.box.requests.arrived("POST", place.path) == 1 + refused, name
        disarm(world)
        await world.sync()
        assert world.states()[name] == "stored", name
    await lifted(world)


# --- what is sent -------------------------------------------------------------------------------------------------


SLOW = {"hanging", "stalling", "dripping"}


def sending(world: World) -> dict[str, Place]:
    """An outbox, and its endpoints."""
    SERVICES[world.service](world, "sound", body("sound"))
    (world.root.parent / "outbox").mkdir()
    if world.service == "sunshine":
        sunshine = world.box.sunshine
        (chat,) = sunshine.conversations.values()
        world.outbox = f'send = true\nconversation = "{chat.id}"\npropagate_deletes = true\n'
        app = f"/sunshine/v2/apps/{sunshine.app_id}"
        return {
            "upload": Place(f"{app}/attachments", "POST"),
            "message": Place(f"{app}/conversations/*/messages", "POST"),
            "delete": Place(f"{app}/attachments/remove", "POST"),
        }
    (asset,) = world.box.datatrails.assets
    world.outbox = f'asset = "{asset}"\n'
    return {
        "upload": Place("/datatrails/archivist/v1/blobs", "POST"),
        "message": Place("/datatrails/archivist/v2/assets/*/events", "POST"),
    }


def drop(world: World, name: str) -> tuple[Path, Path]:
    """A file in the outbox, and where its receipt will be."""
    file = world.root.parent / "outbox" / f"{name}.txt"
    file.write_bytes(body(name))
    return file, file.parent / "sent" / f"{file.name}.toml"


@pytest.mark.parametrize(
    ("service", "endpoint"),
    [("sunshine", "upload"), ("sunshine", "message"), ("datatrails", "upload"), ("datatrails", "message")],
)
@pytest.mark.parametrize("step", STEPS)
async def test_sending(make: MakeWorld, service: str, endpoint: str, step: int) -> None:
    """No fault burns a file or loses it: what passes is got over at once, what lasts when it is over."""
    world = make(service)
    place = sending(world)[endpoint]
    world.tracks.clear()
    slow = {name: {**LASTING[name], **ONCE} for name in SLOW}
    passing = {f"{name} once": given for name, given in PASSING.items() if name != "redirected"} | slow
    lasting = {name: given for name, given in {**LASTING, **SHAPES, **ACCOUNT}.items() if name not in SLOW}
    faults = every(step, {**passing, **lasting})
    for name, given in faults:
        file, receipt = drop(world, name)
        arm(world, place, given)
        summary, _ = await world.sync()
        assert receipt.exists() is not summary.incomplete, name
        if name in passing or endpoint != "message":  # a message that came in spite of all is found
            assert receipt.exists() is (name in passing), name
        disarm(world)
        summary, _ = await world.sync()
        assert (receipt.exists(), file.exists(), summary.incomplete) == (True, False, False), name
    assert not list((world.root.parent / "outbox/failed").glob("*"))
    if endpoint == "message" and service == "sunshine":  # at most once, whatever answers were lost
        (chat,) = world.box.sunshine.conversations.values()
        tickets = [str(one["metadata"]) for one in chat.messages if "metadata" in one]
        assert len(tickets) == len(set(tickets)) == len(faults)


@pytest.mark.parametrize("step", STEPS)
async def test_deleting(make: MakeWorld, step: int) -> None:
    """What could not be deleted is deleted when the fault is over."""
    world = make("sunshine")
    place = sending(world)["delete"]
    world.tracks.clear()
    for name, given in every(step, {**PASSING, **LASTING, **ACCOUNT}):
        _, receipt = drop(world, name)
        await world.sync()
        receipt.with_suffix("").unlink()
        arm(world, place, given)
        await world.sync()
        disarm(world)
        summary, _ = await world.sync()
        assert ("deleted_at" in receipt.read_text(), summary.incomplete) == (True, False), name


# --- lists that do not end ----------------------------------------------------------------------------------------

LOOPS: list[tuple[str, str, str, dict[str, Any], dict[str, Any]]] = [
    ("datatrails", "events", "page_token={}", {"events": [], "next_page_token": "A"}, {"next_page_token": "B"}),
    (
        "sunshine",
        "conversations",
        "page[[]after]={}",
        {"conversations": [], "meta": {"hasMore": True, "afterCursor": "A"}},
        {"meta": {"hasMore": True, "afterCursor": "B"}},
    ),
    (
        "sunshine",
        "messages",
        "page[[]before]={}",
        {"messages": [], "meta": {"hasMore": True, "beforeCursor": "A"}},
        {"meta": {"hasMore": True, "beforeCursor": "B"}},
    ),
]


@pytest.mark.parametrize(("service", "endpoint", "token", "first", "second"), LOOPS)
@pytest.mark.parametrize("length", [1, 2])
async def test_page_tokens_that_loop(
    make: MakeWorld,
    service: str,
    endpoint: str,
    token: str,
    first: dict[str, Any],
    second: dict[str, Any],
    length: int,
) -> None:
    """End, as the trouble of their track: with one token, and with two that lead to each other."""
    world = make(service)
    place = SERVICES[service](world, "looping", body("looping"))[endpoint]
    SERVICES[service](world, "sound", body("sound"))
    if length == 2:
        arm(world, replace(place, query=f"*{token.format('A')}*"), {"kind": "json", "value": {**first, **second}})
    arm(world, place, {"kind": "json", "value": first})
    summary, _ = await world.sync()
    assert set(summary.errors) == {"looping"}
    assert "not end" in summary.errors["looping"]
    assert world.states() == {"sound": "stored"}
    assert len(world.box.requests) < 20
    await lifted(world)


async def test_page_tokens_of_all_assets_that_loop(make: MakeWorld) -> None:
    """The events of the same track are listed all the same."""
    world = make("datatrails")
    SERVICES["datatrails"](world, "sound", body("sound"))
    world.tracks["sound"] = 'asset = "*"'
    arm(world, Place("*/v2/assets"), {"kind": "json", "value": {"assets": [], "next_page_token": "A"}})
    summary, _ = await world.sync()
    assert "page tokens repeat" in summary.errors["sound"]
    assert world.states() == {"sound": "stored"}
    await lifted(world)


# --- below what the sandbox can do --------------------------------------------------------------------------------


HASTY = Patience(quiet=0.3, window=0.3, whole=0.6, pause=0.001)
"""For answers that do not end."""


@contextlib.asynccontextmanager
async def raw(
    answer: Callable[[asyncio.StreamWriter], Awaitable[None]], patience: Patience = HASTY
) -> AsyncIterator[Http]:
    """A client of a server that says whatever it likes."""

    tasks: set[asyncio.Task[Any] | None] = set()

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        with contextlib.suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            await answer(writer)
        writer.close()

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    account = Account("one", "datatrails", f"http://127.0.0.1:{port}", object())
    client = Http(account, Anonymous(), Clock(), patience=patience)
    try:
        yield client
    finally:
        await client.close()
        server.close()
        await asyncio.wait([task for task in tasks if task])


async def drip(writer: asyncio.StreamWriter, piece: bytes) -> None:
    """Say it again and again, faster than any time-out of silence."""
    while True:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("opened", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\n\r\n["])
@pytest.mark.parametrize("piece", [b" ", b" " * 400], ids=["slow", "fast"])
async def test_an_answer_that_takes_for_ever(opened: bytes, piece: bytes) -> None:
    """Its head or its body; by single bytes or fast: given up, and not tried again at once."""
    asked = 0

    async def answer(writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        writer.write(opened)
        await drip(writer, piece)

    async with raw(answer) as client:
        with pytest.raises((UnavailableError, MalformedError)):
            await client.get(client.url("/"))
    assert asked <= 5


async def test_what_an_error_says_is_read_whole() -> None:
    """In however many pieces it comes."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        said = b'{"message": "it is not safe"}'
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n" % len(said))
        for start in range(0, len(said), 10):
            writer.write(said[start : start + 10])
            await writer.drain()
            await asyncio.sleep(0.01)

    async with raw(answer, Patience(words=30)) as client:
        with pytest.raises(RejectedError) as caught:
            await client.get(client.url("/"))
    assert caught.value.detail == "it is not safe"


async def test_an_error_that_does_not_end_is_an_error_all_the_same() -> None:
    """Its status is what counts."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 404 Not Found\r\n\r\n")
        await drip(writer, b" ")

    async with raw(answer) as client:
        with pytest.raises(RejectedError) as caught:
            await client.get(client.url("/"))
    assert caught.value.status == 404


async def test_a_small_answer_that_unpacks_to_a_large_one() -> None:
    """Is unpacked as it is read, and no further than any other: memory stays small."""
    packer = zlib.compressobj(wbits=31)
    bomb = b"".join([*(packer.compress(b" " * MIB) for _ in range(100)), packer.flush()])

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb) + bomb)
        await writer.drain()

    async with raw(answer, Patience()) as client:
        tracemalloc.start()
        try:
            with pytest.raises(MalformedError, match="more than"):
                await client.get(client.url("/"))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 3 * reading.MAX_JSON


@pytest.mark.parametrize("kind", ["assets", "events"])
async def test_pages_that_repeat_under_ever_new_tokens(kind: str) -> None:
    """End, as soon as it is sure that they do: the service is not asked for ever."""
    asked = 0

    async def answer(writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        uuid = f"{asked % 3:08d}-0000-4000-8000-000000000000"
        whose = f"assets/{uuid}"
        row = {"identity": whose if kind == "assets" else f"{whose}/events/{uuid}", "asset_identity": whose}
        said = json.dumps({kind: [row], "next_page_token": f"token {asked}"}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(said) + said)
        await writer.drain()

    async with raw(answer, Patience()) as client:
        with pytest.raises(MalformedError, match="does not end"):
            _ = [page async for page in walk(client, client.url("/"), [], kind, signed=False)]
    assert asked < 120


@pytest.mark.parametrize("status", [201, 202, 204, 206])
async def test_only_200_brings_an_attachment(status: int) -> None:
    """A part that nobody asked for is not the whole; nor is nothing."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 %d So\r\nContent-Length: 0\r\n\r\n" % status)
        await writer.drain()

    async with raw(answer, Patience()) as client:
        with pytest.raises(MalformedError, match=str(status)):
            async with client.stream(client.url("/")):
                raise AssertionError("there is nothing to read")


async def test_what_is_done_with_a_body_does_not_count() -> None:
    """Only the service's slowness does, not that of our own disk."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x"

    async for _ in hurried(chunks(), Patience(window=0.02, floor=1e9)):
        time.sleep(0.03)  # noqa: ASYNC251 - the loop itself is busy


def test_a_track_rests_then_its_account_is_down() -> None:
    """16 in a row on a track; or on several tracks, of which none was well in between."""
    trouble, down = Trouble("one", 9, rest=60), UnavailableError("down")
    for _ in range(16):
        assert not trouble.rests("a", 0)
        trouble.note("a", down, 0)
    assert trouble.rests("a", 59)
    assert not trouble.rests("a", 60)
    assert not trouble.rests("b", 0)
    for track in "bcd" * 4:
        trouble.note("sound", None, 0)
        trouble.note(track, down, 0)
    for track in "bcdbcdbcdbcdbc":
        trouble.note(track, down, 0)
    with pytest.raises(AccountError):
        trouble.note("e", down, 0)


def test_an_account_with_one_track_is_down_with_it() -> None:
    trouble, down = Trouble("one", 1), UnavailableError("down")
    for _ in range(15):
        trouble.note("a", down, 0)
    with pytest.raises(AccountError):
        trouble.note("a", down, 0)


@hypothesis.given(st.integers(0, 50), st.integers(1, 50))
def test_any_circle_of_tokens_is_noticed(before: int, length: int) -> None:
    """And soon; a list that does not go in a circle never is one."""
    loop = Loop()
    assert not any(loop.closes(f"token {number}") for number in range(before))
    assert any(loop.closes(f"circle {number % length}") for number in range(4 * (before + length)))


@pytest.mark.parametrize("length", [0, 1, 3, 40, 300])
def test_any_list_that_is_repeated_is_noticed(length: int) -> None:
    """In whatever order; not before it has come once more, though some pages were empty or came twice."""
    repeats, random = Repeats(), Random(length)
    pages = [[f"row {number} of {page}" for number in range(random.choice([0, 1, 7]))] for page in range(length)]
    assert not any(repeats.go_on(page) for page in pages for _ in range(random.choice([1, 1, 2])))
    rows = [row for page in pages for row in page]
    assert any(repeats.go_on(random.choices(rows, k=3) if rows else []) for _ in range(2 * length + 102))


def test_a_long_list_is_no_repeated_one_and_takes_no_memory() -> None:
    """Nobody remembers a million rows to know that it ends. Once it is repeated, that is noticed."""
    repeats, pages, size = Repeats(), 300, 200
    tracemalloc.start()
    try:
        for page in range(pages):
            assert not repeats.go_on(f"row {page * size + number}" for number in range(size))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MIB
    assert any(repeats.go_on(f"row {page % 3}" for _ in range(size)) for page in range(pages + 102))


@pytest.mark.parametrize("header", ["1e300", "99999999", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_nobody_is_told_to_wait_for_years(header: str) -> None:
    assert retry.wait_asked(header, 0.0) == retry.DAY

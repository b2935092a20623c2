"""Every endpoint of every service under every fault: the right reaction, no further than it should reach, and bounded.

Each endpoint has a world of its own: one track for each fault, all in one pass, so that none may hold up another.
"""

import hashlib
from collections.abc import AsyncIterator, Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from attachsync import http
from attachsync.patience import Patience
from attachsync.sandbox import Sandbox, serve
from tests.worlds import SERVICES, Place, World

IMPATIENT = Patience(quiet=0.6, window=0.4, whole=2.0, pause=0.001)
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
    return lambda service: World(*sandbox, tmp_path, service, IMPATIENT)


def arm(world: World, place: Place, given: Given) -> None:
    """Put a fault in force at a place."""
    headers = dict(given.get("headers", {}))
    if headers.get("Retry-After") == SOON:
        headers["Retry-After"] = formatdate(world.clock.now() + 5, usegmt=True)
    location = given.get("location", "http://127.0.0.1:{port}{exactly}")
    location = "" if place.exactly == "?" and "location" not in given else location
    location = location.format(port=world.port, other=world.other, exactly=place.exactly)
    world.box.faults.add(place.fault({**given, "headers": headers, "location": location}))


def fill(world: World, endpoint: str, *tables: dict[str, Given]) -> dict[str, Given]:
    """A track for each fault, with the fault at its endpoint; and one without."""
    faults = {name: given for table in tables for name, given in table.items()}
    for name, given in faults.items():
        arm(world, SERVICES[world.service](world, name, body(name))[endpoint], given)
    SERVICES[world.service](world, "sound", body("sound"))
    return faults


async def lifted(world: World) -> None:
    """Without the faults, the next pass makes all good."""
    world.box.faults.clear()
    summary, _ = await world.sync()
    assert (summary.errors, set(world.states().values()), summary.incomplete) == ({}, {"stored"}, False)
    assert world.stored() == {sha256(body(name)) for name in world.tracks}
    assert world.left() == []


LISTS = [
    ("datatrails", "asset"),
    ("datatrails", "events"),
    ("rkvst", "events"),
    ("trinsic", "results"),
    ("auco", "overview"),
    ("auco", "signer"),
    ("sunshine", "conversations"),
    ("sunshine", "messages"),
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
    assert (set(summary.errors), recorder.down) == (set(faults), [])
    mirrored = {*faults, "sound"} if (service, endpoint) in ALONE else {"sound"}
    assert world.states() == dict.fromkeys(mirrored, "stored")
    assert max(request.body_bytes_sent for request in world.box.requests) < http.MAX_JSON + BUFFERS
    await lifted(world)


ITEMS = [
    ("datatrails", "info"),
    ("datatrails", "bytes"),
    ("rkvst", "bytes"),
    ("trinsic", "bytes"),
    ("auco", "bytes"),
    ("auco", "document"),
    ("sunshine", "bytes"),
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

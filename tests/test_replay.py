"""Power loss at every moment: what the storage layer wrote, synced and renamed is recorded, and each prefix replayed.

Of what was not made durable by then, a crash leaves nothing, all, or some of it, torn (tests/disks.py). From what is
left, one pass must make all good.
"""

import asyncio
import contextlib
import itertools
import pickle
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from attachsync.sandbox import Sandbox
from attachsync.sandbox.sunshine import Media, Upload
from tests.crashes import Mirrored, mirrored
from tests.disks import CRASHES, Crash, Disk, Step
from tests.recording import Recording

ASSET = "c04d5ecf-02e0-4be2-a014-ffbbf0e8ddeb"
BIG = b"cat " * 300_000
"""More than one block of the store."""
DAY = 86_500.0
"""Seconds, and a little more: what was not scanned is asked about again."""
AFTER = "2025-01-06T1{}:00:00Z"
"""Hours apart: an event that the cursor has left behind so far is not listed again."""
WORLDS = (("first",), ("changed", "scanned again"), ("changed",))
"""What may be upstream after a crash, by phase."""
UNSEEN = {"config.toml", "token", "secret", "aside"}
MANY = 12
"""Files: more than are sent at once."""
EACH = pytest.mark.parametrize("each", [7, pytest.param(4, marks=pytest.mark.slow)])


@dataclass(frozen=True)
class Recorded:
    """What was recorded; `uploads`, `media` and `messages` are what the service had in the end."""

    base: Path
    """Where it was, and where it is replayed: the journal knows an outbox by its path."""
    port: int
    """Where the service was, and is again: the journal holds addresses."""
    root: int
    steps: list[Step]
    uploads: list[Upload]
    media: dict[str, Media]
    messages: list[dict[str, Any]]
    dropped: list[dict[str, bytes]]
    """By phase."""


def begin(box: Sandbox) -> list[tuple[str, bytes]]:
    """What is upstream at first: (folder, bytes) of each attachment that is to be shown."""
    trail = box.datatrails
    trail.page_limit = 1
    big, sleeper = trail.add_blob(BIG, "image/jpeg", "SCANNED_OK"), trail.add_blob(b"sleeper", "text/plain")
    asset = trail.add_asset(
        {"photo": trail.attach(big, file_name="cat.jpg"), "sleeper": trail.attach(sleeper, file_name="sleeper.txt")},
        uuid=ASSET,
    )
    report, other = (trail.add_blob(data, "text/plain", "SCANNED_OK") for data in (b"report", b"other"))
    event = trail.add_event(
        asset,
        {"a": trail.attach(report, file_name="a.txt"), "b": trail.attach(other, file_name="A.txt")},
        {},
        AFTER.format(1),
    )
    again = trail.add_event(asset, {"a": trail.attach(report, file_name="scan")}, {}, AFTER.format(2))
    born = asset.events[0]
    folders = [ASSET, ASSET, f"{ASSET}/events/{born.uuid}", f"{ASSET}/events/{born.uuid}"]
    folders += [f"{ASSET}/events/{one.uuid}" for one in (event, event, again)]
    return list(zip(folders, (BIG, b"sleeper", BIG, b"sleeper", b"report", b"other", b"report"), strict=True))


def go_on(box: Sandbox) -> list[tuple[str, bytes]]:
    """What changes: the photo is another one, the sleeper turns bad. The same list as it is then."""
    trail = box.datatrails
    asset = trail.assets[ASSET]
    fresh = trail.add_blob(b"fresh", "image/jpeg", "SCANNED_OK")
    event = trail.add_event(asset, {}, {"photo": trail.attach(fresh, file_name="cat.jpg")}, AFTER.format(3))
    turn(box, "SCANNED_BAD")
    born = asset.events[0]
    return [(ASSET, b"fresh"), (f"{ASSET}/events/{born.uuid}", BIG), (f"{ASSET}/events/{event.uuid}", b"fresh")]


def turn(box: Sandbox, scanned: Any) -> None:
    """Let the sleeper be scanned (anew)."""
    trail = box.datatrails
    sleeper = next(blob for blob in trail.blobs.values() if blob.recorded.size == len(b"sleeper"))
    trail.set_scanned(sleeper, scanned)


def world(box: Sandbox, which: str) -> list[tuple[str, bytes]]:
    """The ledger: at `first`, `changed`, or changed but for the scan, which was an error (`scanned again`)."""
    first = begin(box)
    if which == "first":
        return first
    second = [*go_on(box), *first[4:]]
    if which == "changed":
        return second
    turn(box, "SCANNED_OK")
    return [*second, first[1], first[3]]


# --- recording, in a process of its own -------------------------------------------------------------------------------


def free_port() -> int:
    """A port that nobody is given by chance, so that it stays free between two servers of ours."""
    for port in random.sample(range(20_000, 32_000), 100):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no port is free")


async def record(base: Path) -> Recorded:
    """Three passes, much time before the second, and what they do to the disk.

    The third one shows what the second posted. After it nothing new comes that would have SHA256SUMS made anew.
    """
    async with mirrored(base, free_port()) as one:
        sunshine = one.ledgers.box.sunshine

        def upstream() -> dict[str, int]:
            return {"uploads": len(sunshine.uploads), "messages": len(one.conversation.messages)}

        recording = Recording(base, upstream, UNSEEN)
        begin(one.ledgers.box)
        one.say("photo.png", b"said")
        one.drop("one.txt", b"first")
        one.drop("deep/two.txt", b"second")
        dropped = [dict(one.dropped)]
        recording.start()
        await one.sync()
        recording.settled()
        go_on(one.ledgers.box)
        one.say("reply.png", b"answered")
        one.drop("three.txt", b"third")
        dropped.append(dict(one.dropped))
        recording.phase = 1
        recording.settled()
        one.ledgers.clock.ahead += DAY
        await one.sync()
        dropped.append(dict(one.dropped))
        recording.look()
        recording.phase = 2
        await one.sync()
        recording.look()
        return Recorded(
            base,
            one.ledgers.port,
            base.stat().st_ino,
            recording.steps,
            sunshine.uploads,
            sunshine.media,
            one.conversation.messages,
            dropped,
        )


async def record_many(base: Path) -> Recorded:
    """One pass over many files of an outbox that posts nothing: they go all at once."""
    async with mirrored(base, free_port(), posts=False) as one:
        sunshine = one.ledgers.box.sunshine
        recording = Recording(base, lambda: {"uploads": len(sunshine.uploads), "messages": 0}, UNSEEN)
        for number in range(MANY):
            one.drop(f"{number}.txt", b"%d" % number)
        recording.start()
        await one.sync()
        recording.look()
        ino, dropped = base.stat().st_ino, [dict(one.dropped)]
        return Recorded(base, one.ledgers.port, ino, recording.steps, sunshine.uploads, sunshine.media, [], dropped)


def alone(box: Sandbox) -> list[tuple[str, bytes]]:
    """One large attachment: what is done for others makes nothing of it durable. As `begin` has it."""
    trail = box.datatrails
    blob = trail.add_blob(BIG, "image/jpeg", "SCANNED_OK")
    asset = trail.add_asset({"photo": trail.attach(blob, file_name="cat.jpg")}, uuid=ASSET)
    return [(ASSET, BIG), (f"{ASSET}/events/{asset.events[0].uuid}", BIG)]


async def record_large(base: Path) -> Recorded:
    """One pass over that."""
    async with mirrored(base, free_port()) as one:
        recording = Recording(base, lambda: {"uploads": 0, "messages": 0}, UNSEEN)
        alone(one.ledgers.box)
        recording.start()
        await one.sync()
        recording.look()
        return Recorded(base, one.ledgers.port, base.stat().st_ino, recording.steps, [], {}, [], [{}])


def save(what: str, base: str, to: str) -> None:
    """What the process of its own does."""
    scene = {"all": record, "many": record_many, "large": record_large}[what]
    Path(to).write_bytes(pickle.dumps(asyncio.run(scene(Path(base)))))


def recorded_in(factory: pytest.TempPathFactory, what: str) -> Recorded:
    base, to = factory.mktemp("recorded"), factory.mktemp("recording") / "steps"
    code = "import sys; from tests import test_replay; test_replay.save(*sys.argv[1:])"
    subprocess.run([sys.executable, "-c", code, what, base, to], cwd=Path(__file__).parents[1], check=True)
    found: Recorded = pickle.loads(to.read_bytes())
    return found


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return recorded_in(tmp_path_factory, "all")


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return recorded_in(tmp_path_factory, "many")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return recorded_in(tmp_path_factory, "large")


# --- replaying --------------------------------------------------------------------------------------------------------


async def recover(recorded: Recorded, count: int, crash: Crash) -> None:
    """Replay the first `count` steps and a crash, look, make a pass, and look again."""
    shutil.rmtree(recorded.base)
    chance = random.Random(f"{count} {crash}")
    last = crashed(recorded, count, crash, chance)
    async with mirrored(recorded.base, recorded.port) as one:
        shown = world(one.ledgers.box, chance.choice(WORLDS[last.phase]))
        take_back(one, recorded, last)
        one.check_whole()
        one.check_kept()
        one.ledgers.clock.ahead += DAY * (1 + 3 * last.phase)
        summary, _ = await one.sync()
        assert summary.errors == {}
        assert all(sent.complete for sent in summary.sent.values()), summary.sent
        one.check_whole()
        one.check_sent()
        await one.sync()  # shows what the first one posted
        one.check_shown(shown)
        await one.sync()
        assert one.ledgers.downloads() == 0


async def recover_many(recorded: Recorded, count: int, crash: Crash) -> None:
    """The same for many files at once."""
    shutil.rmtree(recorded.base)
    last = crashed(recorded, count, crash, random.Random(f"{count} {crash}"))
    async with mirrored(recorded.base, recorded.port, posts=False) as one:
        take_back(one, recorded, last)
        one.check_kept()
        summary, _ = await one.sync()
        assert all(sent.complete for sent in summary.sent.values()), summary.sent
        one.check_sent()


async def recover_large(recorded: Recorded, count: int, crash: Crash) -> None:
    """The same for one large attachment."""
    shutil.rmtree(recorded.base)
    crashed(recorded, count, crash, random.Random(f"{count} {crash}"))
    async with mirrored(recorded.base, recorded.port) as one:
        shown = alone(one.ledgers.box)
        one.check_whole()
        await one.sync()
        one.check_whole()
        one.check_shown(shown)


def crashed(recorded: Recorded, count: int, crash: Crash, chance: random.Random) -> Step:
    """Leave what a crash after so many steps leaves; the last of them."""
    disk = Disk(recorded.root)
    for step in recorded.steps[:count]:
        disk.play(step)
    disk.leave(crash, chance, recorded.base)
    return recorded.steps[count - 1]


def take_back(one: Mirrored, recorded: Recorded, last: Step) -> None:
    """Give the service what it had when the crash came."""
    sunshine = one.ledgers.box.sunshine
    sunshine.ids = type(sunshine.ids)("after the crash")
    sunshine.now += timedelta(hours=1)  # later than all that was recorded: each message takes it a second
    sunshine.media |= recorded.media
    sunshine.uploads += recorded.uploads[: last.upstream["uploads"]]
    one.conversation.messages += recorded.messages[: last.upstream["messages"]]
    one.dropped |= recorded.dropped[last.phase]


Recover = Callable[[Recorded, int, Crash], Awaitable[None]]


async def replay(recorded: Recorded, points: Iterable[tuple[int, Crash]], recover: Recover = recover) -> None:
    for count, crash in points:
        try:
            await recover(recorded, count, crash)
        except Exception as error:
            error.add_note(f"after {count} of {len(recorded.steps)} steps, {crash}, in {recorded.base}")
            raise


@pytest.mark.timeout(600)
@EACH
async def test_a_crash_after_some_of_the_steps(recorded: Recorded, each: int) -> None:
    """After each seventh step, or fourth, the kinds of crash by turns."""
    counts = range(1, len(recorded.steps) + 1, each)
    await replay(recorded, zip(counts, itertools.cycle(CRASHES)))


@pytest.mark.timeout(600)
@EACH
async def test_a_crash_while_many_files_are_sent(many: Recorded, each: int) -> None:
    """After some of the steps, the kinds of crash by turns."""
    counts = range(1, len(many.steps) + 1, each)
    await replay(many, zip(counts, itertools.cycle(CRASHES)), recover_many)


@pytest.mark.timeout(600)
async def test_a_crash_while_a_large_one_comes(large: Recorded) -> None:
    """The same."""
    counts = range(1, len(large.steps) + 1, 3)
    await replay(large, zip(counts, itertools.cycle(CRASHES)), recover_large)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("crash", CRASHES)
async def test_a_crash_after_every_step(recorded: Recorded, crash: Crash) -> None:
    """Every prefix, every kind of crash."""
    await replay(recorded, ((count + 1, crash) for count in range(len(recorded.steps))))


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("crash", CRASHES)
async def test_a_crash_after_every_step_of_many_files(many: Recorded, crash: Crash) -> None:
    """Every prefix, every kind of crash."""
    await replay(many, ((count + 1, crash) for count in range(len(many.steps))), recover_many)

"""The daemon's own check of the store: a slice at a time, the longest unchecked first; damage is mended and told."""

import asyncio
import contextlib
import hashlib
import json
import sqlite3
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from attachsync.clock import Clock
from attachsync.daemon import Plant, equipped, holding
from attachsync.index.health import damage_found, progress
from attachsync.observer import Observer
from attachsync.scrubbing import Scrubber
from tests.commands import Stage, stage, stop, until
from tests.ledgers import Ledgers
from tests.test_verify import flip

DAY = 86400.0
TRACK = "archive/assets/3ea5aca3-da02-4bae-b6d0-85a5ab586ed6"


class Paced(Clock):
    """A clock that is set by hand, on which sleeping takes no time; it tells when somebody waits for the next slice."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.resting = asyncio.Event()
        self.onward = asyncio.Event()

    def now(self) -> float:
        return super().now() + self.ahead

    async def sleep(self, seconds: float) -> None:
        if seconds > 60:
            self.resting.set()
            await self.onward.wait()
            self.onward.clear()
        await asyncio.sleep(0)

    async def after(self, seconds: float) -> None:
        """Let so much time pass, and wait until there is nothing to do again."""
        await asyncio.wait_for(self.resting.wait(), 10)
        self.resting.clear()
        self.ahead += seconds
        self.onward.set()
        await asyncio.wait_for(self.resting.wait(), 10)


@contextlib.asynccontextmanager
async def scrubbed(ledger: Ledgers, period: float, clock: Paced) -> AsyncIterator[tuple[Plant, list[int]]]:
    """A mirror whose store is being looked after; how often something was to be fetched."""
    config, woken = ledger.config(), list[int]()
    async with (
        holding(config, "run", clock) as index,
        equipped(config, index, clock, Observer()) as plant,
    ):
        names = [track.name for track in config.tracks]
        scrubber = Scrubber(plant.keeping, config.state_directory, names, period, lambda: woken.append(1))
        task = asyncio.create_task(scrubber.keep_on())
        try:
            yield plant, woken
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def fill(ledger: Ledgers, count: int) -> None:
    trail = ledger.box.datatrails
    asset = trail.add_asset({})
    for number in range(count):
        blob = trail.add_blob(b"%d" % number, "text/plain", scanned="SCANNED_OK")
        trail.add_event(asset, {"a": trail.attach(blob, file_name=f"{number}.txt")})


def checked(plant: Plant) -> dict[str, float]:
    rows = plant.index.database.rows("SELECT digest, at FROM checked")
    return {row["digest"]: row["at"] for row in rows}


def path_of(ledger: Ledgers, data: bytes) -> Path:
    digest = hashlib.sha256(data).hexdigest()
    return ledger.mirror / "sha256" / digest[:2] / digest


async def test_a_slice_a_day_and_all_of_it_in_the_period(ledger: Ledgers) -> None:
    """Ten objects in five days: two each day, each once; then the first ones again."""
    fill(ledger, 10)
    await ledger.sync()
    clock = Paced()
    async with scrubbed(ledger, 5 * DAY, clock) as (plant, _):
        await asyncio.wait_for(clock.resting.wait(), 10)
        first = set(checked(plant))
        assert len(first) == 2
        for day in range(2, 6):
            await clock.after(DAY - 600 if day == 3 else DAY + 30)
            if day == 3:
                assert len(checked(plant)) == 4, "not before its time"
                await clock.after(660)
            assert len(checked(plant)) == 2 * day
        times = checked(plant)
        await clock.after(DAY + 30)
        assert {one for one, at in checked(plant).items() if at != times[one]} == first


async def test_a_slice_that_was_interrupted_goes_on(ledger: Ledgers) -> None:
    """What was looked at is not looked at again, and the slice is not forgotten."""
    fill(ledger, 10)
    await ledger.sync()
    clock = Paced()
    with contextlib.closing(sqlite3.connect(ledger.mirror / ".attachsync/index.sqlite3")) as connection, connection:
        state = json.dumps({"began": clock.now(), "left": 3})
        connection.execute("INSERT INTO meta VALUES ('scrub', ?)", (state,))
    async with scrubbed(ledger, 5 * DAY, clock) as (plant, _):
        await asyncio.wait_for(clock.resting.wait(), 10)
        assert len(checked(plant)) == 3
        assert progress(plant.index)[1] == 0


@pytest.mark.parametrize("damage", ["flipped", "missing with its entry", "missing"])
async def test_damage_is_told_and_mended(ledger: Ledgers, damage: str) -> None:
    """Corrupt bytes go to quarantine, and are fetched again; what files/ still has needs no request."""
    fill(ledger, 3)
    await ledger.sync()
    target, entry = path_of(ledger, b"1"), ledger.files / next(path for path in ledger.shown() if "1.txt" in path)
    if damage == "flipped":
        flip(target)
    else:
        target.unlink()
    if damage == "missing with its entry":
        entry.unlink()
    clock = Paced()
    async with scrubbed(ledger, DAY, clock) as (plant, woken):
        await asyncio.wait_for(clock.resting.wait(), 10)
        found = damage_found(plant.index)
        assert (found["count"], found["sha256"]) == (1, target.name)
        assert not entry.exists() or entry.read_bytes() == b"1"
        assert len(woken) == (damage != "missing")
        waiting = [row["state"] for row in ledger.rows()].count("waiting")
        assert waiting == (damage != "missing")
        assert target.exists() is (damage == "missing")
    assert (ledger.quarantined() == {target.name}) is (damage == "flipped")
    summary, recorder = await ledger.sync()
    assert not summary.incomplete
    assert [one.fetched for one in recorder.outcomes] == [True] * (damage != "missing")
    assert (target.read_bytes(), entry.read_bytes()) == (b"1", b"1")


async def test_an_older_version_that_is_damaged_is_told(ledger: Ledgers) -> None:
    """Nobody has it any more: it is said so, and what is shown now is left alone."""
    trail = ledger.box.datatrails
    ledger.tracks += "events = false\n"
    asset = trail.add_asset({"a": trail.attach(trail.add_blob(b"old", scanned="SCANNED_OK"), file_name="a.txt")})
    await ledger.sync()
    newer = trail.attach(trail.add_blob(b"new", scanned="SCANNED_OK"), file_name="a.txt")
    trail.add_event(asset, asset_attributes={"a": newer})
    await ledger.sync()
    flip(path_of(ledger, b"old"))
    clock = Paced()
    async with scrubbed(ledger, DAY, clock) as (plant, woken):
        await asyncio.wait_for(clock.resting.wait(), 10)
        assert (damage_found(plant.index)["what"], woken) == ("an older version: lost", [])
        await clock.after(DAY + 30)
        assert path_of(ledger, b"new").exists()
    assert [row["state"] for row in ledger.rows()] == ["stored"]


async def test_what_was_removed_meanwhile_is_no_damage(ledger: Ledgers) -> None:
    """A row that is marked to go, its bytes gone already: nothing to tell."""
    fill(ledger, 1)
    await ledger.sync()
    clock = Paced()
    config = ledger.config()
    async with holding(config, "run", clock) as index, equipped(config, index, clock, Observer()) as plant:
        scrubber = Scrubber(plant.keeping, config.state_directory, [], DAY, lambda: None)
        digest = path_of(ledger, b"0").name
        index.removals.remove(index.upkeep.of_digest(digest), [digest], "gone")
        path_of(ledger, b"0").unlink()
        index.database.note("scrub", json.dumps({"began": clock.now(), "left": 1}))
        with ThreadPoolExecutor(1) as pool:
            await scrubber._look(pool, digest)  # type: ignore[arg-type]
        assert damage_found(index) == {}


# --- the daemon -------------------------------------------------------------------------------------------------------


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Stage]:
    """A stage with one small track, mirrored, that is looked after every second."""
    with stage(tmp_path) as made:
        text = made.config.read_text().replace("[mirror]", '[mirror]\nscrub = "1s"')
        tables = text.split("\n\n")
        kept = [one for one in tables if not one.startswith("[[track]]") or '"archive"' in one]
        made.config.write_text("\n\n".join(kept))
        made.run("sync")
        yield made


def events(scene: Stage, name: str) -> list[Any]:
    log = scene.home / "log"
    rows = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return [row for row in rows if row["event"] == name]


def test_the_daemon_finds_and_mends_it_and_says_so(scene: Stage) -> None:
    """One error line; fetched again; `status` says so until a whole verify finds nothing; it stops in time."""
    row = scene.first("--media-type", "application/pdf")
    target = scene.mirror / "sha256" / row["sha256"][:2] / row["sha256"]
    good = target.read_bytes()
    flip(target)
    with scene.process("run") as running:
        until(lambda: events(scene, "damaged"))
        until(lambda: target.exists() and target.read_bytes() == good)
        until((scene.mirror / row["path"]).exists)
        assert [one["level"] for one in events(scene, "damaged")] == ["error"]
        until(lambda: len(events(scene, "scrubbed")) > 1)
        assert len(events(scene, "damaged")) == 1
        assert stop(running) == 0
    assert target.stat().st_ino == (scene.mirror / row["path"]).stat().st_ino
    assert flipped(scene, row["sha256"])
    assert scene.run("status", "--check").code == 1
    assert f"1 damaged; the last one: {row['sha256']}" in scene.run("status").out
    assert scene.run("verify").code == 0
    assert scene.run("status", "--check").code == 0


def flipped(scene: Stage, digest: str) -> bool:
    return (scene.mirror / ".attachsync/quarantine" / digest).exists()


def test_off_is_off(scene: Stage) -> None:
    """Damage stays where it is."""
    row = scene.first("--media-type", "application/pdf")
    target = scene.mirror / "sha256" / row["sha256"][:2] / row["sha256"]
    flip(target)
    scene.edit('scrub = "1s"', 'scrub = "off"')
    before = target.read_bytes()
    with scene.process("run") as running:
        until(lambda: events(scene, "running"))
        until(lambda: scene.run("status", "--json").documents[0]["tracks"][0]["state"] == "ok")
        assert stop(running) == 0
    assert (target.read_bytes(), events(scene, "scrubbed"), events(scene, "damaged")) == (before, [], [])

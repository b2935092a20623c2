"""kill -9 at random moments: nothing half-made is ever visible, nothing is lost, and a clean pass makes all good.

It is the daemon that is killed, again and again, in the middle of downloads, uploads and posts. So that many kills take
little time, each is a fork of a process that has imported attachsync already, and runs `attachsync run` from there.
"""

import asyncio
import contextlib
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from attachsync.sandbox.faults import Fault
from tests.crashes import Mirrored, mirrored
from tests.ledgers import BYTES

FORKS = """
import os, sys
from attachsync import cli
sys.argv = ["attachsync", *sys.argv[1:]]
for _ in sys.stdin:
    process = os.fork()
    if not process:
        os.dup2(os.open("/dev/null", os.O_RDWR), 0)
        os.dup2(0, 1)
        os._exit(cli.main())
    print(process, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
"""
ATTACHMENTS = 12
FILES = 6


class Forks:
    """Starts daemons, one after the other."""

    def __init__(self, parent: asyncio.subprocess.Process) -> None:
        self._parent = parent

    async def start(self) -> int:
        """A fresh daemon; its process id."""
        assert self._parent.stdin is not None
        self._parent.stdin.write(b"go\n")
        return await self._number()

    async def ended(self) -> int:
        """Wait for the end of the last one: its exit code."""
        return await self._number()

    async def _number(self) -> int:
        assert self._parent.stdout is not None
        return int(await self._parent.stdout.readline())


@contextlib.asynccontextmanager
async def forks(config: Path, *command: str) -> AsyncIterator[Forks]:
    """Daemons of one config; what they log is of no interest."""
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", FORKS, "--config", str(config), *command,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield Forks(parent)
    finally:
        assert parent.stdin is not None
        parent.stdin.close()
        await parent.wait()


class Upstream:
    """Something new before each start, so that no kill comes when all is done already."""

    def __init__(self, one: Mirrored, chance: random.Random) -> None:
        self._one = one
        self._chance = chance
        self._asset = one.ledgers.box.datatrails.add_asset({})
        self.ledger: list[tuple[str, bytes]] = []
        self._count = 0

    def grow(self, attachments: int, files: int) -> None:
        trail = self._one.ledgers.box.datatrails
        for _ in range(attachments):
            self._count += 1
            data = b"%d\n" % self._count * self._chance.choice((10, 1000, 300_000))
            blob = trail.add_blob(data, "text/plain", "SCANNED_OK")
            event = trail.add_event(self._asset, {"a": trail.attach(blob, file_name="a.txt")})
            self.ledger.append((f"{self._asset.uuid}/events/{event.uuid}", data))
        for _ in range(files):
            self._count += 1
            self._one.drop(
                f"{self._count % 3}/{self._count}.txt", b"%d\n" % self._count * self._chance.choice((1, 9999))
            )


async def killed(one: Mirrored, daemons: Forks, after: int) -> None:
    """Start the daemon, and kill it when the service has been asked so many things."""
    box = one.ledgers.box
    process = await daemons.start()
    await box.requests.until(box.requests.arrived() + after)
    os.kill(process, signal.SIGKILL)
    assert await daemons.ended() == -signal.SIGKILL


async def crash_and_recover(base: Path, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    async with mirrored(base) as one, forks(one.write_config(), "run") as daemons:
        upstream, box = Upstream(one, chance), one.ledgers.box
        upstream.grow(ATTACHMENTS, FILES)
        box.faults.add(Fault(path="*/attachments/*", kind="drip", size=100_000, every=0.001))
        for _ in range(kills):
            await killed(one, daemons, chance.randint(1, 16))
            one.check_whole()
            one.check_kept()
            upstream.grow(4, 1)
        box.faults.clear()
        one.ledgers.clock.ahead += 1000.0  # past all retry times
        for _ in range(6):  # a message may be looked for first, and what it shows be mirrored in the next pass
            summary, _ = await one.sync()
            one.release_held()
        assert not summary.incomplete
        one.check_whole()
        one.check_sent()
        one.check_shown(upstream.ledger)
        assert one.ledgers.downloads() == 0


@pytest.mark.timeout(300)
async def test_twenty_five_kills(tmp_path: Path) -> None:
    """Twenty-five times, in the middle of whatever the daemon was at."""
    await crash_and_recover(tmp_path, 25, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(2, 12))
async def test_a_hundred_kills(tmp_path: Path, seed: int) -> None:
    """A hundred times, ten times over."""
    await crash_and_recover(tmp_path, 100, seed)


async def test_what_was_stored_is_not_downloaded_again(tmp_path: Path) -> None:
    """Of all that is downloaded twice, no more than was in flight at a kill: one, with a concurrency of 1."""
    async with mirrored(tmp_path) as one:
        one.ledgers.account += "concurrency = 1\n"
        Upstream(one, random.Random(0)).grow(20, 0)
        async with forks(one.write_config(), "run") as daemons:
            for _ in range(4):
                await killed(one, daemons, 16)
        before = one.ledgers.box.count("GET", BYTES)
        await one.sync()
        assert 20 <= before + one.ledgers.box.count("GET", BYTES) <= 20 + 4


async def ended(pidfd: int) -> None:
    """Wait for the end of a process that is nobody's child here."""
    gone = asyncio.Event()
    asyncio.get_running_loop().add_reader(pidfd, gone.set)
    await gone.wait()
    asyncio.get_running_loop().remove_reader(pidfd)
    os.close(pidfd)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["bare", "a.txt"])
async def test_a_kill_ends_the_other_process_too(tmp_path: Path, name: str) -> None:
    """In the midst of many small files, of the one for the disk or the one that fetches them (what has an extension):
    nothing is written behind a dead daemon's back, and nothing is lost."""
    async with mirrored(tmp_path) as one:
        trail, asset = one.ledgers.box.datatrails, one.ledgers.box.datatrails.add_asset({})
        helpers, files = 0, 0
        if name == "bare":  # many come at the same time, and are many for the disk, however slow this machine is
            one.ledgers.account += "concurrency = 64\n"
            one.ledgers.tracks = one.ledgers.tracks.replace("[daemon]\n", "[daemon]\nconcurrency = 64\n")
            one.ledgers.box.faults.add(Fault(path=BYTES, kind="drip", every=0.1))
        async with forks(one.write_config(), "run") as daemons:
            for _ in range(3):
                values = {}
                for _ in range(150):
                    files += 1
                    blob = trail.add_blob(b"%d" % files, "text/plain", "SCANNED_OK")
                    values[f"a{files}"] = trail.attach(blob, file_name=name)
                trail.add_event(asset, values)
                process, asked = await daemons.start(), one.ledgers.box.requests
                await asked.until(asked.arrived() + 250)
                found = [thread.read_text().split() for thread in Path(f"/proc/{process}/task").glob("*/children")]
                watched = [os.pidfd_open(int(pid)) for pids in found for pid in pids]
                os.kill(process, signal.SIGKILL)
                assert await daemons.ended() == -signal.SIGKILL
                for pidfd in watched:
                    await ended(pidfd)
                helpers += len(watched)
                one.check_whole()
        assert helpers
        summary, _ = await one.sync()
        assert not summary.incomplete
        one.check_whole()
        assert len(one.ledgers.shown()) == files

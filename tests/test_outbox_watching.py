"""What a watcher loses in silence (field/anchors.md B3), and that nothing is lost all the same."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from attachsync.clock import Clock
from tests.outboxes import Hurried, Rig, rig, until

_QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")
_WATCHES = 20

KEEPER = """
import asyncio, signal, sys
from pathlib import Path
from attachsync.credentials import Secret
from attachsync.http import Http
from attachsync.index import Index
from attachsync.model import Account, Outbox
from attachsync.outbox import Outgoing
from attachsync.sources.sunshine import SERVICE
from attachsync.sources.sunshine.keys import AccountKeys, OutboxKeys
from tests.outboxes import Hurried

async def main(folder, base_url, app):
    clock = Hurried()
    keys = AccountKeys(app, "app_5963ceb97cde542d000dbdb1", Secret(folder / "secret"))
    account = Account("support", "sunshine", base_url, keys)
    http = Http(account, SERVICE.credentials(account), clock)
    box = Outbox(folder / "outbox", "support", OutboxKeys(), ignore=("*.part",))
    outgoing = Outgoing(box, SERVICE.push.sender(http, box.options), Index.open(folder / "state").uploads, clock)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, outgoing.finish)
    await outgoing.keep()
    await http.close()

asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:]))
"""


@contextlib.asynccontextmanager
async def keeping(one: Rig, **keys: object) -> AsyncIterator[None]:
    """The outbox kept by a daemon whose clock runs fast; it has made its first look."""
    outgoing = one.outgoing(settle=1.0, **keys)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(outgoing.keep())
        one.drop("first.txt")
        await until((one.root / "sent/first.txt").exists)
        yield
        outgoing.finish()
        await task


@contextlib.asynccontextmanager
async def keeper(one: Rig, *before: str) -> AsyncIterator[Process]:
    """The same in a process of its own, begun by the command `before`; it has made its first look."""
    one.index.close()
    program = (*before, sys.executable, "-c", KEEPER)
    arguments = (str(one.root.parent), one.account.base_url, one.box.sunshine.app_id)
    with (one.root.parent / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *program, *arguments, cwd=Path(__file__).parent.parent, stdout=log, stderr=log
        )
    try:
        one.drop("first.txt")
        await until((one.root / "sent/first.txt").exists)
        yield process
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 10) == 0, (one.root.parent / "log").read_text()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def watched() -> set[int]:
    """The inodes that this process watches."""
    found = set()
    for entry in Path("/proc/self/fdinfo").iterdir():
        with contextlib.suppress(OSError):
            lines = entry.read_text().splitlines()
            found |= {int(line.split("ino:")[1].split()[0], 16) for line in lines if line.startswith("inotify")}
    return found


def sent(one: Rig) -> int:
    """How many files are in sent/."""
    return sum(1 for path in (one.root / "sent").rglob("*.txt") if path.is_file())


async def test_a_watcher_that_was_starved(tmp_path):
    """The daemon stands still while more happens than the kernel keeps for it: every file is sent."""
    most = int(_QUEUE.read_text())
    if most > 20_000:
        pytest.skip(f"{_QUEUE} is {most}: too many files")
    async with rig(tmp_path, Hurried()) as one, keeper(one) as daemon:
        daemon.send_signal(signal.SIGSTOP)
        for number in range(most):
            os.close(os.open(one.root / f"{number}.part", os.O_WRONLY | os.O_CREAT, 0o600))
        for number in range(50):
            one.drop(f"{number}.txt")
        daemon.send_signal(signal.SIGCONT)
        await until(lambda: sent(one) == 51, 60)
        assert len(one.box.sunshine.uploads) == 51


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_thirty_thousand_files_while_nobody_looked(tmp_path):
    """30,000 files, of which watchfiles alone saw 5,462: all are sent, once, in order of arrival."""
    async with rig(tmp_path, Hurried()) as one, keeper(one) as daemon:
        daemon.send_signal(signal.SIGSTOP)
        for number in range(30_000):
            one.drop(f"{-number % 7}-{number}.txt", b"%d" % number)
        daemon.send_signal(signal.SIGCONT)
        await until(lambda: one.box.requests.arrived("POST") == 30_001 and not any(one.root.glob("*.txt")), 800)
        assert sent(one) == 30_001
        order = [int(upload.data) for upload in one.box.sunshine.uploads[1:]]
        assert sorted(order) == list(range(30_000))
        assert max(abs(place - number) for place, number in enumerate(order)) < 100


async def test_a_tree_moved_in(tmp_path):
    """A folder renamed into the outbox: one event, for the folder. What is put into it later is seen at once."""
    async with rig(tmp_path, Clock()) as one:
        (tmp_path / "tree/a/b").mkdir(parents=True)
        for number in range(100):
            (tmp_path / f"tree/a/b/{number}.txt").write_text("moved in")
        outgoing = one.outgoing(settle=0.05)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(outgoing.keep())
            one.drop("first.txt")
            await until((one.root / "sent/first.txt").exists)
            (tmp_path / "tree").rename(one.root / "tree")
            await until(lambda: sent(one) == 101, 60)
            one.drop("tree/a/b/later.txt")  # the next look of its own would be in 30 s
            await until((one.root / "sent/tree/a/b/later.txt").exists)
            outgoing.finish()
            await task


async def test_new_folders_written_at_once(tmp_path):
    """Folders made and filled in one go, faster than a watcher can follow: nothing is lost, once or twice over."""
    async with rig(tmp_path, Hurried()) as one, keeping(one):
        for folder in ("a/b/c", "d/e"):
            for number in range(125):
                one.drop(f"{folder}/{number}.txt")
        await until(lambda: sent(one) == 251, 60)
        assert len(one.box.sunshine.uploads) == 251


async def test_a_folder_in_place_of_another_is_watched(tmp_path):
    """A sub-folder is removed, and one of its name made: the new one is watched, not the old one's inode."""
    async with rig(tmp_path, Hurried()) as one, keeping(one):
        one.drop("box/1.txt")
        await until((one.root / "sent/box/1.txt").exists)
        before = (one.root / "box").stat().st_ino
        await until(lambda: before in watched())
        (one.root / "box").rename(tmp_path / "aside")
        one.drop("box/2.txt")
        await until((one.root / "sent/box/2.txt").exists)
        await until(lambda: (one.root / "box").stat().st_ino in watched())
        await until(lambda: before not in watched())


async def test_folders_outside_are_not_watched(tmp_path):
    """A linked folder is neither watched nor looked into; nor is sent/, whose every new file is our own doing."""
    async with rig(tmp_path, Hurried()) as one, keeping(one):
        (tmp_path / "outside/deep").mkdir(parents=True)
        (one.root / "link").symlink_to(tmp_path / "outside")
        one.drop("box/1.txt")
        await until((one.root / "sent/box/1.txt").exists)
        await until(lambda: (one.root / "box").stat().st_ino in watched())
        (tmp_path / "outside/deep/secret.txt").write_text("secret")
        one.drop("last.txt")
        await until((one.root / "sent/last.txt").exists)
        unwatched = [tmp_path / "outside", tmp_path / "outside/deep", one.root / "sent", one.root / "sent/box"]
        assert not watched() & {path.stat().st_ino for path in unwatched}
        assert len(one.box.sunshine.uploads) == 3


async def test_a_root_that_was_replaced(tmp_path):
    """Renamed away and made anew, without a nudge: the new one is served, the old one left alone."""
    async with rig(tmp_path, Hurried()) as one, keeping(one):
        one.root.rename(tmp_path / "old")
        one.root.mkdir()
        one.drop("second.txt")
        await until((one.root / "sent/second.txt").exists, 25)
        (tmp_path / "old/third.txt").write_text("no longer the outbox")
        one.drop("fourth.txt")  # seen by the watcher of the new directory
        await until((one.root / "sent/fourth.txt").exists)
        assert one.root.stat().st_ino in watched()
        assert (tmp_path / "old/third.txt").exists()
        assert len(one.box.sunshine.uploads) == 3


@pytest.mark.parametrize("when", ["from the start", "later"])
async def test_a_watch_limit_is_said_and_nothing_is_missed(tmp_path, when):
    """More folders than the user may watch: it is said, the outbox itself stays watched, and all files are sent."""
    if shutil.which("unshare") is None:
        pytest.skip("no unshare")
    limited = ("unshare", "-Ur", "sh", "-c", f'echo {_WATCHES} > /proc/sys/user/max_inotify_watches && exec "$@"', "sh")
    trial = await asyncio.create_subprocess_exec(*limited, "true", stderr=asyncio.subprocess.DEVNULL)
    if await trial.wait():
        pytest.skip("no user namespaces here")
    async with rig(tmp_path, Hurried()) as one:
        if when == "from the start":
            for number in range(2 * _WATCHES):
                (one.root / f"box{number}").mkdir()
        async with keeper(one, *limited):
            for number in range(2 * _WATCHES):
                one.drop(f"box{number}/1.txt")
            await until(lambda: sent(one) == 1 + 2 * _WATCHES, 40)
            await until(lambda: "watch_failed" in (tmp_path / "log").read_text())
            for number in range(2 * _WATCHES):
                one.drop(f"box{number}/2.txt")
            await until(lambda: sent(one) == 1 + 4 * _WATCHES, 40)

"""Disks that are full, read-only, missing or another user's: said with what to do, nothing lost, goes on by itself."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from attachsync.errors import MismatchError, NoRoomError, StorageError
from attachsync.incoming import Expected
from attachsync.pins import Pin
from attachsync.sandbox import Fault
from attachsync.sandbox.content import Held
from attachsync.store import Store
from tests.commands import LIGHT, Done, Stage, environment, needs_two_users, stage, stop, until
from tests.namespaces import fill, needs_namespaces, seen_by, within

MIB = 1024 * 1024
BYTES = "*/attachments/assets/*/????????-????-????-????-????????????"
NOBODY = 65534


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Stage]:
    """A stage that tracks the light, and sends; its index is beside the mirror."""
    with lit(tmp_path) as made:
        yield made


@pytest.fixture
def open_scene(open_path: Path) -> Iterator[Stage]:
    """The same, where other users can reach it."""
    with lit(open_path) as made:
        yield made


@contextlib.contextmanager
def lit(home: Path) -> Iterator[Stage]:
    with stage(home) as made:
        text = made.config.read_text()
        light = text.index("[[track]]", text.index("[[track]]") + 1)
        kept = text[: text.index("[[track]]")] + text[light : text.index("[[track]]", light + 1)]
        kept = kept.replace("[mirror]", f'[mirror]\nmin_free = 0\nstate_directory = "{made.home}/state"')
        made.config.write_text(kept + text[text.index("[[outbox]]") :])
        for place in (made.mirror, made.home / "state"):
            place.mkdir(0o700)
        yield made


def log(scene: Stage) -> str:
    path = scene.home / "log"
    return path.read_text() if path.exists() else ""


def lines(scene: Stage, event: str) -> list[Any]:
    rows = [json.loads(line) for line in log(scene).splitlines() if line.startswith("{")]
    return [row for row in rows if row["event"] == event]


def news(scene: Stage, size: int, name: str = "news.bin", count: int = 1) -> None:
    """Attach something new to the light."""
    ledger = scene.box.datatrails
    asset = next(one for uuid, one in ledger.assets.items() if LIGHT.endswith(uuid))
    for number in range(count):
        blob = ledger.add_blob(Held(bytes([number]) * size), "application/octet-stream")
        ledger.add_event(asset, event_attributes={"news": ledger.attach(blob, file_name=f"{number}-{name}")})


def inside(scene: Stage, running: int, *arguments: object) -> Done:
    """A command beside the daemon, in its namespace."""
    entered = ["nsenter", "--target", str(running), "--user", "--mount", "--preserve-credentials", sys.executable]
    command = [*entered, "-m", "attachsync", "--config", str(scene.config), *map(str, arguments)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment(scene.home))
    return Done(done.returncode, done.stdout, done.stderr)


# --- full ---------------------------------------------------------------------------------------------------------

SMALL = {
    "pulling": ("mirror", 'mount -t tmpfs -o size=6m,mode=700 none "$p1"', "make room"),
    "linking": ("mirror", 'mount -t tmpfs -o nr_inodes=200,mode=700 none "$p1"', "make room"),
    "indexing": ("state", 'mount -t tmpfs -o size=4m,mode=700 none "$p2"', "disk is full"),
    "filing": ("outbox", 'mount -t tmpfs -o size=2m,mode=700 none "$p3"', "No space left on device"),
}
"""What there is no room for: the disk that is small, how it is mounted, and what is said."""


def fill_disk(what: str, disk: Path) -> Path:
    """Leave no room for what is to fail; the folder that takes it all."""
    ballast = disk / ".ballast"
    ballast.mkdir()
    if what != "linking":
        fill(ballast)
        return ballast
    with contextlib.suppress(OSError):
        for number in range(200):
            (ballast / str(number)).touch()
    for number in (0, 1):  # room for the bytes and the folder they are stored in, but not for a name
        (ballast / str(number)).unlink()
    return ballast


@needs_namespaces
@pytest.mark.parametrize("what", SMALL)
def test_a_full_disk_is_said_and_when_there_is_room_all_goes_on(scene: Stage, what: str) -> None:
    until_room(scene, what, urge=True)


@pytest.mark.slow
@needs_namespaces
@pytest.mark.parametrize("what", SMALL)
def test_when_there_is_room_all_goes_on_by_itself(scene: Stage, what: str) -> None:
    until_room(scene, what, urge=False)


def until_room(scene: Stage, what: str, *, urge: bool) -> None:
    """ENOSPC at one step, for as long as it takes to be said; then room is made. `urge`: with SIGUSR1, not to wait."""
    name, mount, complaint = SMALL[what]
    places = {"mirror": scene.mirror, "state": scene.home / "state", "outbox": scene.outbox}
    with scene.process("run", before=within(mount, *places.values())) as running:
        until(lambda: len(lines(scene, "mirrored")) >= 4)
        disk, outbox = seen_by(running.pid, places[name]), seen_by(running.pid, scene.outbox)
        (outbox / ".report").write_text("quarterly\n")
        news(scene, 2 * MIB if what == "pulling" else 1000)
        if what == "pulling":  # the room goes when the bytes are under way
            scene.box.faults.add(Fault(path=BYTES, kind="drip", size=64 * 1024, every=0.05, times=1))
            scene.box.forget()
            running.send_signal(signal.SIGUSR1)
            until(lambda: scene.box.requests.arrived("GET", BYTES))
        ballast = fill_disk(what, disk)
        (outbox / ".report").rename(outbox / "report.txt")
        running.send_signal(signal.SIGUSR1)
        troubles = ("outbox_trouble",) if what == "filing" else ("track_failed",)
        until(lambda: [row for event in troubles for row in lines(scene, event) if complaint in row["error"]])
        assert running.poll() is None
        if what != "filing":
            assert inside(scene, running.pid, "status", "--check").code == 1
        shutil.rmtree(ballast)
        if urge:
            running.send_signal(signal.SIGUSR1)
        until(lambda: [row for row in lines(scene, "mirrored") if row["path"].endswith("news.bin")], 60)
        until((outbox / "sent/report.txt.toml").exists, 60)
        done = inside(scene, running.pid, "verify")
        assert (done.code, done.err) == (0, "")
        assert stop(running) == 0
    assert scene.box.count("POST", "/sunshine/*/attachments") == 1
    assert "Traceback" not in log(scene)


@needs_namespaces
def test_of_many_that_do_not_all_fit_those_come_that_do(scene: Stage) -> None:
    """All are asked for at the same time, and each would fit by itself: no disk is full, and smaller ones come."""
    news(scene, 9 * MIB, count=8)
    mount = 'mount -t tmpfs -o size=40m,mode=700 none "$p1"'
    with scene.process("run", before=within(mount, scene.mirror)) as running:
        until(lambda: len(lines(scene, "mirrored")) == 8 and len(lines(scene, "not_mirrored")) >= 4)
        until(lambda: sums(seen_by(running.pid, scene.mirror)) == 8)
        assert stop(running) == 0
    assert not lines(scene, "track_failed")
    assert {"min_free" in row["reason"] for row in lines(scene, "not_mirrored")} == {True}


def sums(mirror: Path) -> int:
    """How many files SHA256SUMS lists."""
    return len((mirror / "SHA256SUMS").read_text().splitlines())


def test_a_file_larger_than_the_disk_takes_keeps_nothing_else_back(scene: Stage) -> None:
    """EFBIG, here from RLIMIT_FSIZE: this one waits for another disk, all others come."""
    news(scene, 2 * MIB)
    command = [sys.executable, "-m", "attachsync", "--config", str(scene.config), "sync"]
    limited = ["prlimit", f"--fsize={MIB}", *command]
    done = subprocess.run(limited, check=False, capture_output=True, text=True, env=environment(scene.home))
    assert (done.returncode, done.stderr) == (1, "")
    assert (
        "larger than a file may be"
        in scene.run("show", "--json", scene.first("--state", "failed")["key"]).documents[0]["reason"]
    )
    assert len(scene.run("ls", "--json", "--state", "stored").documents) == 4
    assert scene.tree("mirror", ".attachsync/tmp") == []
    assert scene.run("sync").code == 0


async def test_min_free_counts_what_is_in_flight(tmp_path: Path) -> None:
    """Of two that fit each, but not together, the second waits until the first is there."""
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    store = Store(tmp_path, min_free=free // 4)
    store.prepare()
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def first() -> AsyncIterator[bytes]:
        begun.set()
        await go_on.wait()
        yield b"first"

    async def second() -> AsyncIterator[bytes]:
        yield b"second"

    size = free // 2  # as stated; that much need not come
    async with asyncio.TaskGroup() as group:
        group.create_task(refused(store, first(), size))
        await begun.wait()
        with pytest.raises(NoRoomError, match="min_free"):
            await store.add(second(), Expected(size=size), free, Pin())
        go_on.set()
    await refused(store, second(), size)
    store.close()


async def refused(store: Store, chunks: AsyncIterator[bytes], size: int) -> None:
    """There was room, and the bytes were not as many as stated."""
    with pytest.raises(MismatchError):
        await store.add(chunks, Expected(size=size), size, Pin())


# --- read-only, missing, another user's ---------------------------------------------------------------------------


def once(scene: Stage, *arguments: str, before: tuple[str, ...] = (), **variables: str) -> Done:
    """A command as a process; what it says on standard error."""
    (scene.home / "log").unlink(missing_ok=True)
    with scene.process(*arguments, before=before, **variables) as running:
        out, _ = running.communicate(timeout=60)
    assert "Traceback" not in log(scene)
    return Done(running.returncode, out, log(scene))


@needs_namespaces
def test_a_mirror_on_a_read_only_disk_is_refused(scene: Stage) -> None:
    before = within('mount --bind "$p1" "$p1"; mount -o remount,bind,ro "$p1"', scene.mirror)
    done = once(scene, "run", before=before)
    assert (done.code, done.out) == (78, "")
    assert f"{scene.mirror} is on a disk that is mounted read-only: mount it for writing" in done.err


@needs_namespaces
def test_a_disk_that_becomes_read_only_is_said_and_survived(scene: Stage) -> None:
    mount = 'mount -t tmpfs -o mode=700 none "$p1"'
    with scene.process("run", before=within(mount, scene.mirror)) as running:
        until(lambda: len(lines(scene, "mirrored")) >= 4)
        remount(running.pid, f"mount --bind {scene.mirror} {scene.mirror}; mount -o remount,bind,ro {scene.mirror}")
        news(scene, 1000)
        running.send_signal(signal.SIGUSR1)
        until(lambda: [row for row in lines(scene, "track_failed") if "mount its disk for writing" in row["error"]])
        remount(running.pid, f"umount {scene.mirror}")
        running.send_signal(signal.SIGUSR1)
        until(lambda: [row for row in lines(scene, "mirrored") if row["path"].endswith("news.bin")])
        assert stop(running) == 0
    assert "Traceback" not in log(scene)


@needs_namespaces
def test_a_disk_that_goes_away_under_the_daemon_leaves_the_mount_point_alone(scene: Stage) -> None:
    """Unmounted and mounted again: nothing is written to the folder below, and it goes on."""
    disk = scene.home / "disk"
    disk.mkdir()
    mount = 'mount --bind "$p2" "$p1"'
    with scene.process("run", before=within(mount, scene.mirror, disk)) as running:
        until(lambda: len(lines(scene, "mirrored")) >= 4)
        remount(running.pid, f"umount -l {scene.mirror}")
        news(scene, 1000)
        running.send_signal(signal.SIGUSR1)
        until(lambda: [row for row in lines(scene, "track_failed") if "is its disk mounted?" in row["error"]])
        assert list(scene.mirror.iterdir()) == []
        remount(running.pid, f"mount --bind {disk} {scene.mirror}")
        running.send_signal(signal.SIGUSR1)
        until(lambda: [row for row in lines(scene, "mirrored") if row["path"].endswith("news.bin")])
        assert stop(running) == 0
    assert "Traceback" not in log(scene)


def test_a_mirror_that_is_moved_away_under_the_daemon_is_not_made_anew(scene: Stage) -> None:
    away = scene.home / "away"
    with scene.process("run") as running:
        until(lambda: len(lines(scene, "mirrored")) >= 4)
        scene.mirror.rename(away)
        news(scene, 1000)
        running.send_signal(signal.SIGUSR1)
        until(lambda: [row for row in lines(scene, "track_failed") if "is its disk mounted?" in row["error"]])
        assert not scene.mirror.exists()
        assert scene.run("status", "--check").code == 1
        away.rename(scene.mirror)
        running.send_signal(signal.SIGUSR1)
        until(lambda: [row for row in lines(scene, "mirrored") if row["path"].endswith("news.bin")])
        assert stop(running) == 0
    assert "Traceback" not in log(scene)


def test_a_disk_with_less_than_min_free_needs_a_person(scene: Stage) -> None:
    """Also when there is nothing to mirror for now."""
    assert scene.run("sync").code == 0
    assert scene.run("status", "--check").code == 0
    scene.edit("min_free = 0", 'min_free = "900000000GiB"')
    shown = scene.run("status", "--check")
    assert (shown.code, "min_free is" in shown.out, "make room" in shown.out) == (1, True, True)


def test_a_mirror_that_is_not_there_needs_a_person(scene: Stage) -> None:
    """As the index knows that there was one; nor is another folder in its place the mirror."""
    assert scene.run("status", "--check").code == 0
    assert scene.run("sync").code == 0
    shutil.rmtree(scene.mirror)
    for _ in range(2):
        shown = scene.run("status", "--check")
        assert (shown.code, "is its disk mounted?" in shown.out, "mount the disk" in shown.out) == (1, True, True)
        scene.mirror.mkdir(exist_ok=True)


def test_room_on_a_disk_that_is_gone(tmp_path: Path) -> None:
    store = Store(tmp_path / "gone")
    with pytest.raises(StorageError, match=re.escape("is its disk mounted?")):
        store.check_room(1)
    store.close()


def remount(process: int, script: str) -> None:
    """Change the mounts that a process sees."""
    entered = ["nsenter", "--target", str(process), "--user", "--mount", "--preserve-credentials", "sh", "-euc"]
    subprocess.run([*entered, script], check=True)


@pytest.mark.parametrize("gone", ["empty", "missing", "another"])
def test_an_empty_mount_point_is_not_taken_for_the_mirror(scene: Stage, gone: str) -> None:
    """The marker tells, where the index is elsewhere; nothing is made in the folder that is not the mirror."""
    assert scene.run("sync").code == 0
    kept = scene.tree("mirror")
    scene.mirror.rename(scene.home / "unmounted")
    if gone != "missing":
        scene.mirror.mkdir()
    if gone == "another":
        (scene.mirror / ".attachsync").mkdir()
        (scene.mirror / ".attachsync/marker").write_text("another\n")
    before = scene.tree("mirror")
    for command in ("sync", "run"):
        done = scene.run(command)
        assert done.code == 1
        assert "is its disk mounted? Nothing was written" in done.err
    assert scene.tree("mirror") == before
    assert scene.mirror.exists() == (gone != "missing")
    shutil.rmtree(scene.mirror, ignore_errors=True)
    (scene.home / "unmounted").rename(scene.mirror)
    assert scene.run("sync").code == 0
    assert scene.tree("mirror") == kept


def as_nobody() -> tuple[str, ...]:
    """An ordinary user who is somebody else."""
    return ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")


def give_to_nobody(scene: Stage) -> None:
    for folder, _, files in os.walk(scene.home):
        for path in (folder, *(os.path.join(folder, file) for file in files)):
            os.chown(path, NOBODY, NOBODY)


@needs_two_users
def test_files_of_another_user_are_refused_with_what_to_do(open_scene: Stage) -> None:
    """A pass that root made long ago, say: all told at once, and nothing is lost."""
    scene = open_scene
    scene.edit(f'state_directory = "{scene.home}/state"', "")
    assert scene.run("sync").code == 0
    kept = scene.tree("mirror", "sha256")
    give_to_nobody(scene)
    parts = [scene.mirror / name for name in ("sha256", "files", ".attachsync/index.sqlite3")]
    for part in parts:
        os.chown(part, 0, 0)
    news(scene, 1000)
    done = once(scene, "sync", before=as_nobody())
    told = [f"{part} belongs to another user, root; run as root: chown -R nobody {part}" for part in parts]
    assert (done.code, done.err.splitlines()) == (78, told)
    give_to_nobody(scene)
    assert once(scene, "sync", before=as_nobody()).code == 0
    assert set(kept) < set(scene.tree("mirror", "sha256"))


@needs_two_users
def test_an_outbox_that_cannot_be_written_is_refused(open_scene: Stage) -> None:
    give_to_nobody(open_scene)
    os.chown(open_scene.outbox, 0, 0)
    done = once(open_scene, "run", before=as_nobody())
    assert done.code == 78
    assert f"{open_scene.outbox} cannot be written by this user (drwx------): chown or chmod it" in done.err

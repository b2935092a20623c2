"""Files that somebody has open for writing, and files that are swapped for links: never taken, never followed."""

import asyncio
import mmap
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from attachsync.clock import Clock
from attachsync.sandbox import Fault
from attachsync.spool import Spool
from tests.outboxes import REMOVE, UPLOAD, Hurried, rig, until

ROOT = Path(__file__).parent.parent
NOBODY = 65534

LOOK = """
import os, sys
from attachsync import writers
found = os.open(sys.argv[1], os.O_RDONLY)
print(writers.being_written(found))
"""


async def test_however_long_a_writer_pauses(tmp_path):
    """Still for minutes, but open: not taken. Closed, without another change: taken, whole."""
    async with rig(tmp_path, Hurried()) as one, asyncio.TaskGroup() as group:
        outgoing = one.outgoing()
        keeping = group.create_task(outgoing.keep())
        path = one.drop(data=b"half")
        with path.open("ab") as writer:
            for number in range(3):
                one.drop(f"{number}.txt")
                await until((one.root / f"sent/{number}.txt").exists)
            began = one.clock.monotonic()
            await until(lambda: one.clock.monotonic() - began > 60)
            assert len(one.box.sunshine.uploads) == 3
            writer.write(b" whole")
        await until((one.root / "sent/report.txt").exists)
        assert one.box.sunshine.uploads[-1].data == b"half whole"
        outgoing.finish()
        await keeping


async def test_a_file_that_is_mapped_for_writing_waits(tmp_path):
    """Its descriptor is closed, and no event tells of what is written through the map."""
    async with rig(tmp_path) as one:
        path = one.drop(data=b"x" * 4096)
        with path.open("r+b") as file:
            mapped = mmap.mmap(file.fileno(), 0)
        outcome = await one.flush()
        assert (outcome.sent, outcome.busy) == (0, {"report.txt"})
        mapped[:4] = b"more"
        mapped.close()
        assert (await one.flush()).sent == 1
        assert one.box.sunshine.uploads[0].data[:5] == b"morex"


async def test_another_process_that_holds_a_hard_link_open(tmp_path):
    """The file is written by another process, through another name outside the outbox."""
    async with rig(tmp_path) as one:
        (tmp_path / "draft").write_bytes(b"half")
        os.link(tmp_path / "draft", one.root / "report.txt")
        code = f"f = open({str(tmp_path / 'draft')!r}, 'ab'); print('open', flush=True); input(); f.write(b' whole')"
        pipe = asyncio.subprocess.PIPE
        writer = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdin=pipe, stdout=pipe)
        await writer.stdout.readline()
        outcome = await one.flush()
        await writer.communicate(b"\n")
        assert (outcome.sent, outcome.busy) == (0, {"report.txt"})
        assert (await one.flush()).sent == 1
        assert one.box.sunshine.uploads[0].data == b"half whole"


async def test_a_file_opened_for_writing_during_its_upload(tmp_path):
    """Somebody began to write and has not changed a byte yet: taken back, for the rest would be lost in sent/."""
    async with rig(tmp_path, Clock()) as one:
        path = one.drop(data=b"half")
        one.box.faults.add(Fault(path=UPLOAD, kind="drip", every=0.05, size=40, times=1))
        flushing = asyncio.create_task(one.flush(settle=0.05))
        await one.box.requests.until(1, "POST")
        with path.open("ab") as writer:
            outcome = await flushing
            assert (outcome.sent, outcome.busy) == (0, {"report.txt"})
            assert one.tree() == ["report.txt"]
            writer.write(b" whole")
        assert (await one.flush(settle=0.05)).sent == 1
        assert one.box.count("POST", REMOVE) == 1
        assert (one.root / "sent/report.txt").read_bytes() == b"half whole"
        assert len(one.box.sunshine.media) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="needs two users")
@pytest.mark.parametrize("granted", [True, False])
def test_with_cap_lease_a_writer_of_any_user_is_seen(open_path, granted):
    """What the unit may grant: without it, another user's file that a third one writes cannot be told."""
    if shutil.which("setpriv") is None:
        pytest.skip("no setpriv")
    path = open_path / "report.txt"
    path.write_text("half")
    path.chmod(0o644)
    caps = "-all,+lease" if granted else "-all"
    as_service = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs"]
    privileges = [f"--inh-caps={caps}", f"--bounding-set={caps}", *(["--ambient-caps=+lease"] if granted else [])]
    look = [*as_service, *privileges, sys.executable, "-c", LOOK, path]
    with path.open("a"):
        found = subprocess.run(look, cwd=ROOT, capture_output=True, text=True, check=False)
    if found.stdout == "":
        pytest.skip(f"the service's user cannot run this interpreter: {found.stderr.strip()[-100:]}")
    assert found.stdout.strip() == str(granted)
    assert subprocess.run(look, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip() == "False"


@pytest.mark.parametrize("swapped", ["file", "folder"])
async def test_a_file_swapped_for_a_link_between_check_and_open(tmp_path, swapped):
    """After the scan saw a file, a link takes its place, or its folder's: it is neither followed nor moved."""
    async with rig(tmp_path) as one:
        conversation = one.box.sunshine.add_conversation()
        secret = tmp_path / "outside/report.txt"
        secret.parent.mkdir()
        secret.write_bytes(b"quarterly\n")
        first = one.drop("first.txt")
        path = one.drop("box/report.txt")
        while path.stat().st_ctime_ns <= first.stat().st_ctime_ns:
            path.chmod(0o600)
        one.box.faults.add(Fault(path=UPLOAD, kind="drip", every=0.02, size=40, times=1))
        flushing = asyncio.create_task(one.flush(conversation=conversation.id, send=True))
        await one.box.requests.until(1, "POST")  # the second one was seen, and waits for its turn
        if swapped == "file":
            path.unlink()
            path.symlink_to(secret)
        else:
            path.parent.rename(tmp_path / "box")
            path.parent.symlink_to(secret.parent)
        assert (await flushing).sent == 1
        assert [upload.file_name for upload in one.box.sunshine.uploads] == ["first.txt"]
        assert (path if swapped == "file" else path.parent).is_symlink()
        assert secret.read_bytes() == b"quarterly\n"


def test_a_file_swapped_for_another_between_check_and_open(tmp_path):
    """A hard link to another's file of the same size and time is not what was seen either."""
    (tmp_path / "outbox").mkdir()
    path, secret = tmp_path / "outbox/report.txt", tmp_path / "secret"
    path.write_text("quarterly")
    secret.write_text("classified"[:9])
    times = path.stat()
    os.utime(secret, ns=(times.st_atime_ns, times.st_mtime_ns))
    spool = Spool.open(tmp_path / "outbox", lock=False)
    try:
        stamp = spool.scan().files["report.txt"]
        path.unlink()
        os.link(secret, path)
        assert spool.open_seen("report.txt", stamp) is None
    finally:
        spool.close()

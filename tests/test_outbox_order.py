"""Whose turn it is: in order of arrival, several at once, none held up by another."""

import asyncio
import os

import pytest

from attachsync.clock import Clock
from attachsync.sandbox import Fault
from tests.namespaces import fill, other_disk
from tests.outboxes import MESSAGES, UPLOAD, Eventful, Hurried, Leaping, journaled, rig, until, uploaded


def arrived(path):
    """A file's change time, which no program can set."""
    return path.stat().st_ctime_ns


async def test_files_go_in_order_of_arrival(tmp_path):
    """As they came, whatever their names and modification times; messages of a conversation come in that order."""
    async with rig(tmp_path) as one:
        conversation = one.box.sunshine.add_conversation()
        (tmp_path / "elsewhere.txt").write_bytes(b"moved in last")
        before = 0
        for name in ("z.txt", "sub/b.txt", "m.txt", "sub/a.txt", "c.txt"):
            path = one.drop(name, name.encode())
            while arrived(path) == before:  # the kernel's clock for files is a coarse one
                path.chmod(0o600)
            before = arrived(path)
            os.utime(path, (before / 1e9, before / 1e9))
        moved = one.root / "a.txt"
        os.utime(tmp_path / "elsewhere.txt", (1_000_000, 1_000_000))
        (tmp_path / "elsewhere.txt").rename(moved)
        while arrived(moved) <= arrived(one.root / "c.txt"):
            moved.chmod(0o600)
        await one.flush(conversation=conversation.id, send=True)
        sent = [upload.data for upload in one.box.sunshine.uploads]
        assert sent == [b"z.txt", b"sub/b.txt", b"m.txt", b"sub/a.txt", b"c.txt", b"moved in last"]
        names = [message["content"]["altText"] for message in conversation.messages]
        assert names == ["z.txt", "b.txt", "m.txt", "a.txt", "c.txt", "a.txt"]


async def test_a_slow_upload_delays_no_other_file(tmp_path):
    """One upload hangs: what is dropped meanwhile is sent, and the one that hangs is not begun a second time."""
    async with rig(tmp_path, Clock(), quiet=60) as one, asyncio.TaskGroup() as group:
        one.box.faults.add(Fault(path=UPLOAD, kind="hang", times=1))
        outgoing = one.outgoing(settle=0.05)
        keeping = group.create_task(outgoing.keep())
        one.drop("slow.txt")
        await one.box.requests.until(1, "POST")
        for number in range(3):
            one.drop(f"{number}.txt")
            await until((one.root / f"sent/{number}.txt").exists)
        assert (one.root / "slow.txt").exists()
        assert one.box.requests.arrived("POST") == 4
        keeping.cancel()


@pytest.mark.parametrize("status", [429, 503])
async def test_the_daemon_tries_again_in_time(tmp_path, status):
    """After a pause that the service asked for, or an unknown outcome: when the time has come, not at the next look."""
    async with rig(tmp_path, Clock()) as one, asyncio.TaskGroup() as group:
        headers = {"Retry-After": "1"}
        one.box.faults.add(Fault(path=UPLOAD, kind="status", status=status, headers=headers, times=1))
        outgoing = one.outgoing(settle=0.05)
        keeping = group.create_task(outgoing.keep())
        one.drop()
        await until((one.root / "sent/report.txt").exists, 20)  # the next look of its own would be in 30 s
        assert one.document("sent/report.txt")["possible_orphan"] is (status == 503)
        outgoing.finish()
        await keeping


@pytest.mark.parametrize(("path", "asked", "sent"), [(UPLOAD, 30, 1), (MESSAGES, 50, 1), (UPLOAD, 3600, 0)])
async def test_a_single_pass_waits_as_long_as_it_was_asked_to(tmp_path, path, asked, sent):
    """A 503 with `Retry-After`: no sooner; and not in this pass where that is too long."""
    async with rig(tmp_path, clock := Leaping()) as one:
        conversation = one.box.sunshine.add_conversation()
        headers = {"Retry-After": str(asked)}
        one.box.faults.add(Fault(path=path, method="POST", kind="status", status=503, headers=headers, times=1))
        one.drop()
        outcome = await one.flush(conversation=conversation.id, send=True)
        assert (outcome.sent, outcome.complete) == (sent, bool(sent))
        assert (clock.ahead >= asked) is bool(sent)
        assert one.box.count("POST", path) == 1 + sent
        [said] = one.said("send_unknown") + one.said("post_unknown")
        assert said["retry_in"] == asked


async def test_a_single_pass_says_when_it_tries_again(tmp_path):
    """It does not wait for the journal's own times; but what it leaves has those."""
    async with rig(tmp_path, clock := Leaping()) as one:
        one.box.faults.add(Fault(path=UPLOAD, kind="status", status=500))
        one.drop()
        assert (await one.flush()).later
        *soon, last = [entry["retry_in"] for entry in one.said("send_unknown")]
        assert (len(soon), sum(soon) < clock.ahead + 1) == (3, True)
        assert last > max(soon)


async def test_a_name_used_again_during_its_upload(tmp_path):
    """Another file takes the name of one that is being sent: its turn comes as soon as that is done."""
    async with rig(tmp_path, Clock()) as one, asyncio.TaskGroup() as group:
        one.box.faults.add(Fault(path=UPLOAD, kind="drip", every=0.1, size=40, times=1))
        outgoing = one.outgoing(settle=0.05)
        keeping = group.create_task(outgoing.keep())
        one.drop(data=b"first")
        await one.box.requests.until(1, "POST")
        (tmp_path / "fresh").write_bytes(b"second")
        (tmp_path / "fresh").rename(one.root / "report.txt")
        await until((one.root / "sent/report-2.txt").exists)  # the next look of its own would be in 30 s
        assert [upload.data for upload in one.box.sunshine.uploads] == [b"first", b"second"]
        outgoing.finish()
        await keeping


@pytest.mark.parametrize(("width", "send", "most"), [(3, False, 3), (1, False, 1), (3, True, 1)])
async def test_no_more_at_once_than_the_account_allows(tmp_path, width, send, most):
    """`concurrency` of the account bounds its uploads, and is made use of; messages are posted one by one."""
    async with rig(tmp_path) as one:
        conversation = one.box.sunshine.add_conversation()
        one.box.faults.add(Fault(path=UPLOAD, kind="drip", size=100, every=0.03))
        for number in range(6):
            one.drop(f"{number}.txt", b"%d" % number)
        outcome = await one.outgoing(width, conversation=conversation.id, send=send).flush()
        assert outcome.sent == 6
        assert one.box.requests.most_open == most
        assert one.box.count("POST", MESSAGES) == (6 if send else 0)


async def test_an_account_that_was_refused_is_tried_with_one_file(tmp_path):
    """After a pause one request shows whether it is over; the others follow only then."""
    async with rig(tmp_path) as one:
        one.box.faults.add(Fault(path=UPLOAD, kind="status", status=403))
        for number in range(20):
            one.drop(f"{number}.txt", b"%d" % number)
        outgoing = one.outgoing()
        assert "403" in (await outgoing.flush()).trouble
        one.box.forget()
        assert "403" in (await outgoing.flush()).trouble
        assert one.box.count("POST", UPLOAD) == 1
        one.box.faults.clear()
        assert (await outgoing.flush()).sent == 20


async def test_a_pass_ends_when_the_last_file_is_refused_after_a_pause(tmp_path):
    """429, and then 415 to the only file: the pass is over, though nothing showed that the account is well."""
    async with rig(tmp_path) as one:
        one.box.faults.add(Fault(path=UPLOAD, kind="status", status=429, headers={"Retry-After": "1"}, times=1))
        one.box.faults.add(Fault(path=UPLOAD, kind="status", status=415, times=1))
        one.drop()
        outcome = await asyncio.wait_for(one.flush(), 10)
        assert outcome.failed == 1


@pytest.mark.parametrize("touched", [False, True])
async def test_what_settles_while_another_file_takes_long_is_not_left(tmp_path, touched):
    """The time for settling is over when a look for a message is; what has been still meanwhile goes with this pass."""
    async with rig(tmp_path, clock := Eventful(15.0)) as one:
        conversation = one.box.sunshine.add_conversation()
        said = await uploaded(one, "report.txt", conversation.id)
        journaled(one, one.drop(), "posting", receipt=said)  # a message is looked for no sooner than after 20 s
        late = one.drop("late.txt")
        if touched:
            clock.events.append(lambda: os.utime(late, (1, 1)))
        outcome = await one.flush(conversation=conversation.id, send=True, settle=1.0)
        assert (outcome.sent, outcome.waiting, outcome.complete) == (2, set(), True)
        assert (one.root / "sent/late.txt").exists()


async def test_a_file_that_takes_the_name_of_one_that_waits_for_its_post(tmp_path):
    """What was uploaded of the first keeps its receipt; the other file goes with the same pass."""
    async with rig(tmp_path) as one:
        conversation = one.box.sunshine.add_conversation()
        options = {"conversation": conversation.id, "send": True}
        one.box.faults.add(Fault(path=MESSAGES, method="POST", kind="status", status=403))
        one.drop(data=b"first")
        assert (await one.flush(**options)).trouble
        one.box.faults.clear()
        one.drop(data=b"second, longer")
        assert (await one.flush(**options)).sent == 1
        assert (one.root / "sent/report-2.txt").read_bytes() == b"second, longer"
        assert one.tree() == ["sent/report-2.txt", "sent/report-2.txt.toml", "sent/report.txt.toml"]


async def test_trouble_with_the_disk_is_said_once(tmp_path):
    """It is tried again now and then, others are sent; the log does not fill, and says so anew when it comes again."""
    async with rig(tmp_path, Hurried()) as one, asyncio.TaskGroup() as group:
        outgoing = one.outgoing()
        keeping = group.create_task(outgoing.keep())
        for times in (1, 2):
            (one.root / "failed").write_text("in the way")
            one.drop(f"{times}.exe")
            await until(lambda times=times: len(one.said("outbox_trouble")) == times)
            for number in range(5):
                one.drop(f"{times}-{number}.txt")
                await until((one.root / f"sent/{times}-{number}.txt").exists)
            (one.root / "failed").unlink()
            await until((one.root / f"failed/{times}.exe").exists)
            one.drop(f"{times}.txt")
            await until((one.root / f"sent/{times}.txt").exists)
            (one.root / "failed").rename(tmp_path / f"failed{times}")
        assert len(one.said("outbox_trouble")) == 2
        outgoing.finish()
        await keeping


async def test_a_disk_that_is_full_is_said_with_the_file_that_it_befell(tmp_path):
    """The system names none where it refuses a write. Of many files, the first; all go when there is room."""
    async with rig(tmp_path) as one:
        with other_disk(one.root / "sent", "64k"):
            ballast = fill(one.root / "sent")
            for number in range(3):
                one.drop(f"{number}.txt")
            outcome = await one.flush()
            assert (outcome.sent, outcome.complete) == (0, False)
            [told] = one.said("outbox_trouble")
            assert outcome.trouble == f"{told['file']}: No space left on device"
            assert one.index.uploads.troubles(str(one.root)) == [outcome.trouble]
            ballast.unlink()
            assert (await one.flush()).sent == 3
            assert len(one.box.sunshine.uploads) == 3


async def test_an_outbox_whose_folder_is_gone_is_in_trouble_until_it_is_back(tmp_path):
    """A daemon goes on by itself; meanwhile `status` finds why it does not."""
    async with rig(tmp_path, Hurried()) as one, asyncio.TaskGroup() as group:
        troubles = one.index.uploads.troubles
        keeping = group.create_task(one.outgoing().keep())
        one.drop("first.txt")
        await until((one.root / "sent/first.txt").exists)
        one.root.rename(tmp_path / "unmounted")
        await until(lambda: "No such file" in "".join(troubles(str(one.root))))
        (tmp_path / "unmounted").rename(one.root)
        await until(lambda: not troubles(str(one.root)))
        one.drop("second.txt")
        await until((one.root / "sent/second.txt").exists)
        keeping.cancel()

"""kill -9 between any two steps: what such a process leaves, and what the next pass makes of it."""

import os
import shutil

import pytest

from attachsync import folders, receipts, units
from tests.namespaces import other_disk
from tests.outboxes import MESSAGES, UPLOAD, Eventful, journaled, rig, uploaded


@pytest.mark.parametrize("kills", [1, 5])
async def test_killed_while_sending(tmp_path, kills):
    """A row left in `sending` is an unknown outcome: sent again, with a possible orphan; at once, if not too often."""
    async with rig(tmp_path) as one:
        row = journaled(one, one.drop(), "sending")
        for _ in range(kills - 1):
            one.index.uploads.postpone(row, "", 0, one.clock.now(), state="sending", unknown=True, strike=True)
        assert (await one.flush()).sent == 1
        assert (one.said("send_unknown")[0]["retry_in"] == 0) is (kills == 1)
        said = one.document("sent/report.txt")
        assert (said["possible_orphan"], said["attempts"]) == (True, 2)


async def test_killed_while_sending_with_hold(tmp_path):
    """`hold`: a row left in `sending` is held, and nothing is sent."""
    async with rig(tmp_path) as one:
        journaled(one, one.drop(), "sending")
        assert (await one.flush(on_unknown="hold")).held == 1
        assert one.box.count("POST", UPLOAD) == 0


async def test_killed_while_sending_and_the_file_is_gone(tmp_path):
    """Nothing is left to send: the row ends, and the log says that a copy may be upstream."""
    async with rig(tmp_path) as one:
        path = one.drop()
        journaled(one, path, "sending")
        path.unlink()
        assert (await one.flush()).complete
        assert one.states() == ["dropped"]
        assert one.said("send_dropped")[0]["possible_orphan"] is True


async def test_killed_while_sending_and_the_file_was_replaced(tmp_path):
    """Other bytes by now: the old row ends, the new file is sent as itself."""
    async with rig(tmp_path) as one:
        journaled(one, one.drop(), "sending")
        one.drop(data=b"replaced")
        assert (await one.flush()).sent == 1
        assert one.states() == ["dropped", "sent"]
        assert one.box.sunshine.uploads[0].data == b"replaced"


async def test_killed_after_the_upload(tmp_path):
    """`uploaded`: no second upload, the receipt has the first one's address."""
    async with rig(tmp_path) as one:
        said = await uploaded(one, "report.txt")
        journaled(one, one.drop(), "uploaded", receipt=said)
        assert (await one.flush()).sent == 1
        assert one.box.count("POST") == 0
        assert one.document("sent/report.txt")["media_url"] == said["media_url"]


async def test_killed_after_the_upload_and_the_file_is_gone(tmp_path):
    """The address of what was uploaded is kept: its receipt is written, without a file beside it."""
    async with rig(tmp_path) as one:
        said = await uploaded(one, "report.txt")
        path = one.drop()
        journaled(one, path, "uploaded", receipt=said)
        path.unlink()
        assert (await one.flush()).complete
        assert one.tree() == ["sent/report.txt.toml"]
        assert one.states() == ["dropped"]


@pytest.mark.parametrize("posted", [True, False])
async def test_killed_while_posting(tmp_path, posted):
    """`posting`: the conversation is looked through first, page by page; one message in the end either way."""
    async with rig(tmp_path) as one:
        one.box.sunshine.message_page = 3
        conversation = one.box.sunshine.add_conversation()
        said = await uploaded(one, "report.txt", conversation.id)
        journaled(one, one.drop(), "posting", receipt=said)
        one.box.sunshine.now = units.utc(one.clock.now())
        if posted:
            content = {"type": "file", "mediaUrl": said["media_url"]}
            one.box.sunshine.add_message(conversation, content, "business", {"attachsync_id": "ticket-1"})
        for number in range(10):
            one.box.sunshine.add_message(conversation, f"{number}")
        assert (await one.flush(conversation=conversation.id, send=True)).sent == 1
        marked = [one for one in conversation.messages if one.get("metadata") == {"attachsync_id": "ticket-1"}]
        assert len(marked) == 1
        assert one.document("sent/report.txt")["message_id"] == marked[0]["id"]
        assert one.box.count("POST", MESSAGES) == (0 if posted else 1)
        assert one.box.count("GET", MESSAGES) == 4


async def test_killed_while_posting_and_its_message_is_listed_later(tmp_path):
    """A service that still fetches the file when the process is back: its message is waited for, not posted again."""
    clock = Eventful(15.0)
    async with rig(tmp_path, clock) as one:
        conversation = one.box.sunshine.add_conversation()
        said = await uploaded(one, "report.txt", conversation.id)
        journaled(one, one.drop(), "posting", receipt=said)
        content = {"type": "file", "mediaUrl": said["media_url"]}
        mark = {"attachsync_id": "ticket-1"}
        clock.events.append(lambda: one.box.sunshine.add_message(conversation, content, "business", mark))
        outcome = await one.flush(conversation=conversation.id, send=True)
        assert (outcome.sent, outcome.waiting, clock.events) == (1, set(), [])
        [message] = conversation.messages
        assert one.document("sent/report.txt")["message_id"] == message["id"]


FILING = ["journaled", "receipt", "receipt and link", "moved"]


@pytest.mark.parametrize("step", FILING)
@pytest.mark.parametrize("failed", [False, True])
async def test_killed_while_filing(tmp_path, step, failed):
    """`filing`: whatever of receipt and move was done is left, the rest is done; never twice, never elsewhere."""
    async with rig(tmp_path) as one:
        kind = "failed" if failed else "sent"
        said = await uploaded(one, "report.txt")
        if failed:
            said = receipts.refused(said, error="no", code="locked", at=one.clock.now(), status=423)
        path = one.drop()
        row = journaled(one, path, "filing", receipt=said, place=f"{kind}/report.txt")
        (one.root / kind).mkdir()
        target = one.root / kind / "report.txt"
        if step != "journaled":
            (one.root / kind / "report.txt.toml").write_bytes(receipts.written(receipts.document(row, "support")))
        if step == "receipt and link":
            os.link(path, target)
        if step == "moved":
            path.rename(target)
        outcome = await one.flush()
        assert (outcome.sent, outcome.failed) == ((0, 1) if failed else (1, 0))
        assert one.tree() == [f"{kind}/report.txt", f"{kind}/report.txt.toml"]
        assert one.states() == [kind]
        assert one.box.count("POST") == 0


async def test_killed_after_the_move_and_the_name_is_used_again(tmp_path):
    """The same file dropped again after the kill: the first is finished, the second is sent on its own."""
    async with rig(tmp_path) as one:
        said = await uploaded(one, "report.txt")
        path = one.drop()
        journaled(one, path, "filing", receipt=said, place="sent/report.txt")
        (one.root / "sent").mkdir()
        path.rename(one.root / "sent/report.txt")
        one.drop()
        assert (await one.flush()).sent >= 1
        await one.flush()
        assert one.states() == ["sent", "sent"]
        assert (one.root / "sent/report-2.txt").exists()
        assert len(one.box.sunshine.uploads) == 1


@pytest.mark.parametrize("step", ["copied", "on its way out"])
@pytest.mark.parametrize("exact", [True, False])
async def test_killed_after_the_copy_to_another_disk(tmp_path, step, exact):
    """sent/ is on another disk, which may keep times to two seconds: what was copied leaves, and is not sent again."""
    async with rig(tmp_path) as one:
        said = await uploaded(one, "report.txt")
        path = one.drop()
        journaled(one, path, "filing", receipt=said, place="sent/report.txt")
        with other_disk(one.root / "sent"):
            shutil.copy2(path, one.root / "sent/report.txt")
            if not exact:
                time = path.stat().st_mtime_ns // 2_000_000_000 * 2_000_000_000
                os.utime(one.root / "sent/report.txt", ns=(time, time))
            if step != "copied":
                path.rename(one.root / os.fsdecode(folders._hidden(b"report.txt")))
            assert (await one.flush()).sent == 1
            assert one.tree() == ["sent/report.txt", "sent/report.txt.toml"]
            assert (one.states(), one.box.count("POST")) == (["sent"], 0)


@pytest.mark.parametrize("what", ["the same bytes", "other bytes", "nothing"])
async def test_killed_after_the_copy_and_the_name_is_used_again(tmp_path, what):
    """A file of its own: sent as such."""
    async with rig(tmp_path) as one:
        said = await uploaded(one, "report.txt")
        path = one.drop()
        journaled(one, path, "filing", receipt=said, place="sent/report.txt")
        with other_disk(one.root / "sent"):
            shutil.copy2(path, one.root / "sent/report.txt")
            path.unlink()
            if what != "nothing":
                one.drop(data=b"quarterly\n" if what == "the same bytes" else b"quarterly!")
                os.utime(path, (path.stat().st_atime, path.stat().st_mtime + 60))
            await one.flush()
            await one.flush()
            assert one.states() == ["sent"] * (1 if what == "nothing" else 2)
            assert one.box.count("POST") == (0 if what == "nothing" else 1)
            assert not path.exists()


async def test_somebody_took_the_place_meanwhile(tmp_path):
    """The journaled place has another's file by now: the next free one is used, nothing is overwritten."""
    async with rig(tmp_path) as one:
        said = await uploaded(one, "report.txt")
        journaled(one, one.drop(), "filing", receipt=said, place="sent/report.txt")
        (one.root / "sent").mkdir()
        (one.root / "sent/report.txt").write_text("mine")
        (one.root / "sent/report.txt.toml").write_text("mine too")
        assert (await one.flush()).sent == 1
        assert (one.root / "sent/report.txt").read_text() == "mine"
        assert (one.root / "sent/report.txt.toml").read_text() == "mine too"
        assert one.document("sent/report-2.txt")["media_url"] == said["media_url"]

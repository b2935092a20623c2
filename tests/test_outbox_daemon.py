"""Messages, and the outbox as the daemon keeps it."""

import asyncio

import pytest

from attachsync.clock import Clock
from attachsync.outbox import confirm, retry
from attachsync.retry import DAY
from attachsync.sandbox import Fault
from tests.outboxes import MESSAGES, UPLOAD, Leaping, rig, until


async def test_a_message_is_posted_with_its_file(tmp_path):
    """`send`: each file is a message of the conversation; an image where the service calls it one."""
    async with rig(tmp_path) as one:
        conversation = one.box.sunshine.add_conversation()
        one.drop("a.txt", b"text")
        one.drop("b" * 140 + ".png", b"\x89PNG\r\n\x1a\n....")
        assert (await one.flush(conversation=conversation.id, send=True)).sent == 2
        posted = {message["content"]["type"]: message for message in one.box.sunshine.messages(conversation)}
        assert set(posted) == {"file", "image"}
        assert posted["image"]["content"]["altText"] == "b" * 128
        assert posted["file"]["author"] == {"type": "business"}
        assert one.document("sent/a.txt")["message_id"] == posted["file"]["id"]


async def test_a_full_conversation_fails_the_file_but_keeps_the_address(tmp_path):
    """423 to the post: failed/, and the record says where the upload is. Tried again, it is posted from there."""
    async with rig(tmp_path) as one:
        conversation = one.box.sunshine.add_conversation()
        one.box.sunshine.message_limit = 0
        one.drop()
        assert (await one.flush(conversation=conversation.id, send=True)).failed == 1
        said = one.document("failed/report.txt")
        assert (said["status"], said["code"]) == (423, "locked")
        assert said["media_url"].endswith("/report.txt")
        one.box.sunshine.message_limit = 1
        assert retry(one.config, one.index.uploads, "report.txt", one.clock.now())
        for send, place, is_same in ((True, "sent/report.txt", True), (False, "sent/report-2.txt", False)):
            await one.flush(conversation=conversation.id, send=send)
            sent = one.document(place)
            assert (sent["possible_orphan"], sent["media_url"] == said["media_url"]) == (False, is_same)
            one.drop()
        assert len(one.box.sunshine.uploads) == 2


async def test_a_lost_answer_to_the_post_does_not_post_twice(tmp_path):
    """The answer to the post is lost: the message is found by its mark, and not posted again."""
    async with rig(tmp_path) as one:
        conversation = one.box.sunshine.add_conversation()
        one.box.faults.add(Fault(path=MESSAGES, method="POST", kind="lost", times=1))
        one.drop()
        assert (await one.flush(conversation=conversation.id, send=True)).sent == 1
        [message] = one.box.sunshine.messages(conversation)
        said = one.document("sent/report.txt")
        assert said["message_id"] == message["id"]
        assert said["possible_orphan"] is False
        assert len(one.box.sunshine.uploads) == 1


async def test_a_post_that_never_arrived_is_posted_after_a_look(tmp_path):
    """The connection broke before the post was carried out: looked for, not found, posted once."""
    async with rig(tmp_path) as one:
        conversation = one.box.sunshine.add_conversation()
        one.box.faults.add(Fault(path=MESSAGES, method="POST", kind="reset", times=1))
        one.drop()
        assert (await one.flush(conversation=conversation.id, send=True)).sent == 1
        assert len(one.box.sunshine.messages(conversation)) == 1
        assert one.box.count("GET", MESSAGES) == 1


@pytest.mark.parametrize("status", [400, 404])
async def test_a_look_that_is_refused_says_nothing_of_the_file(tmp_path, status):
    """Whether it was posted stays unknown: it is never in failed/, and a person's retry looks again before it posts."""
    clock = Leaping()
    async with rig(tmp_path, clock) as one:
        conversation = one.box.sunshine.add_conversation()
        one.box.faults.add(Fault(path=MESSAGES, method="POST", kind="lost", times=1))
        one.box.faults.add(Fault(path=MESSAGES, method="GET", kind="status", status=status))
        one.drop()
        options = {"conversation": conversation.id, "send": True}
        for held in (0, 0, 1):
            outcome = await one.flush(**options)
            assert (outcome.failed, outcome.held) == (0, held)
            clock.ahead += DAY / 2
        one.box.faults.clear()
        assert retry(one.config, one.index.uploads, "report.txt", one.clock.now())
        assert (await one.flush(**options)).sent == 1
        [message] = conversation.messages
        assert one.document("sent/report.txt")["message_id"] == message["id"]


@pytest.mark.parametrize("status", [429, 403])
async def test_a_post_that_was_refused_is_posted_again_without_a_look(tmp_path, status):
    """Nothing was done for certain: nothing is to be found, and nothing to be waited for."""
    async with rig(tmp_path) as one:
        conversation = one.box.sunshine.add_conversation()
        headers = {"Retry-After": "1"} if status == 429 else {}
        one.box.faults.add(Fault(path=MESSAGES, method="POST", kind="status", status=status, headers=headers, times=1))
        one.drop()
        outgoing = one.outgoing(conversation=conversation.id, send=True)
        if status == 403:
            assert (await outgoing.flush()).sent == 0
        assert (await outgoing.flush()).sent == 1
        assert len(conversation.messages) == 1
        assert one.box.count("GET", MESSAGES) == 0


@pytest.mark.parametrize("status", [500, 503, 504, 301, 302, 303])
async def test_a_post_may_be_under_way_whatever_error_is_answered(tmp_path, status):
    """It is not looked for before it must be there: who answers 5xx, or elsewhere, may be a proxy."""
    clock = Leaping()
    async with rig(tmp_path, clock) as one:
        conversation = one.box.sunshine.add_conversation()
        kind = "status" if status >= 400 else "redirect"
        one.box.faults.add(Fault(path=MESSAGES, method="POST", kind=kind, status=status, carry_out=True, times=1))
        one.drop()
        outgoing = one.outgoing(conversation=conversation.id, send=True)
        if kind == "redirect":
            assert (await outgoing.flush()).sent == 0
        assert (await outgoing.flush()).sent == 1
        assert len(conversation.messages) == 1
        assert one.box.count("GET", MESSAGES) == 1
        assert clock.ahead > 19


async def test_each_post_has_its_time_to_show(tmp_path):
    """Counted from its own end, not from that of the upload or of an earlier post."""
    clock = Leaping()
    async with rig(tmp_path, clock) as one:
        conversation = one.box.sunshine.add_conversation()
        one.box.faults.add(Fault(path=MESSAGES, method="POST", kind="status", status=500, times=2))
        one.drop()
        assert (await one.flush(conversation=conversation.id, send=True)).sent == 1
        assert (len(conversation.messages), one.box.count("GET", MESSAGES)) == (1, 2)
        assert clock.ahead > 38


async def test_the_daemon_sends_what_is_dropped(tmp_path):
    """`keep` sends what was there, what comes later, and what is moved in with its folder; `finish` ends it."""
    async with rig(tmp_path, Clock()) as one, asyncio.TaskGroup() as group:
        one.drop("before.txt")
        outgoing = one.outgoing(settle=0.05)
        keeping = group.create_task(outgoing.keep())
        await until((one.root / "sent/before.txt").exists)
        one.drop("later.txt")
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder/inner.txt").write_text("moved in")
        (tmp_path / "folder").rename(one.root / "folder")
        await until((one.root / "sent/later.txt").exists)
        await until((one.root / "sent/folder/inner.txt").exists)
        outgoing.finish()
        await keeping


async def test_the_daemon_looks_when_a_person_lets_something_go_on(tmp_path):
    """`outbox retry` of what is held, `outbox confirm`: neither waits for the next look, half a minute away."""
    async with rig(tmp_path, Clock()) as one, asyncio.TaskGroup() as group:
        one.box.faults.add(Fault(path=UPLOAD, kind="lost", times=1))
        one.drop()
        outgoing = one.outgoing(settle=0.05, on_unknown="hold")
        keeping = group.create_task(outgoing.keep())
        await until(lambda: one.states() == ["held"])
        assert retry(one.config, one.index.uploads, "report.txt", one.clock.now())
        await until((one.root / "sent/report.txt").exists)
        one.index.uploads.hold(str(one.root), {"a"}, one.clock.now())
        before = (one.root).stat().st_mtime_ns
        assert confirm(one.config, one.index.uploads) == 1
        assert (one.root).stat().st_mtime_ns > before
        outgoing.finish()
        await keeping


async def test_the_daemon_survives_a_name_that_is_not_utf8(tmp_path):
    """A poisoned watcher is replaced; files that come later are sent all the same."""
    async with rig(tmp_path, Clock()) as one, asyncio.TaskGroup() as group:
        outgoing = one.outgoing(settle=0.05)
        keeping = group.create_task(outgoing.keep())
        one.drop("first.txt")
        await until((one.root / "sent/first.txt").exists)
        one.drop_raw(b"\xff.txt")
        await until(lambda: one.said("watch_failed"))
        one.drop("second.txt")
        await until((one.root / "sent/second.txt").exists)
        assert one.said("odd_name")
        outgoing.finish()
        await keeping


async def test_the_daemon_stops_at_once_when_cancelled(tmp_path):
    """Cancelled in the middle of an upload, it ends; the journal knows, and the file is where it was."""
    async with rig(tmp_path, Clock()) as one:
        one.box.faults.add(Fault(path=UPLOAD, kind="hang"))
        one.drop()
        keeping = asyncio.create_task(one.outgoing(settle=0.05).keep())
        await one.box.requests.until(1, "POST")
        keeping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(keeping, 5)
        assert one.states() == ["sending"]
        assert one.tree() == ["report.txt"]
        one.box.faults.clear()
        assert (await one.flush(settle=0.05)).sent == 1
        assert one.document("sent/report.txt")["possible_orphan"] is True

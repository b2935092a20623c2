"""`propagate_deletes`, and what the command line does beside a daemon: list, retry, confirm."""

import os
import shutil

import pytest

from attachsync.errors import RefusedError
from attachsync.outbox import key, retry, waiting
from attachsync.sandbox import Fault
from tests.outboxes import MESSAGES, REMOVE, UPLOAD, rig


async def sent(one, count):
    """Send so many files."""
    for number in range(count):
        one.drop(f"{number}.txt", b"file %d" % number)
    assert (await one.flush()).sent == count


async def test_what_is_deleted_from_sent_is_deleted_upstream(tmp_path):
    """A file removed from sent/ is deleted upstream, once, and its receipt says when."""
    async with rig(tmp_path) as one:
        await sent(one, 3)
        (one.root / "sent/1.txt").unlink()
        outcome = await one.flush(propagate_deletes=True)
        assert (outcome.deleted, outcome.complete) == (1, True)
        assert len(one.box.sunshine.media) == 2
        said = one.document("sent/1.txt")
        assert said["deleted_at"].tzinfo is not None
        assert said["file_name"] == "1.txt"
        assert "deleted_at" not in one.document("sent/0.txt")
        await one.flush(propagate_deletes=True)
        assert one.box.count("POST", REMOVE) == 1


async def test_without_the_key_nothing_is_deleted(tmp_path):
    """propagate_deletes is off unless asked for."""
    async with rig(tmp_path) as one:
        await sent(one, 1)
        (one.root / "sent/0.txt").unlink()
        await one.flush()
        assert one.box.count("POST", REMOVE) == 0


async def test_what_the_service_no_longer_has_counts_as_deleted(tmp_path):
    """404 to a deletion: the receipt says deleted, nothing is asked again."""
    async with rig(tmp_path) as one:
        await sent(one, 1)
        one.box.sunshine.media.clear()
        (one.root / "sent/0.txt").unlink()
        assert (await one.flush(propagate_deletes=True)).complete
        assert "deleted_at" in one.document("sent/0.txt")


async def test_a_receipt_that_names_nothing_to_delete_is_told_and_left(tmp_path):
    """People may put what they like into sent/; the others are deleted."""
    async with rig(tmp_path) as one:
        await sent(one, 1)
        (one.root / "sent/0.txt").unlink()
        odd = one.root / "sent/hand.pdf.toml"
        odd.write_text('account = "support"\nfile_name = "hand.pdf"\nuploaded_at = 2026-01-01T00:00:00Z\n')
        for deleted in (1, 0):
            outcome = await one.flush(propagate_deletes=True)
            assert (outcome.deleted, outcome.complete) == (deleted, False)
            assert "names no media_url" in outcome.trouble
        assert one.box.count("POST", REMOVE) == 1


async def test_a_deletion_that_failed_is_tried_again(tmp_path):
    """An account that is refused keeps the deletion for later."""
    async with rig(tmp_path) as one:
        await sent(one, 1)
        (one.root / "sent/0.txt").unlink()
        one.box.faults.add(Fault(path=REMOVE, kind="status", status=403, times=1))
        assert not (await one.flush(propagate_deletes=True)).complete
        assert "deleted_at" not in one.document("sent/0.txt")
        assert (await one.flush(propagate_deletes=True)).deleted == 1


async def test_more_than_ten_at_once_wait_for_a_person(tmp_path):
    """Eleven files gone look like an accident: held, listed, and deleted only once confirmed."""
    async with rig(tmp_path) as one:
        await sent(one, 11)
        for number in range(11):
            (one.root / f"sent/{number}.txt").unlink()
        outcome = await one.flush(propagate_deletes=True)
        assert (outcome.deleted, outcome.held_deletions, outcome.complete) == (0, 11, False)
        assert one.box.count("POST", REMOVE) == 0
        assert one.said("deletions_held")
        listed = waiting(one.config, one.index.uploads)
        assert [entry["state"] for entry in listed] == ["held deletion"] * 11
        assert one.index.uploads.confirm(key(one.config)) == 11
        outcome = await one.flush(propagate_deletes=True)
        assert (outcome.deleted, outcome.complete) == (11, True)
        assert one.box.sunshine.media == {}
        assert waiting(one.config, one.index.uploads) == []


async def test_files_put_back_are_no_longer_held(tmp_path):
    """The files come back before anybody confirmed: nothing is held, nothing deleted."""
    async with rig(tmp_path) as one:
        await sent(one, 12)
        (tmp_path / "away").mkdir()
        for number in range(12):
            (one.root / f"sent/{number}.txt").rename(tmp_path / f"away/{number}.txt")
        await one.flush(propagate_deletes=True)
        for number in range(12):
            (tmp_path / f"away/{number}.txt").rename(one.root / f"sent/{number}.txt")
        outcome = await one.flush(propagate_deletes=True)
        assert (outcome.deleted, outcome.held_deletions, outcome.complete) == (0, 0, True)
        assert one.index.uploads.held(key(one.config)) == {}


async def test_who_puts_some_files_back_has_confirmed_nothing(tmp_path):
    """The others stay held, however few they are now; what is removed besides is deleted as ever."""
    async with rig(tmp_path) as one:
        await sent(one, 14)
        (tmp_path / "away").mkdir()
        for number in range(12):
            (one.root / f"sent/{number}.txt").rename(tmp_path / f"away/{number}.txt")
        assert (await one.flush(propagate_deletes=True)).held_deletions == 12
        for number in range(4):
            (tmp_path / f"away/{number}.txt").rename(one.root / f"sent/{number}.txt")
        outcome = await one.flush(propagate_deletes=True)
        assert (outcome.deleted, outcome.held_deletions, outcome.complete) == (0, 8, False)
        (one.root / "sent/12.txt").unlink()
        outcome = await one.flush(propagate_deletes=True)
        assert (outcome.deleted, outcome.held_deletions) == (1, 8)
        assert [entry["name"] for entry in waiting(one.config, one.index.uploads)] == [
            f"{number}.txt" for number in sorted(range(4, 12), key=str)
        ]
        assert one.index.uploads.confirm(key(one.config)) == 8
        one.box.faults.add(Fault(path=REMOVE, kind="status", status=400, times=1))
        outcome = await one.flush(propagate_deletes=True)
        assert (outcome.deleted, outcome.held_deletions, outcome.complete) == (7, 0, False)
        outcome = await one.flush(propagate_deletes=True)
        assert (outcome.deleted, outcome.complete, len(one.box.sunshine.media)) == (1, True, 5)
        assert one.index.uploads.held(key(one.config)) == {}


async def test_a_missing_sent_deletes_nothing(tmp_path):
    """sent/ gone as a whole (or not mounted) is no wish to delete."""
    async with rig(tmp_path) as one:
        await sent(one, 2)
        shutil.rmtree(one.root / "sent")
        assert (await one.flush(propagate_deletes=True)).deleted == 0
        assert len(one.box.sunshine.media) == 2


async def test_what_is_no_receipt_of_ours_is_left_alone(tmp_path):
    """Foreign TOML, broken TOML, another account's receipt and a file moved back to the outbox delete nothing."""
    async with rig(tmp_path) as one:
        await sent(one, 2)
        folder = one.root / "sent"
        (folder / "mine.txt.toml").write_text('title = "mine"')
        (folder / "broken.txt.toml").write_bytes(b"\xff = ")
        text = (folder / "0.txt.toml").read_text()
        (folder / "other.txt.toml").write_text(text.replace('"support"', '"another"'))
        (folder / "0.txt").rename(one.root / "0.txt~")
        (folder / "0.txt").write_text("still here")
        (folder / "1.txt").rename(one.root / "1.txt")
        os.chmod(one.root / "1.txt", 0o600)
        outcome = await one.outgoing(propagate_deletes=True, settle=3600).flush(0)
        assert outcome.deleted == 0
        assert one.box.count("POST", REMOVE) == 0


async def test_listing_what_waits_failed_and_is_held(tmp_path):
    """`outbox ls` tells what waits, what is held and why, what failed and why, beside a daemon that has the lock."""
    async with rig(tmp_path) as one:
        one.box.faults.add(Fault(path=UPLOAD, kind="lost", times=1))
        one.drop("held.txt", b"12345")
        await one.flush(on_unknown="hold")
        one.drop("a/bad.exe")
        await one.flush(on_unknown="hold")
        one.drop("new.txt", b"123")
        daemon = one.outgoing()
        daemon.open()
        listed = {entry["name"]: entry for entry in waiting(one.config, one.index.uploads)}
        daemon.close()
        assert {name: entry["state"] for name, entry in listed.items()} == {
            "held.txt": "held",
            "new.txt": "waiting",
            "a/bad.exe": "failed",
        }
        assert (listed["held.txt"]["size"], listed["held.txt"]["attempts"]) == (5, 1)
        assert listed["held.txt"]["error"]
        assert "exe" in listed["a/bad.exe"]["error"]
        assert all(entry["since"].endswith("Z") for entry in listed.values())


async def test_listing_an_outbox_that_is_not_there(tmp_path):
    """No folder yet: nothing waits."""
    async with rig(tmp_path) as one:
        one.root.rmdir()
        assert waiting(one.config, one.index.uploads) == []
        assert retry(one.config, one.index.uploads, "x", 0.0) is False


async def test_retry_brings_a_failed_file_back(tmp_path):
    """`outbox retry`: the file is in the outbox again, its record is gone, and it is sent."""
    async with rig(tmp_path) as one:
        one.box.faults.add(Fault(path=UPLOAD, kind="status", status=415, times=1))
        one.drop("a/report.txt")
        await one.flush()
        now = one.clock.now()
        assert retry(one.config, one.index.uploads, "a/report.txt", now) is True
        assert one.tree() == ["a/report.txt"]
        assert retry(one.config, one.index.uploads, "a/report.txt", now) is False
        assert (await one.flush()).sent == 1


async def test_retry_brings_a_file_back_by_the_name_it_had(tmp_path):
    """Not by the one that it got in failed/, unless another file took its own; of a folder nothing is brought back."""
    async with rig(tmp_path) as one:
        for data in (b"1", b"2", b"3"):
            one.drop("a/x.exe", data)
            await one.flush()
        (one.root / "a").rmdir()
        now, before = one.clock.now(), one.tree()
        assert "failed/a/x-3.exe" in before
        for folder in ("a", "failed/a"):
            assert retry(one.config, one.index.uploads, folder, now) is False
        assert one.tree() == before
        for name in ("a/x-2.exe", "a/x-3.exe"):
            assert retry(one.config, one.index.uploads, name, now) is True
        assert one.tree() == ["a/x-3.exe", "a/x.exe", "failed/a/x.exe", "failed/a/x.exe.toml"]
        assert (one.root / "a/x.exe").read_bytes() == b"2"


async def test_retry_of_a_record_is_of_its_file(tmp_path):
    """A record is never sent itself; a document of one's own whose name is like a record's is a file."""
    async with rig(tmp_path) as one:
        one.box.faults.add(Fault(path=UPLOAD, kind="status", status=415, times=2))
        one.drop("report.txt")
        one.drop("mine.toml", b'error = "mine"')
        await one.flush()
        now = one.clock.now()
        for record in ("failed/report.txt.toml", "mine.toml.toml"):
            assert retry(one.config, one.index.uploads, record, now) is True
        assert one.tree() == ["mine.toml", "report.txt"]
        one.box.faults.add(Fault(path=UPLOAD, kind="status", status=415, times=2))
        await one.flush()
        assert retry(one.config, one.index.uploads, "failed/mine.toml", now) is True
        (one.root / "failed" / "lone.txt.toml").write_text('error = "x"\nfailed_at = 2026-01-01T00:00:00Z\n')
        assert retry(one.config, one.index.uploads, "failed/lone.txt.toml", now) is False


REFUSALS = {
    "its message": ([Fault(path=MESSAGES, method="POST", kind="status", status=423, times=1)], 1, 0),
    "its message, perhaps for its address": (
        [Fault(path=MESSAGES, method="POST", kind="status", status=400, times=1)],
        1,
        1,
    ),
    "itself": ([Fault(path=UPLOAD, kind="status", status=415, times=1)], 0, 1),
    "itself, after a try of unknown outcome": (
        [
            Fault(path=UPLOAD, kind="lost", times=1),
            Fault(path=UPLOAD, kind="status", status=415, times=1),
        ],
        1,
        1,
    ),
}
"""What was refused: how, how many uploads there were then, and how many more there are when it is tried again."""


@pytest.mark.parametrize("refused", REFUSALS)
async def test_a_file_that_came_back_admits_what_it_may_have_upstream(tmp_path, refused):
    """Unless that is good still, its first upload is nobody's any more; one dropped anew is a file of its own."""
    faults, before, more = REFUSALS[refused]
    async with rig(tmp_path) as one:
        sending = {"conversation": one.box.sunshine.add_conversation().id, "send": True}
        one.box.faults.add(*faults)
        one.drop()
        assert (await one.flush(**sending)).failed == 1
        assert len(one.box.sunshine.uploads) == before
        one.drop()
        assert (await one.flush(**sending)).sent == 1
        assert one.document("sent/report.txt")["possible_orphan"] is False
        assert retry(one.config, one.index.uploads, "report.txt", one.clock.now()) is True
        assert (await one.flush(**sending)).sent == 1
        assert one.document("sent/report-2.txt")["possible_orphan"] is bool(before and more)
        assert len(one.box.sunshine.uploads) == before + 1 + more
        one.drop()
        assert (await one.flush(**sending)).sent == 1
        assert one.document("sent/report-3.txt")["possible_orphan"] is False


async def test_an_upload_for_another_conversation_is_not_posted(tmp_path):
    """The service would refuse it (specs/sunshine.md 1.2): tried again with another config, the file is sent again."""
    async with rig(tmp_path) as one:
        first, second = (one.box.sunshine.add_conversation().id for _ in range(2))
        one.box.faults.add(Fault(path=MESSAGES, method="POST", kind="status", status=423, times=1))
        one.drop()
        assert (await one.flush(conversation=first, send=True)).failed == 1
        assert retry(one.config, one.index.uploads, "report.txt", one.clock.now()) is True
        assert (await one.flush(conversation=second, send=True)).sent == 1
        said = one.document("sent/report.txt")
        assert (said["conversation_id"], said["possible_orphan"]) == (second, True)
        assert len(one.box.sunshine.uploads) == 2


async def test_retry_never_overwrites(tmp_path):
    """The outbox has another file of that name: refused, and both stay."""
    async with rig(tmp_path) as one:
        one.drop("x.exe")
        await one.flush()
        one.drop("x.exe", b"another")
        with pytest.raises(RefusedError, match=r"already has another x\.exe"):
            retry(one.config, one.index.uploads, "failed/x.exe", one.clock.now())
        assert one.tree() == ["failed/x.exe", "failed/x.exe.toml", "x.exe"]


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../secret", "a/../../secret", "nothing.txt", "."])
async def test_retry_stays_inside(tmp_path, name):
    """A name that leads outside, or to nothing, is no file of the outbox."""
    async with rig(tmp_path) as one:
        assert retry(one.config, one.index.uploads, name, one.clock.now()) is False


async def test_retry_lets_a_held_file_go(tmp_path):
    """`outbox retry` on a held file: it goes on at once, with a new count."""
    async with rig(tmp_path) as one:
        one.box.faults.add(Fault(path=UPLOAD, kind="lost", times=1))
        one.drop()
        await one.flush(on_unknown="hold")
        assert retry(one.config, one.index.uploads, "report.txt", one.clock.now()) is True
        assert (await one.flush()).sent == 1

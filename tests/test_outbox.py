"""An outbox against the sandbox: what is sent, what is filed where, and what is left alone."""

import asyncio
import hashlib
import os
import socket
import stat
from datetime import UTC, datetime, timedelta

import pytest

from attachsync.clock import Clock
from attachsync.errors import MirrorHeldError, StorageError
from attachsync.sandbox import Fault
from tests.outboxes import REMOVE, UPLOAD, Leaping, rig, until


async def test_sends_a_file_and_files_it_with_its_receipt(tmp_path):
    """A dropped file is uploaded once, moved to sent/, and its receipt says all that the contract lists."""
    async with rig(tmp_path) as one:
        one.drop(data=b"hi")
        outcome = await one.flush()
        assert outcome.complete
        assert outcome.sent == 1
        [upload] = one.box.sunshine.uploads
        assert (upload.data, upload.file_name, upload.media_type) == (b"hi", "report.txt", "text/plain")
        assert upload.query == {"access": "public"}
        assert one.tree() == ["sent/report.txt", "sent/report.txt.toml"]
        said = one.document("sent/report.txt")
        at = said.pop("uploaded_at")
        assert at.tzinfo is not None
        assert at.microsecond == 0
        assert abs(at - datetime.now(UTC)) < timedelta(minutes=1)
        assert said.pop("media_url").endswith("/report.txt")
        assert said == {
            "account": "support",
            "file_name": "report.txt",
            "sha256": hashlib.sha256(b"hi").hexdigest(),
            "size": 2,
            "media_type": "text/plain",
            "attempts": 1,
            "possible_orphan": False,
            "app_id": one.box.sunshine.app_id,
            "access": "public",
        }
        assert one.states() == ["sent"]
        [notice] = one.notices
        assert (notice.event, notice.file, notice.filed_as) == ("sent", "report.txt", "sent/report.txt")
        assert [entry["file"] for entry in one.said("sent")] == ["report.txt"]


async def test_a_second_pass_finds_nothing_to_do(tmp_path):
    """What is in sent/ is not sent again."""
    async with rig(tmp_path) as one:
        one.drop()
        await one.flush()
        one.box.forget()
        assert (await one.flush()).sent == 0
        assert one.box.count() == 0


async def test_purpose_and_conversation_go_into_query_and_receipt(tmp_path):
    """`for`, `conversation` and `access` are sent in the query, and the receipt has them."""
    async with rig(tmp_path) as one:
        conversation = one.box.sunshine.add_conversation()
        one.drop()
        await one.flush(access="private", for_="message", conversation=conversation.id)
        [upload] = one.box.sunshine.uploads
        assert list(upload.query.items()) == [
            ("access", "private"),
            ("for", "message"),
            ("conversationId", conversation.id),
        ]
        said = one.document("sent/report.txt")
        assert (said["access"], said["for"], said["conversation_id"]) == ("private", "message", conversation.id)
        assert "message_id" not in said


async def test_names_reach_the_service_as_they_are(tmp_path):
    """Umlauts, quotes and line ends survive the form; the length is known, no chunked encoding is used."""
    names = ["Straße “x”.txt", 'a "b".txt', "a\nb\r.txt", "semi;=.txt", "日本.txt"]
    async with rig(tmp_path) as one:
        for name in names:
            one.drop(name)
        assert (await one.flush()).sent == len(names)
        sent = {name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A") for name in names}
        assert {upload.file_name.replace('"', "%22") for upload in one.box.sunshine.uploads} == sent
        for request in one.box.requests:
            assert "Transfer-Encoding" not in request.headers
            assert int(request.headers["Content-Length"]) > 0


async def test_sub_folders_are_kept_and_large_files_whole(tmp_path):
    """A file of several blocks in a sub-folder arrives whole and keeps its path below sent/."""
    body = os.urandom(300_000) + b"end"
    async with rig(tmp_path) as one:
        one.drop("2026/q3/scan.pdf", b"%PDF-1.7\n" + body)
        await one.flush()
        assert one.box.sunshine.uploads[0].data == b"%PDF-1.7\n" + body
        assert one.tree() == ["sent/2026/q3/scan.pdf", "sent/2026/q3/scan.pdf.toml"]
        assert one.document("sent/2026/q3/scan.pdf")["file_name"] == "2026/q3/scan.pdf"


async def test_many_files_go_several_at_a_time(tmp_path):
    """A hundred files are all sent, as many at once as the account allows."""
    async with rig(tmp_path) as one:
        for number in range(100):
            one.drop(f"{number}.txt", f"file {number}".encode())
        assert (await one.flush()).sent == 100
        assert len(one.box.sunshine.uploads) == 100
        assert 1 < one.box.requests.most_open <= 8


async def test_nothing_in_sent_is_overwritten(tmp_path):
    """A second report.txt becomes report-2.txt, a third report-3.txt; a receipt's name is respected too."""
    async with rig(tmp_path) as one:
        for text in (b"one", b"two", b"three"):
            one.drop(data=text)
            await one.flush()
        (one.root / "sent/other.txt.toml").write_text("mine")
        one.drop("other.txt")
        await one.flush()
        assert (one.root / "sent/report.txt").read_bytes() == b"one"
        assert (one.root / "sent/report-2.txt").read_bytes() == b"two"
        assert (one.root / "sent/report-3.txt").read_bytes() == b"three"
        assert one.document("sent/report-2.txt")["file_name"] == "report.txt"
        assert (one.root / "sent/other.txt.toml").read_text() == "mine"
        assert (one.root / "sent/other-2.txt").exists()


async def test_what_must_not_be_taken_is_not(tmp_path):
    """Links, pipes, sockets, hidden and ignored names stay, untouched; names that are not UTF-8 are reported too."""
    async with rig(tmp_path) as one:
        secret = tmp_path / "elsewhere.txt"
        secret.write_text("not for upload")
        (one.root / "link.txt").symlink_to(secret)
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder/inside.txt").write_text("not for upload either")
        (one.root / "linked").symlink_to(tmp_path / "folder")
        os.mkfifo(one.root / "pipe.txt")
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(os.path.relpath(one.root / "socket.txt"))
        for name in (".hidden.txt", ".git/config.txt", "draft.txt~", "movie.mp4.part", "x.tmp/y.txt"):
            one.drop(name)
        odd = one.drop_raw(b"caf\xe9.txt")
        outcome = await one.flush()
        assert list(outcome.odd) == ["caf\\xe9.txt"]
        assert not outcome.complete
        assert outcome.sent == 0
        assert one.box.count() == 0
        assert os.path.exists(odd)
        assert not (one.root / "sent").exists()
        assert [entry["file"] for entry in one.said("odd_name")] == ["caf\\xe9.txt"]


async def test_a_reserved_name_counts_at_the_top_only(tmp_path):
    """sent/ and failed/ are ours at the top; below, they are folders like any other."""
    async with rig(tmp_path) as one:
        one.drop("sent/mine.txt")
        one.drop("failed/mine.txt")
        one.drop("a/sent/mine.txt")
        assert (await one.flush()).sent == 1
        assert (one.root / "sent/a/sent/mine.txt").exists()
        assert (one.root / "sent/mine.txt").exists()


async def test_a_file_that_is_open_for_writing_waits(tmp_path):
    """A file that has long been still, but is still open for writing, is taken only once it is closed."""
    async with rig(tmp_path) as one:
        path = one.drop(data=b"half")
        with path.open("ab") as writer:
            writer.flush()
            outcome = await one.flush()
            assert (outcome.sent, outcome.busy) == (0, {"report.txt"})
            assert outcome.complete
            assert one.box.count() == 0
            writer.write(b" whole")
        assert (await one.flush()).sent == 1
        assert one.box.sunshine.uploads[0].data == b"half whole"


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [("report.txt", 413, ""), ("report.txt", 415, "unsupported_media_type"), ("report.txt", 400, "bad_request")],
)
async def test_what_the_service_refuses_goes_to_failed(tmp_path, name, status, code):
    """A refusal for good: failed/ with a record of the service's word and status; nothing else is held up."""
    async with rig(tmp_path) as one:
        one.box.faults.add(Fault(path=UPLOAD, kind="status", status=status, times=1))
        one.drop(name)
        outcome = await one.flush()
        assert (outcome.failed, outcome.sent, outcome.complete) == (1, 0, False)
        assert one.tree() == [f"failed/{name}", f"failed/{name}.toml"]
        said = one.document(f"failed/{name}")
        assert set(said) == {"error", "code", "failed_at", "attempts", "status"}
        assert (said["status"], said["attempts"]) == (status, 1)
        assert said["code"] == code or (not code and said["code"])
        assert said["failed_at"].tzinfo is not None
        assert [notice.event for notice in one.notices] == ["failed"]
        one.drop("next.txt")
        assert (await one.flush()).sent == 1


@pytest.mark.parametrize(("status", "code"), [(413, "too_large"), (415, "type_not_allowed"), (400, "http_400")])
async def test_a_refusal_without_a_code(tmp_path, status, code):
    """A proxy's page says nothing but the status, which is enough for two of them."""
    async with rig(tmp_path) as one:
        one.box.faults.add(Fault(path=UPLOAD, kind="status", status=status, body="<html>no</html>"))
        one.drop("report.txt")
        assert (await one.flush()).failed == 1
        said = one.document("failed/report.txt")
        assert (said["code"], said["status"]) == (code, status)


async def test_what_would_surely_be_refused_is_not_sent(tmp_path):
    """An extension that Sunshine does not take, or none at all, fails without a request."""
    async with rig(tmp_path) as one:
        for name in ("setup.exe", "README", "data.json", "trailing."):
            one.drop(name)
        outcome = await one.flush()
        assert outcome.failed == 4
        assert one.box.count() == 0
        for name in ("setup.exe", "README", "data.json", "trailing."):
            said = one.document(f"failed/{name}")
            assert (said["code"], said["attempts"]) == ("type_not_allowed", 0)
            assert "status" not in said


async def test_a_file_that_is_too_large_is_not_sent(tmp_path):
    """One byte above 50,000,000: failed/ with code too_large, and its bytes are not even read."""
    async with rig(tmp_path) as one:
        path = one.drop("film.mp4", b"")
        os.truncate(path, 50_000_001)
        assert (await one.flush()).failed == 1
        assert one.document("failed/film.mp4")["code"] == "too_large"
        assert (one.root / "failed/film.mp4").stat().st_size == 50_000_001
        assert one.box.count() == 0


async def test_an_empty_file_waits_a_minute_then_fails(tmp_path):
    """An empty file is not given up while it may still be filled; after a minute it goes to failed/."""
    clock = Leaping()
    async with rig(tmp_path, clock) as one:
        one.drop(data=b"")
        outcome = await one.flush()
        assert (outcome.failed, outcome.waiting, outcome.complete) == (0, {"report.txt"}, True)
        clock.ahead += 60
        assert (await one.flush()).failed == 1
        assert one.document("failed/report.txt")["code"] == "empty"
        assert one.box.count() == 0


async def test_modes_follow_the_outbox_and_the_file(tmp_path):
    """Folders that are made are the outbox's, less others' writing; a receipt can be read by who may read its file."""
    async with rig(tmp_path) as one:
        one.root.chmod(0o777)
        one.drop("open.txt").chmod(0o644)
        one.drop("a/close.txt").chmod(0o600)
        await one.flush()
        for name, mode in (
            ("sent", 0o755),
            ("sent/a", 0o755),
            ("sent/open.txt.toml", 0o644),
            ("sent/a/close.txt.toml", 0o600),
            ("sent/a/close.txt", 0o600),
        ):
            assert stat.S_IMODE((one.root / name).stat().st_mode) == mode, name


async def test_a_file_replaced_during_its_upload(tmp_path):
    """What was uploaded is filed with its receipt; the file that took its name is sent on its own."""
    async with rig(tmp_path, Clock()) as one:
        one.drop(data=b"first")
        one.box.faults.add(Fault(path=UPLOAD, kind="drip", every=0.1, size=40, times=1))
        keeping = asyncio.create_task(one.flush(settle=0.05))
        await until(lambda: one.box.sunshine.media)  # the bytes are there; the answer drips
        fresh = tmp_path / "fresh.txt"
        fresh.write_bytes(b"second, longer")
        fresh.rename(one.root / "report.txt")
        await keeping
        await one.flush(settle=0.05)
        assert [upload.data for upload in one.box.sunshine.uploads] == [b"first", b"second, longer"]
        assert (one.root / "sent/report.txt").read_bytes() == b"first"
        assert (one.root / "sent/report-2.txt").read_bytes() == b"second, longer"
        assert one.document("sent/report.txt")["sha256"] == hashlib.sha256(b"first").hexdigest()


async def test_a_file_removed_during_its_upload(tmp_path):
    """What was uploaded is filed from the open file; nothing took its name, and nothing says so."""
    async with rig(tmp_path, Clock()) as one:
        path = one.drop()
        one.box.faults.add(Fault(path=UPLOAD, kind="drip", every=0.1, size=40, times=1))
        flushing = asyncio.create_task(one.flush())
        await until(lambda: one.box.sunshine.media)  # the bytes are there; the answer drips
        path.unlink()
        assert (await flushing).sent == 1
        assert (one.root / "sent/report.txt").read_bytes() == b"quarterly\n"
        assert not one.said("replaced_while_sent")


async def test_a_file_changed_during_its_upload_is_taken_back(tmp_path):
    """A file written to while it was sent is deleted upstream and sent again when it is whole."""
    async with rig(tmp_path, Clock()) as one:
        path = one.drop(data=b"first")
        one.box.faults.add(Fault(path=UPLOAD, kind="drip", every=0.1, size=40, times=1))
        flushing = asyncio.create_task(one.flush(settle=0.05))
        await until(lambda: one.box.sunshine.media)  # the bytes are there; the answer drips
        with path.open("ab") as writer:
            writer.write(b" and more")
        await flushing
        await one.flush(settle=0.05)
        assert one.box.count("POST", REMOVE) == 1
        assert len(one.box.sunshine.media) == 1
        assert one.tree() == ["sent/report.txt", "sent/report.txt.toml"]
        assert (one.root / "sent/report.txt").read_bytes() == b"first and more"
        assert one.states() == ["dropped", "sent"]


async def test_what_could_not_be_taken_back_keeps_its_receipt(tmp_path):
    """The service does not delete what was sent of a file that changed: its address is filed, for a person to see."""
    async with rig(tmp_path, Clock()) as one:
        path = one.drop(data=b"first")
        one.box.faults.add(Fault(path=UPLOAD, kind="drip", every=0.1, size=40, times=1))
        one.box.faults.add(Fault(path=REMOVE, kind="status", status=400))
        flushing = asyncio.create_task(one.flush(settle=0.05))
        await until(lambda: one.box.sunshine.media)  # the bytes are there; the answer drips
        path.write_bytes(b"first and more")
        await flushing
        await one.flush(settle=0.05)
        assert one.tree() == ["sent/report-2.txt", "sent/report-2.txt.toml", "sent/report.txt.toml"]
        assert one.document("sent/report.txt")["sha256"] == hashlib.sha256(b"first").hexdigest()
        assert one.document("sent/report.txt")["media_url"] != one.document("sent/report-2.txt")["media_url"]
        assert one.said("possible_orphan")


async def test_one_attachsync_at_a_time(tmp_path):
    """A second one is refused while the first holds the outbox, and may have it afterwards."""
    async with rig(tmp_path) as one:
        first, second = one.outgoing(), one.outgoing()
        first.open()
        with pytest.raises(MirrorHeldError, match="another attachsync"):
            await second.flush()
        first.close()
        assert (await second.flush()).complete


async def test_an_outbox_that_cannot_be_used_says_so(tmp_path):
    """A file where the outbox should be: StorageError."""
    async with rig(tmp_path) as one:
        one.root.rmdir()
        one.root.write_text("a file")
        with pytest.raises(StorageError, match="outbox"):
            await one.flush()


async def test_sent_that_cannot_be_made_loses_nothing(tmp_path):
    """A file named `sent` is in the way: the upload stays journaled, and is filed as soon as it is gone."""
    async with rig(tmp_path) as one:
        (one.root / "sent").write_text("in the way")
        one.drop()
        outcome = await one.flush()
        assert not outcome.complete
        assert outcome.later == {"report.txt"}
        assert len(one.box.sunshine.uploads) == 1
        assert one.said("outbox_trouble")
        (one.root / "sent").unlink()
        assert (await one.flush()).sent == 1
        assert len(one.box.sunshine.uploads) == 1
        assert (one.root / "sent/report.txt").exists()

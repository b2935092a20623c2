"""Receipts and failure records: what they say, read back, and how they are named."""

import dataclasses
import tomllib
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from attachsync import receipts
from attachsync.index import Upload
from attachsync.model import Digest, Draft

DRAFT = Draft("t", "report.pdf", "application/pdf", 12, Digest("ab" * 32))
SAID = {
    "media_url": "https://acme.zendesk.com/sc/attachments/v2/01JK/Q3%20report.pdf",
    "app_id": "5d8c",
    "access": "public",
    "for": "message",
    "conversation_id": "c616",
    "message_id": "67a1",
    "media_type": "application/x-other",
    "uploaded_at": "2026-08-01T12:00:00Z",
}
UPLOAD = Upload(
    id=1,
    outbox="/o",
    name="a/report.pdf",
    draft=DRAFT,
    state="filing",
    attempts=2,
    unknown=1,
    strikes=0,
    receipt=SAID,
    filed_as=None,
    error="",
    retry_at=0.0,
    attempted_at=None,
)

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=300)
file_names = text.filter(lambda name: len(name.encode()) <= 255 and name not in (".", ".."))


def test_a_receipt_has_every_key_of_the_contract():
    """All keys of contract 3, of the types it says; the media type is the one we sent, not the service's word."""
    said = tomllib.loads(receipts.written(receipts.receipt("support", UPLOAD)).decode())
    assert said == {
        "account": "support",
        "file_name": "a/report.pdf",
        "sha256": "ab" * 32,
        "size": 12,
        "media_type": "application/pdf",
        "uploaded_at": datetime(2026, 8, 1, 12, tzinfo=UTC),
        "attempts": 2,
        "possible_orphan": True,
        "media_url": SAID["media_url"],
        "app_id": "5d8c",
        "access": "public",
        "for": "message",
        "conversation_id": "c616",
        "message_id": "67a1",
    }


def test_a_failure_has_every_key_of_the_contract():
    """error, code, failed_at, attempts, the HTTP status, and where an upload before it is."""
    refused = receipts.refused(SAID, error="full", code="locked", at=1_785_585_600.9, status=423)
    upload = dataclasses.replace(UPLOAD, receipt=refused)
    assert receipts.is_failure(upload)
    assert not receipts.is_failure(UPLOAD)
    said = tomllib.loads(receipts.written(receipts.document(upload, "support")).decode())
    assert said == {
        "error": "full",
        "code": "locked",
        "failed_at": datetime(2026, 8, 1, 12, tzinfo=UTC),
        "attempts": 2,
        "status": 423,
        "media_url": SAID["media_url"],
    }


def test_a_failure_without_a_request_has_no_status():
    """What we refused ourselves has no HTTP status and no address."""
    refused = receipts.refused({}, error="empty", code="empty", at=0)
    said = receipts.failure(dataclasses.replace(UPLOAD, receipt=refused))
    assert set(said) == {"error", "code", "failed_at", "attempts"}


def test_a_deletion_adds_when():
    """`deleted_at` is added, nothing else changes."""
    before = receipts.parsed(receipts.written(receipts.receipt("support", UPLOAD)))
    after = receipts.parsed(receipts.written(receipts.deleted(before, 60.5)))
    assert after == {**before, "deleted_at": datetime(1970, 1, 1, 0, 1, tzinfo=UTC)}


@given(st.binary(max_size=200))
def test_reading_back_never_fails(content):
    """Whatever is in sent/, reading it raises nothing."""
    said = receipts.parsed(content)
    assert said is None or not receipts.is_receipt(said, "support") or said["account"] == "support"


@given(st.dictionaries(text, st.one_of(text, st.integers(-(2**63), 2**63 - 1), st.booleans())))
def test_what_is_written_is_read_back(said):
    """Any text, control characters included, survives."""
    assert receipts.parsed(receipts.written(said)) == said


def test_only_our_receipts_are_receipts():
    """Another account's, a failure record and foreign TOML are not."""
    said = receipts.receipt("support", UPLOAD)
    assert receipts.is_receipt(said, "support")
    assert not receipts.is_receipt(said, "other")
    assert not receipts.is_receipt({"account": "support", "uploaded_at": "yesterday", "file_name": "x"}, "support")
    assert not receipts.is_receipt({}, "support")


def test_numbering_keeps_the_extension():
    """report.pdf, report-2.pdf; a name without extension, a dot in the folder, a double extension."""
    assert receipts.numbered("report.pdf", 1) == "report.pdf"
    assert receipts.numbered("report.pdf", 2) == "report-2.pdf"
    assert receipts.numbered("v1.0/readme", 3) == "v1.0/readme-3"
    assert receipts.numbered("a.tar.gz", 2) == "a.tar-2.gz"


@given(file_names, st.integers(1, 10_000))
def test_a_numbered_name_leaves_room_for_its_record(name, number):
    """NAME.toml is no longer than 255 bytes, whatever the name; it stays in its folder and is UTF-8."""
    found = receipts.numbered(f"folder/{name}", number)
    folder, _, base = found.partition("/")
    assert folder == "folder"
    assert base
    assert "/" not in base
    assert len((base + receipts.SUFFIX).encode()) <= 255


@given(file_names, st.sets(st.integers(1, 30)))
def test_the_first_free_name_is_taken(name, used):
    """Neither the name nor its record's is taken, and no earlier number would have done."""
    taken = {receipts.numbered(name, number) for number in used}
    found = receipts.free(name, taken.__contains__)
    assert found not in taken
    assert found + receipts.SUFFIX not in taken


def test_records_and_what_they_describe():
    """`x.toml` is about `x`; other names are about nothing."""
    assert receipts.described("report.pdf.toml") == "report.pdf"
    assert receipts.described("report.pdf") is None
    assert receipts.described(".toml") is None

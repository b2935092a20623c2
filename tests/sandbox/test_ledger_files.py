"""Downloads, /info and uploads of the emulated ledger (specs/datatrails.md 1.6 to 1.8)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from attachsync.sandbox import Sandbox
from attachsync.sandbox.ledger_records import Asset, Blob, Scanned
from attachsync.sandbox.rate import RateLimit

from .conftest import BEARER, Client

V2 = "/datatrails/archivist/v2"
BLOBS = "/datatrails/archivist/v1/blobs"
NOT_SAFE = "this attachment is not safe - if you wish to download it add allow_insecure=true"
PERHAPS_NOT_SAFE = "this attachment is potentially not safe - if you wish to download it add allow_insecure=true"
TABLE: list[tuple[Scanned, list[int]]] = [
    ("NOT_SCANNED", [200, 400, 200, 200]),
    ("SCANNED_OK", [200, 200, 200, 200]),
    ("SCANNED_BAD", [400, 400, 200, 200]),
]
QUERIES = ["", "?strict=true", "?allow_insecure=true", "?strict=true&allow_insecure=true"]


def asset_with(box: Sandbox, blob: Blob) -> Asset:
    """Return an asset that has a blob as its primary image."""
    return box.datatrails.add_asset({"arc_primary_image": box.datatrails.attach(blob, "x.jpg")})


@pytest.mark.parametrize(("scanned", "statuses"), TABLE)
async def test_scan_truth_table(box: Sandbox, client: Client, scanned: Scanned, statuses: list[int]) -> None:
    """All twelve cases of the table, on both paths."""
    blob = box.datatrails.add_blob(b"data", scanned=scanned)
    asset = asset_with(box, blob)
    for path in (f"{BLOBS}/{blob.uuid}", f"{V2}/attachments/{asset.identity}/{blob.uuid}"):
        assert [(await client.get(path + query)).status for query in QUERIES] == statuses
        assert (await client.get(f"{path}/info")).json["scanned_status"] == scanned


async def test_refusals_by_scan_in_their_words(box: Sandbox, client: Client) -> None:
    """The refusals have the documented messages and the code as a string."""
    blob = box.datatrails.add_blob(b"data")
    reply = await client.get(f"{BLOBS}/{blob.uuid}?strict=T")
    assert reply.json == {"code": "400", "message": PERHAPS_NOT_SAFE, "details": []}
    box.datatrails.set_scanned(blob, "SCANNED_BAD", "Eicar-Signature FOUND")
    assert (await client.get(f"{BLOBS}/{blob.uuid}")).json == {"code": "400", "message": NOT_SAFE, "details": []}
    info = (await client.get(f"{BLOBS}/{blob.uuid}/info")).json
    assert (info["scanned_bad_reason"], bool(info["scanned_timestamp"])) == ("Eicar-Signature FOUND", True)


async def test_flags_are_gos(box: Sandbox, client: Client) -> None:
    """Flags are read as Go's ParseBool does."""
    blob = box.datatrails.add_blob(b"data")
    assert (await client.get(f"{BLOBS}/{blob.uuid}?strict=yes")).json["code"] == "400"
    assert (await client.get(f"{BLOBS}/{blob.uuid}?strict=F&allow_insecure=0")).status == 200


async def test_download(box: Sandbox, client: Client) -> None:
    """The body is the bytes, with the stored media type; tampering changes what is served, not what is recorded."""
    blob = box.datatrails.add_blob(b"data", "image/jpg")
    reply = await client.get(f"{BLOBS}/{blob.uuid}")
    assert (reply.body, reply.headers["Content-Type"]) == (b"data", "image/jpg")
    box.datatrails.tamper(blob, b"atad")
    assert (await client.get(f"{BLOBS}/{blob.uuid}")).body == b"atad"
    assert (await client.get(f"{BLOBS}/{blob.uuid}/info")).json["hash"]["value"] == blob.recorded.sha256


async def test_zero_bytes(box: Sandbox, client: Client) -> None:
    """An empty blob is served as such."""
    blob = box.datatrails.add_blob(b"")
    reply = await client.get(f"{BLOBS}/{blob.uuid}")
    assert (reply.status, reply.body, reply.headers["Content-Length"]) == (200, b"", "0")


async def test_large_blob_is_grown(box: Sandbox, client: Client) -> None:
    """A grown blob is the same at every read, and has the hash that it states."""
    blob = box.datatrails.grow_blob(3_000_001, "seed")
    once, twice = [(await client.get(f"{BLOBS}/{blob.uuid}")).body for _ in range(2)]
    assert once == twice
    assert len(once) == blob.recorded.size
    assert (await client.get(f"{BLOBS}/{blob.uuid}/info")).json["size"] == 3_000_001


async def test_info_shapes(box: Sandbox, client: Client) -> None:
    """The present shape, the short old one, and the prefix that differs by endpoint."""
    blob, old = box.datatrails.add_blob(b"a"), box.datatrails.add_blob(b"b", minimal=True)
    info = (await client.get(f"{BLOBS}/{blob.uuid}/info")).json
    assert info["identity"] == f"blobs/{blob.uuid}"
    assert (info["scanned_timestamp"], info["scanned_bad_reason"], info["size"]) == ("", "", 1)
    short = (await client.get(f"{BLOBS}/{old.uuid}/info")).json
    assert set(short) == {"identity", "hash", "mime_type", "timestamp_accepted", "size"}
    asset = asset_with(box, blob)
    attached = (await client.get(f"{V2}/attachments/{asset.identity}/{blob.uuid}/info")).json
    assert attached["identity"] == f"attachments/{blob.uuid}"


async def test_only_what_is_referenced(box: Sandbox, client: Client) -> None:
    """An attachment is served only on the asset or event that refers to it now."""
    ledger = box.datatrails
    first, second, other = (ledger.add_blob(data) for data in (b"1", b"2", b"3"))
    asset = ledger.add_asset({"doc": ledger.attach(first)})
    event = ledger.add_event(asset, {"report": ledger.attach(other)}, {"doc": ledger.attach(second)})

    async def status(identity: str, blob: Blob) -> int:
        return (await client.get(f"{V2}/attachments/{identity}/{blob.uuid}")).status

    assert [await status(asset.identity, blob) for blob in (first, second, other)] == [404, 200, 404]
    assert [await status(event.identity, blob) for blob in (first, second, other)] == [404, 200, 200]
    assert await status(asset.events[0].identity, first) == 200
    ledger.event_path_serves_asset_attributes = False
    assert [await status(event.identity, blob) for blob in (second, other)] == [404, 200]
    refusal = await client.get(f"{V2}/attachments/{asset.identity}/{first.uuid}")
    assert refusal.json["code"] == "404"
    assert (await client.get(f"{V2}/attachments/{asset.identity}/blobs/{second.uuid}")).status == 404


async def test_bare_references(box: Sandbox, client: Client) -> None:
    """A bare string does not make an attachment, unless so wanted; the blob itself is always there."""
    ledger = box.datatrails
    blob = ledger.add_blob(b"x")
    asset = ledger.add_asset({"sbom": blob.identity})
    path = f"{V2}/attachments/{asset.identity}/{blob.uuid}"
    assert [(await client.get(one)).status for one in (path, f"{BLOBS}/{blob.uuid}")] == [404, 200]
    ledger.bare_references_count = True
    assert (await client.get(path)).status == 200


async def test_pending_event(box: Sandbox, client: Client) -> None:
    """The attachments of a pending event are 404 until it is confirmed, unless set otherwise."""
    ledger = box.datatrails
    blob = ledger.add_blob(b"x")
    event = ledger.add_event(ledger.add_asset(), {"a": ledger.attach(blob)}, confirmation_status="PENDING")
    path = f"{V2}/attachments/{event.identity}/{blob.uuid}"
    assert (await client.get(path)).status == 404
    ledger.pending_hides_attachments = False
    assert (await client.get(path)).status == 200
    ledger.pending_hides_attachments = True
    ledger.confirm(event, "COMMITTED")
    assert (await client.get(path)).status == 200


async def test_public_attachments(box: Sandbox, client: Client) -> None:
    """Attachments of public assets need no token; the owner's path does."""
    ledger = box.datatrails
    blob = ledger.add_blob(b"x")
    asset = ledger.add_asset({"a": ledger.attach(blob)}, public=True)
    for identity in (asset.identity, asset.events[0].identity):
        path = f"{V2}/attachments/public{identity}/{blob.uuid}"
        assert [(await client.public(one)).status for one in (path, f"{path}/info")] == [200, 200]
        assert (await client.public(f"{V2}/attachments/{identity}/{blob.uuid}")).status == 401


def form(*names: str, field: str = "file") -> aiohttp.MultipartWriter:
    """Return a form with one part for each file name; an empty name is a part without one."""
    writer = aiohttp.MultipartWriter("form-data")
    for name in names:
        part = writer.append(b"hello", {"Content-Type": "text/plain"})
        part.headers["Content-Disposition"] = f'form-data; name="{field}"' + (f'; filename="{name}"' if name else "")
    return writer


async def upload(client: Client, data: object) -> tuple[int, dict[str, object]]:
    """POST a form and return status and JSON."""
    reply = await client.call("POST", BLOBS, data=data, headers=BEARER)
    return reply.status, reply.json


async def test_upload(box: Sandbox, client: Client) -> None:
    """An upload makes a new blob each time, and answers as /info does."""
    answers = [await upload(client, form("a.txt")) for _ in range(2)]
    assert [status for status, _ in answers] == [200, 200]
    first, second = (body for _, body in answers)
    assert first["hash"] == second["hash"]
    assert first["identity"] != second["identity"]
    assert (first["mime_type"], first["size"], len(box.datatrails.blobs)) == ("text/plain", 5, 2)


async def test_upload_rules(box: Sandbox, client: Client) -> None:
    """One file only, multipart only, a length, and less than the tenant's limit."""
    assert (await upload(client, form("a", "b")))[1] == {
        "code": "400",
        "message": "only one file expected",
        "details": [],
    }
    assert (await upload(client, form("", "a.txt")))[0] == 200
    assert (await upload(client, form("")))[0] == 400
    assert (await upload(client, form("a", field="other")))[0] == 400
    assert (await upload(client, b"plain"))[0] == 400
    assert (await client.call("POST", BLOBS, headers=BEARER)).status == 400
    box.datatrails.max_blob_size = 5
    status, body = await upload(client, form("a"))
    assert (status, body["code"], body["message"]) == (402, "402", "filesize exceeds maximum")
    box.datatrails.max_blob_size = 6
    assert (await upload(client, form("a")))[0] == 200


@pytest.mark.parametrize(("data", "kind"), [(b"hello", "text/plain; charset=utf-8"), (b"%PDF-1.4", "application/pdf")])
async def test_upload_sniffs_a_missing_type(client: Client, data: bytes, kind: str) -> None:
    """Without a type the part's first bytes decide."""
    body = b'--B\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n' + data + b"\r\n--B--\r\n"
    headers = {**BEARER, "Content-Type": "multipart/form-data; boundary=B"}
    reply = await client.call("POST", BLOBS, data=body, headers=headers)
    assert (reply.json["mime_type"], reply.json["size"]) == (kind, len(data))


async def test_chunked_upload_is_refused(client: Client) -> None:
    """A body without a stated length counts as shorter than one byte."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b"--B--\r\n"

    headers = {**BEARER, "Content-Type": "multipart/form-data; boundary=B"}
    reply = await client.call("POST", BLOBS, data=pieces(), headers=headers)
    assert (reply.status, reply.json["code"]) == (400, "400")


async def test_rate_limit(box: Sandbox, client: Client) -> None:
    """Beyond the limit comes 429 with the service's own hint, or with another one, or with none."""
    now = [0.0]
    box.datatrails.rate_limit = RateLimit(1, 2.5, clock=lambda: now[0])
    replies = [await client.get(f"{V2}/assets") for _ in range(2)]
    assert [reply.status for reply in replies] == [200, 429]
    assert replies[1].headers["Archivist-Rate-Limit-Reset"] == "2.500"
    box.datatrails.rate_hint = "Retry-After"
    assert (await client.get(f"{V2}/assets")).headers["Retry-After"] == "2.500"
    box.datatrails.rate_hint = ""
    assert "Retry-After" not in (await client.get(f"{V2}/assets")).headers
    now[0] = 2.5
    assert (await client.get(f"{V2}/assets")).status == 200
    assert box.datatrails.rate_limit.refused == 3

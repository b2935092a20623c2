"""What no document foresees in an answer ends with the attachment or the page that it came with, never the process."""

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from attachsync import answers
from attachsync.canonical import canonical, compact
from attachsync.errors import MalformedError
from attachsync.model import Attachment, State
from attachsync.sandbox import Fault
from attachsync.unforeseen import malformed
from tests.identities import RESULTS, SESSION, Ids
from tests.ledgers import Ledgers
from tests.scripted import Scripted, mirroring

ASSET, ODD, PLAIN = (f"5640486d-aa68-80d6-67b7-6c958820361{digit}" for digit in "abc")
LISTED = "/datatrails/archivist/v2/assets"


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def reference(blob: str, data: bytes) -> dict[str, str]:
    return {
        "arc_blob_identity": f"blobs/{blob}",
        "arc_file_name": f"{data.decode()}.bin",
        "arc_blob_hash_value": hashlib.sha256(data).hexdigest(),
        "arc_blob_hash_alg": "SHA256",
    }


@contextlib.asynccontextmanager
async def saying(ledger: Ledgers, said: Mapping[str, tuple[bytes, bytes]]) -> AsyncIterator[None]:
    """The ledger is one that says whatever it likes: the end of a path -> (Content-Type, body); else 404."""

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split()[1].decode().partition("?")[0]
        end = next((end for end in said if path.endswith(end)), None)
        status, (kind, body) = (b"200 OK", said[end]) if end else (b"404 Not Found", (b"text/plain", b""))
        lines = b"HTTP/1.1 %s", b"Content-Type: %s", b"Content-Length: %d", b"Connection: close", b"", b"%s"
        writer.write(b"\r\n".join(lines) % (status, kind, len(body), body))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
    ledger.port = server.sockets[0].getsockname()[1]
    async with server:
        yield


def assets(**attributes: object) -> bytes:
    asset = {"identity": f"assets/{ASSET}", "confirmation_status": "CONFIRMED", "attributes": attributes}
    return json.dumps({"assets": [asset]}).encode()


async def test_a_content_type_that_is_no_text(ledger: Ledgers) -> None:
    """It is kept as far as it is one, and so are the bytes."""
    listed = assets(odd=reference(ODD, b"odd"), plain=reference(PLAIN, b"plain"))
    said = {
        "/assets": (b"application/json", listed),
        "/events": (b"application/json", b'{"events": []}'),
        ODD: (b"application/\xe9", b"odd"),
        PLAIN: (b"text/plain", b"plain"),
    }
    async with saying(ledger, said):
        summary, _ = await ledger.sync()
    assert not summary.incomplete
    assert {row["media_type"] for row in ledger.rows()} == {"application/?", "text/plain"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le"])
async def test_lone_surrogates_that_are_not_escaped(ledger: Ledgers, encoding: str) -> None:
    """Nor are they in a list; its attachments are mirrored."""
    listed = (
        assets(**{"o#d": {**reference(PLAIN, b"plain"), "arc_display_name": "x#y"}}).decode().replace("#", "\ud800")
    )
    said = {
        "/assets": (b"application/json", listed.encode(encoding, "surrogatepass")),
        "/events": (b"application/json", b'{"events": []}'),
        PLAIN: (b"text/plain", b"plain"),
    }
    async with saying(ledger, said):
        summary, _ = await ledger.sync()
    assert not summary.incomplete
    assert [(row["key"], row["state"]) for row in ledger.rows()] == [(f"assets/{ASSET}#attributes/o?d", "stored")]


@pytest.mark.parametrize("raw", [b'{"\xed\xa0\x80": "\xed\xbf\xbf\\u0000"}', '{"\ud800": "\\udfff\\u0000"}'])
def test_no_way_of_writing_a_lone_surrogate_brings_one(raw: bytes | str) -> None:
    body = raw if isinstance(raw, bytes) else raw.encode("utf-16-le", "surrogatepass")
    assert answers.Reply(200, {}, body, "").object() == {"?": "?\ufffd"}


async def test_a_size_that_no_index_can_hold(ids: Ids) -> None:
    """It is no size, and says nothing."""
    session = ids.box.trinsic.add_session(SESSION, "rak_known")
    made = ids.box.trinsic.add_attachment(session, "selfie", b"bytes", "image/png")
    ids.track_session(SESSION, "rak_known")
    listed = {"id": made.id, "type": "selfie", "contentType": "image/png", "sizeBytes": 10**19}
    answer = {
        "session": {"id": SESSION, "done": True, "success": True},
        "identityData": {"attachments": [listed]},
    }
    ids.box.faults.add(Fault(path=RESULTS, kind="json", value=answer))
    summary, _ = await ids.sync()
    assert not summary.incomplete
    assert [row["state"] for row in ids.rows()] == ["stored"]


@pytest.mark.parametrize("depth", [510, 850])
async def test_a_record_that_is_nested_too_deep(ledger: Ledgers, depth: int) -> None:
    """Its attachment is told, and the other one is mirrored; later too, when it is asked about again."""
    trail = ledger.box.datatrails
    ledger.tracks += "events = false\n"
    blobs = [trail.add_blob(data, "text/plain", scanned="NOT_SCANNED") for data in (b"odd", b"plain")]
    trail.add_asset({str(number): trail.attach(blob) for number, blob in enumerate(blobs)})
    record = {"hash": {"alg": "SHA256", "value": hashlib.sha256(b"odd").hexdigest()}, "size": 3, "more": "deep"}
    body = json.dumps(record).replace('"deep"', "[" * depth + "]" * depth).encode()
    deep = Fault(path=f"*/{blobs[0].uuid}/info", kind="status", status=200, body=body)
    ledger.box.faults.add(deep)
    summary, recorder = await ledger.sync()
    assert summary.incomplete
    assert [one.reason for one in recorder.outcomes if one.state is State.FAILED] == [
        "the answer is nested too deep to be kept"
    ]
    assert [row["state"] for row in ledger.rows()] == ["failed", "stored"]
    ledger.box.faults.clear()
    await ledger.sync()
    ledger.box.faults.add(deep)
    ledger.clock.ahead = 2 * 86_400
    summary, _ = await ledger.sync()
    assert len(ledger.requests(f"{blobs[0].uuid}/info")) == 1
    assert [row["state"] for row in ledger.rows()] == ["stored", "stored"]


def test_what_is_kept_can_be_read_again() -> None:
    """What `compact` writes is not nested deeper than can be read, wherever in the program."""
    assert compact({"a": nested(300), "b": 2**70}) == canonical({"a": nested(300), "b": 2**70})
    for value in (nested(510), {"a": [1, {"b": nested(10_000)}]}):
        with pytest.raises(MalformedError, match="nested too deep"):
            compact(value)


async def test_what_nobody_thought_of(ledger: Ledgers) -> None:
    """A page with a number that cannot be kept, and bytes that cannot be asked for: the other tracks are mirrored."""
    asset = ledger.box.datatrails.add_asset({})
    names = "page", "overflow", "unicode", "depth", "sound"
    ledger.tracks = "".join(
        f'[[track]]\naccount = "ledger"\nasset = "{asset.uuid}"\nname = "{name}"\n' for name in names
    )
    items = {name: Attachment(name, name, "1", ("odd", f"{name}.bin")) for name in names}
    items["page"] = items["page"]._replace(size=10**19)
    refusals = {
        "overflow": OverflowError("int too large"),
        "unicode": UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates"),
        "depth": RecursionError("maximum recursion depth"),
    }
    async with mirroring(ledger, Scripted(items, refusals)) as mirror:
        turn = await mirror.turn(list(mirror.tracks.values()))
    assert list(turn.errors) == ["page"]
    assert "OverflowError" in turn.errors["page"]
    states = {str(row["track"]): str(row["state"]) for row in ledger.rows()}
    assert states == {"overflow": "failed", "unicode": "failed", "depth": "failed", "sound": "stored"}


def test_other_mistakes_are_our_own() -> None:
    with pytest.raises(KeyError), malformed():
        dict[str, str]()["a"]

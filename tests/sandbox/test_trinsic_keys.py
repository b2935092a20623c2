"""Access keys and earlier generations of the emulated Trinsic (specs/trinsic.md 1.1, 1.4, 1.7, 1.8)."""

from __future__ import annotations

from typing import Any

import pytest

from attachsync.sandbox import Fault, Sandbox, sample
from attachsync.sandbox.sample_ids import (
    DEMO_SESSIONS,
    IDS_BEARER,
    JPEG,
    KEY_LATER,
    KEY_ONCE,
    KEY_WAITING,
    RESULTS_KEYS,
    SESSION,
    access_keys_text,
    later_keys_text,
    sessions_text,
)
from attachsync.sandbox.trinsic_records import ErrorShape, Generation

from .conftest import Client, Reply

API = "/trinsic/api/v1"
EXCHANGE, ATTACHMENT = f"{API}/attachments/exchange", f"{API}/attachments/attachment"


@pytest.fixture
def box(box: Sandbox) -> Sandbox:
    """Return a sandbox that knows a token of Trinsic."""
    box.trinsic.add_token("ids")
    return box


async def post(client: Client, path: str, token: str = "ids", **body: Any) -> Reply:
    """POST JSON with a token."""
    return await client.call("POST", path, json=body, headers={"Authorization": f"Bearer {token}"})


async def exchange(client: Client, key: str, path: str = EXCHANGE, **more: Any) -> Reply:
    """Exchange an access key."""
    return await post(client, path, attachmentAccessKey=key, **more)


async def test_exchange(box: Sandbox, client: Client) -> None:
    """A key is answered 202 until its file is there, then its raw bytes, once; all of it is counted."""
    key = box.trinsic.add_access_key(JPEG, key="K2", ready=False)
    waiting = await exchange(client, "K2")
    assert (waiting.status, waiting.headers["Content-Length"]) == (202, "0")
    key.attachment.ready = True
    reply = await exchange(client, "K2")
    assert (reply.status, reply.body, reply.headers["Content-Type"]) == (200, JPEG, "image/jpeg")
    assert (await exchange(client, "K2")).status == 400
    assert [one.status for one in box.trinsic.exchanges] == [202, 200, 400]
    assert (key.used, box.trinsic.exchanged("K2"), box.trinsic.exchanged("K3")) == (1, 3, 0)


async def test_many_exchanges(box: Sandbox, client: Client) -> None:
    """A key may be good for more than one exchange, by its own setting or by that of all."""
    box.trinsic.key_uses = None
    for uses in (None, 2, -1):
        key = box.trinsic.add_access_key(JPEG, uses=uses)
        assert [(await exchange(client, key.key)).status for _ in range(2)] == [200, 200]
    box.trinsic.spent_key_status = 410
    twice = box.trinsic.add_access_key(JPEG, uses=1)
    assert [(await exchange(client, twice.key)).status for _ in range(2)] == [200, 410]


async def test_a_lost_answer_uses_the_key_up(box: Sandbox, client: Client) -> None:
    """A fault on the way does not bring a single-use key back."""
    box.trinsic.add_access_key(JPEG, key="K")
    box.faults.add(Fault(path=EXCHANGE, kind="status", status=502, carry_out=True, times=1))
    assert [(await exchange(client, "K")).status for _ in range(2)] == [502, 400]


async def test_keys_that_are_refused(box: Sandbox, client: Client) -> None:
    """Unknown, empty, expired, revoked and redacted keys are refused."""
    assert [(await exchange(client, key)).status for key in ("", "nobody")] == [400, 400]
    old = box.trinsic.add_access_key(JPEG, expires_in=10)
    box.trinsic.advance(10)
    revoked = box.trinsic.add_access_key(JPEG)
    revoked.revoked = True
    session = box.trinsic.add_session()
    redacted = box.trinsic.add_access_key(box.trinsic.add_attachment(session, "selfie", JPEG))
    box.trinsic.redact(session)
    assert [(await exchange(client, one.key)).status for one in (old, revoked, redacted)] == [400, 400, 404]
    box.trinsic.unknown_key_status = 404
    assert (await exchange(client, "nobody")).status == 404
    box.trinsic.exchange.retired = 410
    assert (await exchange(client, "nobody")).status == 410


@pytest.mark.parametrize("kind", [None, "application/octet-stream", ""])
async def test_content_type_of_raw_replies(box: Sandbox, client: Client, kind: str | None) -> None:
    """Raw bytes come with their type, with another, or with none at all."""
    box.trinsic.exchange.content_type = kind
    key = box.trinsic.add_access_key(JPEG)
    reply = await exchange(client, key.key)
    expected = {None: "image/jpeg", "": None}.get(kind, kind)
    assert (reply.body, reply.headers.get("Content-Type")) == (JPEG, expected)


async def test_later_keys(box: Sandbox, client: Client) -> None:
    """At the successor a later key needs its session; replies are JSON, and "not ready" is 503 with a text."""
    session, other = box.trinsic.add_session(), box.trinsic.add_session()
    key = box.trinsic.add_access_key(JPEG, session=session, ready=False).key
    refused = [{}, {"sessionId": "x"}, {"sessionId": other.id}]
    assert [(await exchange(client, key, ATTACHMENT, **more)).status for more in refused] == [400] * 3
    waiting = await exchange(client, key, ATTACHMENT, sessionId=session.id)
    assert (waiting.status, waiting.headers["Content-Type"]) == (503, "text/plain; charset=utf-8")
    box.trinsic.keys[key].attachment.ready = True
    reply = await exchange(client, key, ATTACHMENT, sessionId=session.id)
    assert reply.json == {"content": "/9j/4AAQSkZJRgABAQAAAQABAAD/2Q==", "contentType": "image/jpeg"}
    assert box.trinsic.exchanges[-1].session == session.id
    free = box.trinsic.add_access_key(JPEG).key
    box.trinsic.attachment.needs_session = True
    assert (await exchange(client, free, ATTACHMENT)).status == 400


@pytest.mark.parametrize(("generation", "raw"), [("A", True), ("B1", True), ("B2", False)])
async def test_generations(box: Sandbox, client: Client, generation: Generation, raw: bool) -> None:
    """Earlier results show access keys by name; each of them opens its attachment."""
    box.trinsic.speak(generation)
    session = box.trinsic.add_session()
    for kind in ("selfie", "document_front", "document_scan_report", "passport_chip_photo"):
        box.trinsic.add_attachment(session, kind, kind.encode())
    found = (
        await post(client, f"{API}/sessions/{session.id}/results/exchange", resultsAccessKey=session.results_key)
    ).json
    keys = found["identityData"]["attachments" if raw else "attachmentAccessKeys"]
    assert ("state" in found["session"]) == raw
    assert {"selfie", "documentFront"} <= set(keys)
    assert ("provider" in keys) != raw
    reply = await exchange(client, keys["documentFront"], ATTACHMENT)
    assert (reply.body == b"document_front") == raw
    if raw:
        assert len(found["session"]["disclosedFields"]) == 12
    bare = box.trinsic.add_session()
    told = (await post(client, f"{API}/sessions/{bare.id}/results/exchange", resultsAccessKey=bare.results_key)).json
    assert told["identityData"].get("attachmentAccessKeys", {"provider": {}}) == {"provider": {}}
    open_ = box.trinsic.add_session(done=False)
    told = (await post(client, f"{API}/sessions/{open_.id}/results/exchange", resultsAccessKey=open_.results_key)).json
    assert ("identityData" not in told) == raw


REQUIRED = "The AttachmentAccessKey field is required."
OLD = [{"memberNames": ["AttachmentAccessKey"], "errorMessage": REQUIRED}]


@pytest.mark.parametrize(
    ("shape", "bad", "unauthorized"), [("old", OLD, b'{"message":"Unauthorized"}'), ("plain", None, b"")]
)
async def test_error_shapes(box: Sandbox, client: Client, shape: ErrorShape, bad: object, unauthorized: bytes) -> None:
    """Errors have the shape of their generation."""
    box.trinsic.errors = shape
    reply = await post(client, EXCHANGE)
    assert (reply.status, reply.headers["Content-Type"]) == (400, "application/json; charset=utf-8")
    assert bad is None or reply.json == bad
    assert (await post(client, EXCHANGE, "nobody")).body == unauthorized


async def test_sample(box: Sandbox, client: Client) -> None:
    """What the lists of the sample name can be had, and everything else is in other ids."""
    sample(box)
    types = set()
    for line in sessions_text().splitlines()[1:]:
        id_, key = line.split()[:2]
        found = (await post(client, f"{API}/sessions/{id_}/results", IDS_BEARER, resultsAccessKey=key)).json
        for one in (found["identityData"] or {"attachments": []})["attachments"]:
            path = f"{API}/sessions/{id_}/attachments/{one['id']}/get"
            reply = await post(client, path, IDS_BEARER, resultsAccessKey=key)
            assert (reply.status, one.get("hpkeEncrypted")) in ((200, None), (200, False))
            types.add(one["type"])
    assert {"document_scan_report", "document_signature", "passport_chip_photo"} <= types
    assert set(RESULTS_KEYS) == set(box.trinsic.sessions) > set(DEMO_SESSIONS)
    for _ in range(2):
        for line in access_keys_text().splitlines()[1:]:
            status = (await exchange(client, line.split()[0])).status
            assert status == (202 if line == KEY_WAITING else 200)
    assert later_keys_text().split() == [KEY_LATER, "selfie", f"session={SESSION}"]
    assert (await exchange(client, KEY_LATER, ATTACHMENT, sessionId=SESSION)).status == 200
    assert [(await exchange(client, KEY_ONCE)).status for _ in range(2)] == [200, 400]


def test_sample_is_deterministic() -> None:
    """Two sandboxes hold the same sessions, attachments, keys and times."""

    def shown() -> list[Any]:
        box = Sandbox()
        sample(box)
        files = [(one.id, one.content.sha256) for entry in box.trinsic.sessions.values() for one in entry.attachments]
        return [files, list(box.trinsic.keys), box.trinsic.now, [repr(one) for one in box.trinsic.sessions.values()]]

    assert shown() == shown()

"""Sessions, results and attachments of the emulated Trinsic (specs/trinsic.md 1.2 to 1.8, 4)."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from attachsync.sandbox import Fault, Sandbox
from attachsync.sandbox.content import Grown, Held
from attachsync.sandbox.rate import RateLimit
from attachsync.sandbox.trinsic_body import Base64Json
from attachsync.sandbox.trinsic_records import Session

from .conftest import Client, Reply

API = "/trinsic/api/v1"
TOKEN = {"Authorization": "Bearer ids"}
JPEG = bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffd9")
ID = "678c1ff6-2178-49e7-81d2-548afb6f85ec"


@pytest.fixture
def session(box: Sandbox) -> Session:
    """Return a session that is done, in a sandbox that knows the token."""
    box.trinsic.add_token("ids")
    return box.trinsic.add_session(ID, "rak_abc")


async def post(client: Client, path: str, body: Any, **headers: str) -> Reply:
    """POST JSON with the token."""
    return await client.call("POST", API + path, json=body, headers=TOKEN | headers)


async def results(client: Client, id_: str = ID, key: str = "rak_abc") -> Reply:
    """Ask for the results of a session."""
    return await post(client, f"/sessions/{id_}/results", {"resultsAccessKey": key})


async def fetch(client: Client, attachment: str, key: str = "rak_abc", **headers: str) -> Reply:
    """Ask for one attachment of the session."""
    return await post(client, f"/sessions/{ID}/attachments/{attachment}/get", {"resultsAccessKey": key}, **headers)


async def test_attachment(box: Sandbox, client: Client, session: Session) -> None:
    """Results list an attachment; its content comes as base64 in JSON, as in the vector."""
    added = box.trinsic.add_attachment(session, "document_front", JPEG)
    found = (await results(client)).json
    assert found["session"]["done"] is True
    listed = {"id": added.id, "type": "document_front", "contentType": "image/jpeg", "sizeBytes": 22}
    assert found["identityData"]["attachments"] == [listed]
    reply = await fetch(client, added.id)
    assert reply.text == '{"content":"/9j/4AAQSkZJRgABAQAAAQABAAD/2Q==","contentType":"image/jpeg"}'
    assert reply.headers["Content-Type"] == "application/json; charset=utf-8"
    assert added.fetches == 1


async def test_pending_then_done_then_failed(box: Sandbox, client: Client, session: Session) -> None:
    """Identity data is null while pending and after a failure, and each move shows in `updated`."""
    box.trinsic.add_attachment(session, "selfie", JPEG)
    seen = []
    moves: list[Callable[[], None]] = [
        lambda: box.trinsic.reopen(session),
        lambda: box.trinsic.finish(session),
        lambda: box.trinsic.finish(session, "SomethingNew"),
    ]
    for move in moves:
        move()
        found = (await results(client)).json
        one = found["session"]
        seen.append((one["done"], one["success"], one["errorCode"], found["identityData"] is None, one["updated"]))
    assert [entry[:4] for entry in seen] == [
        (False, False, None, True),
        (True, True, None, False),
        (True, False, "SomethingNew", True),
    ]
    assert seen[0][4] < seen[1][4] < seen[2][4]


async def test_tokens(box: Sandbox, client: Client, session: Session) -> None:
    """Unknown tokens and other schemes are 401, forbidden ones 403, and revoked ones 401."""
    box.trinsic.add_token("denied", allowed=False)
    for value, status in (("", 401), ("ids", 401), ("Basic ids", 401), ("Bearer x", 401), ("Bearer denied", 403)):
        headers = {"Authorization": value} if value else {}
        reply = await client.call("GET", f"{API}/sessions/{ID}", headers=headers)
        assert (reply.status, reply.json["status"]) == (status, status)
        assert reply.headers["Content-Type"].startswith("application/problem+json")
    assert (await client.call("GET", f"{API}/sessions/{ID}", headers=TOKEN)).json["session"]["id"] == ID
    box.trinsic.revoke_tokens()
    assert (await client.call("GET", f"{API}/sessions/{ID}", headers=TOKEN)).status == 401


async def test_what_is_refused(box: Sandbox, client: Client, session: Session) -> None:
    """Ids must be UUIDs that exist; the body must be JSON with a key that is right."""
    added = box.trinsic.add_attachment(session, "selfie", JPEG)
    other = "00000000-0000-4000-8000-000000000000"
    assert [(await results(client, id_)).status for id_ in ("x", other)] == [400, 404]
    assert [(await results(client, ID, key)).status for key in ("", "wrong")] == [400, 400]
    assert [(await fetch(client, id_)).status for id_ in ("x", other)] == [400, 404]
    assert (await fetch(client, added.id, "wrong")).status == 400
    assert (await post(client, f"/sessions/{ID}/results", [])).status == 400
    wrong = await client.call("POST", f"{API}/sessions/{ID}/results", data=b"x", headers=TOKEN)
    assert wrong.status == 415
    missing = (await post(client, f"/sessions/{ID}/results", {})).json
    assert missing["errors"] == {"ResultsAccessKey": ["The ResultsAccessKey field is required."]}
    box.trinsic.wrong_results_key_status = 403
    assert (await results(client, key="wrong")).status == 403
    assert (await client.call("DELETE", f"{API}/sessions/{ID}", headers=TOKEN)).status == 404


@pytest.mark.parametrize(("status", "kind"), [(202, ""), (503, "text/plain"), (404, "text/plain"), (200, "")])
async def test_not_ready(box: Sandbox, client: Client, session: Session, status: int, kind: str) -> None:
    """Content that is not there yet is told in any of four ways; then it comes."""
    box.trinsic.current.not_ready = status
    added = box.trinsic.add_attachment(session, "selfie", JPEG, ready=False)
    reply = await fetch(client, added.id)
    assert reply.status == status
    if status == 200:
        assert reply.json == {"content": "", "contentType": "image/jpeg"}
    elif status == 202:
        assert (reply.headers["Content-Length"], reply.headers.get("Content-Type")) == ("0", None)
    assert kind in reply.headers.get("Content-Type", "")
    added.ready = True
    assert base64.b64decode((await fetch(client, added.id)).json["content"]) == JPEG


async def test_encrypted(box: Sandbox, client: Client, session: Session) -> None:
    """An HPKE attachment has no content; an HPKE session has no identity data."""
    added = box.trinsic.add_attachment(session, "selfie", JPEG, hpke=True)
    assert (await results(client)).json["identityData"]["attachments"][0]["hpkeEncrypted"] is True
    encrypted = {"content": "", "contentType": "image/jpeg", "encryptedContent": "b3BhcXVl"}
    assert (await fetch(client, added.id)).json == encrypted
    session.hpke = True
    found = (await results(client)).json
    assert (found["identityData"], found["encryptedIdentityData"]) == (None, "b3BhcXVl")
    assert (await fetch(client, added.id)).status == 404


async def test_damaged(box: Sandbox, client: Client, session: Session) -> None:
    """A stated size, content that is no base64, and a list that is null or missing, can be set."""
    box.trinsic.add_attachment(session, "selfie", JPEG, stated_size=99)
    bad = box.trinsic.add_attachment(session, "passport_chip_photo", JPEG, text="=*")
    assert [one["sizeBytes"] for one in (await results(client)).json["identityData"]["attachments"]] == [99, 22]
    assert (await fetch(client, bad.id)).json["content"] == "=*"
    session.form = "null"
    assert (await results(client)).json["identityData"]["attachments"] is None
    session.form = "missing"
    assert "attachments" not in (await results(client)).json["identityData"]
    box.trinsic.remove_attachment(session, bad)
    assert (await fetch(client, bad.id)).status == 404


async def test_redaction(box: Sandbox, client: Client, session: Session) -> None:
    """Redaction empties a session, by request or by the clock; what is answered then is a setting."""
    added = box.trinsic.add_attachment(session, "selfie", JPEG)
    assert (await client.call("POST", f"{API}/sessions/{ID}/redact", headers=TOKEN)).body == b""
    assert (await results(client)).json["identityData"] is None
    assert (await fetch(client, added.id)).status == 404
    for status in (400, 404, 410):
        box.trinsic.redacted_status = status
        assert {(await results(client)).status, (await fetch(client, added.id)).status} == {status}
    second = box.trinsic.add_session()
    box.trinsic.advance(30 * 86400)
    assert second.redacted


async def test_expiry(box: Sandbox, client: Client, session: Session) -> None:
    """A pending session expires by the clock, and so does a results key."""
    pending = box.trinsic.add_session(done=False, expires_in=60)
    box.trinsic.advance(59)
    assert not pending.done
    box.trinsic.advance(1)
    assert (await results(client, pending.id, pending.results_key)).json["session"]["errorCode"] == "Expired"
    session.key_expires = box.trinsic.now
    assert (await results(client)).status == 400


async def test_forms_of_the_reply(box: Sandbox, client: Client, session: Session) -> None:
    """The JSON may be escaped, ordered otherwise, of another type, and hold more than is documented."""
    added = box.trinsic.add_attachment(session, "selfie", JPEG)
    box.trinsic.escaped_base64 = box.trinsic.type_first = True
    box.trinsic.extra = {"future": [1]}
    reply = await fetch(client, added.id, Accept="text/json")
    assert reply.headers["Content-Type"] == "text/json; charset=utf-8"
    assert reply.text.startswith(r'{"contentType":"image/jpeg","content":"\/9j\/4AA')
    assert int(reply.headers["Content-Length"]) == len(reply.body)
    assert base64.b64decode(reply.json["content"]) == JPEG
    found = (await results(client)).json
    assert found["identityData"]["attachments"][0]["future"] == found["session"]["future"] == [1]
    box.trinsic.json_type = "text/plain"
    assert (await fetch(client, added.id)).headers["Content-Type"] == "text/plain"


@pytest.mark.parametrize("size", [0, 1, 2, 3, (1 << 18) - 1, (1 << 18) + 1, 800_001])
@pytest.mark.parametrize("escaped", [False, True])
def test_base64_in_pieces(size: int, escaped: bool) -> None:
    """The lazily made JSON is the one that json.dumps would make, with its size and hash."""
    content = Grown(size, "s")
    made = Base64Json(content, b'{"content":"', b'"}', escaped)
    body = b"".join(made.chunks())
    assert (made.size, made.sha256) == (len(body), Held(body).sha256)
    assert base64.b64decode(json.loads(body)["content"]) == b"".join(content.chunks())


async def test_lists(box: Sandbox, client: Client, session: Session) -> None:
    """Sessions come by pages and order, without their keys; wrong parameters are 400."""
    second = box.trinsic.add_session(error_code="Canceled")
    third = box.trinsic.add_session(done=False)
    box.trinsic.finish(session)
    base = f"{API}/verification-profiles/{session.profile}/sessions?OrderBy=Updated&OrderDirection=Descending"
    first = (await client.get(f"{base}&PageSize=2&Page=1", headers=TOKEN)).json
    assert [one["id"] for one in first["sessions"]] == [ID, third.id]
    assert (first["total"], first["more"]) == (3, True)
    last = (await client.get(f"{base}&PageSize=2&Page=2", headers=TOKEN)).json
    assert ([one["id"] for one in last["sessions"]], last["more"]) == ([second.id], False)
    assert "rak_abc" not in json.dumps(first)
    for wrong in ("PageSize=51", "PageSize=x", "Page=0", "OrderBy=updated", "OrderDirection=Up"):
        assert (await client.get(f"{API}/sessions?{wrong}", headers=TOKEN)).status == 400
    assert (await client.get(f"{API}/sessions/list", headers=TOKEN)).json["total"] == 3
    profiles = await client.get("/trinsic/api/valpha/verification-profiles?page=1&pageSize=100", headers=TOKEN)
    assert [one["id"] for one in profiles.json["verificationProfiles"]] == [session.profile]


async def test_limit_and_faults(box: Sandbox, client: Client, session: Session) -> None:
    """Beyond a limit comes 429 with Retry-After; faults meet this service as any other."""
    box.trinsic.rate_limit = RateLimit(0, 3.0, clock=lambda: 0.0)
    reply = await results(client)
    assert (reply.status, reply.headers["Retry-After"]) == (429, "4")
    box.trinsic.rate_limit = None
    box.faults.add(Fault(path="*/results", kind="status", status=503, times=1))
    assert [(await results(client)).status for _ in range(2)] == [503, 200]


async def test_over_http(box: Sandbox, client: Client, session: Session) -> None:
    """Everything that moves can be moved over HTTP."""

    async def act(noun: str, **body: Any) -> Any:
        reply = await client.call("POST", f"/_sandbox/trinsic/{noun}", json=body)
        return reply.json if reply.status == 200 else reply.status

    made = await act("sessions", done=False, results_key="rak_new")
    one = await act("attachments", session=made["session"], kind="selfie", text="hi", media_type="text/plain")
    assert one["sha256"] == Held(b"hi").sha256
    found = box.trinsic.sessions[made["session"]]
    for status, shown in (("success", True), ("failed", False), ("pending", False), ("redacted", False)):
        assert await act("status", session=found.id, status=status, error_code="Other") == {}
        assert found.success is shown
    assert found.redacted
    await act("ready", attachment=one["attachment"], ready=False)
    assert not found.attachments[0].ready
    key = (await act("keys", size=9, uses=None, ready=False))["key"]
    await act("ready", key=key, revoked=True)
    assert (box.trinsic.keys[key].revoked, box.trinsic.keys[key].attachment.ready) == (True, True)
    now = box.trinsic.now
    assert await act("clock", advance=5) == {"now": now + 5}
    await act("tokens", revoke=True, add="new")
    assert box.trinsic.allows("ids") is None
    assert box.trinsic.allows("new")
    await act("generation", generation="B2")
    assert box.trinsic.generation == "B2"
    assert await act("generation", generation="D") == 400
    await act("status", session=found.id, status="removed")
    assert found.id not in box.trinsic.sessions

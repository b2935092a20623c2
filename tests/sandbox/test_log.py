"""The log of requests, and the sandbox's own routes."""

from __future__ import annotations

import asyncio
from typing import Any

from attachsync.sandbox import Fault, Sandbox

from .conftest import BEARER, Client

ASSETS = "/datatrails/archivist/v2/assets"
JSON_HEADERS = {**BEARER, "Content-Type": "application/json"}


async def test_entry(box: Sandbox, client: Client) -> None:
    """An entry has method, path, query pairs, status and size, and no secret."""
    answer = await client.get(f"{ASSETS}?page_size=1&tracked=ANY")
    entry = box.requests[-1]
    assert (entry.method, entry.path, entry.status) == ("GET", ASSETS, 200)
    assert entry.query == (("page_size", "1"), ("tracked", "ANY"))
    assert entry.headers["Authorization"] == "Bearer (valid)"
    assert entry.body_bytes_sent == len(answer.body)


async def test_authorization_that_is_not_valid(box: Sandbox, client: Client) -> None:
    """The log says that credentials were not valid, and still hides them."""
    await client.get(ASSETS, headers={"Authorization": "Bearer nobody-knows"})
    assert box.requests[-1].headers["Authorization"] == "Bearer (not valid)"


async def test_count_and_forget(box: Sandbox, client: Client) -> None:
    """Counting takes globs; forgetting starts anew."""
    await client.get(ASSETS)
    await client.get(f"{ASSETS}/-/events")
    assert (box.count(), box.count("GET", "*/events"), box.count("POST")) == (2, 1, 0)
    box.forget()
    assert (box.count(), len(box.requests), box.requests.arrived()) == (0, 0, 0)


async def test_until_and_most_open(box: Sandbox, client: Client) -> None:
    """A test can wait for requests that are not answered yet, and read how many were open at once."""
    box.faults.add(Fault(path="*", kind="hang"))
    tasks = [asyncio.create_task(client.get(ASSETS)) for _ in range(3)]
    await box.requests.until(3, path=ASSETS)
    assert box.requests.most_open == 3
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_faults_over_http(box: Sandbox, client: Client) -> None:
    """Faults can be added and removed over HTTP; a wrong one is explained."""
    added = await client.call("POST", "/_sandbox/faults", json=[{"path": ASSETS, "kind": "status", "status": 503}])
    assert added.json == {"added": 1}
    assert (await client.get(ASSETS)).status == 503
    await client.call("DELETE", "/_sandbox/faults")
    assert (await client.get(ASSETS)).status == 200
    wrong = await client.call("POST", "/_sandbox/faults", json={"path": ASSETS, "kind": "no"})
    assert wrong.status == 400
    assert "no fault of kind" in wrong.json["error"]
    for impossible in (
        *({"status": 99}, {"status": "x"}, {"size": 0}, {"headers": {"X": 1}}, {"headers": {"X": "a\nb"}}),
        *({"times": "x"}, {"method": None}, {"query": 1}, {"body": 5}, {"path": 5}, {"size": 1e10}, {"after": True}),
    ):
        fault = {"path": ASSETS, "kind": "drip", **impossible}
        assert (await client.call("POST", "/_sandbox/faults", json=fault)).status == 400
    assert (await client.get(ASSETS)).status == 200


async def test_requests_over_http(client: Client) -> None:
    """The log can be read and cleared over HTTP, and does not contain these calls."""
    await client.get(ASSETS)
    entries = (await client.public("/_sandbox/requests")).json
    assert [entry["path"] for entry in entries] == [ASSETS]
    await client.call("DELETE", "/_sandbox/requests")
    assert (await client.public("/_sandbox/requests")).json == []


async def test_data_over_http(box: Sandbox, client: Client) -> None:
    """Assets, events with an attachment, scans and tokens can be added over HTTP."""

    async def post(noun: str, body: dict[str, object]) -> dict[str, Any]:
        answer = await client.call("POST", f"/_sandbox/{noun}", json=body)
        assert answer.status == 200, answer.text
        found: dict[str, Any] = answer.json
        return found

    asset = await post("datatrails/assets", {"attributes": {"a": "b"}})
    attachment = {"text": "hello", "file_name": "hello.txt", "key": "note"}
    event = await post("datatrails/events", {"asset": asset["identity"], "attachment": attachment})
    blob = event["blob"].partition("/")[2]
    scanned = await post("datatrails/scans", {"blob": event["blob"], "status": "SCANNED_BAD", "reason": "x"})
    assert scanned["scanned_status"] == "SCANNED_BAD"
    assert (await client.get(f"/datatrails/archivist/v2/attachments/{event['identity']}/{blob}")).status == 400
    await post("datatrails/tokens", {"revoke": True, "add": "second"})
    assert (await client.get(ASSETS)).status == 401
    assert (await client.get(ASSETS, headers={"Authorization": "Bearer second"})).status == 200
    grown = await post("rkvst/blobs", {"size": 3, "seed": "s"})
    assert grown["size"] == 3
    assert (await client.call("POST", "/_sandbox/datatrails/events", json={"asset": "none"})).status == 400


async def test_messages_over_http(full: Sandbox, client: Client) -> None:
    """Messages, with a text or a file, can be added over HTTP."""
    conversation = min(full.sunshine.conversations)
    for extra in ({"text": "hi"}, {"file": {"text": "data", "name": "a.txt"}}):
        answer = await client.call("POST", "/_sandbox/sunshine/messages", json={"conversation": conversation, **extra})
        assert answer.status == 200
    text, file = full.sunshine.messages(conversation)[-2:]
    assert (text["content"]["text"], file["content"]["mediaSize"]) == ("hi", 4)


async def test_unknown_route_is_the_services_own_404(client: Client) -> None:
    """What a service does not have is refused in its shape; HEAD does not exist."""
    assert (await client.get("/datatrails/nothing")).json["code"] == 5
    assert (await client.get("/sunshine/nothing")).json["errors"][0]["code"] == "not_found"
    assert (await client.call("HEAD", ASSETS, headers=BEARER)).status == 404
    at_the_root = ASSETS.removeprefix("/datatrails")
    for method, path in (("GET", "/archivist/v2/nope"), ("GET", f"{at_the_root}/"), ("PUT", at_the_root)):
        refused = await client.call(method, path, headers=BEARER)
        assert (refused.status, refused.json["code"]) == (404, 5)


async def test_lists_without_end_are_each_services_own_400(box: Sandbox, client: Client) -> None:
    """JSON that is too deep to be read."""
    box.trinsic.add_token("known")
    for path in ("/archivist/v2/assets", "/trinsic/api/v1/attachments/exchange"):
        deep = await client.call("POST", path, data=b"[" * 100_000, headers=JSON_HEADERS)
        assert deep.status == 400

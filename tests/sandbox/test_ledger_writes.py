"""Assets and events created over HTTP (specs/datatrails.md 1.3, 3)."""

from __future__ import annotations

from typing import Any

import pytest

from attachsync.sandbox import Sandbox

from .conftest import BEARER, Client, Reply

ASSETS = "/datatrails/archivist/v2/assets"
RECORD: dict[str, Any] = {"operation": "Record", "behaviour": "RecordEvidence"}


async def post(client: Client, path: str, body: object) -> Reply:
    """POST a JSON body."""
    return await client.call("POST", path, json=body, headers=BEARER)


async def test_event_is_pending_first(box: Sandbox, client: Client) -> None:
    """The answer is pending with blank fields; a read right after shows the event committed."""
    asset = box.datatrails.add_asset()
    body = {**RECORD, "event_attributes": {"a": "b"}, "asset_attributes": {"c": "d"}}
    made = (await post(client, f"{ASSETS}/{asset.uuid}/events", body)).json
    assert (made["confirmation_status"], made["tenant_identity"]) == ("PENDING", "")
    assert made["timestamp_committed"] == "1970-01-01T00:00:00Z"
    read = (await client.get(f"{ASSETS[:-7]}/{made['identity']}")).json
    assert (read["confirmation_status"], read["event_attributes"]) == ("COMMITTED", {"a": "b"})
    assert asset.attributes == {"c": "d"}


@pytest.mark.parametrize("body", [{"behaviours": 5}, {"behaviours": [{}]}, {"attributes": {"\ud800": "x"}}])
async def test_assets_that_make_no_sense_are_refused(box: Sandbox, client: Client, body: dict[str, Any]) -> None:
    """Half of a pair of surrogates is no text, though JSON can hold it."""
    before = len(box.datatrails.assets)
    assert (await post(client, ASSETS, body)).status == 400
    assert len(box.datatrails.assets) == before


async def test_event_that_stays_pending(box: Sandbox, client: Client) -> None:
    """With auto_confirm off a created event waits for the test to confirm it."""
    box.datatrails.auto_confirm = False
    asset = box.datatrails.add_asset()
    await post(client, f"{ASSETS}/{asset.uuid}/events", {**RECORD, "asset_attributes": {"c": "d"}})
    assert asset.attributes == {}
    box.datatrails.confirm(asset.events[-1])
    assert asset.attributes == {"c": "d"}


async def test_tracking_and_declared(box: Sandbox, client: Client) -> None:
    """Untracking is an event; time and principal can be declared."""
    asset = box.datatrails.add_asset()
    path = f"{ASSETS}/{asset.uuid}/events"
    assert (await post(client, path, {"operation": "StopTracking", "behaviour": "Builtin"})).status == 200
    assert not asset.tracked
    declared = {"timestamp_declared": "2019-11-27T14:44:19Z", "principal_declared": {"display_name": "me"}}
    made = (await post(client, path, {**RECORD, **declared})).json
    assert made["timestamp_declared"] == "2019-11-27T14:44:19Z"
    assert made["principal_declared"] == {"issuer": "", "subject": "", "display_name": "me", "email": ""}
    assert made["timestamp_accepted"] == "2025-01-06T09:00:03Z"


async def test_asset(box: Sandbox, client: Client) -> None:
    """A created asset is pending first, and has its creation as its first event."""
    made = (
        await post(client, ASSETS, {"behaviours": ["RecordEvidence"], "attributes": {"a": "b"}, "public": True})
    ).json
    assert (made["confirmation_status"], made["attributes"], made["public"]) == ("PENDING", {"a": "b"}, True)
    asset = box.datatrails.assets[made["identity"].partition("/")[2]]
    assert [event.operation for event in asset.events] == ["NewAsset"]
    assert asset.confirmation_status == "COMMITTED"


@pytest.mark.parametrize(
    "body",
    [
        [],
        {"colour": "red"},
        {**RECORD, "operation": "Destroy"},
        {**RECORD, "event_attributes": {"a.b": "c"}},
        {**RECORD, "event_attributes": {"": "c"}},
        {**RECORD, "event_attributes": {"n": 1}},
        {**RECORD, "event_attributes": {"n": {"a": {"b": "c"}}}},
        {**RECORD, "event_attributes": {"n": ["text"]}},
        {**RECORD, "event_attributes": {"long": "x" * 4097}},
        {**RECORD, "event_attributes": {str(n): "x" * 4096 for n in range(13)}},
        {**RECORD, "timestamp_declared": "yesterday"},
        {**RECORD, "principal_declared": {"a": 1}},
    ],
)
async def test_refused_events(box: Sandbox, client: Client, body: object) -> None:
    """What breaks the limits of attributes, or is no event, is refused with code 3."""
    asset = box.datatrails.add_asset()
    reply = await post(client, f"{ASSETS}/{asset.uuid}/events", body)
    assert (reply.status, reply.json["code"], len(asset.events)) == (400, 3, 1)


async def test_body_that_is_not_json(client: Client) -> None:
    """A body that is not JSON is refused; an event needs an asset."""
    assert (await client.call("POST", ASSETS, data=b"{", headers=BEARER)).json["code"] == 3
    assert (await post(client, f"{ASSETS}/c04d5ecf-02e0-4be2-a014-ffbbf0e8ddeb/events", RECORD)).status == 404
    assert (await post(client, ASSETS, {"public": "yes"})).status == 400

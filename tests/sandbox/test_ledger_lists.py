"""Lists of the emulated ledger: order, pages, counts and filters (specs/datatrails.md 1.2 to 1.5)."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from attachsync.sandbox import Sandbox

from .conftest import BEARER, Client

V2 = "/datatrails/archivist/v2"
ASSETS = f"{V2}/assets"
EVENTS = f"{V2}/assets/-/events"


@pytest.fixture
def three(box: Sandbox) -> list[str]:
    """Return the identities of three assets, the oldest first."""
    kinds = ("door", "light", "door")
    return [box.datatrails.add_asset({"kind": kind, "n": str(n)}).identity for n, kind in enumerate(kinds)]


async def names(client: Client, query: str, path: str = ASSETS) -> list[str]:
    """Return the identities on one page."""
    reply = await client.get(f"{path}{query}")
    assert reply.status == 200, reply.text
    return [row["identity"] for row in reply.json[path.rpartition("/")[2]]]


async def test_newest_first_with_envelope(client: Client, three: list[str]) -> None:
    """Lists begin with the newest; the last page's token is empty; the total is in a header."""
    reply = await client.get(ASSETS)
    assert [row["identity"] for row in reply.json["assets"]] == three[::-1]
    assert reply.json["next_page_token"] == ""
    assert reply.headers["X-Total-Count"] == "3"
    assert reply.headers["Content-Type"] == "application/json; charset=utf-8"


async def test_token_alone_keeps_the_filters(client: Client, three: list[str]) -> None:
    """A token alone (the SDK's style) and a token with the whole query both continue the list."""
    first = (await client.get(f"{ASSETS}?attributes.kind=door&page_size=1")).json
    assert first["assets"][0]["identity"] == three[2]
    token = first["next_page_token"].replace("=", "%3D").replace("+", "%2B")
    for query in (f"?page_token={token}&page_size=1", f"?attributes.kind=door&page_size=1&page_token={token}"):
        assert await names(client, query) == [three[0]]
    other = await client.get(f"{ASSETS}?attributes.kind=light&page_token={token}")
    assert (other.status, other.json["code"]) == (400, 3)


async def test_token_is_base64_json_with_an_offset(client: Client, three: list[str]) -> None:
    """The token has the shape of the documented example."""
    token = (await client.get(f"{ASSETS}?page_size=2")).json["next_page_token"]
    assert json.loads(base64.b64decode(token)) == {"orig_req": {"page_size": 2}, "skip": 2}
    assert token == "eyJvcmlnX3JlcSI6eyJwYWdlX3NpemUiOjJ9LCJza2lwIjoyfQ=="
    assert (await client.get(f"{ASSETS}?page_token=bm8=")).status == 400
    assert three


async def test_offset_paging_shifts_with_new_rows(box: Sandbox, client: Client, three: list[str]) -> None:
    """A row inserted between two pages shows the last row of the first page again."""
    token = (await client.get(f"{ASSETS}?page_size=1")).json["next_page_token"]
    box.datatrails.add_asset()
    assert await names(client, f"?page_size=1&page_token={token.replace('=', '%3D')}") == [three[2]]


async def test_partial_content_beyond_the_servers_limit(box: Sandbox, client: Client, three: list[str]) -> None:
    """More rows than the server's limit give 206 with a range, and still a token."""
    box.datatrails.page_limit = 2
    reply = await client.get(ASSETS)
    assert (reply.status, reply.headers["Content-Range"]) == (206, "items 0-2/3")
    assert len(reply.json["assets"]) == 2
    assert reply.json["next_page_token"]
    assert (await client.get(f"{ASSETS}?page_size=2")).status == 200
    assert (await client.get(f"{ASSETS}?page_size=500")).status == 206
    assert three


async def test_tracked_default_hides_untracked(box: Sandbox, client: Client, three: list[str]) -> None:
    """Untracked assets are only in lists that ask for them, and always there by id."""
    box.datatrails.track(box.datatrails.assets[three[1].partition("/")[2]], False)
    assert await names(client, "") == [three[2], three[0]]
    assert await names(client, "?tracked=NOT_TRACKED") == [three[1]]
    assert await names(client, "?tracked=ANY") == three[::-1]
    assert (await client.get(f"{V2}/{three[1]}")).json["tracked"] == "NOT_TRACKED"


FILTERS: list[tuple[str, list[int]]] = [
    ("attributes.kind=door", [2, 0]),
    ("attributes.kind=*", [2, 1, 0]),
    ("attributes.missing=*", []),
    ("attributes.missing!=*", [2, 1, 0]),
    ("attributes.kind!=*", []),
    ("attributes.kind=door&attributes.n=2", [2]),
    ("filters=attributes.n=0 OR attributes.n='1'", [1, 0]),
    ("filters=attributes.n=0 or attributes.n=1&filters=attributes.kind=light", [1]),
    ("event_attributes.kind=nothing", [2, 1, 0]),
    ("privacy=PUBLIC", []),
    ("confirmation_status=CONFIRMED", [2, 1, 0]),
]


@pytest.mark.parametrize(("query", "expected"), FILTERS)
async def test_filters_of_assets(client: Client, three: list[str], query: str, expected: list[int]) -> None:
    """Dotted attribute filters, presence, absence, `filters`, and what is silently ignored."""
    assert await names(client, f"?{query.replace(' ', '%20')}") == [three[n] for n in expected]


async def test_nested_filters(box: Sandbox, client: Client) -> None:
    """Fields of dicts, and of dicts in lists, can be asked for."""
    image: dict[str, str] = {"arc_blob_hash_value": "ab"}
    found = box.datatrails.add_asset({"arc_primary_image": image, "arc_attachments": [{"arc_hash_value": "cd"}]})
    for query in (
        "attributes.arc_primary_image.arc_blob_hash_value=ab",
        "attributes.arc_attachments[].arc_hash_value=cd",
    ):
        assert await names(client, f"?{query}") == [found.identity]
    assert await names(client, "?attributes.arc_attachments.arc_hash_value=cd") == []


@pytest.mark.parametrize(
    "query",
    [
        "foo=1",
        "updated_since=2024-01-01T00:00:00Z",
        ".kind=a",
        "attributes.=a",
        "attributes..k=a",
        "page_size=-1",
        "page_size=x",
        "tracked=YES",
        "filters=nonsense",
        "filters=foo.a=b",
    ],
)
async def test_bad_parameters_of_assets(client: Client, query: str) -> None:
    """Unknown parameters and values are refused with code 3."""
    reply = await client.get(f"{ASSETS}?{query}")
    assert (reply.status, reply.json["code"]) == (400, 3)
    if query == "foo=1":
        assert reply.json["message"] == "invalid query parameter not in proto: foo"


@pytest.fixture
def seconds(box: Sandbox) -> list[str]:
    """Return the identities of events accepted in seconds 1, 2, 2 and 3 of a minute, the oldest first."""
    asset = box.datatrails.add_asset({"kind": "door"})
    return [
        box.datatrails.add_event(asset, {"n": str(n)}, {"m": "x"}, f"2025-02-01T00:00:0{second}Z").identity
        for n, second in enumerate((1, 2, 2, 3))
    ]


TIMES: list[tuple[str, list[int]]] = [
    ("timestamp_accepted_since=2025-02-01T00:00:02Z", [3]),
    ("timestamp_accepted_since=2025-02-01T00:00:01Z", [3, 2, 1]),
    ("timestamp_accepted_before=2025-02-01T00:00:02Z&timestamp_accepted_since=2025-01-31T00:00:00Z", [0]),
    ("timestamp_accepted_since=2025-02-01T01:00:01%2B01:00", [3, 2, 1]),
    ("event_attributes.n=*", [3, 2, 1, 0]),
    ("event_attributes.n=1", [1]),
    ("asset_attributes.m=x", [3, 2, 1, 0]),
    ("asset.attributes.kind=door&operation=Record", [3, 2, 1, 0]),
    ("attributes.n=1&operation=Record", [3, 2, 1, 0]),
    ("minimum_trust=CONFIRMED&operation=Record", [3, 2, 1, 0]),
    ("minimum_trust=UNEQUIVOCAL", []),
    ("order_by=SIMPLEHASHV1&operation=Record", [0, 1, 2, 3]),
    ("principal_accepted.issuer=nobody", []),
    ("principal_declared.display_name=my-integration&operation=Record", [3, 2, 1, 0]),
]


@pytest.mark.parametrize(("query", "expected"), TIMES)
async def test_filters_of_events(client: Client, seconds: list[str], query: str, expected: list[int]) -> None:
    """Times are strict; attributes.* means nothing here and is ignored."""
    assert await names(client, f"?{query}", EVENTS) == [seconds[n] for n in expected]


@pytest.mark.parametrize(
    "query",
    [
        "timestamp_accepted_since=2025-02-01",
        "timestamp_accepted_after=2025-02-01T00:00:00Z",
        "minimum_trust=MUCH",
        "timestamp_accepted_since=2025-02-01T01:00:01+01:00",
    ],
)
async def test_bad_parameters_of_events(client: Client, query: str) -> None:
    """A time that is none, an unknown parameter, an unescaped plus."""
    assert (await client.get(f"{EVENTS}?{query}")).json["code"] == 3


async def test_uuid_of_an_events_list(box: Sandbox, client: Client) -> None:
    """The uuid must be of version 4; the list of an unknown asset is empty."""
    assert (await client.get(f"{ASSETS}/c04d5ecf-02e0-1be2-a014-ffbbf0e8ddeb/events")).json["code"] == 3
    unknown = await client.get(f"{ASSETS}/c04d5ecf-02e0-4be2-a014-ffbbf0e8ddeb/events")
    assert unknown.json == {"events": [], "next_page_token": ""}
    assert box.count(path=EVENTS) == 0


async def test_wildcard_and_untracked(box: Sandbox, client: Client) -> None:
    """Whether the wildcard shows events of untracked assets is not known: both can be had."""
    box.datatrails.add_asset(tracked=False)
    assert len((await client.get(EVENTS)).json["events"]) == 2
    box.datatrails.wildcard_untracked = False
    assert (await client.get(EVENTS)).json["events"] == []


async def test_nobody_sees_anything_without_a_policy(box: Sandbox, client: Client, three: list[str]) -> None:
    """A token that no policy names gets empty lists, and 403 by id."""
    box.datatrails.add_token("new", sees=False)
    headers = {"Authorization": "Bearer new"}
    assert (await client.get(ASSETS, headers=headers)).json == {"assets": [], "next_page_token": ""}
    assert (await client.get(f"{V2}/{three[0]}", headers=headers)).json["code"] == 7


async def test_hidden_asset_and_withheld_attribute(box: Sandbox, client: Client, three: list[str]) -> None:
    """A policy change hides an asset (403 or 404 by id) or one attribute of it."""
    asset = box.datatrails.assets[three[0].partition("/")[2]]
    box.datatrails.withhold(asset, "n")
    assert (await client.get(f"{V2}/{three[0]}")).json["attributes"] == {"kind": "door"}
    box.datatrails.hide(asset)
    assert await names(client, "") == [three[2], three[1]]
    assert (await client.get(f"{V2}/{three[0]}")).status == 403
    box.datatrails.hide(asset, 404)
    assert (await client.get(f"{V2}/{three[0]}")).status == 404


async def test_key_order_changes_between_reads(box: Sandbox, client: Client) -> None:
    """Attributes come in another order each time; the records are equal nevertheless."""
    asset = box.datatrails.add_asset({f"key{n}": str(n) for n in range(20)})
    texts = [(await client.get(f"{V2}/{asset.identity}")).text for _ in range(4)]
    assert len(set(texts)) == 4
    assert all(json.loads(text) == json.loads(texts[0]) for text in texts)


async def test_asset_record(box: Sandbox, client: Client) -> None:
    """An asset has every field of the documented record, unpopulated ones included."""
    asset = box.datatrails.add_asset({"a": "1"})
    box.datatrails.add_event(asset, {}, {"a": "2"})
    record = (await client.get(f"{V2}/{asset.identity}")).json
    fields = "identity behaviours attributes confirmation_status tracked owner at_time proof_mechanism chain_id public"
    assert list(record) == [*fields.split(), "tenant_identity"]
    assert (record["attributes"], record["owner"], record["public"]) == ({"a": "2"}, "", False)
    then = await client.get(f"{V2}/{asset.identity}?at_time=2025-01-06T09:00:01Z")
    assert then.json["attributes"] == {"a": "1"}
    assert (await client.get(f"{V2}/{asset.identity}?at_time=2025-01-06T09:00:00Z")).status == 404


async def test_event_record(box: Sandbox, client: Client) -> None:
    """Numbers outside the log entry are numbers, inside they are strings; not committed is 1970."""
    asset = box.datatrails.add_asset()
    pending = box.datatrails.add_event(asset, {}, {"late": "yes"}, confirmation_status="PENDING")
    record = (await client.get(f"{V2}/{pending.identity}")).json
    assert (record["timestamp_committed"], record["tenant_identity"], record["block_number"]) == (
        "1970-01-01T00:00:00Z",
        "",
        0,
    )
    assert record["merklelog_entry"] == {"commit": None, "confirm": None, "unequivocal": None}
    assert "late" not in asset.attributes
    box.datatrails.confirm(pending)
    later: dict[str, Any] = (await client.get(f"{V2}/{pending.identity}")).json
    assert isinstance(later["block_number"], int)
    assert isinstance(later["merklelog_entry"]["commit"]["index"], str)
    assert later["timestamp_committed"] == "2025-01-06T09:00:03.826Z"
    assert asset.attributes == {"late": "yes"}


async def test_unknown_records(box: Sandbox, client: Client) -> None:
    """What does not exist is 404 with request details."""
    asset = box.datatrails.add_asset()
    for path in (f"{ASSETS}/none", f"{V2}/{asset.identity}/events/none"):
        reply = await client.get(path)
        assert (reply.status, reply.json["code"]) == (404, 5)
        assert reply.json["details"][0]["requestId"]


async def test_public_views(box: Sandbox, client: Client) -> None:
    """Public assets need no token, under both spellings; principals are blank; others are 404."""
    public, private = box.datatrails.add_asset(public=True), box.datatrails.add_asset()
    for root in (f"{V2}/publicassets", "/datatrails/archivist/publicassets"):
        assert (await client.public(f"{root}/{public.uuid}")).json["identity"] == f"public{public.identity}"
        events = (await client.public(f"{root}/{public.uuid}/events")).json["events"]
        assert events[0]["identity"] == f"public{public.events[0].identity}"
        assert set(events[0]["principal_accepted"].values()) == {""}
        assert len((await client.public(f"{root}/-/events")).json["events"]) == 1
        event = public.events[0].uuid
        assert (await client.public(f"{root}/{public.uuid}/events/{event}")).status == 200
        assert (await client.public(f"{root}/{private.uuid}")).status == 404
        assert (await client.public(f"{root}/{private.uuid}/events")).status == 404
    box.datatrails.public_identities = False
    assert (await client.public(f"{V2}/publicassets/{public.uuid}")).json["identity"] == public.identity


async def test_public_url(box: Sandbox, client: Client) -> None:
    """The public URL of an asset and of an event, with and without v2; none for a private asset."""
    public, private = box.datatrails.add_asset(public=True), box.datatrails.add_asset()
    url = (await client.get(f"{V2}/{public.identity}:publicurl")).json["publicurl"]
    assert url == f"{client.base}/datatrails/archivist/publicassets/{public.uuid}"
    box.datatrails.publicurl_has_version = True
    url = (await client.get(f"{V2}/{public.events[0].identity}:publicurl")).json["publicurl"]
    assert url == f"{client.base}{V2}/public{public.events[0].identity}"
    assert (await client.public(url)).status == 200
    assert (await client.get(f"{V2}/{private.identity}:publicurl")).status == 404
    assert (await client.get(f"{V2}/{private.identity}/events/none:publicurl")).status == 404


async def test_caps_and_tenant(box: Sandbox, client: Client) -> None:
    """Caps need a token; the public info of the tenant does not."""
    caps = (await client.get("/datatrails/archivist/v1/caps?service=blobs", headers=BEARER)).json["caps"]
    assert caps[0]["resource_type"] == "blobs"
    tenant = box.datatrails.tenant.partition("/")[2]
    info = await client.public(f"/datatrails/archivist/v1/tenancies/{tenant}:publicinfo")
    assert info.json["identity"] == box.datatrails.tenant
    assert (await client.public("/datatrails/archivist/v1/tenancies/other:publicinfo")).status == 404

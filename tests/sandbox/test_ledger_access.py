"""Tokens of the emulated ledger (specs/datatrails.md 2)."""

from __future__ import annotations

import pytest

from attachsync.sandbox import Sandbox

from .conftest import Client

ASSETS = "/datatrails/archivist/v2/assets"
TOKEN = "/datatrails/archivist/iam/v1/appidp/token"
FORM = {"grant_type": "client_credentials", "client_id": "me", "client_secret": "mine"}


def bearer(token: str) -> dict[str, dict[str, str]]:
    """Return the options that send a token."""
    return {"headers": {"Authorization": f"Bearer {token}"}}


@pytest.mark.parametrize("value", ["", "known", "Basic known", "Bearer unknown", "Bearer Authorization: Bearer known"])
async def test_not_authenticated(client: Client, value: str) -> None:
    """Without a valid bearer token everything private is 401."""
    reply = await client.get(ASSETS, headers={"Authorization": value} if value else {})
    assert (reply.status, reply.json["code"]) == (401, 16)


async def test_static_token(box: Sandbox, client: Client) -> None:
    """A static token works until it is revoked."""
    assert (await client.get(ASSETS)).status == 200
    box.datatrails.revoke_tokens()
    assert (await client.get(ASSETS)).status == 401


async def test_exchange_and_expiry(box: Sandbox, client: Client) -> None:
    """Client credentials give a token for a while; exchanges are counted."""
    box.datatrails.add_client("me", "mine")
    now = [0.0]
    box.datatrails.access.clock = lambda: now[0]
    box.datatrails.access.expires_in = 660
    body = (await client.call("POST", TOKEN, data=FORM)).json
    assert (body["expires_in"], body["token_type"], body["access_token"].count(".")) == (660, "Bearer", 2)
    assert (await client.get(ASSETS, **bearer(body["access_token"]))).status == 200
    now[0] = 660.0
    assert (await client.get(ASSETS, **bearer(body["access_token"]))).status == 401
    assert box.datatrails.access.exchanges == 1


async def test_token_that_ends_after_some_requests(box: Sandbox, client: Client) -> None:
    """A token can be made to end after so many requests."""
    box.datatrails.add_client("me", "mine")
    box.datatrails.access.uses_per_token = 2
    token = (await client.call("POST", TOKEN, data=FORM)).json["access_token"]
    assert [(await client.get(ASSETS, **bearer(token))).status for _ in range(3)] == [200, 200, 401]


@pytest.mark.parametrize(
    ("options", "status", "error"),
    [
        ({"data": {**FORM, "client_secret": "wrong"}}, 401, "invalid_client"),
        ({"data": {**FORM, "client_id": "other"}}, 401, "invalid_client"),
        ({"data": {**FORM, "grant_type": "password"}}, 400, "unsupported_grant_type"),
        ({"json": FORM}, 400, "invalid_request"),
    ],
)
async def test_refused_exchange(
    box: Sandbox, client: Client, options: dict[str, object], status: int, error: str
) -> None:
    """Only a form with the right secret gets a token."""
    box.datatrails.add_client("me", "mine")
    reply = await client.call("POST", TOKEN, **options)
    assert (reply.status, reply.json["error"]) == (status, error)


async def test_ledgers_are_apart(box: Sandbox, client: Client) -> None:
    """DataTrails and RKVST are two tenants: tokens and identities of one mean nothing to the other."""
    assert (await client.get("/rkvst/archivist/v2/assets")).status == 401
    assert box.rkvst.add_asset().uuid != box.datatrails.add_asset().uuid

"""Credentials of the emulated Sunshine app (specs/sunshine.md 2)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from attachsync.sandbox import Sandbox
from attachsync.sandbox.rate import RateLimit
from attachsync.sandbox.sunshine import APP_ID, KEY_ID

from .conftest import Client

PATH = f"/sunshine/v2/apps/{APP_ID}/conversations/none"
TOKEN = f"/sunshine/v2/apps/{APP_ID}/attachments/token"
# The vector of specs/sunshine.md 7: kid and secret of the sandbox, scope app.
VECTOR = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImFwcF81OTYzY2ViOTdjZGU1NDJkMDAwZGJkYjEifQ."
    "eyJzY29wZSI6ImFwcCJ9.3PLnSnTMj9W-qj3q7iKV39_x8OsoWAwdXaMMFMGYpJ8"
)


def part(value: object) -> str:
    """Return one part of a token."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(header: dict[str, Any], payload: dict[str, Any], secret: str = "s3cr3t") -> str:
    """Return a token signed with a key's secret."""
    text = f"{part({'alg': 'HS256', 'typ': 'JWT', 'kid': KEY_ID} | header)}.{part(payload)}"
    return f"{text}.{part(hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest())}"


async def status(client: Client, value: str, path: str = PATH) -> int:
    """Return the status of a call: 404 means that the credentials were accepted."""
    return (await client.get(path, headers={"Authorization": value} if value else {})).status


async def test_vectors(client: Client) -> None:
    """The Basic header and the app token of the documents are accepted."""
    assert await status(client, "Basic YXBwXzU5NjNjZWI5N2NkZTU0MmQwMDBkYmRiMTpzM2NyM3Q=") == 404
    assert await status(client, f"Bearer {VECTOR}") == 404


@pytest.mark.parametrize("value", ["", "Basic !", "Basic " + part(b"a:b"), "Bearer", "Bearer a.b", "Bearer a.b.c"])
async def test_refused(client: Client, value: str) -> None:
    """Anything else is 401 with the documented error."""
    assert await status(client, value) == 401
    reply = await client.public(PATH)
    assert reply.json == {"errors": [{"code": "unauthorized", "title": "Authorization is required"}]}


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (token({}, {"scope": "app", "exp": 2000}), 404),
        (token({}, {"scope": "app", "exp": 999}), 401),
        (token({}, {"scope": "account"}), 401),
        (token({}, {}), 401),
        (token({"alg": "none"}, {"scope": "app"}), 401),
        (token({"alg": "HS512"}, {"scope": "app"}), 401),
        (token({"kid": "app_other"}, {"scope": "app"}), 401),
        (token({"kid": 7}, {"scope": "app"}), 401),
        (token({}, {"scope": "app"}, secret="wrong"), 401),
        (f"{part({'alg': 'none', 'kid': KEY_ID})}.{part({'scope': 'app'})}.", 401),
        (f"{part([])}.{part({})}.x", 401),
    ],
)
async def test_tokens(box: Sandbox, client: Client, made: str, expected: int) -> None:
    """Tokens must be HS256, of a known key, of its scope and not expired."""
    box.sunshine.access.clock = lambda: 1000.0
    assert await status(client, f"Bearer {made}") == expected


async def test_scopes(box: Sandbox, client: Client) -> None:
    """An integration's key cannot have media tokens; an account's can."""
    for key, expected in (("int_1", 403), ("act_1", 200)):
        box.sunshine.add_key(key, "x")
        value = "Basic " + base64.b64encode(f"{key}:x".encode()).decode()
        body = {"paths": [f"/apps/{APP_ID}"]}
        assert (await client.call("POST", TOKEN, json=body, headers={"Authorization": value})).status == expected
        assert await status(client, value) == 404


async def test_other_app(client: Client) -> None:
    """Another app is not found."""
    reply = await client.get(PATH.replace(APP_ID, "other"), headers={"Authorization": f"Bearer {VECTOR}"})
    assert (reply.status, reply.json["errors"][0]["code"]) == (404, "app_not_found")


async def test_rate_limit(box: Sandbox, client: Client) -> None:
    """Beyond the limit comes 429 with Retry-After."""
    box.sunshine.rate_limit = RateLimit(1, 3.0, clock=lambda: 0.0)
    headers = {"Authorization": f"Bearer {VECTOR}"}
    replies = [await client.get(PATH, headers=headers) for _ in range(2)]
    assert [reply.status for reply in replies] == [404, 429]
    assert replies[1].headers["Retry-After"] == "4"

"""Fixtures: an empty sandbox, the sample one, and a client for its loopback server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from attachsync.sandbox import Sandbox, sample, serve

BEARER = {"Authorization": "Bearer known"}


@dataclass(frozen=True)
class Reply:
    """An answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    @property
    def json(self) -> Any:
        """The body's JSON."""
        return json.loads(self.body)


class Client:
    """A session against the sandbox that reads whole answers."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        """Talk to a base URL."""
        self.session = session
        self.base = base

    async def call(self, method: str, path: str, **options: Any) -> Reply:
        """Send a request and read its answer."""
        url = path if path.startswith("http") else self.base + path
        async with self.session.request(method, url, **options) as response:
            return Reply(response.status, response.headers, await response.read())

    async def get(self, path: str, **options: Any) -> Reply:
        """GET with a valid bearer token for the ledgers."""
        return await self.call("GET", path, **{"headers": BEARER, **options})

    async def public(self, path: str) -> Reply:
        """GET without credentials."""
        return await self.call("GET", path)


@pytest.fixture
def box() -> Sandbox:
    """Return an empty sandbox that knows one bearer token."""
    box = Sandbox()
    box.datatrails.add_token("known")
    return box


@pytest.fixture
def full(box: Sandbox) -> Sandbox:
    """Return the same sandbox with the sample data."""
    sample(box)
    return box


@pytest.fixture
async def client(box: Sandbox) -> AsyncIterator[Client]:
    """Serve the sandbox and return a client of it."""
    runner, port = await serve(box)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        yield Client(session, f"http://127.0.0.1:{port}")
    await runner.cleanup()

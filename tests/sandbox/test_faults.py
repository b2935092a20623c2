"""Faults on demand, over real connections."""

from __future__ import annotations

import asyncio
import gzip
import json

import aiohttp
import pytest

from attachsync.sandbox import Fault, Sandbox
from attachsync.sandbox.faults import KINDS, Faults, fault_from_json

from .conftest import BEARER, Client

ASSETS = "/datatrails/archivist/v2/assets"
DATA = bytes(range(256)) * 40


@pytest.fixture
def blob(box: Sandbox) -> str:
    """Return the path of a blob with DATA."""
    return f"/datatrails/archivist/v1/blobs/{box.datatrails.add_blob(DATA, 'image/jpeg').uuid}"


def fault(box: Sandbox, path: str, kind: str, **more: object) -> None:
    """Put one fault in force."""
    box.faults.add(fault_from_json({"path": path, "kind": kind, **more}))


async def test_status_with_times_skip_and_headers(box: Sandbox, client: Client) -> None:
    """A status comes in the service's own error shape, after `skip` and only `times` times."""
    hint = {"Archivist-Rate-Limit-Reset": "0.2"}
    box.faults.add(Fault(path=f"{ASSETS}*", method="GET", kind="status", status=429, headers=hint, times=1, skip=1))
    answers = [await client.get(ASSETS) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 429, 200]
    assert answers[1].headers["Archivist-Rate-Limit-Reset"] == "0.2"
    assert answers[1].json["code"] == 8


async def test_status_of_sunshine(box: Sandbox, client: Client) -> None:
    """Sunshine's default error has a list of errors."""
    fault(box, "/sunshine/*", "status", status=429)
    answer = await client.public("/sunshine/v2/apps/x/conversations")
    assert answer.json == {"errors": [{"code": "too_many_requests", "title": "Too many requests"}]}


@pytest.mark.parametrize("more", [{}, {"after": 100}])
async def test_reset(box: Sandbox, client: Client, blob: str, more: dict[str, int]) -> None:
    """A reset breaks the connection, before or within the answer."""
    fault(box, blob, "reset", **more)
    with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientConnectionError, ConnectionError)):
        await client.get(blob)
    assert box.requests[-1].body_bytes_sent == more.get("after", 0)


async def test_truncate(box: Sandbox, client: Client, blob: str) -> None:
    """A truncated body has the full Content-Length and fewer bytes."""
    fault(box, blob, "truncate", after=1000)
    async with client.session.get(client.base + blob, headers=BEARER) as response:
        assert response.headers["Content-Length"] == str(len(DATA))
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
    assert box.requests[-1].body_bytes_sent == 1000


async def test_stall(box: Sandbox, client: Client, blob: str) -> None:
    """A body that stops coming, on a connection that stays."""
    fault(box, blob, "stall", after=1000)
    async with client.session.get(client.base + blob, headers=BEARER) as response:
        assert await response.content.readexactly(1000) == DATA[:1000]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(response.content.readany(), 0.05)
        response.close()


async def test_endless(box: Sandbox, client: Client, blob: str) -> None:
    """An endless body goes on after the true bytes until the client leaves."""
    fault(box, blob, "endless")
    async with client.session.get(client.base + blob, headers=BEARER) as response:
        got = await response.content.readexactly(len(DATA) + 3_000_000)
        assert got[: len(DATA)] == DATA
        response.close()


async def test_drip(box: Sandbox, client: Client, blob: str) -> None:
    """A dripping body is complete in the end."""
    fault(box, blob, "drip", size=2000, every=0.001)
    assert (await client.get(blob)).body == DATA


async def test_hang_until_the_client_leaves(box: Sandbox, client: Client, blob: str) -> None:
    """A hanging answer never begins, and is logged with status 0 once the client is gone."""
    fault(box, blob, "hang")
    with pytest.raises(TimeoutError):
        await client.get(blob, timeout=aiohttp.ClientTimeout(total=0.05))
    assert box.requests.arrived(path=blob) == 1


async def test_gzip(box: Sandbox, client: Client, blob: str) -> None:
    """A gzip body comes although nobody asked for it."""
    fault(box, blob, "gzip")
    url = client.base + blob
    async with aiohttp.ClientSession(auto_decompress=False) as session, session.get(url, headers=BEARER) as response:
        assert response.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(await response.read()) == DATA


async def test_no_length(box: Sandbox, client: Client, blob: str) -> None:
    """A chunked body states no length."""
    fault(box, blob, "no_length")
    answer = await client.get(blob)
    assert "Content-Length" not in answer.headers
    assert answer.body == DATA


async def test_wrong_length(box: Sandbox, client: Client, blob: str) -> None:
    """A wrong length looks complete when too short, and broken when too long."""
    fault(box, blob, "wrong_length", extra=-10, times=1)
    assert (await client.get(blob)).body == DATA[:-10]
    fault(box, blob, "wrong_length", extra=10, times=1)
    with pytest.raises(aiohttp.ClientPayloadError):
        await client.get(blob)


async def test_tamper(box: Sandbox, client: Client, blob: str) -> None:
    """Tampering flips one byte and keeps the size."""
    fault(box, blob, "tamper", after=700)
    got = (await client.get(blob)).body
    assert [at for at in range(len(DATA)) if got[at] != DATA[at]] == [700]


async def test_headers(box: Sandbox, client: Client, blob: str) -> None:
    """Other headers, and the true bytes."""
    fault(box, blob, "headers", headers={"Content-Type": "text/html", "ETag": '"other"'})
    answer = await client.get(blob)
    assert (answer.headers["Content-Type"], answer.headers["ETag"], answer.body) == ("text/html", '"other"', DATA)


async def test_html_and_json(box: Sandbox, client: Client) -> None:
    """HTML in place of JSON, JSON of a wrong shape, and very deep JSON."""
    fault(box, ASSETS, "html", times=1)
    fault(box, ASSETS, "json", value=[1, {"assets": 2}], times=1)
    fault(box, ASSETS, "json", depth=5000, times=1)
    first, second, third = [await client.get(ASSETS) for _ in range(3)]
    assert (first.headers["Content-Type"], first.text[:15]) == ("text/html", "<!DOCTYPE html>")
    assert second.json == [1, {"assets": 2}]
    assert third.text == "[" * 5000 + "]" * 5000


async def test_redirect(box: Sandbox, client: Client) -> None:
    """A redirect goes where the fault says."""
    fault(box, ASSETS, "redirect", status=307, location="http://127.0.0.2:1/elsewhere")
    answer = await client.get(ASSETS, allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (307, "http://127.0.0.2:1/elsewhere")


async def test_lost_is_carried_out(box: Sandbox, client: Client) -> None:
    """A lost answer breaks the connection after the work is done; a plain reset before."""
    fault(box, ASSETS, "lost", method="POST", times=1)
    fault(box, ASSETS, "reset", method="POST", times=1)
    for _ in range(2):
        with pytest.raises((aiohttp.ClientConnectionError, ConnectionError)):
            await client.call("POST", ASSETS, json={"attributes": {}}, headers=BEARER)
    assert len(box.datatrails.assets) == 1


async def test_carry_out(box: Sandbox, client: Client) -> None:
    """With carry_out even an error comes after the work is done."""
    fault(box, ASSETS, "status", method="POST", status=503, carry_out=True)
    answer = await client.call("POST", ASSETS, json={"attributes": {}}, headers=BEARER)
    assert (answer.status, len(box.datatrails.assets)) == (503, 1)


def test_unknown_kind() -> None:
    """A kind that does not exist is refused at once."""
    with pytest.raises(ValueError, match="no fault of kind"):
        fault_from_json({"path": "*", "kind": "explode"})


def test_unknown_field_and_missing_path() -> None:
    """Faults as JSON name what is wrong with them."""
    with pytest.raises(ValueError, match="has no colour"):
        fault_from_json({"path": "*", "kind": "hang", "colour": 1})
    with pytest.raises(ValueError, match="needs path and kind"):
        fault_from_json({"kind": "hang"})
    with pytest.raises(ValueError, match="JSON object"):
        fault_from_json(json.loads("[]"))


def test_first_fault_that_is_not_used_up_wins() -> None:
    """Faults are taken in the order in which they were added."""
    faults = Faults()
    faults.add(Fault(path="/a*", kind="hang", times=1), Fault(path="/*", kind="lost", query="x=*"))
    taken = [faults.take("GET", "/ab", "x=1") for _ in range(2)]
    assert [one.kind for one in taken if one] == ["hang", "lost"]
    assert faults.take("GET", "/ab", "y=1") is None
    assert len(KINDS) == 16

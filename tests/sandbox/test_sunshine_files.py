"""Files of the emulated Sunshine app: upload, removal, reading (specs/sunshine.md 1.1, 1.3, 1.4, 3)."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import aiohttp
import pytest

from attachsync.sandbox import Sandbox
from attachsync.sandbox.media import ALLOWED_EXTENSIONS
from attachsync.sandbox.sunshine import APP_ID
from attachsync.sandbox.tiny import pdf, png

from .conftest import Client, Reply

ATTACHMENTS = f"/sunshine/v2/apps/{APP_ID}/attachments"
# The vector of specs/sunshine.md 7.
BASIC = {"Authorization": "Basic YXBwXzU5NjNjZWI5N2NkZTU0MmQwMDBkYmRiMTpzM2NyM3Q="}


def body(*parts: tuple[str, str | None, bytes], kind: str = "text/plain") -> tuple[bytes, str]:
    """Return a form as the official client writes it, and its content type."""
    text = b""
    for name, file_name, data in parts:
        disposition = f'form-data; name="{name}"' + (f'; filename="{file_name}"' if file_name is not None else "")
        text += f"--B\r\nContent-Disposition: {disposition}\r\nContent-Type: {kind}\r\n\r\n".encode() + data + b"\r\n"
    return text + b"--B--\r\n", "multipart/form-data; boundary=B"


async def upload(
    client: Client, name: str | None, data: bytes, query: str = "?access=public", field: str = "source", **more: Any
) -> Reply:
    """Upload one file."""
    data, kind = body((field, name, data), **more)
    return await client.call("POST", ATTACHMENTS + query, data=data, headers={**BASIC, "Content-Type": kind})


async def post(client: Client, action: str, value: object) -> Reply:
    """POST JSON to one of the attachment actions."""
    return await client.call("POST", f"{ATTACHMENTS}/{action}", json=value, headers=BASIC)


async def test_upload(full: Sandbox, client: Client) -> None:
    """The answer has mediaUrl and mediaType only; the URL keeps the name, percent-encoded, and serves the bytes."""
    conversation = min(full.sunshine.conversations)
    query = f"?access=public&for=message&conversationId={conversation}"
    data = pdf("Q3")
    reply = await upload(client, "Q3 report été.pdf", data, query, kind="application/pdf")
    assert reply.status == 201
    assert set(reply.json["attachment"]) == {"mediaUrl", "mediaType"}
    url = reply.json["attachment"]["mediaUrl"]
    assert url.startswith(f"{client.base}/sunshine/attachments/v2/")
    assert url.endswith("/Q3%20report%20%C3%A9t%C3%A9.pdf")
    read = await client.public(url)
    assert (read.body, read.headers["Content-Type"]) == (data, "application/pdf")
    received = full.sunshine.uploads[-1]
    assert (received.file_name, received.media_type, received.size) == (
        "Q3 report été.pdf",
        "application/pdf",
        len(data),
    )
    assert received.sha256 == hashlib.sha256(data).hexdigest()
    assert received.query == {"access": "public", "for": "message", "conversationId": conversation}


@pytest.mark.parametrize(
    "text", [b"garbage", b"--B\r\nnonsense\r\n\r\nx", b"--B\r\nContent-Type: text/plain\r\n\r\nabc"]
)
async def test_malformed_form(client: Client, text: bytes) -> None:
    """A form that cannot be parsed is the client's fault, not the server's."""
    headers = {**BASIC, "Content-Type": "multipart/form-data; boundary=B"}
    reply = await client.call("POST", f"{ATTACHMENTS}?access=public", data=text, headers=headers)
    assert (reply.status, reply.json["errors"][0]["code"]) == (400, "bad_request")


async def test_client_that_leaves_in_its_upload(box: Sandbox, client: Client, caplog: pytest.LogCaptureFixture) -> None:
    """A client that leaves in the middle of an upload leaves nothing behind, not even a traceback."""
    head = f"POST {ATTACHMENTS}?access=public HTTP/1.1\r\nHost: x\r\nAuthorization: {BASIC['Authorization']}\r\n"
    kind = "Content-Type: multipart/form-data; boundary=B\r\nContent-Length: 1000\r\n\r\n"
    host, port = client.base.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write((head + kind).encode() + b"--B\r\n")
    await box.requests.until(1)
    writer.close()
    await writer.wait_closed()
    await client.public("/sunshine/nothing")
    assert box.sunshine.uploads == []
    assert "Traceback" not in caplog.text


async def test_each_upload_is_new(client: Client) -> None:
    """Equal bytes uploaded twice get two URLs, whose ULIDs have 26 characters."""
    urls = [(await upload(client, "note.txt", b"hi")).json["attachment"]["mediaUrl"] for _ in range(2)]
    assert urls[0] != urls[1]
    assert {len(url.split("/")[-2]) for url in urls} == {26}


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("", 400, "bad_request"),
        ("?access=secret", 400, "bad_request"),
        ("?access=public&for=fun", 400, "bad_request"),
        ("?access=public&conversationId=none", 404, "conversation_not_found"),
    ],
)
async def test_upload_query(client: Client, query: str, status: int, code: str) -> None:
    """Access is required, `for` is message only, the conversation must exist."""
    reply = await upload(client, "note.txt", b"hi", query)
    assert (reply.status, reply.json["errors"][0]["code"]) == (status, code)


async def test_upload_form(box: Sandbox, client: Client) -> None:
    """Exactly one part named source with a file name."""
    assert (await upload(client, "note.txt", b"hi", field="file")).status == 400
    assert (await upload(client, None, b"hi")).status == 400
    data, kind = body(("source", "a.txt", b"1"), ("source", "b.txt", b"2"))
    url = f"{ATTACHMENTS}?access=public"
    assert (await client.call("POST", url, data=data, headers={**BASIC, "Content-Type": kind})).status == 400
    assert (await client.call("POST", url, data=b"x", headers=BASIC)).status == 400
    assert box.sunshine.uploads == []


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("a.exe", b"MZ", "File extension not allowed"),
        ("noextension", b"text", "File extension not allowed"),
        ("a.png", b"", "File type could not be retrieved"),
        ("a.png", b"\x00\x01\x02\x03", "File type could not be retrieved"),
        ("a.pdf", b"MZ\x90\x00", "File type not allowed"),
    ],
)
async def test_rejected_types(client: Client, name: str, data: bytes, why: str) -> None:
    """The three refusals by type, in the service's words."""
    reply = await upload(client, name, data)
    assert reply.status == 415
    assert reply.json == {"errors": [{"code": "unsupported_media_type", "title": f"File rejected. {why}"}]}


@pytest.mark.parametrize(
    ("name", "data"),
    [("A.PNG", png(1, 2, 3)), ("a.csv", "é,1\n".encode()), ("x.docx", b"PK\x03\x04"), ("y.mp3", b"ID3")],
)
async def test_accepted_types(client: Client, name: str, data: bytes) -> None:
    """Images, texts and containers of the allow list pass, in any case."""
    assert (await upload(client, name, data)).status == 201


def test_allow_list() -> None:
    """The list has the 62 extensions of the help page."""
    assert len(ALLOWED_EXTENSIONS) == 62
    assert "exe" not in ALLOWED_EXTENSIONS


async def test_too_large(box: Sandbox, client: Client) -> None:
    """Beyond the limit of a request comes 413."""
    box.sunshine.max_request = 300
    assert (await upload(client, "a.txt", b"x" * 300)).status == 413
    assert (await upload(client, "a.txt", b"x" * 50)).status == 201


async def test_remove(client: Client) -> None:
    """Removal needs the URL byte for byte; a foreign host is 400, a second time 404."""
    url = (await upload(client, "a b.txt", b"x")).json["attachment"]["mediaUrl"]
    foreign = await post(client, "remove", {"mediaUrl": "https://badhost.com/image.png"})
    assert foreign.status == 400
    title = "Unsupported media URL for attachment deletion: https://badhost.com/image.png"
    assert foreign.json["errors"] == [{"code": "bad_request", "title": title}]
    assert (await post(client, "remove", {"mediaUrl": url.replace("%20", " ")})).status == 404
    done = await post(client, "remove", {"mediaUrl": url})
    assert (done.status, done.json) == (200, {})
    again = await post(client, "remove", {"mediaUrl": url})
    assert (again.status, again.json["errors"][0]["title"]) == (404, "Attachment not found")
    assert (await client.public(url)).status == 404
    assert (await post(client, "remove", {})).status == 400


async def test_private_media(box: Sandbox, client: Client) -> None:
    """Private files want a key's credentials."""
    url = (await upload(client, "a.txt", b"x")).json["attachment"]["mediaUrl"]
    box.sunshine.private = True
    assert (await client.public(url)).status == 401
    assert (await client.get(url, headers=BASIC)).body == b"x"
    box.sunshine.private = False
    private = (await upload(client, "a.txt", b"x", "?access=private")).json["attachment"]["mediaUrl"]
    assert private.startswith(f"{client.base}/sunshine/apps/{APP_ID}/")
    assert (await client.public(private)).status == 401
    token = (await post(client, "token", {"paths": [f"/apps/{APP_ID}"]})).json["tokens"][f"/apps/{APP_ID}"]
    reply = await client.get(f"{ATTACHMENTS}/cookie", headers={"Authorization": f"Bearer {token}"})
    cookie = {"Cookie": reply.headers["Set-Cookie"].partition(";")[0]}
    assert (await client.get(private, headers=cookie)).body == b"x"


async def test_legacy_token_and_cookie(full: Sandbox, client: Client) -> None:
    """A media token opens a cookie, the cookie opens what lies below its path, until it expires."""
    state = full.sunshine
    state.legacy_urls = state.private = True
    now = [1000.0]
    state.access.clock = lambda: now[0]
    conversation = min(state.conversations)
    query = f"?access=private&conversationId={conversation}"
    inside = (await upload(client, "a.txt", b"in", query)).json["attachment"]["mediaUrl"]
    outside = (await upload(client, "a.txt", b"out", "?access=private")).json["attachment"]["mediaUrl"]
    path = f"/apps/{APP_ID}/conversations/{conversation}"
    assert path in inside
    tokens = (await post(client, "token", {"paths": [path]})).json["tokens"]
    assert list(tokens) == [path]
    reply = await client.get(f"{ATTACHMENTS}/cookie", headers={"Authorization": f"Bearer {tokens[path]}"})
    assert (reply.status, reply.json) == (200, {})
    cookie = {"Cookie": reply.headers["Set-Cookie"].partition(";")[0]}
    assert (await client.get(inside, headers=cookie)).body == b"in"
    assert (await client.get(outside, headers=cookie)).status == 401
    now[0] += 7200
    assert (await client.get(inside, headers=cookie)).status == 401
    assert (await client.get(f"{ATTACHMENTS}/cookie", headers=BASIC)).status == 401


@pytest.mark.parametrize("value", [{}, {"paths": []}, {"paths": ["/elsewhere"]}, {"paths": [1]}])
async def test_refused_media_tokens(client: Client, value: object) -> None:
    """Paths are required, and lie below the app's."""
    assert (await post(client, "token", value)).status == 400


async def test_media_of_another_origin(box: Sandbox, client: Client) -> None:
    """Files can be served under another origin than the API."""
    box.sunshine.media_origin = client.base.replace("127.0.0.1", "localhost") + "/sunshine"
    url = (await upload(client, "a.txt", b"x")).json["attachment"]["mediaUrl"]
    assert url.startswith("http://localhost:")
    assert (await post(client, "remove", {"mediaUrl": url})).status == 200


async def test_client_of_aiohttp(client: Client, box: Sandbox) -> None:
    """A form as aiohttp writes it is understood as well."""
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("source", b"hi", filename="résumé.txt", content_type="text/plain")
    reply = await client.call("POST", f"{ATTACHMENTS}?access=public", data=form, headers=BASIC)
    assert reply.status == 201
    assert box.sunshine.uploads[0].file_name == "résumé.txt"

"""Links of the emulated Auco: another origin, expiry, ETag, Range, and no second credential (specs/auco.md 1.2, 2)."""

from __future__ import annotations

from datetime import timedelta

import aiohttp
import pytest

from attachsync.sandbox import Fault, Sandbox, serve
from attachsync.sandbox.auco_records import File
from attachsync.sandbox.content import Grown
from attachsync.sandbox.ranges import part

from .conftest import Client

DATA = b"0123456789"


@pytest.fixture
def file(box: Sandbox) -> File:
    """Return an uploaded file, in a sandbox that knows a key."""
    box.auco.add_key("puk_test")
    package = box.auco.add_package()
    return box.auco.add_file(box.auco.add_signer(package, "01"), "cedula", DATA, "text/plain")


def link(box: Sandbox, file: File) -> str:
    """Return a fresh link to a file."""
    assert file.stored is not None
    return box.auco.link(file.stored)


async def test_another_origin(box: Sandbox, client: Client, file: File) -> None:
    """Links lead to a second port, which serves nothing else; no two are alike."""
    first, second = link(box, file), link(box, file)
    assert first != second
    assert first.startswith(f"{box.auco.links_origin}/auco-files/uploads/")
    assert box.auco.links_origin not in ("", client.base)
    for url in (first, second):
        assert (await client.public(url)).body == DATA
    assert (await client.public(first.replace(box.auco.links_origin, client.base))).status == 404
    other = await client.call("GET", f"{box.auco.links_origin}/auco/company", headers={"Authorization": "puk_test"})
    assert other.status == 404
    assert box.count("GET", "/auco-files/*") == 2


async def test_expiry(box: Sandbox, client: Client, file: File) -> None:
    """After 300 seconds a link is 403 with the storage's XML; a fresh one opens."""
    url = link(box, file)
    box.auco.advance(299)
    assert (await client.public(url)).status == 200
    box.auco.advance(1)
    reply = await client.public(url)
    assert (reply.status, reply.headers["Content-Type"]) == (403, "application/xml")
    assert reply.text == (
        "<Error><Code>AccessDenied</Code><Message>Request has expired</Message>"
        "<X-Amz-Expires>300</X-Amz-Expires></Error>"
    )
    assert (await client.public(link(box, file))).status == 200


async def test_signature(box: Sandbox, client: Client, file: File) -> None:
    """Another method, path, time or query is refused, as is no signature at all."""
    url = link(box, file)
    assert (await client.call("HEAD", url)).status == 403
    assert (await client.call("POST", url)).status == 403
    for wrong in (url.replace("Expires=300", "Expires=900"), url + "&x=1", url.replace("/uploads/", "/uploads//")):
        reply = await client.public(wrong)
        assert (reply.status, "SignatureDoesNotMatch" in reply.text) == (403, True)
    assert "AccessDenied" in (await client.public(url.partition("?")[0])).text


async def test_no_second_credential(box: Sandbox, client: Client, file: File) -> None:
    """A request with the account's key is refused, and noted."""
    url = link(box, file)
    for headers in ({"Authorization": "puk_test"}, {"Authorization": "Bearer x"}, {"Cookie": "k=puk_test"}):
        assert (await client.call("GET", url, headers=headers)).status == 400
    path = url.removeprefix(box.auco.links_origin).partition("?")[0]
    assert box.auco.leaks == [path] * 3
    assert (await client.public(url)).status == 200


async def test_etag(box: Sandbox, client: Client, file: File) -> None:
    """If-None-Match is answered 304 until the content changes; the path can stay or change."""
    first = await client.public(link(box, file))
    tag = {"If-None-Match": first.headers["ETag"]}
    same = await client.call("GET", link(box, file), headers=tag)
    assert (same.status, same.body, same.headers["ETag"]) == (304, b"", first.headers["ETag"])
    old = link(box, file)
    box.auco.upload(file, b"changed")
    assert (await client.call("GET", link(box, file), headers=tag)).body == b"changed"
    assert (await client.public(old)).body == b"changed"
    box.auco.new_path_on_upload = True
    box.auco.upload(file, b"again")
    assert (await client.public(old)).body == b"changed"
    assert (await client.public(link(box, file))).body == b"again"
    gone = link(box, file)
    box.auco.reject_file(file)
    assert (await client.public(gone)).status == 404


async def test_without_etag(box: Sandbox, client: Client, file: File) -> None:
    """A host without ETags always answers the whole content; a type can be missing."""
    box.auco.etags = False
    box.auco.upload(file, b"changed", "")
    reply = await client.call("GET", link(box, file), headers={"If-None-Match": '"x"'})
    assert (reply.status, reply.body) == (200, b"changed")
    assert not {"ETag", "Last-Modified", "Content-Type"} & set(reply.headers)


@pytest.mark.parametrize(
    ("header", "status", "body", "where"),
    [
        ("bytes=0-0", 206, b"0", "bytes 0-0/10"),
        ("bytes=4-", 206, b"456789", "bytes 4-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=8-99", 206, b"89", "bytes 8-9/10"),
        ("bytes=5-2", 200, DATA, None),
        ("bytes=0-1,3-4", 200, DATA, None),
        ("lines=1-2", 200, DATA, None),
        ("bytes=-", 200, DATA, None),
        ("bytes=10-", 416, None, "bytes */10"),
        ("bytes=-0", 416, None, "bytes */10"),
    ],
)
async def test_ranges(
    box: Sandbox, client: Client, file: File, header: str, status: int, body: bytes | None, where: str | None
) -> None:
    """One range is served; what is malformed is ignored; what does not exist is 416."""
    reply = await client.call("GET", link(box, file), headers={"Range": header})
    assert (reply.status, reply.headers.get("Content-Range")) == (status, where)
    assert body is None or reply.body == body


async def test_if_range(box: Sandbox, client: Client, file: File) -> None:
    """A part is only served of the content that the client has; a host may know no ranges."""
    tag = (await client.public(link(box, file))).headers["ETag"]
    for known, status in ((tag, 206), ('"other"', 200)):
        headers = {"Range": "bytes=5-", "If-Range": known}
        assert (await client.call("GET", link(box, file), headers=headers)).status == status
    box.auco.ranges = False
    reply = await client.call("GET", link(box, file), headers={"Range": "bytes=5-"})
    assert (reply.status, reply.body, "Accept-Ranges" in reply.headers) == (200, DATA, False)


def test_parts_across_blocks() -> None:
    """A part of content that is made in blocks has the right bytes."""
    content = Grown(600_000, "s")
    whole = b"".join(content.chunks())
    piece = part(content, "bytes=262140-524300")
    assert piece is not None
    assert b"".join(piece.chunks()) == whole[262140:524301]
    assert piece.sha256


async def test_faults_meet_links(box: Sandbox, client: Client, file: File) -> None:
    """Links can be cut short, redirected, and served without a length."""
    box.faults.add(
        Fault(path="/auco-files/*", kind="truncate", after=4, times=1),
        Fault(path="/auco-files/*", kind="no_length", times=1),
    )
    with pytest.raises(aiohttp.ClientPayloadError):
        await client.public(link(box, file))
    reply = await client.public(link(box, file))
    assert (reply.body, "Content-Length" in reply.headers) == (DATA, False)


async def test_both_ports_close(box: Sandbox, file: File) -> None:
    """The second port ends with the first, and does not stay open when the first cannot be had."""
    runner, port = await serve(box)
    async with aiohttp.ClientSession() as session:
        with pytest.raises(OSError, match="in use"):
            await serve(Sandbox(), port)
        async with session.get(link(box, file)) as reply:
            assert await reply.read() == DATA
        await runner.cleanup()
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(link(box, file))


async def test_links_expire_by_themselves_where_the_clock_runs(box: Sandbox) -> None:
    """As it does for the command; it goes on from where it stands, and can still be moved."""
    stands = box.auco.now
    assert box.auco.now == stands
    box.auco.run()
    assert any(stands < box.auco.now < stands + timedelta(hours=1) for _ in range(100_000))
    box.auco.advance(3600)
    assert box.auco.now > stands + timedelta(hours=1)

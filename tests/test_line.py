"""A plain way to an origin: an answer is the one to what was asked, or there is none."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from attachsync.line import Answer, Direct, Line
from tests.test_tls import ca_file, ours, served  # noqa: F401

HEADERS = {"Authorization": "Bearer token"}
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\n"


class Server(asyncio.Protocol):
    """One connection to a server; `waiting` and what was `asked` are the same for all."""

    def __init__(self, waiting: list[Sequence[bytes]], asked: list[bytes], open_ones: set["Server"]) -> None:
        self._waiting = waiting
        self._asked = asked
        self._open = open_ones

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._open.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._open.discard(self)

    def data_received(self, data: bytes) -> None:
        self._asked.append(data)
        for piece in self._waiting.pop(0):
            if piece:
                self.transport.write(piece)
            else:
                self.transport.close()


@contextlib.asynccontextmanager
async def answering(*answers: Sequence[bytes]) -> AsyncIterator[tuple[Direct, list[bytes], list[Server]]]:
    """A server that answers its first request with the first of `answers`, piece by piece, and so on; empty bytes close
    the connection. What it was asked comes too, and its connections."""
    asked, waiting, open_ones, all_of_them = list[bytes](), list(answers), set[Server](), list[Server]()

    def connected() -> Server:
        all_of_them.append(Server(waiting, asked, open_ones))
        return all_of_them[-1]

    server = await asyncio.get_running_loop().create_server(connected, "127.0.0.1", 0)
    direct = Direct.to(URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/below/"), None, HEADERS)
    assert direct is not None
    try:
        yield direct, asked, all_of_them
    finally:
        server.close()
        while open_ones:
            for one in list(open_ones):
                one.transport.abort()
            await asyncio.sleep(0)


async def test_what_is_asked_and_answered() -> None:
    """One request after the other on one connection; all that goes with it is what is to go with it."""
    chunked = b"HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n2\r\nno\r\n0\r\n\r\n"
    async with answering([PLAIN, b"ab"], [chunked[:20], chunked[20:]]) as (direct, asked, connections):
        line = Line(direct)
        answer = await line.get("/x?y=z", 2)
        assert (answer.status, answer.body) == (200, b"ab")
        assert answer.headers["content-type"] == "text/plain"
        assert await line.get("/z", 2) == Answer(404, {b"Transfer-Encoding": b"chunked", b"X-A": b"b"}, b"no")
        assert len(connections) == 1
        line.close()
    head = b"GET /below/x?y=z HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer token\r\n\r\n"
    assert asked[0] == head % direct.port


@pytest.mark.parametrize(
    "pieces",
    [
        [b""],
        [PLAIN, b"a", b""],
        [PLAIN[:30], b""],
        [b"HTTP/1.1 200 OK\r\n\r\nno length", b""],
        [b"SSH-2.0-OpenSSH\r\n"],
        [b"HTTP/1.1 103 Early Hints\r\n\r\n" + PLAIN + b"ab"],
        [b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nab"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nab"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nab"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nab"],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n", *[b"x" * 9999] * 100],
        [b"HTTP/1.1 200 OK\r\n", *[b"X-A: b\r\n" * 999] * 100],
    ],
    ids=lambda pieces: str(pieces[0][:40]),
)
async def test_what_is_no_answer_ends_the_connection(pieces: list[bytes]) -> None:
    """And it is not used again: another one is."""
    async with answering(pieces, [PLAIN, b"ab"]) as (direct, _, connections):
        line = Line(direct)
        with pytest.raises(ConnectionError):
            await line.get("/", 1000)
        assert (await line.get("/", 1000)).body == b"ab"
        assert len(connections) == 2
        line.close()


@pytest.mark.parametrize("more", [b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlies", b"HTTP/1.1 2", b"\0\1\2"])
@pytest.mark.parametrize("is_together", [True, False])
async def test_what_nobody_asked_for_is_no_answer_to_the_next(more: bytes, is_together: bool) -> None:
    """An answer too many is one to nothing."""
    first = [PLAIN + b"ab" + more] if is_together else [PLAIN + b"ab", more]
    async with answering(first, [PLAIN, b"cd"], [PLAIN, b"cd"]) as (direct, _, _connections):
        line = Line(direct)
        assert (await line.get("/", 2)).body == b"ab"
        with contextlib.suppress(ConnectionError):  # it may have come before, or only come now
            assert (await line.get("/", 2)).body in (b"cd", b"li")
        line.close()


async def test_a_connection_that_the_server_closes_is_not_used_again() -> None:
    """Where it says so."""
    closing = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n"
    old = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n"
    async with answering([closing + b"ab"], [old + b"cd"], [PLAIN, b"ef"]) as (direct, _, connections):
        line = Line(direct)
        assert [(await line.get("/", 2)).body for _ in range(3)] == [b"ab", b"cd", b"ef"]
        assert len(connections) == 3
        line.close()


async def test_a_connection_that_is_closed_at_once_is_an_error_of_the_connection() -> None:
    """Whenever that is noticed."""

    class Closing(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            transport.abort()

    server = await asyncio.get_running_loop().create_server(Closing, "127.0.0.1", 0)
    async with server:
        direct = Direct.to(URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"), None, HEADERS)
        assert direct is not None
        line = Line(direct)
        for _ in range(20):
            with pytest.raises(ConnectionError):
                await line.get("/", 2)
        line.close()


@given(name=st.text(), value=st.text())
@settings(max_examples=200)
def test_no_header_becomes_two(name: str, value: str) -> None:
    """What cannot be one is not sent at all."""
    direct = Direct.to(URL("https://a.example"), None, {name: value})
    if direct is not None:
        lines = direct.headers.decode().split("\r\n")
        assert lines == ["Host: a.example", f"{name}: {value}", ""]
        assert all(character.isprintable() for character in name + value)


async def test_certificates_are_verified(ours: trustme.CA, ca_file: Path) -> None:  # noqa: F811
    """Against the account's own CA, and by name."""
    async with served(ours.issue_cert("localhost")) as base:
        for trusted, host in ((ca_file, "localhost"), (None, "localhost"), (ca_file, "127.0.0.1")):
            direct = Direct.to(URL(base).with_host(host), trusted, HEADERS)
            assert direct is not None
            line = Line(direct)
            if (trusted, host) == (ca_file, "localhost"):
                assert (await line.get("/hello", 99)).body == b'{"hello": "you"}'
            else:
                with pytest.raises(ssl.SSLCertVerificationError):
                    await line.get("/hello", 99)
            line.close()

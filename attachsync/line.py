"""A plain way to an account's own origin: kept connections, one small answer at a time on each.

For what is asked thousands of times in a row, where `http` would take longer than the service. It knows no redirects,
no proxies, no retries and no waits: whoever meets anything but a plain answer leaves the rest to `http`.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import httptools

from attachsync.trust import Trust

if TYPE_CHECKING:
    from yarl import URL

_MOST_WORDS = 64 * 1024
"""What is around a body may take so many bytes."""
_FRESH = 4.0
"""A connection that was not used for so many seconds may be about to be closed by the other side."""


Refusal = tuple[int, Mapping[str, str]]
"""Status and headers of an answer that is about more than what was asked for."""


@dataclass(frozen=True, slots=True)
class Direct:
    """Where an account's own origin is, and what a request there carries besides its first line."""

    host: str
    port: int
    is_secure: bool
    ca_file: Path | None
    prefix: str
    """The path, below which all is asked for."""
    headers: bytes = field(repr=False)
    """Each with its end of line, `Host` and the signature among them."""

    @classmethod
    def to(cls, base: "URL", ca_file: Path | None, headers: Mapping[str, str]) -> "Direct | None":
        """The way to a base URL with headers; None for what is not to be written into a request."""
        if not base.raw_host or not base.port or not all(map(_is_plain, (*headers, *headers.values()))):
            return None
        lines = (f"{name}: {value}\r\n" for name, value in {"Host": base.host_port_subcomponent, **headers}.items())
        prefix, is_secure = base.raw_path.rstrip("/"), base.scheme == "https"
        return cls(base.raw_host, base.port, is_secure, ca_file, prefix, "".join(lines).encode())


class Answer(NamedTuple):
    """A whole answer. `fields` are its headers as they came."""

    status: int
    fields: Mapping[bytes, bytes]
    body: bytes

    @property
    def headers(self) -> dict[str, str]:
        """The headers, their names in lower case. Takes longer than all else about an answer."""
        return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in self.fields.items()}

    @property
    def is_plain(self) -> bool:
        """Whether it succeeded, and its body is what was asked for, and not in some coding."""
        return self.status == 200 and b"content-encoding" not in map(bytes.lower, self.fields)


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable()


class Line:
    """Connections to one origin. Made inside a running event loop."""

    def __init__(self, to: Direct) -> None:
        self._to = to
        self._context = Trust(to.ca_file).context if to.is_secure else None
        self._idle: list[_Connection] = []

    async def get(self, target: str, most: int) -> Answer:
        """GET `target` (path and query), the body of which is no longer than `most` bytes. Raises OSError."""
        connection = self._fresh() or await self._connected()
        try:
            answer = await connection.get(self._to.prefix + target, self._to.headers, most)
        except BaseException:
            connection.close()
            raise
        connection.used_at = time.monotonic()
        self._idle.append(connection)
        return answer

    def _fresh(self) -> "_Connection | None":
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open and time.monotonic() - connection.used_at < _FRESH:
                return connection
            connection.close()
        return None

    async def _connected(self) -> "_Connection":
        loop, to = asyncio.get_running_loop(), self._to
        _, connection = await loop.create_connection(_Connection, to.host, to.port, ssl=self._context)
        return connection

    def close(self) -> None:
        """Close all that is idle."""
        while self._idle:
            self._idle.pop().close()


class _Connection(asyncio.Protocol):
    """One connection. What the parser tells comes as calls of `on_…`."""

    def __init__(self) -> None:
        self.is_open = False
        self.used_at = 0.0
        self._answered: asyncio.Future[Answer] | None = None
        self._fields: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self.on_header = self._fields.__setitem__  # a call that is none of Python's, as there are many
        self.on_body = self._body.append
        self._parser = httptools.HttpResponseParser(self)
        self._came = self._most = 0

    async def get(self, target: str, headers: bytes, most: int) -> Answer:
        """GET a path and query, with headers. Raises ConnectionError."""
        if not self.is_open:  # it was closed as soon as it was made
            raise ConnectionResetError("the connection was closed")
        self._answered = asyncio.get_running_loop().create_future()
        self._most, self._came = most + _MOST_WORDS, 0
        self._transport.write(b"GET %b HTTP/1.1\r\n%b\r\n" % (target.encode("ascii"), headers))
        return await self._answered

    def close(self) -> None:
        """Let go of it."""
        if self.is_open:
            self.is_open = False
            self._transport.abort()

    # --- what the connection says -------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by their class
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        """Some of an answer; what nobody asked for, or what has no end, ends the connection."""
        self._came += len(data)
        try:
            if self._came > self._most:
                raise ConnectionAbortedError("more came than was asked for")
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade, ConnectionError) as error:
            self._end(error)

    def connection_lost(self, error: Exception | None) -> None:
        """An answer that was under way will not come."""
        self._end(error)

    def _end(self, error: Exception | None) -> None:
        self.close()
        self.is_open = False
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(ConnectionResetError(f"the connection was closed: {error}"))

    # --- what the parser says -----------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """An answer begins; to nothing, if it is not waited for."""
        if self._answered is None or self._answered.done():
            raise ConnectionAbortedError("more came than was asked for")

    def on_message_complete(self) -> None:
        """All of an answer is here."""
        assert self._answered is not None
        if self._parser.get_status_code() < 200:
            raise ConnectionAbortedError("an answer before the answer")
        answer = Answer(self._parser.get_status_code(), self._fields.copy(), b"".join(self._body))
        if not self._parser.should_keep_alive():
            self.close()
        self._answered.set_result(answer)
        self._fields.clear()
        self._body.clear()

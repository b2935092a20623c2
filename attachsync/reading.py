"""What comes as the answer to a request, read no further and waited for no longer than is reasonable."""

import os
from collections.abc import AsyncIterator
from contextlib import suppress

from attachsync import ranges
from attachsync.answers import Reply, storable
from attachsync.client import aiohttp
from attachsync.deadlines import Deadlines
from attachsync.errors import MalformedError, TooLongError, UnavailableError
from attachsync.model import Body
from attachsync.patience import Patience, TooSlowError, hurried
from attachsync.units import human_size

MAX_JSON = 16 * 1024 * 1024
"""An answer that should be JSON is read this far (bytes)."""
_BLOCK = 1024 * 1024
_SMALL = 256 * 1024
_MOMENT = 1.0


class Answers:
    """Reads open answers. `where` names account, method and path, for messages."""

    def __init__(self, patience: Patience, limits: Deadlines) -> None:
        self._patience = patience
        self._limits = limits

    def body(self, response: aiohttp.ClientResponse, where: str, start: int = 0) -> Body:
        """An attachment's bytes, after so many that are held. Raises MalformedError for a part nobody asked for."""
        if response.status == 206 and not start:
            raise MalformedError(f"{where}: HTTP 206, but only a part of the attachment")
        length = None if "Content-Encoding" in response.headers else response.content_length
        continuable = start or ranges.is_continuable(response.headers)
        whole = _all_of(response)
        return Body(
            chunks=self._blocks(response, where) if whole is None else _alone(whole),
            whole=whole,
            close=response.close,
            size=None if length is None else start + length,
            media_type=_header(response, "Content-Type"),
            etag=_header(response, "ETag"),
            start=start,
            validator=ranges.validator(response.headers) if continuable else None,
        )

    async def arrived(self, response: aiohttp.ClientResponse) -> None:
        """Wait a moment for the rest of a small body: read at once it takes fewer steps. Not longer, nor for others."""
        length = response.content_length
        if length is None or length > _SMALL or response.content.is_eof():
            return
        # What goes wrong is told whoever reads it.
        with suppress(aiohttp.ClientError, TimeoutError, OSError), self._limits.within(_MOMENT):
            await response.content.wait_eof()

    async def beginning(self, response: aiohttp.ClientResponse, where: str) -> bytes:
        """An error's body, or what has come of it when that takes too long."""
        body = bytearray()
        with suppress(UnavailableError, TimeoutError), self._limits.within(self._patience.words):
            async for block in self._blocks(response, where):
                body += block
                if len(body) >= _BLOCK:
                    break
        return bytes(body)

    async def whole(self, response: aiohttp.ClientResponse, where: str) -> Reply:
        """A small answer, which is closed then. Raises TooLongError, UnavailableError."""
        body = _all_of(response)
        if body is None:
            found = bytearray()
            try:
                async with response:
                    with self._limits.within(self._patience.whole):
                        async for block in self._blocks(response, where):
                            found += block
                            if len(found) > MAX_JSON:
                                raise TooLongError(f"{where}: an answer of more than {human_size(MAX_JSON)}")
            except TimeoutError as error:
                raise UnavailableError(f"{where}: the answer takes too long", begun=True) from error
            body = bytes(found)
        return Reply(response.status, response.headers, body, where)

    async def _blocks(self, response: aiohttp.ClientResponse, where: str) -> AsyncIterator[bytes]:
        try:
            async for block in hurried(self._read(response.content), self._patience):
                yield block
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise UnavailableError(f"{where}: the answer broke off ({reason(error)})", begun=True) from error

    async def _read(self, content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
        while True:
            with self._limits.within(self._patience.quiet):
                block = await content.read(_BLOCK)
            if not block:
                return
            yield block


def _header(response: aiohttp.ClientResponse, name: str) -> str | None:
    """A header's text: bytes that are no UTF-8 come as lone surrogates."""
    value = response.headers.get(name)
    return None if value is None else storable(value)


async def _alone(block: bytes) -> AsyncIterator[bytes]:
    if block:
        yield block


def _all_of(response: aiohttp.ClientResponse) -> bytes | None:
    """The body, if all of it is here already: mostly a small one is, as soon as its head is."""
    content = response.content
    if not content.is_eof() or content.exception() is not None or content.total_bytes > MAX_JSON:
        return None
    return content.read_nowait()


def reason(error: BaseException) -> str:
    """What went wrong on the way, in a few words."""
    if isinstance(error, TimeoutError):
        return f"too slow: {error}" if isinstance(error, TooSlowError) else "timed out"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        said = getattr(error.certificate_error, "verify_message", "") or "it cannot be verified"
        return f"its certificate is not trusted: {said}; where a CA of your own issued it, name that in ca_file"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "no such host"
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.strerror or type(error.os_error).__name__
    return _broken(error)


def is_encoded(error: BaseException) -> bool:
    """Whether an answer came in an encoding that nobody asked for, and that cannot be undone here."""
    return isinstance(error, aiohttp.ClientResponseError) and "content-encoding" in error.message.lower()


def _broken(error: BaseException) -> str:
    """How a connection ended that there was."""
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "it closed the connection"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "it ended too early, or cannot be decoded"
    if is_encoded(error):
        return (
            f"its answer has a Content-Encoding ({'zstd' if 'zstd' in str(error) else 'br'}) that cannot be read here"
        )
    if isinstance(error, aiohttp.ClientResponseError):
        return "its answer is no HTTP"
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "the connection broke"

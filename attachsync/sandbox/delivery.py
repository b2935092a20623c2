"""Writes a shape to a client, counts what went out, and breaks connections when a fault wants it."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from itertools import count

from aiohttp import web

from attachsync.sandbox.shapes import Shape

# How often a hanging answer looks whether its client has left.
LOOK = 0.02


class Delivery:
    """The answer to one request on its way."""

    def __init__(self, request: web.Request) -> None:
        """Start with nothing sent: status 0."""
        self.request = request
        self.status = 0
        self.sent = 0

    @property
    def gone(self) -> bool:
        """Whether the connection is closed, by the client, a fault or the end of the server."""
        transport = self.request.transport
        return transport is None or transport.is_closing()

    async def send(self, shape: Shape) -> web.StreamResponse:
        """Send a shape; a client that leaves in the middle is no error."""
        response = web.StreamResponse(status=shape.status, headers=shape.headers)
        response.content_length = shape.length
        if shape.length is None:
            response.enable_chunked_encoding()
        try:
            await response.prepare(self.request)
            self.status = shape.status
            await self._body(response, shape)
        except ConnectionError:
            self.abort()
        return response

    async def _body(self, response: web.StreamResponse, shape: Shape) -> None:
        for chunk in shape.chunks:
            if self.gone:
                return
            if chunk and self.request.method != "HEAD":
                await response.write(chunk)
                self.sent += len(chunk)
            # Also without a pause others get their turn: a write that does not fill the buffer never waits.
            await asyncio.sleep(shape.pause)
        if shape.end == "close":
            self._close()
        elif shape.end == "reset":
            await self._flushed()
            self.abort()
        elif shape.end == "hang":
            await self._look_until(lambda: self.gone)
        else:
            await response.write_eof()

    async def hang(self) -> web.StreamResponse:
        """Answer nothing until the client leaves or the server stops."""
        await self._look_until(lambda: self.gone)
        return web.Response()

    def reset(self) -> web.StreamResponse:
        """Break the connection without an answer."""
        self.abort()
        return web.Response()

    def abort(self) -> None:
        """Break the connection so that the client sees a reset."""
        transport = self.request.transport
        if transport is None:
            return
        connection = transport.get_extra_info("socket")
        if connection is not None and connection.fileno() >= 0:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()

    def _close(self) -> None:
        if self.request.transport is not None:
            self.request.transport.close()

    async def _flushed(self) -> None:
        # A reset throws away what the kernel has not yet been given.
        transport = self.request.transport
        await self._look_until(lambda: self.gone or transport is None or not transport.get_write_buffer_size())

    @staticmethod
    async def _look_until(met: Callable[[], bool]) -> None:
        # A transport tells nobody but its protocol that it closes, so somebody has to look.
        for _ in count():
            if met():
                return
            await asyncio.sleep(LOOK)

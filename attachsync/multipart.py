"""A multipart/form-data body of one file part, streamed from an open descriptor.

Its length is known before it starts (never chunked), the file's own offset is left alone, and each try begins anew.
"""

import asyncio
import os
import re
import secrets
from typing import BinaryIO

from attachsync.client import AbstractStreamWriter, Payload
from attachsync.threads import in_thread

_BLOCK = 256 * 1024
_STALLED = 60.0
"""Seconds in which one block must leave this machine; a large file may take as long as it needs."""


def quoted(name: str) -> str:
    """A file name inside double quotes, the way browsers write it: raw UTF-8, `"`, CR and LF escaped.

    So are other control characters, which no header may hold.
    """
    return re.sub(r'["\x00-\x1f\x7f]', lambda match: f"%{ord(match[0]):02X}", name)


def head(boundary: str, field: str, name: str, media_type: str) -> bytes:
    """What stands before the file's bytes."""
    disposition = f'form-data; name="{quoted(field)}"; filename="{quoted(name)}"'
    return f"--{boundary}\r\nContent-Disposition: {disposition}\r\nContent-Type: {media_type}\r\n\r\n".encode()


def tail(boundary: str) -> bytes:
    """What stands after them."""
    return f"\r\n--{boundary}--\r\n".encode()


class FileForm(Payload):
    """A form whose only part is `size` bytes of `body`. Made anew for each try; never closes `body`."""

    def __init__(self, field: str, name: str, media_type: str, body: BinaryIO, size: int) -> None:
        boundary = secrets.token_hex(16)
        super().__init__(body, content_type=f"multipart/form-data; boundary={boundary}")
        self._head = head(boundary, field, name, media_type)
        self._tail = tail(boundary)
        self._descriptor = body.fileno()
        self._length = size
        self._size = len(self._head) + size + len(self._tail)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The whole form as text: for debuggers; nothing here asks for it."""
        body = os.pread(self._descriptor, self._length, 0)
        return (self._head + body + self._tail).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write the form; OSError when the file has fewer bytes than were announced, or nothing moves any more."""
        await _push(writer, self._head)
        at = 0
        while at < self._length:
            block = await in_thread(os.pread, self._descriptor, min(_BLOCK, self._length - at), at)
            if not block:
                raise OSError("the file became shorter while it was sent")
            await _push(writer, block)
            at += len(block)
        await _push(writer, self._tail)


async def _push(writer: AbstractStreamWriter, block: bytes) -> None:
    try:
        async with asyncio.timeout(_STALLED):
            await writer.write(block)
    except TimeoutError:
        transport = getattr(writer, "transport", None)
        if transport is not None:
            transport.abort()  # a polite close would wait for what is stuck in it
        raise

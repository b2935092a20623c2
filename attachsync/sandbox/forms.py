"""Reads the file parts of a multipart upload."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import BodyPartReader, MultipartReader, web
from aiohttp.http_exceptions import HttpProcessingError

PIECE = 1 << 16


@dataclass(frozen=True)
class Part:
    """One part of a form; a field without a file name has `file_name` None."""

    name: str
    file_name: str | None
    media_type: str
    data: bytes


class TooLarge(Exception):
    """A part has more bytes than allowed."""


async def read_parts(request: web.Request, limit: int) -> list[Part]:
    """Return all parts; ValueError if the body is no multipart form, TooLarge beyond the limit."""
    if request.content_type != "multipart/form-data":
        raise ValueError("the body is not multipart/form-data")
    parts: list[Part] = []
    try:
        reader = await request.multipart()
        while (part := await reader.next()) is not None:
            if isinstance(part, MultipartReader):
                raise ValueError("a form inside a form")
            parts.append(await _read(part, limit))
    except HttpProcessingError as error:
        raise ValueError("malformed part headers") from error
    return parts


async def _read(part: BodyPartReader, limit: int) -> Part:
    data = bytearray()
    while chunk := await part.read_chunk(PIECE):
        data += chunk
        if len(data) > limit:
            raise TooLarge
    return Part(part.name or "", part.filename, part.headers.get("Content-Type", ""), bytes(data))

"""Parts of a stored object: Range and If-Range of one range (RFC 9110), read lazily. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from aiohttp import web

from attachsync.sandbox.answer import Answer
from attachsync.sandbox.content import Content

# One range; anything else is ignored, as RFC 9110 14.2 allows.
RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)


@dataclass(frozen=True)
class Slice:
    """The bytes of some content from `start` up to `stop`."""

    content: Content
    start: int
    stop: int

    @property
    def size(self) -> int:
        """Number of bytes."""
        return self.stop - self.start

    @property
    def sha256(self) -> str:
        """SHA-256 in lowercase hex."""
        digest = hashlib.sha256()
        for chunk in self.chunks():
            digest.update(chunk)
        return digest.hexdigest()

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes in pieces."""
        at = 0
        for chunk in self.content.chunks():
            piece = chunk[max(0, self.start - at) : max(0, self.stop - at)]
            at += len(chunk)
            if piece:
                yield piece
            if at >= self.stop:
                return


def part(content: Content, header: str) -> Slice | None:
    """Return what a Range header asks for; None: everything. ValueError: nothing of it exists."""
    found = RANGE.fullmatch(header.strip())
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if first == "":
        start, stop = max(0, content.size - int(last)), content.size
    else:
        start, stop = int(first), content.size if last == "" else min(int(last) + 1, content.size)
        if last != "" and int(last) < start:
            return None
    if start >= stop:
        raise ValueError("the range begins after the end")
    return Slice(content, start, stop)


def ranged(request: web.Request, whole: Answer, refusal: Answer) -> Answer:
    """Return the part of a whole answer that a request asks for; `refusal` (416) when there is none."""
    headers = {**whole.headers, "Accept-Ranges": "bytes"}
    size = whole.content.size
    validators = (headers.get("ETag"), headers.get("Last-Modified"), None)
    fits = request.headers.get("If-Range") in validators
    try:
        piece = part(whole.content, request.headers.get("Range", "") if fits else "")
    except ValueError:
        return replace(refusal, headers={**refusal.headers, "Content-Range": f"bytes */{size}"})
    if piece is None:
        return replace(whole, headers=headers)
    return Answer(206, piece, headers | {"Content-Range": f"bytes {piece.start}-{piece.stop - 1}/{size}"})

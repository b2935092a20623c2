"""Bodies of Trinsic: JSON requests, and replies with base64 inside JSON, made while they are sent."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from aiohttp import web

from attachsync.sandbox.answer import Answer
from attachsync.sandbox.content import Content, Held
from attachsync.sandbox.trinsic_records import Attachment

# What the requests may be, and what the replies can be (specs/trinsic.md 1.5).
JSON_REQUEST = re.compile(r"(application|text)/json|application/[\w.-]+\+json")
JSON_REPLIES = ("application/json", "text/json", "text/plain")
# Only the name of the field is known, not its shape (specs/trinsic.md 1.5, 4).
OPAQUE = "b3BhcXVl"


@dataclass(frozen=True)
class Base64Json:
    """The base64 of some content between two pieces of JSON; `escaped`: with + and / written as escapes."""

    content: Content
    before: bytes
    after: bytes
    escaped: bool = False

    @cached_property
    def size(self) -> int:
        """Number of bytes; escapes have to be counted."""
        if self.escaped:
            return sum(map(len, self.chunks()))
        return len(self.before) + 4 * ((self.content.size + 2) // 3) + len(self.after)

    @property
    def sha256(self) -> str:
        """SHA-256 in lowercase hex."""
        digest = hashlib.sha256()
        for chunk in self.chunks():
            digest.update(chunk)
        return digest.hexdigest()

    def chunks(self) -> Iterator[bytes]:
        """Yield the JSON in pieces."""
        yield self.before
        rest = b""
        for chunk in self.content.chunks():
            data = rest + chunk
            whole = len(data) - len(data) % 3
            yield self._encoded(data[:whole])
            rest = data[whole:]
        yield self._encoded(rest)
        yield self.after

    def _encoded(self, data: bytes) -> bytes:
        text = base64.b64encode(data)
        return text.replace(b"+", rb"\u002B").replace(b"/", rb"\/") if self.escaped else text


def reply_type(request: web.Request) -> str:
    """Return the media type of a JSON reply, as the client's Accept wants it."""
    wanted = [one.partition(";")[0].strip().lower() for one in request.headers.get("Accept", "").split(",")]
    return next((one for one in wanted if one in JSON_REPLIES), JSON_REPLIES[0]) + "; charset=utf-8"


def reply(request: web.Request, value: Any) -> Answer:
    """Return a JSON reply."""
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    return Answer(200, Held(body), {"Content-Type": reply_type(request)})


def content_reply(
    request: web.Request, attachment: Attachment, extra: dict[str, Any], *, escaped: bool, type_first: bool
) -> Answer:
    """Return {"content", "contentType"}: base64, a stand-in text, or nothing but an encrypted payload (1.5)."""
    kind = f'"contentType":{json.dumps(attachment.media_type)}'
    more = {"encryptedContent": OPAQUE, **extra} if attachment.hpke else extra
    tail = "".join(f",{json.dumps(name)}:{json.dumps(value)}" for name, value in more.items()) + "}"
    before, after = (f'{{{kind},"content":', tail) if type_first else ('{"content":', f",{kind}{tail}")
    headers = {"Content-Type": reply_type(request)}
    if attachment.hpke or attachment.text is not None:
        text = json.dumps("" if attachment.hpke else attachment.text)
        return Answer(200, Held((before + text + after).encode()), headers)
    body = Base64Json(attachment.content, f'{before}"'.encode(), f'"{after}'.encode(), escaped)
    return Answer(200, body, headers)


async def request_object(request: web.Request) -> dict[str, Any] | None:
    """Return the JSON object that a request brings; None if its body is none."""
    try:
        body = json.loads(await request.read())
    except ValueError:
        return None
    return body if isinstance(body, dict) else None

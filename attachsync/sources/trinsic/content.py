"""From an answer to an attachment's bytes, in whatever shape they come (specs/trinsic.md 1.1, 1.5).

Raw, or base64 inside JSON: told by the Content-Type, then by the shape. Nothing is held but the beginning.
"""

import re
from collections.abc import AsyncIterator

from attachsync import media
from attachsync.errors import MalformedError, NotReadyError, UnsupportedError
from attachsync.model import Body
from attachsync.sources.trinsic.decoder import ContentDecoder

HPKE = "encrypted for the holder of an HPKE key (hpkeEncrypted): attachsync cannot open it"
_HEAD = 64 * 1024
_MOST_BESIDE = 4 * 1024 * 1024
"""An answer is not read further than this (bytes) without any content coming: it may have no end."""
_MEDIA = re.compile(r"(image|audio|video|font)/|application/(pdf|zip)", re.IGNORECASE)
_ENVELOPE = ("application/json", "text/json", "text/plain")
"""How the JSON around an attachment is labelled: of an attachment that is none itself that says nothing."""


async def opened(raw: Body, where: str, *, size: int | None, json_only: bool) -> Body:
    """The attachment that an answer holds. `size`: what is stated; `json_only`: it cannot be raw.

    Raises NotReadyError (no content yet), UnsupportedError (encrypted), MalformedError, UnavailableError.
    """
    head = await _begun(raw.chunks)
    if not head and size != 0:
        raise NotReadyError("not ready yet: the answer is empty")
    if json_only or is_json(raw.media_type, head):
        return await _decoded(raw.chunks, head, where, size)
    return Body(_joined(head, raw.chunks), raw.size, _media_type(raw.media_type, head))


def is_json(media_type: str | None, head: bytes) -> bool:
    """Whether an answer that begins so is JSON that holds content, rather than the attachment itself. Pure.

    An attachment may be JSON as well, and even speak of content: it would have to do so just as the service does, in
    the usual form of base64 or at least beside a `contentType`. What is taken for the attachment itself is kept as it
    came.
    """
    if _MEDIA.match(media_type or ""):
        return False
    decoder = ContentDecoder()
    try:
        decoder.feed(head)
        in_doubt = decoder.is_odd and len(head) < _HEAD  # what is longer is no words
    except MalformedError:
        in_doubt = True
    return decoder.encrypted or (decoder.has_content and (not in_doubt or b'"contentType"' in head))


def _media_type(stated: str | None, head: bytes) -> str | None:
    """What is stated, unless that says nothing: then what the first bytes show."""
    bare = media.bare(stated)
    if not media.says_nothing(bare) and bare not in _ENVELOPE:
        return bare
    is_so = bare == "text/plain" or (bare in _ENVELOPE and head.lstrip()[:1] in (b"{", b"["))
    return media.shown(head) or (bare if is_so else None)


async def _begun(chunks: AsyncIterator[bytes]) -> bytes:
    """The beginning, or all of it."""
    head = bytearray()
    async for chunk in chunks:
        head += chunk
        if len(head) >= _HEAD:
            break
    return bytes(head)


async def _joined(head: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if head:
        yield head
    async for chunk in rest:
        yield chunk


async def _decoded(chunks: AsyncIterator[bytes], head: bytes, where: str, size: int | None) -> Body:
    decoder = ContentDecoder()
    pieces = _pieces(decoder, head, chunks, where)
    first = await anext(pieces, b"")
    if not first:
        if decoder.encrypted:
            raise UnsupportedError(HPKE)
        if size != 0:
            raise NotReadyError("not ready yet: the answer has no content")

    async def told() -> AsyncIterator[bytes]:
        if first:
            yield first
        async for piece in pieces:
            yield piece
        body.media_type = _inner(decoder.media_type, first)  # it may come after the content

    body = Body(told(), None, _inner(decoder.media_type, first))
    return body


def _inner(stated: str | None, first: bytes) -> str | None:
    """What the JSON says that the content is, unless that says nothing: then what its first bytes show."""
    return (media.shown(first) or stated) if media.says_nothing(stated) else stated


async def _pieces(
    decoder: ContentDecoder, head: bytes, chunks: AsyncIterator[bytes], where: str
) -> AsyncIterator[bytes]:
    """The content, piece by piece; none of them is empty. What surrounds it must end some time."""
    beside = 0
    try:
        async for chunk in _joined(head, chunks):
            if piece := decoder.feed(chunk):
                beside = 0
                yield piece
            elif (beside := beside + len(chunk)) > _MOST_BESIDE:
                raise MalformedError("the JSON does not end")
        decoder.close()
    except MalformedError as error:
        raise MalformedError(f"{where}: HTTP 200, but {error}") from None

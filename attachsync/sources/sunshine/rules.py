"""What Sunshine takes, asks and answers: pure functions of plain values (specs/sunshine.md 1 and 3)."""

from collections.abc import Iterator, Mapping

from attachsync import units
from attachsync.model import JSON, Draft

LARGEST = 50_000_000
"""Bytes of one upload (3.1). Whether the form around the file counts is not stated; the service decides there."""

# fmt: off
EXTENSIONS = frozenset({
    "3g2", "3gp", "7z", "aac", "amr", "avi", "bmp", "caf", "csv", "doc", "docx", "eml", "gif", "heic", "heif",
    "ics", "jfif", "jpeg", "jpg", "key", "log", "m4a", "m4v", "mov", "mp3", "mp4", "mp4a", "mpeg", "mpg", "mpga",
    "neon", "numbers", "odt", "oga", "ogg", "ogv", "opus", "pages", "pdf", "pkpass", "png", "pps", "ppsx", "ppt",
    "pptx", "qt", "svg", "tif", "tiff", "txt", "usdz", "vcf", "wav", "webm", "webp", "wmv", "xls", "xlsx", "xml",
    "yaml", "yml", "zip",
})
# fmt: on
"""The 62 extensions of the current help page (3.2). The service also sniffs the bytes; that is left to it."""

_ALT_TEXT = 128
TICKET = "attachsync_id"
"""The key of a message's metadata that holds our ticket: how a posted message is found again."""


def refusal(name: str, size: int) -> tuple[str, str] | None:
    """(code, reason) when the service would surely refuse a file of this name and size."""
    if size > LARGEST:
        return "too_large", f"{size:,} bytes are more than the {LARGEST:,} that Sunshine takes"
    stem, dot, extension = name.rpartition(".")
    if not dot or not stem:
        return "type_not_allowed", "Sunshine takes no file without an extension"
    if extension.lower() not in EXTENSIONS:
        return "type_not_allowed", f"Sunshine takes no .{extension} files"
    return None


def uploaded(answer: JSON) -> tuple[str, str] | None:
    """(mediaUrl, mediaType) of an upload's answer, byte for byte; None if it has no address (1.1)."""
    attachment = answer.get("attachment") if isinstance(answer, Mapping) else None
    if not isinstance(attachment, Mapping):
        return None
    media_url, media_type = attachment.get("mediaUrl"), attachment.get("mediaType")
    if not isinstance(media_url, str) or not media_url:
        return None
    return media_url, media_type if isinstance(media_type, str) else ""


def message(draft: Draft, receipt: Mapping[str, str]) -> dict[str, JSON]:
    """The message that shows an upload (1.5): an image only if the service itself called it one (8)."""
    kind = "image" if receipt.get("media_type", "").lower().startswith("image/") else "file"
    content: dict[str, JSON] = {"type": kind, "mediaUrl": receipt["media_url"], "altText": draft.name[:_ALT_TEXT]}
    return {"author": {"type": "business"}, "content": content, "metadata": {TICKET: draft.ticket}}


def messages(answer: JSON) -> list[Mapping[str, JSON]]:
    """The messages of a page, or of a post's answer; what is no message is left out."""
    found = answer.get("messages") if isinstance(answer, Mapping) else None
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def marked(answer: JSON, ticket: str, media_url: str) -> str | None:
    """The id of the message of a page that carries our ticket, or shows the upload: each has an address of its own."""
    for one in messages(answer):
        metadata, content = one.get("metadata"), one.get("content")
        is_ours = isinstance(metadata, Mapping) and metadata.get(TICKET) == ticket
        if is_ours or (isinstance(content, Mapping) and content.get("mediaUrl") == media_url):
            return identity(one) or "unknown"
    return None


def identity(one: Mapping[str, JSON]) -> str | None:
    """A message's id."""
    found = one.get("id")
    return found if isinstance(found, str) and found else None


def older(answer: JSON, since: float) -> str | None:
    """The cursor of the page before this one; None if there is none, or all of it is from before `since` (1.6)."""
    meta = answer.get("meta") if isinstance(answer, Mapping) else None
    if not isinstance(meta, Mapping) or meta.get("hasMore") is not True:
        return None
    if any(moment < since for moment in _received(answer)):
        return None
    cursor = meta.get("beforeCursor")
    if isinstance(cursor, str) and cursor:
        return cursor
    return min(filter(None, map(identity, messages(answer))), default=None)


def _received(answer: JSON) -> Iterator[float]:
    for one in messages(answer):
        received = one.get("received")
        try:
            if isinstance(received, str):
                yield units.moment(received)
        except ValueError:
            continue

"""Messages as frozen values, and the attachments they show. Pure (specs/sunshine.md 1.6, 1.7, 3.5, 8)."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit, urlunsplit

from attachsync import units
from attachsync.errors import MalformedError
from attachsync.model import JSON, Attachment

_ID = re.compile(r"[A-Za-z0-9_.~@+-]{1,128}")
_LONGEST_TEXT = 500
_LONGEST_URL = 4096
_FACTS = {"type": "type", "altText": "alt_text", "attachmentId": "attachment_id", "title": "title"}
"""What a content or an item says of itself, and the name under which it is kept."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `received` is Unix time, 0 where the service gives none."""

    id: str
    received: float
    raw: Mapping[str, JSON]

    @property
    def order(self) -> tuple[float, str]:
        """The order inside a page is not documented: this one is ours (1.6)."""
        return self.received, self.id


@dataclass(frozen=True, slots=True)
class Chat:
    """One conversation as listed: `updated` is the time of its last message, as the service writes it."""

    id: str
    updated: str | None


@dataclass(frozen=True, slots=True)
class Listing:
    """One page: what is sound in it, oldest message first, how much was not, and where it goes on (None: it ends)."""

    messages: tuple[Message, ...] = ()
    chats: tuple[Chat, ...] = ()
    unsound: int = 0
    before: str | None = None
    after: str | None = None


def listing(body: JSON, kind: str) -> Listing:
    """Parse a page of `messages` or `conversations`. Raises MalformedError where it is no page at all.

    `meta.hasMore` is of the direction that was asked for. Where it is true but the cursor is left out, the outermost
    id is the cursor: they are record ids (1.6).
    """
    rows, meta = (body.get(kind), body.get("meta")) if isinstance(body, Mapping) else (None, None)
    more = meta.get("hasMore") if isinstance(meta, Mapping) else None
    if not isinstance(rows, list) or not isinstance(meta, Mapping) or not isinstance(more, bool):
        raise MalformedError(f"no list of {kind} that says whether there are more")
    if kind == "conversations":
        chats = tuple(filter(None, map(chat, rows)))
        last = identifier(meta.get("afterCursor")) or (chats[-1].id if chats else None)
        _check(more, last)
        return Listing(chats=chats, unsound=len(rows) - len(chats), after=last if more else None)
    found = tuple(sorted(filter(None, map(_message, rows)), key=lambda one: one.order))
    before = identifier(meta.get("beforeCursor")) or (found[0].id if found else None)
    after = identifier(meta.get("afterCursor")) or (found[-1].id if found else None)
    _check(more, before or after)
    unsound = len(rows) - len(found)
    return Listing(messages=found, unsound=unsound, before=before if more else None, after=after if more else None)


def _check(more: bool, cursor: str | None) -> None:
    if more and cursor is None:
        raise MalformedError("a list that says that there is more, but not where")


def identifier(value: JSON) -> str | None:
    """An id or a cursor that can stand in a path or a query; None where it is none."""
    return value if isinstance(value, str) and _ID.fullmatch(value) and value.strip(".") else None


def chat(row: JSON) -> Chat | None:
    """Parse one conversation; None if it has no id."""
    found = identifier(row.get("id")) if isinstance(row, Mapping) else None
    if found is None or not isinstance(row, Mapping):
        return None
    updated = row.get("lastUpdatedAt")
    return Chat(found, updated if isinstance(updated, str) and updated else None)


def _message(row: JSON) -> Message | None:
    found = identifier(row.get("id")) if isinstance(row, Mapping) else None
    if found is None or not isinstance(row, Mapping):
        return None
    return Message(found, _moment(row.get("received")), row)


def _moment(value: JSON) -> float:
    try:
        return units.moment(value) if isinstance(value, str) else 0.0
    except (ValueError, OverflowError):
        return 0.0


def of_page(track: str, conversation: str, messages: Sequence[Message]) -> list[Attachment]:
    """The attachments of a page's messages. What a message quotes is another message's, and is not looked at."""
    found = []
    for number, one in enumerate(messages):
        beside = _beside(messages, number)
        for position, part in parts(one):
            found.append(_attachment(track, conversation, one, (position, part), beside))
    return found


def keys_of(conversation: str, message: str = "") -> str:
    """What the keys of all that a message shows begin with; or those of a whole conversation."""
    return f"conversations/{conversation}/" + (f"messages/{message}/" if message else "")


def parts(message: Message) -> Iterator[tuple[str, Mapping[str, JSON]]]:
    """(position, content or item) of everything in a message that has a mediaUrl; kinds that are not known have none.

    A deleted message is a placeholder: what it showed is not to be had any more.
    """
    content = message.raw.get("content")
    if is_deleted(message) or not isinstance(content, Mapping):
        return
    kind, items = content.get("type"), content.get("items")
    if kind in ("file", "image") and media_url(content):
        yield "content", content
    elif kind in ("carousel", "list") and isinstance(items, list):
        for number, item in enumerate(items):
            if isinstance(item, Mapping) and media_url(item):
                yield f"items/{number}", item


def is_deleted(message: Message) -> bool:
    """Whether only a placeholder of it is left."""
    return message.raw.get("deleted") is True


def media_url(part: Mapping[str, JSON]) -> str:
    """Where the bytes are, byte for byte; empty if it is not said."""
    found = part.get("mediaUrl")
    return found if isinstance(found, str) else ""


def bare(url: str) -> str:
    """A URL without what may be a secret in it: user, query and fragment; empty if it is no web address."""
    try:
        found = urlsplit(url)
    except ValueError:
        return ""
    if found.scheme not in ("http", "https") or len(url) > _LONGEST_URL:
        return ""
    return urlunsplit((found.scheme, found.netloc.rpartition("@")[2], found.path, "", ""))


def _attachment(
    track: str,
    conversation: str,
    message: Message,
    where: tuple[str, Mapping[str, JSON]],
    beside: Mapping[str, JSON],
) -> Attachment:
    position, part = where
    url = media_url(part)
    kept = bare(url)
    # Of a content the service states the type; of an item its author may state any (1.7).
    media_type = part.get("mediaType") if position == "content" else None
    key = keys_of(conversation, message.id) + position
    version = hashlib.sha256(kept.encode(errors="replace")).hexdigest()
    meta: dict[str, JSON] = {
        "conversation": conversation,
        "message": message.id,
        "position": position,
        "received": message.raw.get("received") if message.received else None,
        "author": _author(message.raw.get("author")),
        "media_url": kept,
        **_texts(part, _FACTS),
    }
    # That it is there, also where nothing is in it, says that the link is not the one that is kept.
    signed: dict[str, JSON] = {} if kept == url else {"beside": beside}
    return Attachment(
        track=track,
        key=key,
        version=version,
        path=("conversations", conversation, "-".join(filter(None, (message.id, _name(part, kept))))),
        media_type=media_type if isinstance(media_type, str) and 0 < len(media_type) <= _LONGEST_TEXT else None,
        size=_whole(part.get("mediaSize")),
        content=f"{key}@{version}",  # what one track has fetched, another one, or one of another name, has too
        meta={key: value for key, value in meta.items() if value} | signed,
    )


def _beside(messages: Sequence[Message], number: int) -> Mapping[str, JSON]:
    """The cursor of a page that this message is on; empty where it was listed alone.

    There is no way to ask for one message by its id.
    """
    if number:
        return {"page[after]": messages[number - 1].id}
    return {"page[before]": messages[1].id} if len(messages) > 1 else {}


def _name(part: Mapping[str, JSON], url: str) -> str:
    """What a person calls it: altText, which is the file's name by default, or the last part of its address."""
    stated = part.get("altText")
    if isinstance(stated, str) and stated.strip():
        return stated.strip()
    return unquote(url.rpartition("/")[2], errors="replace")


def _author(author: JSON) -> Mapping[str, JSON]:
    return _texts(author, {name: name for name in ("type", "userId", "displayName")})


def _texts(value: JSON, wanted: Mapping[str, str]) -> dict[str, JSON]:
    if not isinstance(value, Mapping):
        return {}
    found = {ours: value.get(theirs) for theirs, ours in wanted.items()}
    return {name: text[:_LONGEST_TEXT] for name, text in found.items() if isinstance(text, str) and text}


def _whole(value: JSON) -> int | None:
    """A stated size; it is a `number` in the schema, so 1024.0 is one too."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 else None

"""The state of the emulated Sunshine Conversations app, and the calls by which tests change it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from attachsync.sandbox.content import Content, Held
from attachsync.sandbox.ids import Ids
from attachsync.sandbox.media import ALLOWED_EXTENSIONS, named
from attachsync.sandbox.rate import RateLimit
from attachsync.sandbox.stamps import precise
from attachsync.sandbox.sunshine_access import SunshineAccess

APP_ID = "5d8cff3cd55b040010928b5b"
KEY_ID = "app_5963ceb97cde542d000dbdb1"
# The key of the vectors in specs/sunshine.md 7.
KEY = {KEY_ID: "s3cr3t"}
START = datetime(2025, 2, 3, 9, 0, 0, tzinfo=UTC)
# Stands for the origin of the sandbox in stored URLs, until a client asks.
HERE = "sandbox:"


@dataclass
class Media:
    """A stored file; `path` is where it is served below the service's prefix, percent-encoded."""

    id: str
    path: str
    name: str
    media_type: str
    content: Content
    conversation: str = ""
    purpose: str = ""
    private: bool = False

    @property
    def url(self) -> str:
        """The mediaUrl, with a stand-in for the origin."""
        return HERE + self.path


@dataclass(frozen=True)
class Upload:
    """What one upload request brought."""

    file_name: str
    media_type: str
    size: int
    sha256: str
    data: bytes
    query: dict[str, str]
    media: Media


@dataclass
class Conversation:
    """A conversation and its messages, oldest first."""

    id: str
    created: datetime
    updated: datetime
    is_default: bool = False
    users: set[str] = field(default_factory=set)
    external_users: set[str] = field(default_factory=set)
    messages: list[dict[str, Any]] = field(default_factory=list)


class Sunshine:
    """Keys, conversations and files of one app, under a clock of their own that ticks once per message or file."""

    def __init__(self) -> None:
        """Start with one app, one key and no conversation."""
        self.app_id = APP_ID
        self.ids = Ids("sunshine")
        self.access = SunshineAccess(dict(KEY))
        self.now = START
        self.conversations: dict[str, Conversation] = {}
        # Users, by id and by external id, who had a conversation that was deleted.
        self.former: set[str] = set()
        self.media: dict[str, Media] = {}
        self.uploads: list[Upload] = []
        # What the documents leave open, or what is too large to reach in a test.
        self.max_request = 50_000_000
        self.max_json = 100_000
        self.message_limit = 30_000
        self.message_page = 100
        self.extensions = ALLOWED_EXTENSIONS
        self.private = False
        self.legacy_urls = False
        self.media_origin = ""
        # Private files ask for a cookie, as before 2024-09, and take no key (specs/sunshine.md 4.1).
        self.cookie_only = False
        # A cursor whose message is gone is refused; what the service makes of it is not known (1.6).
        self.strict_cursors = False
        self.rate_limit: RateLimit | None = None
        # Whether files come with an ETag and in parts; nowhere stated.
        self.ranges = False

    def add_key(self, key_id: str, secret: str) -> None:
        """Accept a further key; its scope follows from its prefix (app_, int_, act_, svc_)."""
        self.access.keys[key_id] = secret

    def add_conversation(
        self,
        id: str | None = None,
        user: str = "26508c10541a4b0ff472e5e2",
        external_user: str = "",
        is_default: bool = False,
    ) -> Conversation:
        """Create a conversation with one participant."""
        at = self._tick()
        conversation = Conversation(id or self.ids.hex24("conversation", _milliseconds(at)), at, at, is_default)
        conversation.users.add(user)
        if external_user:
            conversation.external_users.add(external_user)
        self.conversations[conversation.id] = conversation
        return conversation

    def add_media(
        self,
        data: bytes | Content,
        name: str,
        media_type: str = "",
        conversation: Conversation | str = "",
        purpose: str = "",
        *,
        private: bool = False,
    ) -> Media:
        """Store a file as if somebody had uploaded it; a private one where files of its time were (4.1)."""
        scope = conversation.id if isinstance(conversation, Conversation) else conversation
        content = Held(data) if isinstance(data, bytes) else data
        ulid = self.ids.ulid("media", _milliseconds(self._tick()))
        path = self._path(ulid, name, scope, legacy=private or self.legacy_urls)
        media = Media(ulid, path, name, media_type or named(name), content, scope, purpose, private)
        self.media[media.path] = media
        return media

    def add_message(
        self,
        conversation: Conversation | str,
        content: dict[str, Any] | str,
        author: dict[str, Any] | str = "user",
        metadata: dict[str, Any] | None = None,
        *,
        source: str = "web",
        deleted: bool = False,
        **more: Any,
    ) -> dict[str, Any]:
        """Add a message; a text alone is a text message, and "user" or "business" alone an author."""
        target = self.conversations[conversation] if isinstance(conversation, str) else conversation
        at = self._tick()
        message: dict[str, Any] = {
            "id": self.ids.hex24("message", _milliseconds(at)),
            "received": precise(at),
            "author": _author(author, target),
            "content": {"type": "text", "text": content} if isinstance(content, str) else content,
            "source": {"type": source},
            **({"metadata": metadata} if metadata is not None else {}),
            **({"deleted": True} if deleted else {}),
            **more,
        }
        target.messages.append(message)
        target.updated = at
        return message

    def file_content(self, media: Media, kind: str = "file", text: str = "", alt: str = "") -> dict[str, Any]:
        """Return the content of a message that shows a stored file (specs/sunshine.md 1.7)."""
        return {
            "type": kind,
            "mediaUrl": media.url,
            "mediaType": media.media_type,
            "mediaSize": media.content.size,
            "altText": alt or media.name[:128],
            **({"text": text} if text else {}),
            "attachmentId": media.id,
        }

    def messages(self, conversation: Conversation | str) -> list[dict[str, Any]]:
        """Return the messages of a conversation, oldest first."""
        return self.conversations[conversation].messages if isinstance(conversation, str) else conversation.messages

    def remove_messages(self, conversation: Conversation, ids: set[str]) -> None:
        """Delete messages, and the files that were uploaded for them (specs/sunshine.md 1.2)."""
        gone = [one for one in conversation.messages if one["id"] in ids]
        conversation.messages = [one for one in conversation.messages if one["id"] not in ids]
        urls = {one["content"].get("mediaUrl") for one in gone}
        for media in [one for one in self.media.values() if one.purpose == "message" and one.url in urls]:
            del self.media[media.path]

    def remove_conversation(self, conversation: Conversation) -> None:
        """Delete a conversation with its messages and files."""
        self.remove_messages(conversation, {one["id"] for one in conversation.messages})
        for media in [one for one in self.media.values() if one.conversation == conversation.id]:
            del self.media[media.path]
        self.former |= conversation.users | conversation.external_users
        del self.conversations[conversation.id]

    def _path(self, ulid: str, name: str, conversation: str, *, legacy: bool) -> str:
        """Return the path of specs/sunshine.md 3.5, the legacy one if wanted."""
        encoded = quote(name, safe="!~*'()")
        if not legacy:
            return f"/attachments/v2/{ulid}/{encoded}"
        scope = f"/conversations/{conversation}" if conversation else ""
        return f"/apps/{self.app_id}{scope}/{self.ids.letters('legacy', 24)}/{encoded}"

    def _tick(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


def _milliseconds(time: datetime) -> int:
    return int(time.timestamp() * 1000)


def _author(author: dict[str, Any] | str, conversation: Conversation) -> dict[str, Any]:
    if isinstance(author, dict):
        return author
    return {"type": author, "userId": min(conversation.users)} if author == "user" else {"type": author}

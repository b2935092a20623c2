"""What the emulated Trinsic holds: sessions, attachments, access keys, and how its calls answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from attachsync.sandbox.content import Content

# The generations of "fetch an attachment" (specs/trinsic.md 1.1).
Generation = Literal["A", "B1", "B2", "C"]
# Errors since 2.0.3; of 2.0.0 to 2.0.2; to 1.2.0 (specs/trinsic.md 1.7).
ErrorShape = Literal["problem", "plain", "old"]


@dataclass
class Endpoint:
    """How one call that answers with content behaves (specs/trinsic.md 1.1).

    `not_ready`: its status while there is no content yet; 200 is an answer with empty content.
    `content_type`: of a raw reply; None: the file's own, empty: none at all.
    `needs_session`: refuse requests without `sessionId`. `retired`: the status of a call that no longer exists.
    """

    reply: Literal["raw", "json"]
    not_ready: int
    content_type: str | None = None
    needs_session: bool = False
    retired: int = 0


@dataclass(eq=False)
class Attachment:
    """One attachment. `fetches` counts the answers with its content; `gone` is true after redaction."""

    id: str
    kind: str
    content: Content
    media_type: str
    ready: bool = True
    hpke: bool | None = None
    stated_size: int | None = None
    text: str | None = None
    gone: bool = False
    fetches: int = 0

    @property
    def size(self) -> int:
        """The size that the list states."""
        return self.content.size if self.stated_size is None else self.stated_size


@dataclass(eq=False)
class Session:
    """A session; all times are unix seconds.

    `form`: whether the list of attachments is there, null or missing (specs/trinsic.md 4, edge cases).
    `hpke`: the whole result is encrypted. `key_expires`: from when the results key is refused.
    """

    id: str
    results_key: str
    created: int
    updated: int
    profile: str
    done: bool = False
    success: bool = False
    error_code: str | None = None
    expires: int | None = None
    ended: int | None = None
    key_expires: int | None = None
    redacted: bool = False
    hpke: bool = False
    form: Literal["list", "null", "missing"] = "list"
    provider: str = "document-scan"
    identity: dict[str, Any] = field(default_factory=dict)
    attachments: list[Attachment] = field(default_factory=list)


@dataclass(eq=False)
class AccessKey:
    """A key that opens one attachment; `used` counts the exchanges that brought its content."""

    key: str
    attachment: Attachment
    session: str = ""
    uses: int | None = None
    expires: int | None = None
    revoked: bool = False
    used: int = 0


@dataclass(frozen=True)
class Exchange:
    """One request that brought an access key; `status` is what it was answered."""

    key: str
    path: str
    session: str
    status: int

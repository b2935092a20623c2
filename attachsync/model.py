"""The nouns: frozen values and the protocols between the parts. Imports nothing of ours."""

import enum
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple, NewType, Protocol, TypeAlias

JSON: TypeAlias = "Mapping[str, JSON] | list[JSON] | str | int | float | bool | None"

Digest = NewType("Digest", str)
"""SHA-256 as 64 lower-case hexadecimal digits."""
_DIGEST = re.compile(r"[0-9a-f]{64}")


def is_digest(text: str) -> bool:
    """Whether text is a digest. What a service states as one may be anything, a path too."""
    return _DIGEST.fullmatch(text) is not None


class State(enum.StrEnum):
    """Where an attachment stands, as `ls` shows it (contract 4)."""

    STORED = "stored"
    WAITING = "waiting"
    MISMATCH = "mismatch"
    REFUSED = "refused"
    QUARANTINED = "quarantined"
    UNSUPPORTED = "unsupported"
    GONE = "gone"
    FAILED = "failed"


NEEDS_A_PERSON = frozenset(
    {State.MISMATCH, State.REFUSED, State.QUARANTINED, State.UNSUPPORTED, State.GONE, State.FAILED}
)
"""States that make a pass exit 1: something could not be mirrored (contract 4, exit codes)."""


class Attachment(NamedTuple):
    """One attachment as listed upstream. A tuple, as there are many: it is made in a third of the time."""

    track: str
    """Name of the track that asked for it."""
    key: str
    """Identity within the account; opaque to all but its source; never a secret, never a link."""
    version: str
    """Changes if and only if the content may have changed."""
    path: tuple[str, ...]
    """Where a person would look for it below `files/ACCOUNT`: our own folders, then the name as the service gave it."""
    media_type: str | None = None
    size: int | None = None
    sha256: str | None = None
    """What the service states: lower-case hex where it is a SHA-256; any other text matches no bytes."""
    content: str | None = None
    """Identity of immutable content within the account (a DataTrails blob), when the service has one."""
    meta: Mapping[str, JSON] = {}
    """What the service said, kept for `show` and for audits."""
    recheck: bool = False
    """If it is stored already: inspect it again after this listing, and not only when that is due."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a listing. `marks` (feed -> cursor) are committed together with the rest, in one transaction."""

    items: tuple[Attachment, ...]
    marks: Mapping[str, JSON] = field(default_factory=dict)
    gone: tuple[str, ...] = ()
    """Keys, or with a `/` at the end all keys below, of which the service says for certain that they are no more."""
    unchanged: int = 0
    """So many more are named that need no look: all of what they come from is as it was when they were taken."""
    census: int | None = None
    """Of a listing that names everything each time: how many things this page names. None: only what is new."""


class Cursors(Protocol):
    """How far each feed of one track has been listed. A source reads it; the index commits `Page.marks` into it."""

    @property
    def thorough(self) -> bool:
        """Whether a person asked for this pass: what is otherwise asked now and then only is asked now."""

    def get(self, feed: str) -> JSON:
        """The cursor of a feed, or None if it was never completed."""


class Standing(enum.Enum):
    """What the service's own record says about showing an attachment, under the track's rules."""

    GOOD = "good"
    NOT_YET = "not yet"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Held:
    """The beginning of a body that broke off: so many bytes of so many, and what the rest must match to be its rest."""

    size: int
    total: int
    validator: str
    """Its strong ETag, or its modification date."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the service's own record says of an attachment (DataTrails `/info`); empty where there is none."""

    standing: Standing = Standing.GOOD
    reason: str = ""
    again: float | None = None
    """Seconds until it is worth asking again; None: what is said here is final."""
    refetch: bool = False
    """The content may have changed without a new version: read it again. `read` may raise NotModifiedError,
    but only where this is true: it is not when the bytes are wanted whatever they are."""
    size: int | None = None
    media_type: str | None = None
    sha256: str | None = None
    record: Mapping[str, JSON] = field(default_factory=dict)
    held: Held | None = None
    """What is here of it already: where the service can, `read` gives only the rest."""

    def check_at(self, now: float) -> float | None:
        """When to ask again (Unix time); None: never."""
        return check_at(self.again, now)


def check_at(again: float | None, now: float) -> float | None:
    """When to ask again (Unix time) what is to be asked again after so many seconds; None: never."""
    return None if again is None else now + again


@dataclass(slots=True)
class Body:
    """An attachment's bytes on their way, `size` of them in all.

    `chunks` raises UnavailableError when the connection breaks. Not frozen: some services state the media type after
    the bytes.
    """

    chunks: AsyncIterator[bytes]
    size: int | None = None
    media_type: str | None = None
    etag: str | None = None
    record: Mapping[str, JSON] = field(default_factory=dict)
    """What the source wants kept of this reading: it joins the record that `inspect` gets."""
    start: int = 0
    """How many bytes before `chunks` are held already."""
    validator: str | None = None
    """What the rest must match if this breaks off; None: it could only be read anew."""
    whole: bytes | None = None
    """What `chunks` will bring, where all of it is here already: read one or the other."""
    close: Callable[[], object] = lambda: None
    """Let go of the connection."""


@dataclass(frozen=True, slots=True)
class Account:
    """`[accounts.NAME]`. `options` is the frozen dataclass that the service's source module declares."""

    name: str
    service: str
    base_url: str
    options: object
    ca_file: Path | None = None
    proxy: str | None = None
    concurrency: int = 8
    rate: float | None = None
    media_hosts: tuple[str, ...] = ()
    dir_mode: int | None = None


@dataclass(frozen=True, slots=True)
class Track:
    """`[[track]]`. Durations are in seconds."""

    name: str
    account: str
    options: object
    interval: float | None = None
    retain: float | None = None
    on_gone: str = "keep"


@dataclass(frozen=True, slots=True)
class Outbox:
    """`[[outbox]]`. Durations are in seconds."""

    directory: Path
    account: str
    options: object
    settle: float = 1.0
    ignore: tuple[str, ...] = ()
    on_unknown: str = "retry"
    propagate_deletes: bool = False


class Source(Protocol):
    """One account of one service, to mirror from."""

    def pages(self, track: Track, cursors: Cursors) -> AsyncIterator[Page]:
        """What is new on a track, or may be; every page may be seen again."""

    async def inspect(self, track: Track, attachment: Attachment, record: Mapping[str, JSON]) -> Facts:
        """The service's own record of an attachment; `record` is what was kept of the last one (or empty).

        Raises NotReadyError, GoneError, RejectedError, UnavailableError, MalformedError, AccountError.
        """

    def read(self, track: Track, attachment: Attachment, facts: Facts) -> AbstractAsyncContextManager[Body]:
        """An attachment's bytes; raises as `inspect` does, and RefusedError."""

    def repeatable(self, track: Track) -> bool:
        """Whether reading an attachment of a track twice is harmless (a key may be good for one exchange only)."""

    async def probe(self, track: Track | None) -> str:
        """Sign in, and look a track up (`check --online`); says what was found. Raises what the service answered."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A dropped file, about to be sent. `ticket` is its stable id: it marks the posted message (`metadata`)."""

    ticket: str
    name: str
    """Base name, as the service shall show it."""
    media_type: str
    size: int
    sha256: Digest


class Sender(Protocol):
    """One outbox's way to its service. Receipt fields are strings by name, as contract 3 lists them."""

    def refusal(self, name: str, size: int, head: bytes) -> tuple[str, str] | None:
        """(code, reason) when the service would surely refuse this file, else None. Pure."""

    def posts(self) -> bool:
        """Whether `deliver` is to be called after an upload."""

    async def upload(self, draft: Draft, body: BinaryIO) -> dict[str, str]:
        """Send the bytes. UnavailableError with `sent` is an unknown outcome; RejectedError is for good."""

    async def kept(self, draft: Draft, receipt: Mapping[str, str]) -> dict[str, str] | None:
        """What `upload` said of these bytes before, if that still holds; None: they are to be sent again."""

    async def deliver(self, draft: Draft, receipt: Mapping[str, str], since: float | None) -> dict[str, str]:
        """Post the message. With `since` (Unix time of an attempt of unknown outcome), look for it there first."""

    async def delete(self, receipt: Mapping[str, object]) -> bool:
        """Delete what a receipt describes; False when the service no longer has it."""

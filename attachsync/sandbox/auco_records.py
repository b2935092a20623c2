"""What the emulated Auco holds: processes, signers, requested files and stored objects."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from attachsync.sandbox.content import Content

# The code words' JSON is not documented (specs/auco.md 1.2, 4).
ErrorShape = Literal["message", "error", "text", "empty"]
# The forms that `files` may have while nothing is uploaded (specs/auco.md 4).
PendingForm = Literal["absent", "empty", "labels"]


@dataclass(frozen=True)
class Stored:
    """One stored object. An empty `media_type` is served without Content-Type; an empty `etag` means none."""

    path: str
    content: Content
    media_type: str
    etag: str
    at: datetime


@dataclass(eq=False)
class Package:
    """A process. `ghosts`: signers whom only the overview still shows; `attachments`: whether it asks for files."""

    id: str
    name: str
    created: datetime
    updated: datetime
    codes: list[str] = field(default_factory=list)
    finish: bool = False
    status: str = "CREATED"
    expires: datetime | None = None
    attachments: bool = True
    document: Stored | None = None
    custom: dict[str, Any] | None = None
    signers: list[Signer] = field(default_factory=list)
    ghosts: list[Signer] = field(default_factory=list)
    log: list[dict[str, str]] = field(default_factory=list)


@dataclass(eq=False)
class Signer:
    """A person in a process; `status` is that of the files, `participant` that of the signing."""

    package: Package = field(repr=False)
    user_id: str
    name: str
    email: str
    phone: str = "+573000000000"
    status: str = "pending"
    participant: str = "NOTIFICATION"
    files: list[File] = field(default_factory=list)
    images: dict[str, Stored | bytes] = field(default_factory=dict)


@dataclass(eq=False)
class File:
    """A requested file: a label, and what was uploaded under it."""

    signer: Signer = field(repr=False)
    label: str
    stored: Stored | None = None

"""Auco's answers as frozen values, and the attachments they name. Pure (specs/auco.md 1.2, 1.4)."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from yarl import URL

from attachsync.errors import MalformedError
from attachsync.model import JSON, Attachment
from attachsync.origins import sound

OPEN, APPROVED, FINISHED = "open", "approved", "finished"
"""How far a file's signer is: it may be uploaded anew; all of it was approved; the whole process is over."""
_OVER = frozenset({"REJECTED", "EXPIRED", "FINISH"})


@dataclass(frozen=True, slots=True)
class Target:
    """What a track mirrors: one process, by `package` or `code`; of its signers these, or (empty) all."""

    kind: str
    id: str
    users: tuple[str, ...] = ()

    @property
    def folder(self) -> tuple[str, str]:
        """Where it is shown (contract 3); also the beginning of its attachments' identities."""
        return f"{self.kind}s", self.id


@dataclass(frozen=True, slots=True)
class Process:
    """The overview. `unsound`: how many of its signers could not be read."""

    name: str
    finish: bool
    users: tuple[str, ...]
    unsound: int = 0


@dataclass(frozen=True, slots=True)
class File:
    """A file that a signer is asked for. `link` (None: not uploaded) opens it for whoever has it: never shown."""

    label: str
    link: str | None = field(default=None, repr=False)

    @property
    def place(self) -> str | None:
        """Digest of the storage object that the link leads to: the same in every reply, unlike the signature."""
        if self.link is None:
            return None
        try:
            url = sound(URL(self.link, encoded=True))
        except ValueError:
            return ""
        return hashlib.sha256(f"{url.host}{url.raw_path}".encode(errors="replace")).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Signer:
    """One signer with the files that were asked for. `unsound`: how many of these could not be read."""

    process: str
    status: str
    finish: bool
    files: tuple[File, ...]
    unsound: int = 0


def process(body: JSON, target: Target) -> Process:
    """Parse the overview; raises MalformedError."""
    head = _head(body)
    stated = head.get("package")
    if target.kind == "package" and isinstance(stated, str) and stated != target.id:
        raise MalformedError("it is another package")
    rows = head.get("signers")
    if not isinstance(rows, list):
        raise MalformedError("no list of signers in it")
    ids = [_word(row.get("userId")) if isinstance(row, Mapping) else "" for row in rows]
    users = [one for one in ids if one]
    return Process(
        _text(head.get("name")), head.get("finish") is True, tuple(dict.fromkeys(users)), len(ids) - len(users)
    )


def signer(body: JSON, user: str) -> Signer:
    """Parse one signer's detail; `files` may be absent, empty, or without links. Raises MalformedError."""
    head = _head(body)
    found = head.get("signer")
    if not isinstance(found, Mapping):
        raise MalformedError("no signer in it")
    if _word(found.get("userId")) not in ("", user):
        raise MalformedError("it is another signer")
    files = found.get("files")
    if files is not None and not isinstance(files, list):
        raise MalformedError("its files are no list")
    read = tuple(_file(one) for one in files or () if isinstance(one, Mapping))
    unsound = len(files or ()) - len(read)
    return Signer(_text(head.get("name")), _text(found.get("status")), head.get("finish") is True, read, unsound)


def ended(body: JSON) -> bool:
    """Whether GET /document says that the process is over; BLOCK is not, as a person can unblock (specs/auco.md 2)."""
    status = body.get("status") if isinstance(body, Mapping) else None
    return isinstance(status, str) and status.upper() in _OVER


def _head(body: JSON) -> Mapping[str, JSON]:
    if not isinstance(body, Mapping):
        raise MalformedError("it is no JSON object")
    return body


def _file(value: Mapping[str, JSON]) -> File:
    link = value.get("url")
    return File(_word(value.get("name")), link if isinstance(link, str) and link else None)


def _text(value: JSON) -> str:
    return value if isinstance(value, str) else ""


def _word(value: JSON) -> str:
    """An id or a label, which may look like a number and be written as one; empty where there is none."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else _text(value)


# --- identity ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Slot:
    """Which of a signer's files: its label, and its number (from 1) among those of the same label."""

    label: str
    number: int


def attachment(track: str, target: Target, user: str, slot: Slot, file: File, said: Mapping[str, JSON]) -> Attachment:
    """A file as an attachment that may have changed whenever it is listed."""
    return Attachment(
        track=track,
        key=key(target, user, slot),
        version="1",  # no reply states one: what changed is found by reading again
        path=(*target.folder, user, slot.label),
        meta={"signer": user, "label": slot.label, "place": file.place, **said},
        recheck=True,
    )


def key(target: Target, user: str, slot: Slot) -> str:
    """The key of a signer's file."""
    ordinal = f"#{slot.number}" if slot.number > 1 else ""
    return "/".join(_escaped(part) for part in (*target.folder, user, slot.label)) + ordinal


def subject(key: str) -> tuple[str, Slot]:
    """Read an attachment's key back: signer, and which of the files."""
    _, _, user, rest = key.split("/")
    label, _, number = rest.partition("#")
    return unquote(user), Slot(unquote(label), int(number or 1))


def _escaped(part: str) -> str:
    """Readable, and without what separates: labels are free text."""
    return re.sub(r"[%/#\x00-\x1f\x7f]", lambda match: f"%{ord(match[0]):02X}", part)

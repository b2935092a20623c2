"""Receipts and failure records: what they say (contract 3), how they are read back, and how they are named. Pure."""

import tomllib
from collections.abc import Callable, Mapping
from datetime import datetime

import tomli_w

from attachsync import units
from attachsync.index import Upload
from attachsync.names import split

SUFFIX = ".toml"
UPLOADED_AT = "uploaded_at"
FAILED_AT = "failed_at"
"""Keys of the journal's copy of a receipt that are ours, not the service's. Times are RFC 3339 there."""

_ADDRESSES = ("media_url", "blob")
"""What a failure record keeps of an upload that went well before its delivery failed."""
_LONGEST_NAME = 255

Document = Mapping[str, object]


def receipt(account: str, upload: Upload) -> dict[str, object]:
    """The receipt of an upload that is done. `media_type` is what we sent it as, whatever the service calls it."""
    ours: dict[str, object] = {
        "account": account,
        "file_name": upload.name,
        "sha256": upload.draft.sha256,
        "size": upload.draft.size,
        "media_type": upload.draft.media_type,
        "uploaded_at": units.utc(units.moment(upload.receipt[UPLOADED_AT])),
        "attempts": upload.attempts,
        "possible_orphan": upload.possible_orphan,
    }
    return ours | {key: value for key, value in upload.receipt.items() if key not in ours and value}


def failure(upload: Upload) -> dict[str, object]:
    """The record of a file that was refused for good, from what `refused` put into the journal."""
    said = upload.receipt
    record: dict[str, object] = {
        "error": said.get("error", upload.error),
        "code": said.get("code", ""),
        "failed_at": units.utc(units.moment(said[FAILED_AT])),
        "attempts": upload.attempts,
    }
    if said.get("status"):
        record["status"] = int(said["status"])
    return record | {key: said[key] for key in _ADDRESSES if said.get(key)}


def refused(
    receipt: Mapping[str, str], *, error: str, code: str, at: float, status: int | None = None
) -> dict[str, str]:
    """What the journal keeps of a refusal, beside what an upload before it brought."""
    said = {**receipt, "error": error, "code": code, FAILED_AT: units.rfc3339(at) or ""}
    return said | ({"status": str(status)} if status is not None else {})


def is_failure(upload: Upload) -> bool:
    """Whether a journaled upload is on its way to failed/ rather than to sent/."""
    return FAILED_AT in upload.receipt


def document(upload: Upload, account: str) -> dict[str, object]:
    """The receipt or failure record of a journaled upload."""
    return failure(upload) if is_failure(upload) else receipt(account, upload)


def written(content: Document) -> bytes:
    """A document as TOML."""
    return tomli_w.dumps(content).encode()


def parsed(text: bytes) -> dict[str, object] | None:
    """A document read back; None if it is no TOML of ours (people may put what they like into sent/)."""
    try:
        return tomllib.loads(text.decode())
    except (ValueError, RecursionError):  # also of a number with more digits than Python reads
        return None


def is_receipt(content: Document, account: str) -> bool:
    """Whether a document is a receipt of an upload by `account`."""
    uploaded_at, file_name = content.get("uploaded_at"), content.get("file_name")
    return content.get("account") == account and isinstance(uploaded_at, datetime) and isinstance(file_name, str)


def deleted(content: Document, now: float) -> dict[str, object]:
    """A receipt, saying when what it describes was deleted upstream."""
    return {**content, "deleted_at": units.utc(now)}


def described(record: str) -> str | None:
    """The name of the file that `record` would be about, by its own name; None if it is no record's name."""
    name = record.removesuffix(SUFFIX)
    return name if name != record and not name.endswith("/") and name else None


def numbered(name: str, number: int) -> str:
    """`name` (a path) or, from 2 on, `report-2.pdf`: cut so that its record's name is no longer than 255 bytes."""
    folder, slash, base = name.rpartition("/")
    stem, suffix = split(base)
    extra = f"-{number}" if number > 1 else ""
    room = _LONGEST_NAME - len((extra + suffix + SUFFIX).encode())
    return folder + slash + stem.encode()[:room].decode(errors="ignore") + extra + suffix


def free(name: str, taken: Callable[[str], bool]) -> str:
    """The first of `name`, `report-2.pdf`, … of which neither it nor its record is `taken`."""
    number = 1
    while True:
        candidate = numbered(name, number)
        if not taken(candidate) and not taken(candidate + SUFFIX):
            return candidate
        number += 1

"""What users of the sandbox command may change of Auco over HTTP, below /_sandbox/auco."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attachsync.sandbox.auco import Auco
from attachsync.sandbox.auco_records import File
from attachsync.sandbox.content import Content

Body = dict[str, Any]
# Reads the bytes that a body describes.
Read = Callable[[Body], Content]


def _package(state: Auco, body: Body, _read: Read) -> Body:
    """Add a process; with `code`, one with a document."""
    known = {"id", "name", "code", "attachments", "expires_in"}
    return {"package": state.add_package(**{key: body[key] for key in body if key in known}).id}


def _signer(state: Auco, body: Body, _read: Read) -> Body:
    """Add a signer to a `package` (id or code); `removed` takes one out."""
    if body.get("removed"):
        state.remove_signer(state.signer(str(body["package"]), str(body["user"])))
        return {}
    given = {key: str(body[key]) for key in ("name", "email") if key in body}
    return {"user": state.add_signer(str(body["package"]), str(body["user"]), **given).user_id}


def _file(state: Auco, body: Body, read: Read) -> Body:
    """Ask a signer for a file, or upload it (anew) when bytes are given; `number` picks among equal labels."""
    signer, label = state.signer(str(body["package"]), str(body["user"])), str(body["label"])
    same = [one for one in signer.files if one.label == label]
    number = int(body.get("number", 1))
    file = same[number - 1] if 0 < number <= len(same) else state.add_file(signer, label)
    if body.get("removed"):
        state.remove_file(file)
    elif body.get("rejected"):
        state.reject_file(file)
    elif {"text", "base64", "size"} & set(body):
        state.upload(file, read(body), str(body.get("media_type", "application/pdf")), etag=body.get("etag"))
    return _told(file)


def _told(file: File) -> Body:
    return {"label": file.label, **({"sha256": file.stored.content.sha256} if file.stored else {})}


def _status(state: Auco, body: Body, _read: Read) -> Body:
    """Set the status of a `user`, or of the whole process: FINISH, REJECTED, EXPIRED."""
    package, status = state.find(str(body["package"])), str(body["status"])
    if "user" in body:
        state.set_status(state.signer(package, str(body["user"])), status)
    else:
        {"FINISH": state.finish, "REJECTED": state.reject, "EXPIRED": state.expire}[status](package)
    return {}


def _clock(state: Auco, body: Body, _read: Read) -> Body:
    """Move the clock by so many seconds."""
    state.advance(float(body["advance"]))
    return {"now": state.now.isoformat()}


def _keys(state: Auco, body: Body, _read: Read) -> Body:
    """Accept the `add`ed key; `revoke` refuses all earlier ones."""
    if body.get("revoke"):
        state.revoke_keys()
    if "add" in body:
        state.add_key(str(body["add"]))
    return {}


AUCO_ACTIONS: dict[str, Callable[[Auco, Body, Read], Body]] = {
    "packages": _package,
    "signers": _signer,
    "files": _file,
    "status": _status,
    "clock": _clock,
    "keys": _keys,
}

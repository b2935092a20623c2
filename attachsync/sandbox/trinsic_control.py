"""What users of the sandbox command may change of Trinsic over HTTP, below /_sandbox/trinsic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attachsync.sandbox.content import Content
from attachsync.sandbox.trinsic import Trinsic
from attachsync.sandbox.trinsic_records import Attachment, Generation

Body = dict[str, Any]
# Reads the bytes that a body describes.
Read = Callable[[Body], Content]


def _session(state: Trinsic, body: Body, _read: Read) -> Body:
    """Add a session; done=false leaves it pending, error_code makes it a failed one."""
    known = {"id", "results_key", "done", "error_code", "expires_in"}
    session = state.add_session(**{key: body[key] for key in body if key in known})
    return {"session": session.id, "results_key": session.results_key}


def _attachment(state: Trinsic, body: Body, read: Read) -> Body:
    """Add an attachment of some kind to a session."""
    known = {"id", "media_type", "ready", "hpke", "stated_size", "text_instead"}
    given = {key.removesuffix("_instead"): body[key] for key in body if key in known}
    added = state.add_attachment(str(body["session"]), str(body["kind"]), read(body), **given)
    return {"attachment": added.id, "sha256": added.content.sha256}


def _key(state: Trinsic, body: Body, read: Read) -> Body:
    """Add an access key for some bytes."""
    known = {"key", "media_type", "session", "ready", "uses", "expires_in"}
    added = state.add_access_key(read(body), **{key: body[key] for key in body if key in known})
    return {"key": added.key, "sha256": added.attachment.content.sha256}


def _status(state: Trinsic, body: Body, _read: Read) -> Body:
    """Move a session: to pending, success, failed (with error_code), redacted or removed."""
    session = state.find(str(body["session"]))
    moves: dict[str, Callable[[], None]] = {
        "pending": lambda: state.reopen(session),
        "success": lambda: state.finish(session),
        "failed": lambda: state.finish(session, str(body.get("error_code", "UserAbandoned"))),
        "redacted": lambda: state.redact(session),
        "removed": lambda: state.remove_session(session),
    }
    moves[str(body["status"])]()
    return {}


def _ready(state: Trinsic, body: Body, _read: Read) -> Body:
    """Make the content of an attachment, or of a key, ready or not; a key can also be revoked."""
    _held(state, body).ready = bool(body.get("ready", True))
    if "key" in body:
        state.keys[str(body["key"])].revoked = bool(body.get("revoked", False))
    return {}


def _held(state: Trinsic, body: Body) -> Attachment:
    if "key" in body:
        return state.keys[str(body["key"])].attachment
    every = {one.id: one for session in state.sessions.values() for one in session.attachments}
    return every[str(body["attachment"])]


def _clock(state: Trinsic, body: Body, _read: Read) -> Body:
    """Move the clock by so many seconds."""
    state.advance(int(body["advance"]))
    return {"now": state.now}


def _tokens(state: Trinsic, body: Body, _read: Read) -> Body:
    """Accept the `add`ed token; `revoke` refuses all earlier ones."""
    if body.get("revoke"):
        state.revoke_tokens()
    if "add" in body:
        state.add_token(str(body["add"]), allowed=bool(body.get("allowed", True)))
    return {}


def _generation(state: Trinsic, body: Body, _read: Read) -> Body:
    """Answer as generation A, B1, B2 or C did."""
    generations: dict[str, Generation] = {"A": "A", "B1": "B1", "B2": "B2", "C": "C"}
    state.speak(generations[str(body["generation"])])
    return {}


TRINSIC_ACTIONS: dict[str, Callable[[Trinsic, Body, Read], Body]] = {
    "sessions": _session,
    "attachments": _attachment,
    "keys": _key,
    "status": _status,
    "ready": _ready,
    "clock": _clock,
    "tokens": _tokens,
    "generation": _generation,
}

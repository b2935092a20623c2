"""What Trinsic's answers say of a session (specs/trinsic.md 1.3, 1.4). Pure.

Only what says which attachments there are is kept: identity data never leaves this module.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from attachsync import media, names
from attachsync.errors import MalformedError, UnsupportedError
from attachsync.model import JSON, Attachment
from attachsync.units import counted

_MOST_NAMED = 100
FAILED = "failed"
ENCRYPTED = "encrypted"
REDACTED = "redacted"
EARLIER = "earlier"


@dataclass(frozen=True, slots=True)
class Listed:
    """One attachment of a session's list."""

    id: str
    type: str
    media_type: str | None
    size: int | None
    encrypted: bool


@dataclass(frozen=True, slots=True)
class Results:
    """How far a session has come. `problem`: why it has no attachments that could be mirrored, if so."""

    done: bool
    error_code: str = ""
    problem: str = ""
    listed: tuple[Listed, ...] = ()
    unsound: int = 0


def results(answer: Mapping[str, JSON], of: str) -> Results:
    """Parse the answer of the results call for the session `of`; raises MalformedError, also for another one's."""
    session, data = answer.get("session"), answer.get("identityData")
    if not isinstance(session, Mapping):
        raise MalformedError("there is no session in the answer")
    if (told := session.get("id")) is not None and str(told).lower() != of.lower():
        raise MalformedError("it is the answer for another session")
    done, success = _ended(session)
    if not done:
        return Results(False)
    held = data.get("attachments") if isinstance(data, Mapping) else None
    if not success and not held:
        return Results(True, _code(session), FAILED)
    if not isinstance(data, Mapping):
        sealed = any("encrypted" in name.lower() and value for name, value in answer.items())
        return Results(True, problem=ENCRYPTED if sealed else REDACTED)
    if isinstance(held, Mapping) or data.get("attachmentAccessKeys"):
        return Results(True, problem=EARLIER)
    if held is None and "attachmentAccessKeys" not in data:
        return Results(False)  # the list is required (1.4): where there is none, it may come yet
    if held is not None and not isinstance(held, list):
        raise MalformedError("the attachments are not a list")
    found = [_listed(one) for one in held or ()]
    sound = tuple(one for one in found if one is not None)
    return Results(True, listed=sound, unsound=len(found) - len(sound))


def _ended(session: Mapping[str, JSON]) -> tuple[bool, bool]:
    """(done, success), also of sessions as they were written before 2.0.0 (`state`)."""
    state = session.get("state")
    if "done" not in session and isinstance(state, str):
        return state in ("IdvSuccess", "IdvFailed"), state == "IdvSuccess"
    done, success = session.get("done"), session.get("success")
    if not isinstance(done, bool) or not isinstance(success, bool | None):
        raise MalformedError("it does not say whether the session is done")
    return done, success is True


def _code(session: Mapping[str, JSON]) -> str:
    """The error code, whatever it is: the list of them grows."""
    code = session.get("errorCode") or session.get("failCode")
    return shown(code) if isinstance(code, str) else ""


def pending(sessions: Sequence[str]) -> str:
    """What is said of sessions that are not done, or are and have no list of attachments yet (1.4)."""
    more = " and more" if len(sessions) > _MOST_NAMED else ""
    return f"{counted(len(sessions), 'session')} without results yet: {', '.join(sessions[:_MOST_NAMED])}{more}"


def stated(record: Mapping[str, JSON]) -> int | None:
    """The size (bytes) of what came for an access key and was not kept; None if that is not known.

    Raises UnsupportedError if it never can be: the key was good for that exchange only (1.8).
    """
    reason, size = record.get("spent"), record.get("stated")
    if isinstance(reason, str):
        raise UnsupportedError(reason)
    return size if isinstance(size, int) else None


def shown(text: str) -> str:
    """A word of the service's, fit to be shown."""
    return "".join(char for char in text if char.isprintable())[:100]


def _listed(value: JSON) -> Listed | None:
    """One attachment; None for what cannot be one. Types that no document names are as good as others."""
    identity = value.get("id") if isinstance(value, Mapping) else None
    if not isinstance(value, Mapping) or not isinstance(identity, str) or not identity or len(identity) > 200:
        return None
    kind, media_type, size = value.get("type"), value.get("contentType"), value.get("sizeBytes")
    return Listed(
        id=identity,
        type=shown(kind) if isinstance(kind, str) else "",
        media_type=None if not isinstance(media_type, str) or media.says_nothing(media_type) else shown(media_type),
        size=size if isinstance(size, int) and not isinstance(size, bool) and 0 <= size < 2**63 else None,
        encrypted=value.get("hpkeEncrypted") is True,
    )


def attachments(track: str, session: str, name: str, found: Results) -> Iterator[Attachment]:
    """What a finished session is shown as: its attachments, or one item that says why there are none."""
    about: dict[str, JSON] = {"session": session, **({"name": name} if name else {})}
    if found.problem:
        yield Attachment(
            track=track,
            key=f"sessions/{session}",
            version="1",
            path=("sessions", session, "session"),
            meta={**about, "problem": found.problem, "error_code": found.error_code or None},
        )
    for one in found.listed:
        key = f"sessions/{session}/{quote(one.id, safe='')}"
        leaf = names.extended(one.type or "attachment", one.media_type)
        yield Attachment(
            track=track,
            key=key,
            version="1",  # an attachment is final: no document says that an id's content may change (2)
            path=("sessions", session, leaf),
            media_type=one.media_type,
            size=None if one.encrypted else one.size,
            content=key,
            meta={**about, "type": one.type, "encrypted": one.encrypted},
        )

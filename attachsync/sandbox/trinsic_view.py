"""How Trinsic's generations show sessions and results (specs/trinsic.md 1.3, 1.4). Pure."""

from __future__ import annotations

from typing import Any

from attachsync.sandbox.trinsic import Trinsic
from attachsync.sandbox.trinsic_body import OPAQUE
from attachsync.sandbox.trinsic_records import Attachment, Session

JsonObject = dict[str, Any]
# The names of access keys by kind; a scan report is listed below its provider (specs/trinsic.md 1.4).
KEY_NAMES = {
    "selfie": "selfie",
    "document_front": "documentFront",
    "document_back": "documentBack",
    "document_portrait": "documentPortrait",
}
DISCLOSED = (
    "idNumber",
    "givenName",
    "familyName",
    "address",
    "dateOfBirth",
    "country",
    "issueDate",
    "expirationDate",
    *KEY_NAMES.values(),
)
REPORT = "document_scan_report"


def session_view(state: Trinsic, session: Session) -> JsonObject:
    """Return a session as the generation in force writes it."""
    times = {"created": session.created, "updated": session.updated}
    if state.generation in ("A", "B1"):
        return {**_old_session(session), **times, **state.extra}
    return {
        "id": session.id,
        "done": session.done,
        "success": session.success,
        "errorCode": session.error_code,
        **times,
        **state.extra,
    }


def _old_session(session: Session) -> JsonObject:
    ended = "IdvSuccess" if session.success else "IdvFailed"
    return {
        "id": session.id,
        "state": ended if session.done else "IdvInProgress",
        "failCode": "SessionFailVerificationFailed" if session.error_code else "SessionFailNone",
        "verification": {"id": session.id},
        "disclosedFields": dict.fromkeys(DISCLOSED, True),
    }


def results_view(state: Trinsic, session: Session) -> JsonObject:
    """Return a session with its identity data: null while pending, after a failure, when redacted or encrypted.

    The first generations left it out then.
    """
    empty = not session.success or session.redacted
    view = {"session": session_view(state, session), **state.extra}
    if state.generation in ("B2", "C"):
        view["identityData"] = None
    if session.hpke and not empty:
        view["encryptedIdentityData"] = OPAQUE
    elif not empty:
        view["identityData"] = {**_identity(state, session), **session.identity, **state.extra}
    return view


def _identity(state: Trinsic, session: Session) -> JsonObject:
    view: JsonObject = {
        "originatingProviderId": session.provider,
        "person": {"givenName": "Ada", "familyName": "Example"},
        "document": {"type": "DriversLicense", "number": "D1234567", "issuingCountry": "US"},
    }
    if state.generation in ("B2", "C"):
        view |= {"originatingSubProviderId": None, "match": None}
    if state.generation == "C":
        view["providerOutput"] = None
    name = "attachmentAccessKeys" if state.generation == "B2" else "attachments"
    if session.form == "null":
        view[name] = None
    elif session.form == "list":
        view[name] = _listed(state, session)
    return view


def _listed(state: Trinsic, session: Session) -> list[JsonObject] | JsonObject:
    if state.generation == "C":
        return [{**attachment_view(one), **state.extra} for one in session.attachments]
    keys: JsonObject = {
        KEY_NAMES[one.kind]: state.key_of(session, one) for one in session.attachments if one.kind in KEY_NAMES
    }
    reports = [one for one in session.attachments if one.kind == REPORT]
    if state.generation == "B2":
        keys["provider"] = {"document-scan": {"report": state.key_of(session, reports[0])}} if reports else {}
    return keys


def attachment_view(attachment: Attachment) -> JsonObject:
    """Return an attachment's description in the current list."""
    return {
        "id": attachment.id,
        "type": attachment.kind,
        "contentType": attachment.media_type,
        "sizeBytes": attachment.size,
        **({} if attachment.hpke is None else {"hpkeEncrypted": attachment.hpke}),
    }

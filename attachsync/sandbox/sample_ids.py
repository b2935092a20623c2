"""Sample data of Trinsic: sessions and access keys that can be mirrored, and apart from them some that cannot."""

from __future__ import annotations

from attachsync.sandbox.tiny import pdf, png
from attachsync.sandbox.trinsic import Trinsic

IDS_BEARER = "sandbox-ids-bearer"
# The test file of specs/trinsic.md 4.
JPEG = bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffd9")
# Sessions by what they show; the first is that of the vectors in specs/trinsic.md 4.
SESSION = "678c1ff6-2178-49e7-81d2-548afb6f85ec"
TWINS = "2f6a4a1c-8f0d-4c7e-9f43-0d2b1b8a5e01"
PENDING = "5a1f7c02-3b9e-4d6c-8a77-6c1e2f9d0b34"
FAILED = "9b2d7c3e-0a51-4a0e-8f1d-5d7a4f0c2b11"
FAILED_ODDLY = "c41e9f60-7d25-4b83-a1f6-93b0d7e2c518"
ENCRYPTED = "e7d3b5a8-19c4-4f2e-b06d-48a2c9f1e760"
SEALED = "0d9c6e2b-5f71-4a38-8e14-b7a3d2c6f905"
REDACTED = "7be01d49-c2a6-4f95-9d38-1e6f4b8c0a27"
BROKEN = "a80f2c6d-e413-4b57-96c9-d5b1e7f3082a"
# The profile of the one that ends as no document says: official clients read no list that has it (specs/trinsic.md 3).
ODD_PROFILE = "b90f4e16-2c8d-4d01-8e3a-71f5c2a9d6e4"
# Their results keys. What the demo tracks comes first: mirrored, or pending, which is no failure.
RESULTS_KEYS = {
    SESSION: "rak_sandbox_session",
    TWINS: "rak_sandbox_twins",
    PENDING: "rak_sandbox_pending",
    FAILED: "rak_sandbox_failed",
    FAILED_ODDLY: "rak_sandbox_failed_oddly",
    ENCRYPTED: "rak_sandbox_encrypted",
    SEALED: "rak_sandbox_sealed",
    REDACTED: "rak_sandbox_redacted",
    BROKEN: "rak_sandbox_broken",
}
DEMO_SESSIONS = (SESSION, TWINS, PENDING)
# Access keys good for any number of exchanges, so that another mirror of the same sandbox gets them too.
KEY_FRONT = "aak_sandbox_front"
KEY_REPORT = "aak_sandbox_report"
KEY_WAITING = "aak_sandbox_waiting"
# Good for one exchange only; and one of later SDKs, which needs its session.
KEY_ONCE = "aak_sandbox_once"
KEY_LATER = "aak_sandbox_later"


def admit_ids(trinsic: Trinsic) -> None:
    """Let the account of the sandbox's config sign in."""
    trinsic.add_token(IDS_BEARER)


def sessions_text() -> str:
    """Return a sessions file (contract 2) of what can be mirrored, and a session that is pending."""
    names = {SESSION: " ada"}
    lines = [f"{one} {RESULTS_KEYS[one]}{names.get(one, '')}" for one in DEMO_SESSIONS]
    return "\n".join(["# SESSION RESULTS_KEY [NAME]", *lines]) + "\n"


def access_keys_text() -> str:
    """Return an access keys file for `attachments_api = "exchange"`; the last key is not ready yet."""
    return f"# KEY [NAME] [session=UUID]\n{KEY_FRONT}\n{KEY_REPORT} scan-report\n{KEY_WAITING}\n"


def later_keys_text() -> str:
    """Return an access keys file for `attachments_api = "attachment"`."""
    return f"{KEY_LATER} selfie session={SESSION}\n"


def fill_ids(trinsic: Trinsic) -> None:
    """Add all sessions and keys."""
    _complete(trinsic)
    _twins(trinsic)
    trinsic.add_session(PENDING, RESULTS_KEYS[PENDING], done=False)
    _keys(trinsic)
    _ended(trinsic)
    _encrypted(trinsic)
    _broken(trinsic)


def _complete(trinsic: Trinsic) -> None:
    """Every type of attachment, and one that no document names."""
    session = trinsic.add_session(SESSION, RESULTS_KEYS[SESSION])
    front = "0b0f7d0e-53a1-4a55-9b8e-2f1c9f3f1a77"
    trinsic.add_attachment(session, "document_front", JPEG, id=front, hpke=False)
    trinsic.add_attachment(session, "document_back", png(200, 210, 230), "image/png")
    trinsic.add_attachment(session, "document_portrait", png(230, 200, 180), "image/png")
    trinsic.add_attachment(session, "document_signature", png(20, 20, 60, 24, 8), "image/png")
    trinsic.add_attachment(session, "selfie", png(231, 201, 181), "image/png")
    trinsic.add_attachment(session, "document_scan_report", pdf("Scan report"), "application/pdf")
    trinsic.add_attachment(session, "passport_chip_photo", b"\x00\x01chip", "image/x-chip")


def _twins(trinsic: Trinsic) -> None:
    """Two attachments of one type; the same bytes under two ids."""
    session = trinsic.add_session(TWINS, RESULTS_KEYS[TWINS])
    for data in (JPEG, png(1, 2, 3)):
        trinsic.add_attachment(session, "selfie", data, "image/jpeg" if data is JPEG else "image/png")
    trinsic.add_attachment(session, "document_front", JPEG)


def _keys(trinsic: Trinsic) -> None:
    trinsic.add_access_key(JPEG, key=KEY_FRONT, uses=None)
    trinsic.add_access_key(pdf("Report by key"), "application/pdf", key=KEY_REPORT, uses=None)
    trinsic.add_access_key(png(9, 9, 9), "image/png", key=KEY_WAITING, uses=None, ready=False)
    trinsic.add_access_key(png(8, 8, 8), "image/png", key=KEY_ONCE, uses=1)
    trinsic.add_access_key(png(7, 7, 7), "image/png", key=KEY_LATER, session=SESSION, uses=None)


def _ended(trinsic: Trinsic) -> None:
    """Sessions without results: failed, failed with a code that no document names, redacted."""
    trinsic.add_session(FAILED, RESULTS_KEYS[FAILED], error_code="UserAbandoned")
    key = RESULTS_KEYS[FAILED_ODDLY]
    trinsic.profiles[ODD_PROFILE] = "Sandbox profile of odd ends"
    trinsic.add_session(FAILED_ODDLY, key, error_code="LivenessNotProven", profile=ODD_PROFILE)
    redacted = trinsic.add_session(REDACTED, RESULTS_KEYS[REDACTED])
    trinsic.add_attachment(redacted, "selfie", JPEG)
    trinsic.redact(redacted)


def _encrypted(trinsic: Trinsic) -> None:
    """One encrypted attachment beside a plain one; and a session that is encrypted as a whole."""
    session = trinsic.add_session(ENCRYPTED, RESULTS_KEYS[ENCRYPTED])
    trinsic.add_attachment(session, "document_front", png(60, 90, 60), "image/png", hpke=False)
    trinsic.add_attachment(session, "selfie", JPEG, hpke=True)
    sealed = trinsic.add_session(SEALED, RESULTS_KEYS[SEALED])
    sealed.hpke = True
    trinsic.add_attachment(sealed, "selfie", JPEG, hpke=True)


def _broken(trinsic: Trinsic) -> None:
    """Content shorter than stated, and content that is no base64."""
    session = trinsic.add_session(BROKEN, RESULTS_KEYS[BROKEN])
    trinsic.add_attachment(session, "selfie", JPEG, stated_size=len(JPEG) + 1)
    trinsic.add_attachment(session, "document_front", JPEG, text="/9j/4AAQSkZJ*gAB")

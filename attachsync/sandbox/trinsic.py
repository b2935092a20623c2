"""The state of the emulated Trinsic: sessions, attachments, access keys, and the calls by which tests change them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from attachsync.sandbox.content import Content, Held
from attachsync.sandbox.ids import Ids
from attachsync.sandbox.rate import RateLimit
from attachsync.sandbox.trinsic_records import (
    AccessKey,
    Attachment,
    Endpoint,
    ErrorShape,
    Exchange,
    Generation,
    Session,
)

PROFILE = "3d7b1c55-6a0e-4a5e-9b57-0c7e6a1f2d90"
# 2024-08-01, as in the OpenAPI example (specs/trinsic.md 4).
START = 1722526411
REDACTION = 30 * 86400


class Trinsic:
    """One organisation in one environment, under a clock (unix seconds) that only tests and mutators move.

    Each mutator takes one second; `advance` moves the clock on request. What the documents leave open is a setting.
    """

    def __init__(self) -> None:
        """Start without tokens and sessions, in the current generation."""
        self.ids = Ids("trinsic")
        self.now = START
        self.sessions: dict[str, Session] = {}
        self.keys: dict[str, AccessKey] = {}
        self.profiles: dict[str, str] = {PROFILE: "Sandbox profile"}
        self.exchanges: list[Exchange] = []
        self._tokens: dict[str, bool] = {}
        self._keys_of: dict[str, str] = {}
        # How results, sessions and errors are written (specs/trinsic.md 1.3, 1.4, 1.7).
        self.generation: Generation = "C"
        self.errors: ErrorShape = "problem"
        self.extra: dict[str, Any] = {}
        # How content is answered: by key in two places, and in the current API (1.1).
        self.exchange = Endpoint("raw", 202)
        self.attachment = Endpoint("json", 503)
        self.current = Endpoint("json", 503)
        self.escaped_base64 = False
        self.type_first = False
        # Content type of JSON replies; empty: what the client's Accept wants.
        self.json_type = ""
        # Statuses that no document states.
        self.unknown_key_status = 400
        self.spent_key_status = 400
        self.wrong_results_key_status = 400
        self.missing_status = 404
        # Redaction (1.6): 200 is "identityData null"; any other status is answered instead.
        self.redacted_status = 200
        self.redaction_seconds: int | None = REDACTION
        self.redaction_moves_updated = False
        self.key_uses: int | None = 1
        self.rate_limit: RateLimit | None = None

    # -- credentials and the clock ---------------------------------------------------------------------------------

    def add_token(self, token: str, *, allowed: bool = True) -> None:
        """Accept a bearer token; one that is not allowed gets 403 everywhere."""
        self._tokens[token] = allowed

    def revoke_tokens(self) -> None:
        """Refuse all earlier tokens with 401."""
        self._tokens.clear()

    def allows(self, token: str) -> bool | None:
        """Say whether a token may call the API; None if it is unknown."""
        return self._tokens.get(token)

    def advance(self, seconds: int) -> None:
        """Move the clock: what has expired by then does."""
        self.now += seconds
        self.settle()

    def settle(self) -> None:
        """Let sessions and stored data expire, as far as the clock has come."""
        for session in self.sessions.values():
            if not session.done and session.expires is not None and session.expires <= self.now:
                self._end(session, session.expires, "Expired")
            ended, wait = session.ended, self.redaction_seconds
            if ended is not None and wait is not None and ended + wait <= self.now:
                self._redact(session, ended + wait)

    # -- sessions --------------------------------------------------------------------------------------------------

    def add_session(
        self,
        id: str | None = None,
        results_key: str | None = None,
        *,
        done: bool = True,
        error_code: str | None = None,
        expires_in: int | None = None,
        profile: str = PROFILE,
    ) -> Session:
        """Create a session: done and successful, or pending (`done=False`), or failed (`error_code`)."""
        at = self._tick()
        expires = None if expires_in is None else at + expires_in
        key = results_key or "rak_" + self.ids.letters("results", 28)
        session = Session(id or self.ids.uuid("session"), key, at, at, profile, expires=expires)
        self.sessions[session.id] = session
        if done or error_code is not None:
            self._end(session, at, error_code)
        return session

    def finish(self, session: Session | str, error_code: str | None = None) -> None:
        """End a session, with success or with an error code."""
        self._end(self.find(session), self._tick(), error_code)

    def reopen(self, session: Session | str) -> None:
        """Make a session pending again."""
        found = self.find(session)
        found.done = found.success = False
        found.error_code = found.ended = None
        found.updated = self._tick()

    def redact(self, session: Session | str) -> None:
        """Remove a session's identity data and attachments at once (specs/trinsic.md 1.6)."""
        self._redact(self.find(session), self._tick())

    def remove_session(self, session: Session | str) -> None:
        """Forget a session altogether."""
        del self.sessions[self.find(session).id]

    def find(self, session: Session | str) -> Session:
        """Return a session given as one, or by its id."""
        return self.sessions[session] if isinstance(session, str) else session

    # -- attachments -----------------------------------------------------------------------------------------------

    def add_attachment(
        self,
        session: Session | str,
        kind: str,
        data: bytes | Content,
        media_type: str = "image/jpeg",
        *,
        id: str | None = None,
        ready: bool = True,
        hpke: bool | None = None,
        stated_size: int | None = None,
        text: str | None = None,
    ) -> Attachment:
        """Add an attachment; `text` is answered in place of its base64, `stated_size` in place of its size."""
        target = self.find(session)
        added = Attachment(id or self.ids.uuid("attachment"), kind, _content(data), media_type, ready, hpke)
        added.stated_size, added.text = stated_size, text
        target.attachments.append(added)
        target.updated = self._tick()
        return added

    def remove_attachment(self, session: Session | str, attachment: Attachment) -> None:
        """Take an attachment off a session's list."""
        target = self.find(session)
        target.attachments.remove(attachment)
        target.updated = self._tick()

    # -- access keys -----------------------------------------------------------------------------------------------

    def add_access_key(
        self,
        data: bytes | Content | Attachment,
        media_type: str = "image/jpeg",
        *,
        key: str | None = None,
        session: Session | str = "",
        ready: bool = True,
        uses: int | None = -1,
        expires_in: int | None = None,
    ) -> AccessKey:
        """Add an access key; with `session`, one of the later kind that needs its session's id.

        `uses`: how many exchanges it is good for (None: any number; unnamed: the setting `key_uses`).
        """
        at = self._tick()
        held = data if isinstance(data, Attachment) else Attachment("", "", _content(data), media_type, ready)
        added = AccessKey(key or "aak_" + self.ids.letters("access", 28), held)
        added.session = session if isinstance(session, str) else session.id
        added.uses = self.key_uses if uses == -1 else uses
        added.expires = None if expires_in is None else at + expires_in
        self.keys[added.key] = added
        return added

    def key_of(self, session: Session, attachment: Attachment) -> str:
        """Return the access key that earlier generations' results show for an attachment."""
        if attachment.id not in self._keys_of:
            later = self.generation == "B2" and self.attachment.needs_session
            self._keys_of[attachment.id] = self.add_access_key(attachment, session=session if later else "").key
        return self._keys_of[attachment.id]

    def exchanged(self, key: AccessKey | str) -> int:
        """Count how often a key was sent, with success or without."""
        value = key if isinstance(key, str) else key.key
        return sum(one.key == value for one in self.exchanges)

    def speak(self, generation: Generation) -> None:
        """Answer as one generation did (specs/trinsic.md 1.1, 1.4, 1.7); other settings stay."""
        self.generation = generation
        self.errors = "old" if generation in ("A", "B1") else "problem"
        form = Endpoint("raw", 202) if generation in ("A", "B1") else Endpoint("json", 503)
        self.attachment = replace(form, needs_session=self.attachment.needs_session)

    def _end(self, session: Session, at: int, error_code: str | None) -> None:
        session.done, session.success, session.error_code = True, error_code is None, error_code
        session.updated = session.ended = at

    def _redact(self, session: Session, at: int) -> None:
        if session.redacted:
            return
        session.redacted = True
        for attachment in session.attachments:
            attachment.gone = True
        if self.redaction_moves_updated:
            session.updated = at

    def _tick(self) -> int:
        self.now += 1
        return self.now


def _content(data: bytes | Content) -> Content:
    return Held(data) if isinstance(data, bytes) else data

"""Who may call a ledger: static tokens, and tokens exchanged for client credentials (specs/datatrails.md 2)."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from attachsync.sandbox.answer import Answer, Refusal, json_answer
from attachsync.sandbox.ids import Ids


@dataclass
class Grant:
    """What one token allows, until when, and how often it may still be used (None: any number)."""

    sees: bool = True
    until: float = float("inf")
    uses: int | None = None


class Access:
    """Tokens and clients of one ledger."""

    def __init__(self, ids: Ids) -> None:
        """Start with nobody allowed."""
        self._ids = ids
        self.clock: Callable[[], float] = time.monotonic
        self.expires_in: float = 3600
        self.uses_per_token: int | None = None
        self.exchanges = 0
        self._grants: dict[str, Grant] = {}
        self._clients: dict[str, tuple[str, bool]] = {}

    def add_token(self, token: str, sees: bool = True) -> str:
        """Accept a token that does not expire."""
        self._grants[token] = Grant(sees)
        return token

    def add_client(self, client_id: str, secret: str, sees: bool = True) -> None:
        """Accept an app registration."""
        self._clients[client_id] = (secret, sees)

    def revoke_tokens(self) -> None:
        """Refuse every token known so far."""
        self._grants.clear()

    def grant(self, request: web.Request) -> Grant | None:
        """Return what the request's token allows; None without a valid one."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        found = self._grants.get(token.strip()) if scheme.lower() == "bearer" else None
        if found is None or found.until <= self.clock() or found.uses == 0:
            return None
        return found

    async def exchange(self, request: web.Request) -> Answer:
        """Answer the token endpoint: a form with client credentials for a bearer token."""
        self.exchanges += 1
        if request.content_type != "application/x-www-form-urlencoded":
            return _oauth_error(400, "invalid_request", "the body must be application/x-www-form-urlencoded")
        form = await request.post()
        if form.get("grant_type") != "client_credentials":
            return _oauth_error(400, "unsupported_grant_type", "only client_credentials is supported")
        client_id, secret = str(form.get("client_id", "")), str(form.get("client_secret", ""))
        expected, sees = self._clients.get(client_id, ("", False))
        if not expected or not hmac.compare_digest(expected.encode(), secret.encode()):
            return _oauth_error(401, "invalid_client", "client authentication failed")
        token = self._issue(client_id)
        self._grants[token] = Grant(sees, self.clock() + self.expires_in, self.uses_per_token)
        return json_answer({"access_token": token, "expires_in": self.expires_in, "token_type": "Bearer"})

    def _issue(self, client_id: str) -> str:
        # The shape of the service's RS256 tokens; clients must not look inside.
        issued = int(time.time())
        claims = {
            "jti": self._ids.uuid("jti"),
            "sub": client_id,
            "client_id": client_id,
            "iat": issued,
            "exp": issued + int(self.expires_in),
            "iss": "https://app.datatrails.ai/appidpv1",
            "aud": "https://app.datatrails.ai/archivist",
        }
        return f"{_part({'alg': 'RS256', 'typ': 'at+jwt'})}.{_part(claims)}.{self._ids.letters('signature', 32)}"


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _oauth_error(status: int, error: str, description: str) -> Answer:
    return json_answer({"error": error, "error_description": description}, status)


def required(grant: Grant | None, refusal: Answer) -> Grant:
    """Return a grant and count its use, or refuse."""
    if grant is None:
        raise Refusal(refusal)
    if grant.uses is not None:
        grant.uses -= 1
    return grant

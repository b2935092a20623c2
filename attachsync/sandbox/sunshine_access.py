"""Who may call Sunshine: Basic, HS256 tokens signed with a key, media tokens (specs/sunshine.md 2, 1.4)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

from aiohttp import web

SCOPES = {"app_": "app", "int_": "integration", "act_": "account", "svc_": "account"}
COOKIE = "smoochMedia"


class SunshineAccess:
    """Keys and media tokens of one app."""

    def __init__(self, keys: dict[str, str]) -> None:
        """Start with these keys and their secrets."""
        self.keys = keys
        self.clock: Callable[[], float] = time.time
        self.media_token_seconds = 7200
        self._media_tokens: dict[str, tuple[str, float]] = {}

    def scope(self, request: web.Request) -> str:
        """Return the scope of the request's credentials; empty if there are none that are valid."""
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "basic":
            return self._basic(value.strip())
        return self._bearer(value.strip()) if scheme.lower() == "bearer" else ""

    def _basic(self, value: str) -> str:
        try:
            key, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return ""
        known = self.keys.get(key)
        return _scope_of(key) if known is not None and hmac.compare_digest(known.encode(), secret.encode()) else ""

    def _bearer(self, token: str) -> str:
        """Check an HS256 token: unsigned ones are refused, and `scope` must be the key's."""
        try:
            head, body, signature = token.split(".")
            header, payload = _unpacked(head), _unpacked(body)
            given = _bytes(signature)
        except ValueError:
            return ""
        key = header.get("kid")
        secret = self.keys.get(key) if isinstance(key, str) else None
        if header.get("alg") != "HS256" or not isinstance(key, str) or secret is None:
            return ""
        expected = hmac.new(secret.encode(), f"{head}.{body}".encode(), hashlib.sha256).digest()
        if not hmac.compare_digest(expected, given) or payload.get("scope") != _scope_of(key):
            return ""
        expires = payload.get("exp")
        return "" if isinstance(expires, int | float) and expires <= self.clock() else _scope_of(key)

    def media_token(self, path: str) -> str:
        """Issue the token that opens one path; clients must not look inside."""
        issued = int(self.clock())
        until = issued + self.media_token_seconds
        claims = {"path": path, "iat": issued, "exp": until}
        header = {"alg": "RS512", "typ": "JWT", "kid": "0b0b1b5e-6b5c-4b1e-9d6b-3f0a0c1d2e3f"}
        signature = hashlib.shake_256(f"{path}/{issued}".encode()).digest(512)
        token = f"{_part(json.dumps(header).encode())}.{_part(json.dumps(claims).encode())}.{_part(signature)}"
        self._media_tokens[token] = (path, until)
        return token

    def opens(self, token: str) -> str:
        """Return the path that a media token opens; empty if it is not one, or no longer."""
        path, until = self._media_tokens.get(token, ("", 0.0))
        return path if until > self.clock() else ""


def _scope_of(key: str) -> str:
    return SCOPES.get(key[:4], "")


def _part(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _bytes(part: str) -> bytes:
    return base64.urlsafe_b64decode(part.encode("ascii", "strict") + b"=" * (-len(part) % 4))


def _unpacked(part: str) -> dict[str, Any]:
    value = json.loads(_bytes(part))
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value

"""Media tokens and cookies of the legacy private mode, until 2024-09 (specs/sunshine.md 1.4, 4.1).

A token is opaque and opens one path; a cookie is signed in with it. Cookies go where standard rules let them, and never
beyond the hosts that may have the account's credentials.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from yarl import URL

from attachsync.answers import Reply
from attachsync.errors import AuthFailedError, MalformedError, RejectedError
from attachsync.http import Http
from attachsync.units import http_moment

_EARLY = 5.0
"""A cookie is not used in its last seconds: it would end on the way."""
_FRESH = 60.0
"""Seconds for which a new cookie that is refused is not the trouble: what it opens does not cover the file."""
_NO_USE = 3600.0
"""After a refusal, tokens are not asked for again for this long (seconds)."""


@dataclass(frozen=True, slots=True)
class Cookie:
    """One cookie, its value kept out of every repr. `expires` is Unix time; None: with the session."""

    name: str
    value: str
    domain: str
    subdomains: bool
    path: str
    secure: bool
    http_only: bool
    expires: float | None

    def __repr__(self) -> str:
        return f"Cookie({self.name!r}, domain={self.domain!r}, path={self.path!r})"

    def goes_to(self, url: URL) -> bool:
        """Whether standard rules send it there (RFC 6265, 5.4)."""
        host, path = (url.host or "").lower(), url.raw_path
        at_home = host == self.domain or (self.subdomains and host.endswith("." + self.domain))
        below = path == self.path or path.startswith(self.path.rstrip("/") + "/")
        return at_home and below and (url.scheme == "https" or not self.secure)

    def lives(self, now: float) -> bool:
        """Whether it can be used still."""
        return self.expires is None or self.expires - _EARLY > now

    def line(self) -> str:
        """Its line in a Netscape cookie file."""
        domain = ("." if self.subdomains else "") + self.domain
        flags = ("FALSE", "TRUE")
        start = "#HttpOnly_" if self.http_only else ""
        expires = str(int(self.expires or 0))
        fields = (start + domain, flags[self.subdomains], self.path, flags[self.secure], expires, self.name, self.value)
        return "\t".join(fields)


def netscape(cookies: Sequence[Cookie]) -> str:
    """A Netscape cookie file, as curl and others read it."""
    return "\n".join(["# Netscape HTTP Cookie File", *(cookie.line() for cookie in cookies), ""])


def cookie(header: str, url: URL, now: float) -> Cookie | None:
    """A Set-Cookie header of an answer from `url`; None where it is none, or meant for hosts that are not its own."""
    pair, *attributes = header.split(";")
    name, equals, value = (part.strip() for part in pair.partition("="))
    given = {key.strip().lower(): said.strip() for key, _, said in (one.partition("=") for one in attributes)}
    host, domain = (url.host or "").lower(), given.get("domain", "").lower().lstrip(".")
    path = given.get("path", "")
    if not name or not equals or not (header.isascii() and header.isprintable()):
        return None
    if domain and host != domain and not (host.endswith("." + domain) and "." in domain):
        return None
    return Cookie(
        name=name,
        value=value,
        domain=domain or host,
        subdomains=bool(domain) and not domain.replace(".", "").isdigit(),
        path=path if path.startswith("/") else url.raw_path.rpartition("/")[0] or "/",
        secure="secure" in given,
        http_only="httponly" in given,
        expires=_expires(given, now),
    )


def _expires(given: Mapping[str, str], now: float) -> float | None:
    age = given.get("max-age", "")
    if age.lstrip("-").isdecimal() and len(age) < 12:
        return now + int(age)
    try:
        return http_moment(given["expires"])
    except (KeyError, ValueError):
        return None


class MediaTokens:
    """The two legacy calls of one app."""

    def __init__(self, http: Http, app_id: str) -> None:
        self._http = http
        self._root = f"/v2/apps/{app_id}/attachments"

    async def tokens(self, paths: Sequence[str]) -> dict[str, str]:
        """Media tokens by path; raises MalformedError if one is missing. Harmless to repeat."""
        url, body = self._http.url(f"{self._root}/token"), json.dumps({"paths": list(paths)}).encode()

        def content() -> Mapping[str, Any]:
            return {"data": body, "headers": {"Content-Type": "application/json"}}

        reply = await self._http.post(url, content, repeat=True)
        found = reply.object().get("tokens")
        tokens = found if isinstance(found, Mapping) else {}
        checked = {path: str(tokens[path]) for path in paths if _is_token(tokens.get(path))}
        if len(checked) < len(set(paths)):
            missing = next(path for path in paths if path not in checked)
            raise MalformedError(f"{reply.where}: HTTP {reply.status}, but no token for {missing}")
        return checked

    async def cookies(self, token: str) -> list[Cookie]:
        """Sign in with a media token, and nothing else; raises MalformedError if that brings no cookie."""
        url = self._http.url(f"{self._root}/cookie")
        reply = await self._http.get(url, signature={"Authorization": f"Bearer {token}"})
        found = [one for one in (cookie(said, url, self._http.clock.now()) for said in _set(reply)) if one]
        if not found:
            raise MalformedError(f"{reply.where}: HTTP {reply.status}, but no cookie in the answer")
        return found


def _set(reply: Reply) -> list[str]:
    return [value for name, value in reply.headers.items() if name.lower() == "set-cookie"]


def _is_token(value: object) -> bool:
    """Text that can stand in a header."""
    return isinstance(value, str) and bool(value) and value.isascii() and value.isprintable() and " " not in value


class CookieBox:
    """The cookies of a whole app, signed in when they are first needed and again before they end."""

    def __init__(self, http: Http, app_id: str) -> None:
        self._http = http
        self._path = f"/apps/{app_id}"
        self._tokens = MediaTokens(http, app_id)
        self._cookies: list[Cookie] = []
        self._not_before = 0.0
        self._since = 0.0
        self._turn = asyncio.Lock()

    async def header(self, url: URL) -> str | None:
        """The Cookie header for a file, if the service (still) hands such cookies out, and they go there."""
        async with self._turn:
            now = self._http.clock.now()
            if not any(one.lives(now) for one in self._cookies) and self._http.clock.monotonic() >= self._not_before:
                await self._sign_in()
        fit = [one for one in self._cookies if one.goes_to(url) and one.lives(now)]
        return "; ".join(f"{one.name}={one.value}" for one in fit) or None

    async def _sign_in(self) -> None:
        try:
            tokens = await self._tokens.tokens([self._path])
            self._cookies = await self._tokens.cookies(tokens[self._path])
            self._since = self._http.clock.monotonic()
        except (AuthFailedError, MalformedError, RejectedError):
            self._cookies = []
            self._not_before = self._http.clock.monotonic() + _NO_USE

    def forget(self) -> None:
        """Sign in again next time, unless that was done just now: these cookies were refused."""
        if self._http.clock.monotonic() - self._since > _FRESH:
            self._cookies = []

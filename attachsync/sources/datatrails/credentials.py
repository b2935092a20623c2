"""How DataTrails accounts sign in: a token file, or client credentials exchanged for tokens (specs/datatrails.md 2)."""

import asyncio
import re
from collections.abc import Mapping

from attachsync import discretion
from attachsync.answers import Reply, explain
from attachsync.credentials import Secret
from attachsync.errors import AuthFailedError, MalformedError, RejectedError
from attachsync.http import Http
from attachsync.model import JSON

_TOKEN_PATH = "/archivist/iam/v1/appidp/token"  # noqa: S105 - a path
_DEFAULT_LIFE = 600.0
_TOKEN = re.compile(r"(?:authorization\s*:\s*)?(?:bearer\s+)?([\x21-\x7e]+)", re.IGNORECASE)


class Anonymous:
    """No credentials: public assets only."""

    async def headers(self, http: Http) -> Mapping[str, str]:
        """Nothing to send."""
        return {}

    async def renew(self, used: Mapping[str, str]) -> bool:
        """There is nothing to renew."""
        return False


def token_of(text: str) -> str:
    """The bare token of a token file: bare, after `Bearer`, or in a whole `Authorization: Bearer …` line."""
    match = _TOKEN.fullmatch(text.strip())
    if match is None:
        raise AuthFailedError("the token file does not hold one token, bare or as an Authorization: Bearer line")
    return match[1]


class TokenFile:
    """A token that somebody else keeps fresh in a file; read again when it changes and on a 401."""

    def __init__(self, file: Secret) -> None:
        self._file = file
        self._text = ""
        self._headers: Mapping[str, str] = {}

    async def headers(self, http: Http) -> Mapping[str, str]:
        """The token as it is in the file now."""
        try:
            text = await self._file.value()
            if text is not self._text:
                self._headers = {"Authorization": f"Bearer {token_of(text)}"}
                self._text = text
        except AuthFailedError as error:
            raise AuthFailedError(f"{http.account.name}: {error} ({self._file.path})") from None
        return self._headers

    async def renew(self, used: Mapping[str, str]) -> bool:
        """Whether the file now holds another token than the one that was refused."""
        return used.get("Authorization") != f"Bearer {token_of(await self._file.value(fresh=True))}"


class ClientCredentials:
    """Tokens had for a client id and secret, renewed before they expire; one exchange at a time."""

    def __init__(self, client_id: str, secret: Secret) -> None:
        self._client_id = client_id
        self._secret = secret
        self._token = ""
        self._renew_at = 0.0
        self._lock = asyncio.Lock()

    async def headers(self, http: Http) -> Mapping[str, str]:
        """A token with some life left."""
        async with self._lock:
            if http.clock.monotonic() >= self._renew_at or not self._token:
                await self._exchange(http)
            return {"Authorization": f"Bearer {self._token}"}

    async def renew(self, used: Mapping[str, str]) -> bool:
        """Forget the refused token, unless it has been replaced meanwhile: the next request exchanges anew."""
        if used.get("Authorization") == f"Bearer {self._token}":
            self._token = ""
        return True

    async def _exchange(self, http: Http) -> None:
        secret = await self._secret.value()
        form = {"grant_type": "client_credentials", "client_id": self._client_id, "client_secret": secret}
        try:
            with discretion.keeping(secret):
                reply = await http.post(http.url(_TOKEN_PATH), lambda: {"data": form}, signed=False, repeat=True)
                token, life = _granted(reply)
        except (RejectedError, MalformedError) as error:
            raise AuthFailedError(f"{error}; check client_id and {self._secret.path}") from None
        try:
            seconds = float(life) if isinstance(life, int | float | str) else _DEFAULT_LIFE
        except ValueError:
            seconds = _DEFAULT_LIFE
        self._token = token
        self._renew_at = http.clock.monotonic() + max(seconds - min(60.0, seconds * 0.2), 0.0)


def _granted(reply: Reply) -> tuple[str, JSON]:
    """The token of an answer, and its life. Raises MalformedError, with what the service says instead of one."""
    answer = reply.object()
    token = answer.get("access_token")
    match = _TOKEN.fullmatch(token.strip()) if isinstance(token, str) else None
    if match is None:
        code, message = explain(reply.body)
        said = f": {message or code}" if message or code else ""
        raise MalformedError(f"{reply.where}: HTTP {reply.status}, but no usable access_token in the answer{said}")
    return match[1], answer.get("expires_in")

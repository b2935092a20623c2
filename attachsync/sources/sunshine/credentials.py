"""How a Sunshine account signs in with Basic (specs/sunshine.md 2)."""

import base64
from collections.abc import Mapping

from attachsync.credentials import Secret
from attachsync.http import Http


def basic(key_id: str, secret: str) -> str:
    """The Authorization header of Basic: user = key id, password = secret."""
    return "Basic " + base64.b64encode(f"{key_id}:{secret}".encode()).decode()


class BasicKey:
    """Credentials of `auth = "basic"`."""

    def __init__(self, key_id: str, secret: Secret) -> None:
        self._key_id = key_id
        self._secret = secret

    async def headers(self, http: Http) -> Mapping[str, str]:
        """The Authorization header; the secret file is read again when it changed."""
        return {"Authorization": basic(self._key_id, await self._secret.value())}

    async def renew(self, used: Mapping[str, str]) -> bool:
        """Whether the secret file now holds another secret than the one refused."""
        return basic(self._key_id, await self._secret.value(fresh=True)) != used.get("Authorization")

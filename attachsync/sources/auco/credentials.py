"""How Auco accounts sign in: the organisation's public key, bare (specs/auco.md 1.1)."""

import re
from collections.abc import Mapping

from attachsync.credentials import Secret
from attachsync.errors import AuthFailedError
from attachsync.http import Http


def key_of(text: str) -> str:
    """The bare key of a key file; `Authorization:` and `Bearer`, a usual slip (specs/auco.md 5), are left out.

    Raises AuthFailedError, which never shows the key.
    """
    match = re.fullmatch(r"(?:authorization\s*:\s*)?(?:bearer\s+)?([\x21-\x7e]+)", text.strip(), re.IGNORECASE)
    if match is None:
        raise AuthFailedError("the key file does not hold one key")
    if match[1].startswith("prk_"):
        raise AuthFailedError("the key file holds a private key (prk_…); reading wants the public one (puk_…)")
    return match[1]


class KeyFile:
    """A key in a file; read again when it changes and on a 401."""

    def __init__(self, file: Secret) -> None:
        self._file = file

    async def headers(self, http: Http) -> Mapping[str, str]:
        """The key as it is in the file now; no "Bearer"."""
        try:
            return {"Authorization": key_of(await self._file.value())}
        except AuthFailedError as error:
            raise AuthFailedError(f"{http.account.name}: {error} ({self._file.path})") from None

    async def renew(self, used: Mapping[str, str]) -> bool:
        """Whether the file now holds another key than the one that was refused."""
        return used.get("Authorization") != key_of(await self._file.value(fresh=True))

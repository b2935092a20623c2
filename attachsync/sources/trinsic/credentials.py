"""How Trinsic accounts sign in: a bearer token of an organisation, in a file (specs/trinsic.md 1.2)."""

import re
from collections.abc import Mapping

from attachsync.credentials import Secret
from attachsync.errors import AuthFailedError
from attachsync.http import Http

_LINE = re.compile(r"(?:authorization\s*:\s*)?(?:bearer\s+)?([\x21-\x7e]+)", re.IGNORECASE)


class TokenFile:
    """A token: bare, after `Bearer`, or in a whole header line; read again when the file changes and on a 401."""

    def __init__(self, file: Secret) -> None:
        self._file = file

    async def headers(self, http: Http) -> Mapping[str, str]:
        """The token as it is in the file now."""
        try:
            return await self._header(fresh=False)
        except AuthFailedError as error:
            raise AuthFailedError(f"{http.account.name}: {error}") from None

    async def renew(self, used: Mapping[str, str]) -> bool:
        """Whether the file now holds another token than the one that was refused."""
        return used != await self._header(fresh=True)

    async def _header(self, *, fresh: bool) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {await self.token(fresh=fresh)}"}

    async def token(self, *, fresh: bool = False) -> str:
        """The bare token. Raises AuthFailedError."""
        match = _LINE.fullmatch(await self._file.value(fresh=fresh))
        if match is None:
            raise AuthFailedError(
                f"{self._file.path} does not hold one token, bare or as an Authorization: Bearer line"
            )
        return match[1]

"""The Bearer tokens that a Sunshine account's key signs (specs/sunshine.md 2)."""

import json
from collections.abc import Mapping

from jwt.algorithms import HMACAlgorithm
from jwt.utils import base64url_encode

from attachsync.credentials import Secret
from attachsync.http import Http

SCOPES = {"app_": "app", "act_": "account", "int_": "integration"}
"""A token's scope must be its key's, which the key id's prefix tells."""
_LIFE = 300
"""A token is made for one request; it ends this many seconds later."""
_HS256 = HMACAlgorithm(HMACAlgorithm.SHA256)
_EARLIER = 30
"""How far back its time of issue is put: a clock may be ahead of the service's."""


def token(key_id: str, secret: str, now: float | None = None) -> str:
    """A JWT signed with a key (HS256), valid for five minutes from `now` (Unix time), or for ever without it.

    Put together here because the documented order, `alg`, `typ`, `kid`, is not one that PyJWT's `encode` can give.
    """
    header = {"alg": "HS256", "typ": "JWT", "kid": key_id}
    claims: dict[str, object] = {"scope": SCOPES.get(key_id[:4], "app")}
    if now is not None:
        claims |= {"iat": int(now) - _EARLIER, "exp": int(now) + _LIFE}
    content = f"{_part(header)}.{_part(claims)}"
    return f"{content}.{_signature(content, secret)}"


def signed_with(token: str, secret: str) -> bool:
    """Whether a token was signed with this secret."""
    content, _, signature = token.rpartition(".")
    return signature == _signature(content, secret)


def _part(value: Mapping[str, object]) -> str:
    return base64url_encode(json.dumps(value, separators=(",", ":")).encode()).decode()


def _signature(content: str, secret: str) -> str:
    return base64url_encode(_HS256.sign(content.encode(), _HS256.prepare_key(secret))).decode()


class SignedTokens:
    """Credentials of `auth = "jwt"`: a new short-lived token for each request."""

    def __init__(self, key_id: str, secret: Secret) -> None:
        self._key_id = key_id
        self._secret = secret

    async def headers(self, http: Http) -> Mapping[str, str]:
        """The Authorization header; the secret file is read again when it changed."""
        return {"Authorization": "Bearer " + token(self._key_id, await self._secret.value(), http.clock.now())}

    async def renew(self, used: Mapping[str, str]) -> bool:
        """Whether the secret file now holds another secret than the one that signed the refused token."""
        refused = used.get("Authorization", "").removeprefix("Bearer ")
        return not signed_with(refused, await self._secret.value(fresh=True))

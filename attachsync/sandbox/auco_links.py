"""Links that open one stored object for a while: signed over method, host, path and time (specs/auco.md 1.2, 2)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode, urlsplit

from attachsync.sandbox.ids import Ids

# Below this prefix, on an origin of their own.
LINKS = "/auco-files"
STAMP = "%Y%m%dT%H%M%SZ"
CREDENTIAL = "SANDBOXKEY/20261122/us-east-1/s3/aws4_request"
NAMES = {
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-Security-Token",
    "X-Amz-SignedHeaders",
    "X-Amz-Signature",
}


class Links:
    """Signs links, no two alike, and checks them."""

    def __init__(self) -> None:
        """Begin with the first link; the secret is the same at every start."""
        self._ids = Ids("auco links")
        self._secret = b"sandbox storage"
        self.signed = 0

    def sign(self, origin: str, path: str, at: datetime, seconds: int) -> str:
        """Return a link to a path of the storage."""
        self.signed += 1
        query = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": CREDENTIAL,
            "X-Amz-Date": at.strftime(STAMP),
            "X-Amz-Expires": str(seconds),
            "X-Amz-Security-Token": self._ids.letters("token", 32),
            "X-Amz-SignedHeaders": "host",
        }
        query["X-Amz-Signature"] = self._signature(urlsplit(origin).netloc, path, query)
        return f"{origin}{LINKS}{path}?{urlencode(query)}"

    def fault(self, method: str, host: str, path: str, query: Mapping[str, str], now: datetime) -> str:
        """Return the code word for which a request is refused; empty if it may pass."""
        if "X-Amz-Signature" not in query:
            return "AccessDenied"
        if set(query) != NAMES or len(query) != len(NAMES) or method != "GET":
            return "SignatureDoesNotMatch"
        if not hmac.compare_digest(self._signature(host, path, query).encode(), query["X-Amz-Signature"].encode()):
            return "SignatureDoesNotMatch"
        signed = datetime.strptime(query["X-Amz-Date"], STAMP).replace(tzinfo=UTC)
        return "Expired" if signed + timedelta(seconds=int(query["X-Amz-Expires"])) <= now else ""

    def _signature(self, host: str, path: str, query: Mapping[str, str]) -> str:
        signed = [f"{name}={query[name]}" for name in sorted(NAMES - {"X-Amz-Signature"})]
        text = "\n".join(["GET", host, path, *signed])
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()

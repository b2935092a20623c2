"""Identities that are the same at every start: made from a seed and a count."""

from __future__ import annotations

import hashlib
import uuid
from collections import Counter

# Crockford's alphabet, of which ULIDs are made.
ULID_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class Ids:
    """A source of identities."""

    def __init__(self, seed: str) -> None:
        """Start counting for a seed."""
        self._seed = seed
        self._counts: Counter[str] = Counter()

    def _next(self, kind: str) -> bytes:
        self._counts[kind] += 1
        return hashlib.sha256(f"{self._seed}/{kind}/{self._counts[kind]}".encode()).digest()

    def uuid(self, kind: str) -> str:
        """Return the next UUID of version 4."""
        return str(uuid.UUID(bytes=self._next(kind)[:16], version=4))

    def hex24(self, kind: str, milliseconds: int) -> str:
        """Return the next 24 hex digits that sort by time, as record ids of MongoDB do."""
        self._counts[kind] += 1
        machine = hashlib.sha256(self._seed.encode()).hexdigest()[:10]
        return f"{milliseconds // 1000:08x}{machine}{self._counts[kind]:06x}"

    def letters(self, kind: str, length: int) -> str:
        """Return the next opaque token of letters and digits."""
        return "".join(ULID_LETTERS[byte % 32] for byte in self._next(kind))[:length]

    def ulid(self, kind: str, milliseconds: int) -> str:
        """Return the next ULID: ten characters of time, sixteen of chance."""
        time = "".join(ULID_LETTERS[(milliseconds >> (5 * place)) & 31] for place in range(9, -1, -1))
        return time + self.letters(kind, 16)

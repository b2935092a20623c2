"""Bytes that a service can serve: held in memory, or grown on demand so that 512 MiB need no memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Protocol

BLOCK = 1 << 18


class Content(Protocol):
    """Some bytes of known size, readable any number of times."""

    @property
    def size(self) -> int:
        """Number of bytes."""

    @property
    def sha256(self) -> str:
        """SHA-256 in lowercase hex."""

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes from the first one on, in pieces."""


@dataclass(frozen=True)
class Held:
    """Bytes kept in memory."""

    data: bytes

    @property
    def size(self) -> int:
        """Number of bytes."""
        return len(self.data)

    @property
    def sha256(self) -> str:
        """SHA-256 in lowercase hex."""
        return hashlib.sha256(self.data).hexdigest()

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes in blocks."""
        for start in range(0, len(self.data), BLOCK):
            yield self.data[start : start + BLOCK]


@dataclass(frozen=True)
class Grown:
    """Bytes that follow from a size and a seed: blocks of noise, each beginning with its own number."""

    size: int
    seed: str = ""

    @property
    def sha256(self) -> str:
        """SHA-256 in lowercase hex, computed once per size and seed."""
        return _digest_of(self)

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes in blocks, each made when it is asked for."""
        noise = _noise(self.seed)
        for number, start in enumerate(range(0, self.size, BLOCK)):
            block = number.to_bytes(8, "big") + noise
            yield block[: min(BLOCK, self.size - start)]


@cache
def _noise(seed: str) -> bytes:
    return hashlib.shake_128(seed.encode()).digest(BLOCK - 8)


@cache
def _digest_of(grown: Grown) -> str:
    digest = hashlib.sha256()
    for chunk in grown.chunks():
        digest.update(chunk)
    return digest.hexdigest()

"""Bytes of the store that somebody is about to record: until that is done, nobody takes them away.

From the moment a fetch knows which bytes it has come to, before they get their name or are counted on to have it, and
until there is a row that needs them, nothing but its pin says so.
"""

import asyncio
import contextlib
from collections.abc import Iterator


class Pin:
    """The bytes that one fetch has come to. One of nobody's keeps nothing: whoever stores bytes that need no row."""

    def __init__(self) -> None:
        self._digests: list[str] = []

    def add(self, digest: str) -> None:
        """Pin these too: before they get their name, and in one step with finding that they have it."""
        self._digests.append(digest)

    def has(self, digest: str) -> bool:
        """Whether these are pinned."""
        return digest in self._digests


class Pins:
    """All pins on one store, for the event loop."""

    def __init__(self) -> None:
        self._pins: set[Pin] = set()
        self._released = asyncio.Event()

    @contextlib.contextmanager
    def pinning(self) -> Iterator[Pin]:
        """What is pinned within, is so until its end."""
        pin = Pin()
        self._pins.add(pin)
        try:
            yield pin
        finally:
            self._pins.remove(pin)
            self._released.set()
            self._released = asyncio.Event()

    def has(self, digest: str) -> bool:
        """Whether anybody has pinned these bytes."""
        return any(pin.has(digest) for pin in self._pins)

    async def released(self) -> None:
        """Wait until some fetch has ended."""
        await self._released.wait()

"""Bytes of the store that somebody is about to record: until that is done, nobody takes them away.

From the moment a fetch knows which bytes it has come to, before they get their name or are counted on to have it, and
until there is a row that needs them, nothing but its pin says so.
"""

import asyncio
from typing import Self


class Pin:
    """The bytes that one fetch has come to. One of nobody's keeps nothing: whoever stores bytes that need no row."""

    def __init__(self, pins: "Pins | None" = None) -> None:
        self._pins = pins
        self._digests: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._pins is not None:
            self._pins.release(self)

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
        self._released: asyncio.Event | None = None
        """There is one while somebody waits for it."""

    def pinning(self) -> Pin:
        """What is pinned within, is so until its end."""
        pin = Pin(self)
        self._pins.add(pin)
        return pin

    def release(self, pin: Pin) -> None:
        """A fetch has ended."""
        self._pins.remove(pin)
        if self._released is not None:
            self._released.set()
            self._released = None

    def has(self, digest: str) -> bool:
        """Whether anybody has pinned these bytes."""
        return any(pin.has(digest) for pin in self._pins)

    async def released(self) -> None:
        """Wait until some fetch has ended."""
        self._released = self._released or asyncio.Event()
        await self._released.wait()

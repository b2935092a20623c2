"""The store: what its own threads share."""

import asyncio
import hashlib
import os
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from attachsync.pins import Pin
from attachsync.store import Expected, Store


@pytest.fixture
def hasty() -> Iterator[None]:
    """Threads give way to each other wherever they can."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("hasty")
def test_temporary_names_are_never_given_twice(tmp_path: Path) -> None:
    """Two bodies with one temporary file would end a whole pass."""
    store = Store(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        found = [
            name for many in pool.map(lambda _: [store.temporary() for _ in range(2_000)], range(8)) for name in many
        ]
    assert len(set(found)) == len(found)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path)
    made.prepare()
    yield made
    made.close()


async def body() -> AsyncIterator[bytes]:
    yield b"same"


@pytest.mark.usefixtures("hasty")
async def test_what_a_fetch_has_come_to_is_not_taken_away_before_it_ends(store: Store) -> None:
    """Its bytes are stored already, or just not any more, while others have them removed all the time."""
    digest, fetching = hashlib.sha256(b"same").hexdigest(), True

    async def fetch() -> None:
        for _ in range(300):
            with store.pins.pinning() as pin:
                await store.add(body(), Expected(), 10, pin)
                for _ in range(3):  # the others' turn
                    assert store.has(digest)
                    await asyncio.sleep(0)

    async def remove() -> None:
        while fetching:
            await store.delete(digest, lambda: False)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as removers:
        removers.create_task(remove())
        async with asyncio.TaskGroup() as fetchers:
            for _ in range(3):
                fetchers.create_task(fetch())
        fetching = False
    await store.delete(digest, lambda: False)
    assert not store.has(digest)
    assert list(store.tmp.iterdir()) == []


async def test_a_move_to_quarantine_that_was_cut_short_is_finished(store: Store) -> None:
    """A crash left the file in both places."""
    digest, _ = await store.add(body(), Expected(), 10, Pin())
    os.link(store.path(digest), store.quarantined / digest)
    await store.quarantine(digest)
    assert not store.has(digest)
    assert (store.quarantined / digest).read_bytes() == b"same"


async def test_what_is_needed_when_its_pins_are_gone_stays(store: Store) -> None:
    """The question is asked after the last fetch has ended, not before."""
    needed = False
    with store.pins.pinning() as pin:
        digest, _ = await store.add(body(), Expected(), 10, pin)
        removing = asyncio.create_task(store.quarantine(digest, lambda: needed))
        await asyncio.sleep(0)
        needed = True
    await removing
    assert store.has(digest)
    needed = False
    await store.quarantine(digest, lambda: needed)
    assert not store.has(digest)
    assert (store.quarantined / digest).read_bytes() == b"same"

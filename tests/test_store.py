"""The store: what its own threads share."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from attachsync.store import Store


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
            name for many in pool.map(lambda _: [store.temporary() for _ in range(20_000)], range(8)) for name in many
        ]
    assert len(set(found)) == len(found)

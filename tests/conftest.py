"""Fixtures of the whole suite."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.identities import Ids, identities
from tests.ledgers import Ledgers, ledgers


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A temporary folder through which other users may pass. Those of pytest any pytest that begins closes to them."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        if not all(parent.stat().st_mode & 0o001 for parent in place.parents):
            pytest.skip("other users cannot reach temporary folders here")
        place.chmod(0o711)
        yield place


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledgers]:
    """A ledger in the sandbox, and a mirror of it."""
    async with ledgers(tmp_path) as one:
        yield one


@pytest.fixture
async def ids(tmp_path: Path) -> AsyncIterator[Ids]:
    """Trinsic in the sandbox, and a mirror of it."""
    async with identities(tmp_path) as one:
        yield one

"""Fixtures of the whole suite."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.identities import Ids, identities
from tests.ledgers import Ledgers, ledgers


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

"""Fixtures of the whole suite."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.ledgers import Ledgers, ledgers


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledgers]:
    """A ledger in the sandbox, and a mirror of it."""
    async with ledgers(tmp_path) as one:
        yield one

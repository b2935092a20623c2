"""kill -9 at random moments: nothing half-made is ever visible, and a clean pass makes all good."""

import asyncio
import hashlib
import os
import random
import sys
from pathlib import Path

import pytest

from tests.ledgers import Ledgers

ATTACHMENTS = 150


def fill(one: Ledgers) -> set[str]:
    """Attachments of many sizes, one of them of several blocks; their digests."""
    trail = one.box.datatrails
    asset = trail.add_asset({})
    digests = set()
    for number in range(ATTACHMENTS):
        data = b"%d\n" % number * (700_000 if number % 50 == 7 else number * 10 + 1)
        digests.add(hashlib.sha256(data).hexdigest())
        blob = trail.add_blob(data, "text/plain", scanned="SCANNED_OK")
        trail.add_event(asset, {"a": trail.attach(blob, file_name=f"{number}.txt")})
    return digests


def check_visible(mirror: Path) -> None:
    """Whatever can be seen is whole, and has its right name."""
    for place in ("sha256", "files"):
        for path in (mirror / place).rglob("*"):
            if path.is_file():
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                assert path.name == digest if place == "sha256" else (mirror / "sha256" / digest[:2] / digest).exists()
    assert {entry.name for entry in mirror.iterdir()} <= {".attachsync", "sha256", "files", "SHA256SUMS"}


async def start(one: Ledgers) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "attachsync", "--config", str(one.root / "config.toml"), "sync",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def killed(one: Ledgers, after: int) -> None:
    """Start a pass, and kill it when the service has been asked so many things (or let it end)."""
    process = await start(one)
    ended = asyncio.ensure_future(process.wait())
    asked = asyncio.ensure_future(one.box.requests.until(len(one.box.requests) + after))
    await asyncio.wait((ended, asked), return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if not ended.done():
        process.kill()
    await ended


async def crash_and_recover(one: Ledgers, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    one.config()
    digests = fill(one)
    for _ in range(kills):
        await killed(one, chance.randint(1, 60))
        if (one.mirror / "sha256").exists():
            check_visible(one.mirror)
    process = await start(one)
    _, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")
    check_visible(one.mirror)
    assert one.stored() == digests
    assert len(one.shown()) == ATTACHMENTS
    assert os.listdir(one.mirror / ".attachsync/tmp") == []
    assert {row["state"] for row in one.rows()} == {"stored"}


async def test_ten_kills_and_a_clean_pass(ledger: Ledgers) -> None:
    """Ten times in the middle of a pass."""
    await crash_and_recover(ledger, 10, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(2, 12))
async def test_many_kills_and_a_clean_pass(ledger: Ledgers, seed: int) -> None:
    """A hundred times, ten times over."""
    await crash_and_recover(ledger, 100, seed=seed)

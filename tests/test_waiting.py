"""What a daemon waits for, and what ends its waiting."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from attachsync.daemon import Limits, Plant, equipped, holding, one_pass
from attachsync.observer import Observer
from attachsync.sandbox import Fault
from tests.ledgers import TOKEN, Ledgers, Recorder
from tests.outboxes import Slow, until
from tests.test_mirror import attached


class Errors(Observer):
    """Remembers why tracks could not be listed."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def track_ended(self, account: str, track: str, error: str) -> None:
        self.said += [error] if error else []


@asynccontextmanager
async def kept(ledger: Ledgers, errors: Errors) -> AsyncIterator[Plant]:
    """A mirror that is kept, where no wait for a time comes to its end."""
    config, clock = ledger.config(), Slow()
    async with holding(config, "run", clock) as index, equipped(config, index, clock, errors) as plant:
        keeping = asyncio.create_task(plant.mirrors["ledger"].keep(lambda _track: 3600.0))
        try:
            yield plant
        finally:
            keeping.cancel()
            await asyncio.wait([keeping])


@pytest.mark.parametrize("status", [401, 403])
async def test_nothing_waits_once_the_token_is_another(ledger: Ledgers, status: int) -> None:
    """An account that is down, and a track that may not be read, are tried at once with new credentials."""
    ledger.config()
    (ledger.root / "token").write_text("stale")
    ledger.box.datatrails.add_asset({"report": attached(ledger, b"some bytes")})
    if status == 403:
        ledger.box.faults.add(Fault(path="*/assets*", kind="status", status=403))
    errors = Errors()
    async with kept(ledger, errors):
        await until(lambda: errors.said)
        assert f"HTTP {status}" in errors.said[0]
        ledger.box.faults.clear()
        (ledger.root / "token").write_text(TOKEN)
        await until(lambda: ledger.files.exists() and ledger.shown())
        assert len(errors.said) == 1


async def test_what_a_service_asked_for_outlives_a_reload(ledger: Ledgers) -> None:
    """After a 429 nothing is asked for the rest of the wait, whatever else the config says by then."""
    ledger.box.faults.add(Fault(path="*", kind="status", status=429, headers={"Retry-After": "600"}))
    limits: Limits = {}
    for _ in range(2):
        config, errors = ledger.config(), Recorder()
        async with (
            holding(config, "run", ledger.clock) as index,
            equipped(config, index, ledger.clock, errors, limits=limits) as plant,
        ):
            await one_pass(plant, None)
        assert "429" in errors.down[0]
    assert ledger.box.requests.arrived() == 1


async def test_a_rate_holds_from_the_first_second_on(ledger: Ledgers) -> None:
    """There is nothing in reserve: requests come one by one, evenly."""
    ledger.box.datatrails.add_asset({f"report {number}": attached(ledger, b"%d" % number) for number in range(6)})
    ledger.account += "rate = 20\n"
    await ledger.sync()
    times = [request.time for request in ledger.box.requests]
    assert len(times) > 12
    assert max(times) - min(times) > (len(times) - 1) / 20 / 2  # one that comes late makes it shorter

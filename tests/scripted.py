"""What tests of the mirror by itself share: a source that does what a test says, and a mirror of it."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from attachsync.bulk import Bulk
from attachsync.daemon import equipped, holding
from attachsync.http import Http
from attachsync.mirror import Mirror
from attachsync.model import JSON, Attachment, Body, Cursors, Facts, Page, Track
from attachsync.observer import Observer
from attachsync.sources.datatrails import SERVICE
from attachsync.sources.datatrails.credentials import Anonymous
from tests.ledgers import Ledgers


@dataclass
class Scripted:
    """Lists one attachment a track; reading it raises what `refusals` says of the track."""

    items: Mapping[str, Attachment] = field(default_factory=dict)
    refusals: Mapping[str, Exception] = field(default_factory=dict)

    async def pages(self, track: Track, cursors: Cursors) -> AsyncIterator[Page]:
        yield Page((self.items[track.name],))

    async def inspect(self, track: Track, attachment: Attachment, record: Mapping[str, JSON]) -> Facts:
        return Facts()

    @contextlib.asynccontextmanager
    async def read(self, track: Track, attachment: Attachment, facts: Facts) -> AsyncIterator[Body]:
        if track.name in self.refusals:
            raise self.refusals[track.name]

        async def chunks() -> AsyncIterator[bytes]:
            yield b"bytes"

        yield Body(chunks())

    def repeatable(self, track: Track) -> bool:
        return True

    async def probe(self, track: Track | None) -> str:
        return ""


@contextlib.asynccontextmanager
async def mirroring(ledger: Ledgers, source: Scripted) -> AsyncIterator[Mirror]:
    """What the config says is mirrored from a ledger is mirrored from `source`."""
    config = ledger.config()
    account = config.accounts["ledger"]
    assert SERVICE.pull is not None
    async with (
        holding(config, "sync", ledger.clock) as index,
        equipped(config, index, ledger.clock, Observer()) as plant,
    ):
        http = Http(account, Anonymous(), ledger.clock)
        try:
            bulk = Bulk(http, SERVICE.pull.errand, plant.keeping)
            yield Mirror(account, source, config.tracks, SERVICE.pull, bulk, plant.keeping, lambda: 0.0)
        finally:
            await http.close()

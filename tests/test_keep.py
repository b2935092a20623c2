"""A daemon's mirror of an account: when it lists."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest

from attachsync.errors import first_of
from attachsync.model import Attachment, Cursors, Page, Track
from tests.ledgers import Ledgers, Movable
from tests.scripted import Scripted, mirroring


class Enough(Exception):
    """Ends what goes on for ever."""


@dataclass
class Slow(Scripted):
    """Tells of each listing whether a person asked for it; `meanwhile` happens during the first one."""

    meanwhile: Callable[[], object] = lambda: None
    thorough: list[bool] = field(default_factory=list)

    async def pages(self, track: Track, cursors: Cursors) -> AsyncIterator[Page]:
        self.thorough.append(cursors.thorough)
        if len(self.thorough) == 4:
            raise Enough
        if len(self.thorough) == 1:
            self.meanwhile()
        yield Page((Attachment(track.name, "key", "1", ("name.bin",)),))


async def test_who_asks_while_a_long_listing_goes_on_is_heard(ledger: Ledgers) -> None:
    """It takes longer than the interval, so that the next one is due at once: that one is what was asked for."""
    clock, source = Movable(), Slow()
    ledger.clock = clock  # type: ignore[assignment]
    asset = ledger.box.datatrails.add_asset({})
    ledger.tracks = f'[[track]]\naccount = "ledger"\nasset = "{asset.uuid}"\n'
    async with mirroring(ledger, source) as mirror:

        def asked() -> None:
            mirror.look_now()
            clock.ahead += 1000

        source.meanwhile = asked
        with pytest.raises(ExceptionGroup) as ended:
            await mirror.keep(lambda _track: 0.05)
    assert isinstance(first_of(ended.value), Enough)
    assert source.thorough == [False, True, False, False]

"""Many tracks of one asset each share one look at the feed of all events; none misses anything by it."""

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from attachsync.errors import UnavailableError
from attachsync.http import Http
from attachsync.model import JSON, Source, Track
from attachsync.patience import Patience
from attachsync.sandbox import Fault
from attachsync.sandbox.ledger_records import Asset
from attachsync.sources.datatrails import SERVICE
from tests.ledgers import Ledgers, Movable
from tests.test_mirror import attached

MANY = 25
BUT_FEED = "/datatrails/archivist/v2/assets/????????-*"


@dataclass
class Known:
    """A track's cursors, and what has been listed on it."""

    thorough: bool = False
    marks: dict[str, JSON] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)

    def get(self, feed: str) -> JSON:
        return self.marks.get(feed)


@dataclass
class Watched:
    """One account's tracks, listed one after the other."""

    ledger: Ledgers
    clock: Movable
    source: Source
    tracks: list[Track]
    assets: list[Asset]
    known: list[Known]

    async def look(self, *numbers: int) -> int:
        """List tracks (none: all): how many requests that took."""
        self.ledger.box.forget()
        for number in numbers or range(len(self.tracks)):
            known = self.known[number]
            async for page in self.source.pages(self.tracks[number], known):
                known.keys.update(item.key for item in page.items)
                known.marks.update(page.marks)
        return len(self.ledger.box.requests)

    def happens(self, number: int) -> None:
        """Something is attached to an asset."""
        value = attached(self.ledger, b"%f" % random.random())
        self.ledger.box.datatrails.add_event(self.assets[number], {"a": value})

    def all_is_known(self) -> bool:
        """Whether each track has listed each event that carries something."""
        events = [event for event in self.ledger.box.datatrails.events if "a" in event.event_attributes]
        found = {key.partition("#")[0] for known in self.known for key in known.keys}
        return {event.identity for event in events} <= found


@pytest.fixture
async def watched(ledger: Ledgers) -> AsyncIterator[Watched]:
    assets = [ledger.box.datatrails.add_asset({}) for _ in range(MANY)]
    ledger.tracks = "".join(f'[[track]]\naccount = "ledger"\nasset = "{asset.uuid}"\n' for asset in assets)
    config, clock = ledger.config(), Movable()
    account = config.accounts["ledger"]
    http = Http(account, SERVICE.credentials(account), clock, patience=Patience(pause=0.01))
    assert SERVICE.pull is not None
    known = [Known() for _ in assets]
    yield Watched(ledger, clock, SERVICE.pull.source(http), list(config.tracks), assets, known)
    await http.close()


async def settled(watched: Watched) -> None:
    """All are listed, and the feed has been looked at before each of them was."""
    for _ in range(2):
        await watched.look()
        watched.clock.ahead += 300


async def test_one_request_instead_of_two_for_each(watched: Watched) -> None:
    """And what has happened on one asset has that one listed, by itself."""
    await settled(watched)
    assert await watched.look() == 1
    watched.happens(7)
    assert await watched.look() == 0  # it is the same moment still
    watched.clock.ahead += 300
    assert await watched.look() == 3
    assert watched.all_is_known()
    watched.clock.ahead += 300
    assert await watched.look() == 1


async def test_each_is_looked_at_now_and_then(watched: Watched) -> None:
    """A policy may have shown more of it; and whoever asks for a thorough look gets one."""
    await settled(watched)
    watched.clock.ahead += 3000
    assert await watched.look() >= 2 * MANY
    watched.clock.ahead += 300
    watched.known[0].thorough = True
    assert await watched.look() == 3


async def test_few_ask_for_themselves(watched: Watched) -> None:
    """For less than twenty tracks the feed, which is of all assets, is not asked for."""
    for _ in range(3):
        assert await watched.look(*range(19)) == 2 * 19
        watched.clock.ahead += 300


@pytest.mark.parametrize(
    "fault", [Fault(path="*/assets/-/events", kind="status", status=403), Fault(path="*/assets/-/events", kind="html")]
)
async def test_a_feed_that_is_no_help_is_left_alone(watched: Watched, fault: Fault) -> None:
    """Each asks for itself then, and nobody asks for the feed for an hour."""
    await settled(watched)
    watched.ledger.box.faults.add(fault)
    watched.happens(3)
    assert await watched.look() == 2 * MANY + 1
    assert watched.all_is_known()
    watched.clock.ahead += 300
    assert await watched.look() == 2 * MANY
    watched.ledger.box.faults.clear()
    watched.clock.ahead += 3600
    await settled(watched)
    assert await watched.look() == 1


async def test_a_busy_feed_is_no_help(watched: Watched) -> None:
    """Its pages would be more than what it spares."""
    await settled(watched)
    watched.ledger.box.datatrails.page_limit = 1
    for _ in range(6):
        watched.happens(0)
    assert await watched.look() >= 2 * MANY
    assert watched.all_is_known()


async def test_a_listing_that_failed_is_made_again(watched: Watched) -> None:
    """Only what was listed wholly needs no look."""
    await settled(watched)
    watched.happens(5)
    watched.ledger.box.faults.add(Fault(path=BUT_FEED, kind="status", status=503))
    with pytest.raises(UnavailableError):
        await watched.look(5)
    watched.ledger.box.faults.clear()
    watched.clock.ahead += 300
    assert await watched.look() == 3
    assert watched.all_is_known()


async def test_a_change_of_an_events_status_is_news(watched: Watched) -> None:
    """What is known of it is to be brought up to date."""
    await settled(watched)
    value = attached(watched.ledger, b"a")
    event = watched.ledger.box.datatrails.add_event(watched.assets[2], {"a": value})
    event.confirmation_status = "PENDING"
    assert await watched.look() == 3
    watched.clock.ahead += 300
    event.confirmation_status = "CONFIRMED"
    assert await watched.look() == 3


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_happens_when_is_found(watched: Watched, seed: int) -> None:
    """Events and looks in any order: when all have been listed once more, all is known."""
    chance = random.Random(seed)
    for _ in range(60):
        numbers = chance.sample(range(MANY), chance.randint(1, MANY))
        await watched.look(*numbers)
        for _ in range(chance.choice((0, 0, 1, 3))):
            watched.happens(chance.randrange(MANY))
        watched.clock.ahead += chance.choice((0.0, 0.5, 2.0, 300.0, 4000.0))
    watched.clock.ahead += 2
    await watched.look()
    assert watched.all_is_known()


async def test_what_happened_before_the_first_look_is_found(watched: Watched) -> None:
    """That look tells how far the feed goes, and no more."""
    await watched.look()
    watched.happens(3)
    watched.happens(4)
    watched.ledger.box.datatrails.page_limit = 1
    watched.clock.ahead += 300
    await watched.look()
    assert watched.all_is_known()

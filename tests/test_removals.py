"""What one account removes while another is at work: neither takes away what the other is about to show."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator

from attachsync import retention
from attachsync.daemon import Plant, equipped, holding
from attachsync.index import Index
from attachsync.sandbox.sample_ids import JPEG
from tests.identities import Ids, sha256
from tests.ledgers import Ledgers, Recorder
from tests.outboxes import until

MANY = 60


def two_accounts(ledger: Ledgers, contents: list[bytes]) -> None:
    """The same bytes, as different blobs, tracked by `ledger`, for a minute and a half, and by `other`."""
    trail, tracks = ledger.box.datatrails, ""
    for account, retain in (("ledger", 'retain = "90s"'), ("other", "")):
        blobs = [trail.add_blob(data, "text/plain", "SCANNED_OK") for data in contents]
        asset = trail.add_asset({str(n): trail.attach(blob, file_name=f"{n}.txt") for n, blob in enumerate(blobs)})
        tracks += f'[[track]]\nname = "{account}"\naccount = "{account}"\nasset = "{asset.uuid}"\n'
        tracks += f"events = false\n{retain}\n"
    url = f"http://127.0.0.1:{ledger.port}/datatrails"
    ledger.tracks = f'[accounts.other]\nservice = "datatrails"\nbase_url = "{url}"\ntoken_file = "token"\n{tracks}'


@contextlib.asynccontextmanager
async def plant_of(ledger: Ledgers) -> AsyncIterator[Plant]:
    config = ledger.config()
    async with (
        holding(config, "sync", ledger.clock) as index,
        equipped(config, index, ledger.clock, Recorder()) as plant,
    ):
        yield plant


def check_shown(ledger: Ledgers, digests: set[str]) -> None:
    """These, and no others, are stored, and shown by `other` alone."""
    rows = {row["path"]: str(row["sha256"]) for row in ledger.rows(state="stored", account="other")}
    assert set(rows.values()) == ledger.stored() == digests
    for path, digest in rows.items():
        assert sha256((ledger.mirror / str(path)).read_bytes()) == digest


async def test_two_accounts_of_the_same_bytes(ledger: Ledgers) -> None:
    """One removes what it kept long enough while the other comes to it; each removal is told once."""
    contents = [b"%d" % number for number in range(MANY)]
    two_accounts(ledger, contents)
    await ledger.sync("ledger")
    ledger.clock.ahead = 100
    summary, recorder = await ledger.sync()
    assert not summary.incomplete
    assert sum(outcome.state == "gone" for outcome in recorder.outcomes) == MANY
    check_shown(ledger, {sha256(data) for data in contents})


async def test_bytes_that_are_about_to_be_shown_stay(ledger: Ledgers) -> None:
    """They are found stored, and are to leave, for nothing shows them yet."""
    two_accounts(ledger, [b"same"])
    await ledger.sync("ledger")
    ledger.box.forget()
    gate = threading.Event()
    async with plant_of(ledger) as plant:
        removals = plant.index.removals
        removals.vanish("ledger", [str(row["key"]) for row in ledger.rows()])
        for entry in removals.marked(9):
            removals.hidden(entry)
        async with asyncio.TaskGroup() as group:
            try:
                for _ in range(16):  # the store's threads are busy: nothing is shown yet
                    group.create_task(plant.store.run(gate.wait))
                group.create_task(plant.mirrors["other"].turn([plant.mirrors["other"].tracks["other"]]))
                await until(lambda: plant.store.pins.has(sha256(b"same")))
                group.create_task(retention.finish(plant.keeping, "ledger"))
                await asyncio.sleep(0)
            finally:
                gate.set()
        assert removals.leaving() == []
    check_shown(ledger, {sha256(b"same")})
    assert ledger.downloads() == 0


async def test_entries_are_taken_away_by_their_own_account(ledger: Ledgers) -> None:
    """Which shows nothing meanwhile; another does not know what it is about to show."""
    two_accounts(ledger, [b"same"])
    await ledger.sync()
    assert len(ledger.shown()) == 1
    async with plant_of(ledger) as plant:
        mirrors = plant.mirrors
        plant.index.removals.vanish("ledger", [str(row["key"]) for row in ledger.rows(account="ledger")])
        await mirrors["other"].turn([mirrors["other"].tracks["other"]])
        assert len(ledger.shown()) == 1
        await mirrors["ledger"].turn([mirrors["ledger"].tracks["ledger"]])
        assert ledger.shown() == []
    check_shown(ledger, {sha256(b"same")})


async def test_what_can_be_had_only_once_stays_until_it_is_shown(ids: Ids) -> None:
    """Killed before it was: an attachment with the same bytes is removed, and they are all that is left of the key."""
    trinsic = ids.box.trinsic
    first, second = trinsic.add_access_key(JPEG, uses=1), trinsic.add_access_key(JPEG, uses=1)
    ids.track_list("access_keys_file", f"{first.key} first", f"{second.key} second")
    await ids.sync()
    with contextlib.closing(Index.open(ids.mirror / ".attachsync")) as index:
        key = next(row["key"] for row in ids.rows() if row["path"] == "files/ids/access-keys/second.jpg")
        as_it_came = "digest = NULL, shown = NULL, path = NULL, state = 'waiting'"
        index.database.run(f"UPDATE attachment SET {as_it_came} WHERE key = ?", key)
        index.database.run("INSERT INTO coming SELECT id, ? FROM attachment WHERE key = ?", sha256(JPEG), key)
        gone = [item for item in index.upkeep.of_digest(sha256(JPEG)) if item.key != key]
        index.removals.remove(gone, [sha256(JPEG)], "removed")
    summary, _ = await ids.sync()
    assert not summary.incomplete
    assert ids.shown() == ["access-keys/second.jpg"]
    assert (trinsic.exchanged(first), trinsic.exchanged(second)) == (1, 1)
    assert ids.stored() == {sha256(JPEG)}

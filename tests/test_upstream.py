"""Mistakes upstream: nothing is removed for them, and status says what is suspicious since when (contract 3, 4)."""

import contextlib
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attachsync import config as configs
from attachsync.daemon import Summary, equipped, holding, one_pass
from attachsync.doubts import TAKEN_AS_SO, Doubts
from attachsync.index import Index
from attachsync.observer import Observer
from attachsync.sandbox import Fault, Sandbox, sample, serve, write_config
from attachsync.sandbox.content import Held
from attachsync.sandbox.ledger_records import Asset
from attachsync.status import Status, gathered
from tests.ledgers import DOWNLOADS, Ledgers, Shifted

DAY = 86400.0
ALL = "ledger/assets/*"


@dataclass
class Everything:
    """A sandbox of all services, and a mirror of what its config tracks."""

    box: Sandbox
    config: configs.Config
    clock: Shifted

    async def sync(self) -> Summary:
        async with (
            holding(self.config, "sync", self.clock) as index,
            equipped(self.config, index, self.clock, Observer()) as plant,
        ):
            return await one_pass(plant, None)

    def kept(self) -> dict[str, bytes]:
        """All bytes that are shown or stored."""
        mirror = self.config.mirror.directory
        found = [path for name in ("files", "sha256") for path in (mirror / name).rglob("*")]
        return {str(path.relative_to(mirror)): path.read_bytes() for path in found if path.is_file()}

    def status(self) -> Status:
        return status(self.config, self.clock)


def status(config: configs.Config, clock: Shifted) -> Status:
    index = Index.peek(config.state_directory)
    try:
        return gathered(config, index, None, clock.now())
    finally:
        index.close()


@pytest.fixture
async def everything(tmp_path: Path) -> AsyncIterator[Everything]:
    box, clock = Sandbox(), Shifted()
    sample(box)
    runner, port = await serve(box)
    folder = tmp_path / "config"
    folder.mkdir()
    text = write_config(box, f"http://127.0.0.1:{port}", folder, tmp_path / "outbox")
    user = '\n[[track]]\naccount = "support"\nname = "chats"\nexternal_user = "ana@example.org"\n'
    path = folder / "config.toml"
    path.write_text(text.replace(str(folder / "mirror"), str(tmp_path / "mirror")) + user)
    try:
        yield Everything(box, configs.load(path, os.environ), clock)
    finally:
        await runner.cleanup()


def empty(path: str, value: object) -> Fault:
    return Fault(path=path, kind="json", value=value)


_NO_MORE = {"meta": {"hasMore": False}}
MISTAKES: Mapping[str, tuple[Fault, ...]] = {
    "empty lists": (
        empty("*/v2/assets", {"assets": []}),
        empty("*/v2/assets/????????-????-????-????-????????????", {"attributes": {}}),
        empty("*/events", {"events": []}),
        empty("/sunshine/*/messages", {"messages": [], **_NO_MORE}),
        empty("/sunshine/*/conversations", {"conversations": [], **_NO_MORE}),
        empty("/trinsic/*/results", {"session": {"done": True, "success": True}, "identityData": {"attachments": []}}),
        empty("/auco/attachments", {"signers": [], "finish": False}),
    ),
    "403 for everything": (Fault(path="*", kind="status", status=403),),
    "404 for everything": (Fault(path="*", kind="status", status=404),),
    "410 for everything": (Fault(path="*", kind="status", status=410),),
    "credentials that lapsed": (Fault(path="*", kind="status", status=401),),
}


@pytest.mark.parametrize("mistake", MISTAKES)
async def test_nothing_is_removed_for_a_mistake_of_any_service(everything: Everything, mistake: str) -> None:
    """Two passes in which all services are wrong, days apart; then all is as before, and nothing is suspicious."""
    await everything.sync()
    kept = everything.kept()
    assert len(kept) > 40
    assert not [track for track in everything.status().tracks if track["suspicious"]]
    everything.box.faults.add(*MISTAKES[mistake])
    for _ in range(2):
        everything.clock.ahead += 2 * DAY
        await everything.sync()
        assert everything.kept() == kept
    found = everything.status()
    doubtful = {track["name"]: track["account"] for track in found.tracks if track["suspicious"] or track["last_error"]}
    assert {"chats", "ledger/assets/c04d5ecf-02e0-4be2-a014-ffbbf0e8ddeb"} <= set(doubtful)
    told = [line.partition(" (")[0].partition(": ")[0] for line in found.needs_a_person]
    assert all(name in told or account in told for name, account in doubtful.items())
    everything.box.faults.clear()
    everything.clock.ahead += 2 * DAY
    await everything.sync()
    assert kept.items() <= everything.kept().items()
    assert not [track for track in everything.status().tracks if track["suspicious"]]


async def test_an_overview_without_signers_does_not_end_a_process(everything: Everything) -> None:
    """It says that it is finished, and names nobody: what is uploaded later still comes."""
    everything.box.faults.add(empty("/auco/attachments", {"signers": [], "finish": True}))
    await everything.sync()
    everything.box.faults.clear()
    await everything.sync()
    assert [path for path in everything.kept() if path.startswith("files/signing/packages/")]


# --- lists --------------------------------------------------------------------------------------------------------


def assets(ledger: Ledgers, count: int, **blob: Any) -> list[Asset]:
    """Assets with an attachment each, which the event that made the asset shows too."""
    trail = ledger.box.datatrails
    made = []
    for number in range(count):
        new = trail.add_blob(b"%d" % number, "text/plain", **blob)
        made.append(trail.add_asset({"a": trail.attach(new, file_name=f"{number}.txt")}))
    return made


def track_of(ledger: Ledgers) -> dict[str, Any]:
    (track,) = status(ledger.config(), ledger.clock).tracks
    return dict(track)


async def test_an_empty_list_is_suspicious_since_it_was_first_empty(ledger: Ledgers) -> None:
    assets(ledger, 5)
    await ledger.sync()
    assert (track_of(ledger)["state"], track_of(ledger)["suspicious"]) == ("ok", [])
    ledger.box.faults.add(empty("*/v2/assets", {"assets": []}))
    await ledger.sync()
    (doubt,) = track_of(ledger)["suspicious"]
    assert doubt["what"] == "lists nothing, 5 before"
    ledger.clock.ahead = DAY
    await ledger.sync()
    assert track_of(ledger)["suspicious"] == [doubt]
    found = status(ledger.config(), ledger.clock)
    assert found.needs_a_person == [f"{ALL}: lists nothing, 5 before (since {doubt['since']}); nothing was removed"]
    assert (found.tracks[0]["state"], found.tracks[0]["counts"]) == ("suspicious", {"stored": 10})
    assert (len(ledger.shown()), len(ledger.stored())) == (10, 5)
    ledger.box.faults.clear()
    await ledger.sync()
    assert (track_of(ledger)["state"], track_of(ledger)["suspicious"]) == ("ok", [])


async def test_a_list_that_shrinks_by_more_than_half(ledger: Ledgers) -> None:
    """What is hidden by a lost policy, say."""
    made = assets(ledger, 7)
    await ledger.sync()
    for asset in made[:4]:
        ledger.box.datatrails.assets.pop(asset.uuid)
    await ledger.sync()
    assert [doubt["what"] for doubt in track_of(ledger)["suspicious"]] == ["lists 3, 7 before"]
    assert (len(ledger.shown()), len(ledger.stored())) == (14, 7)


async def test_a_list_that_broke_off_says_nothing_of_its_length(ledger: Ledgers) -> None:
    assets(ledger, 5)
    await ledger.sync()
    ledger.box.faults.add(Fault(path="*/v2/assets", kind="json", value={"nothing": "of the kind"}))
    summary, _ = await ledger.sync()
    assert summary.errors
    assert track_of(ledger)["suspicious"] == []


async def test_another_list_is_asked_for_by_another_config(ledger: Ledgers) -> None:
    """Who narrows a track's filter gets a shorter list, and nothing suspicious."""
    assets(ledger, 5)
    await ledger.sync()
    ledger.tracks = '[[track]]\naccount = "ledger"\nasset = "*"\nattributes = { kind = "none" }\n'
    await ledger.sync()
    assert track_of(ledger)["suspicious"] == []


# --- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [403, 404])
async def test_refusals_in_bulk_of_what_is_stored(ledger: Ledgers, code: int) -> None:
    """Counted by attachment, whatever the number of passes; one that is there again is not counted any more."""
    assets(ledger, 5, scanned="NOT_SCANNED")
    await ledger.sync()
    ledger.box.faults.add(Fault(path="/datatrails/archivist/v?/*/*/*", kind="status", status=code))
    ledger.box.faults.add(Fault(path=DOWNLOADS, kind="status", status=code))
    for ahead in (2 * DAY, 4 * DAY):
        ledger.clock.ahead = ahead
        await ledger.sync()
        what = "refused 10 of 10 stored attachments when asked about them again"
        assert [doubt["what"] for doubt in track_of(ledger)["suspicious"]] == [what]
    assert (len(ledger.shown()), len(ledger.stored())) == (10, 5)
    ledger.box.faults.clear()
    ledger.clock.ahead = 6 * DAY
    await ledger.sync()
    assert track_of(ledger)["suspicious"] == []


async def test_what_was_refused_and_then_removed_is_suspicious_no_more(ledger: Ledgers) -> None:
    """Who prunes it has seen to it. What is refused later is so since then."""
    assets(ledger, 5, scanned="NOT_SCANNED")
    await ledger.sync()
    faults = [Fault(path=path, kind="status", status=404) for path in ("/datatrails/archivist/v?/*/*/*", DOWNLOADS)]
    ledger.box.faults.add(*faults)
    ledger.clock.ahead = 2 * DAY
    await ledger.sync()
    assert track_of(ledger)["suspicious"]
    with contextlib.closing(Index.open(ledger.mirror / ".attachsync")) as index:
        rows = index.upkeep.of_tracks([ALL])
        index.removals.remove(rows[:8], [], "removed by `prune`")
    assert track_of(ledger)["suspicious"] == []
    with contextlib.closing(Index.open(ledger.mirror / ".attachsync")) as index:
        index.removals.remove(rows[8:], [], "removed by `prune`")
        assert index.tracks.doubts(ALL).asked(1, 7.0, refused=True).refused_since == 7.0


async def test_bytes_that_the_record_states_otherwise_are_read_again(ledger: Ledgers) -> None:
    """Shown where they are what it states; else told by every pass, and by `status`, while what is shown stays."""
    trail = ledger.box.datatrails
    blob = trail.add_blob(b"old", "text/plain", "NOT_SCANNED")
    value = trail.attach(blob, file_name="x.txt")
    del value["arc_blob_hash_alg"], value["arc_blob_hash_value"]
    asset = trail.add_asset({"x": value})
    await ledger.sync()
    shown = ledger.files / asset.uuid / "x.txt"
    blob.recorded = Held(b"newer")
    ledger.clock.ahead = 2 * DAY
    for _ in range(2):
        summary, _ = await ledger.sync()
        assert summary.incomplete
        assert ledger.downloads() > 0
        assert track_of(ledger)["state"] == "failing"
        assert shown.read_bytes() == b"old"
    blob.served = blob.recorded
    summary, recorder = await ledger.sync()
    assert not summary.incomplete
    assert {outcome.changed for outcome in recorder.outcomes} == {True}
    assert shown.read_bytes() == b"newer"
    assert track_of(ledger)["state"] == "ok"
    with ledger.index() as index:
        assert list(index.reports.contradictions()) == []
    await ledger.sync()
    assert ledger.downloads() == 0


async def test_two_statements_that_differ_are_told_and_nothing_is_read(ledger: Ledgers) -> None:
    """No bytes are what both the record and the attribute state."""
    assets(ledger, 1, scanned="NOT_SCANNED")
    await ledger.sync()
    before = ledger.stored()
    for blob in ledger.box.datatrails.blobs.values():
        blob.recorded = blob.served = Held(b"newer")
    ledger.clock.ahead = 2 * DAY
    summary, _ = await ledger.sync()
    assert summary.incomplete
    assert (ledger.downloads(), ledger.stored()) == (0, before)
    assert "states another SHA-256 than the list" in str(track_of(ledger)["last_error"])


async def test_one_that_is_gone_is_not_suspicious(ledger: Ledgers) -> None:
    """That happens; what is known of it is kept."""
    first, *_ = assets(ledger, 5, scanned="NOT_SCANNED")
    await ledger.sync()
    ledger.box.faults.add(Fault(path=f"*{first.uuid}*/info", kind="status", status=404))
    ledger.box.faults.add(Fault(path="*/blobs/*/info", kind="status", status=404))
    before = [row for row in ledger.rows() if first.uuid in str(row["key"])]
    ledger.clock.ahead = 2 * DAY
    await ledger.sync()
    assert track_of(ledger)["suspicious"] == []
    assert [row for row in ledger.rows() if first.uuid in str(row["key"])] == before


# --- credentials --------------------------------------------------------------------------------------------------


async def test_credentials_that_lapse_are_told_with_since_when(ledger: Ledgers) -> None:
    assets(ledger, 3)
    await ledger.sync()
    ledger.box.datatrails.revoke_tokens()
    await ledger.sync()
    account = status(ledger.config(), ledger.clock).accounts[0]
    assert "HTTP 401" in str(account["last_error"])
    ledger.clock.ahead = DAY
    await ledger.sync()
    found = status(ledger.config(), ledger.clock)
    assert (found.accounts[0]["error_since"], found.tracks[0]["error_since"]) == (account["error_since"],) * 2
    assert any(f"(since {account['error_since']})" in line for line in found.needs_a_person)
    assert (len(ledger.shown()), len(ledger.stored())) == (6, 3)


# --- the rules by themselves --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ([37, 0], ["lists nothing, 37 before"]),
        ([37, 0, 2], ["lists 2, 37 before"]),
        ([37, 0, 19], []),
        ([1, 0], ["lists nothing, 1 before"]),
        ([3, 1], []),
        ([4, 1], ["lists 1, 4 before"]),
        ([100, 60, 35, 20], []),
        ([0, 0], []),
        ([], []),
    ],
)
def test_when_a_list_is_suspicious(counts: list[int], told: list[str]) -> None:
    doubts = Doubts()
    for now, count in enumerate(counts):
        doubts = doubts.counted(count, now)
    assert [what for what, _ in doubts.told(0)] == told


def test_a_list_that_stays_short_is_taken_as_it_is() -> None:
    doubts = Doubts().counted(9, 0.0).counted(1, 1.0)
    assert list(doubts.counted(1, TAKEN_AS_SO).told(0)) == [("lists 1, 9 before", 1.0)]
    assert list(doubts.counted(1, TAKEN_AS_SO + 1).told(0)) == []


@given(st.lists(st.tuples(st.integers(0, 3000), st.booleans()), max_size=50), st.integers(0, 5000))
def test_refusals_are_counted_once_an_attachment(asked: list[tuple[int, bool]], stored: int) -> None:
    doubts, refused = Doubts(), set[int]()
    for now, (row, no) in enumerate(asked):
        doubts = doubts.asked(row, now, refused=no)
        refused = refused | {row} if no else refused - {row}
    assert set(doubts.refused) == refused
    assert (doubts.refused_since is None) == (not refused)
    assert bool(list(doubts.told(stored))) == (len(refused) >= max(3, stored / 10))

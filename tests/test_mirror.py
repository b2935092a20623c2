"""Passes over a ledger: what is fetched, what is shown, what is kept, and what is asked for."""

import asyncio
import contextlib
import hashlib
import os
import stat
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import compression_utils

from attachsync.http import Http
from attachsync.incoming import Expected
from attachsync.index import Index, Stored
from attachsync.index.entries import LISTED, entry_of
from attachsync.linking import Modes
from attachsync.model import JSON, Digest, State
from attachsync.pins import Pin
from attachsync.reading import MAX_JSON
from attachsync.sandbox import Fault, sample, serve
from attachsync.sandbox.rate import RateLimit
from attachsync.sources.datatrails import SERVICE
from attachsync.store import Store
from attachsync.verifying import Finding, Verifier
from attachsync.views import Views
from tests.ledgers import BYTES, DOWNLOADS, TOKEN, Ledgers


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def attached(one: Ledgers, data: bytes, name: str = "file.txt", **blob: str) -> dict[str, str]:
    """A blob, and the dict of form A that names it."""
    trail = one.box.datatrails
    return trail.attach(trail.add_blob(data, "text/plain", **blob), file_name=name)


async def test_a_thousand_attachments_then_none_then_one(ledger: Ledgers) -> None:
    """The second pass downloads nothing and only lists; the third fetches exactly the one that is new."""
    trail = ledger.box.datatrails
    asset = trail.add_asset({})
    for number in range(1000):
        trail.add_event(asset, {"report": attached(ledger, b"%d" % number, f"{number}.txt")})
    summary, recorder = await ledger.sync()
    assert not summary.incomplete
    assert len(ledger.shown()) == len(ledger.stored()) == 1000
    assert recorder.tallies["ledger/assets/*"]["fetched"] == 1000

    ledger.clock.ahead = 700
    await ledger.sync()
    assert ledger.downloads() == 0
    summary, _ = await ledger.sync()  # nothing can come late any more: the overlap is short
    assert not summary.incomplete
    assert [request.path.rpartition("/")[2] for request in ledger.box.requests] == ["assets", "events"]

    trail.add_event(asset, {"report": attached(ledger, b"new", "new.txt")})
    summary, recorder = await ledger.sync()
    assert not summary.incomplete
    assert [outcome.digest for outcome in recorder.outcomes] == [sha256(b"new")]
    assert ledger.downloads() == 1
    assert all("timestamp_accepted_since" in query for query in ledger.requests("/events"))


async def test_a_listing_that_broke_off_is_taken_up_where_it_did(ledger: Ledgers) -> None:
    """The cursor does not move past a page that did not come: its events are found by the next pass."""
    trail = ledger.box.datatrails
    trail.page_limit = 1
    asset = trail.add_asset({})
    await ledger.sync()
    for hour in (1, 2):
        trail.add_event(asset, {"a": attached(ledger, b"%d" % hour, f"{hour}.txt")}, {}, f"2025-01-06T1{hour}:00:00Z")
    ledger.box.faults.add(Fault(path="*/events", query="*page_token=*", kind="status", status=500))
    summary, _ = await ledger.sync()
    assert summary.incomplete
    assert ledger.stored() == {sha256(b"2")}
    ledger.box.faults.clear()
    summary, _ = await ledger.sync()
    assert not summary.incomplete
    assert ledger.stored() == {sha256(b"1"), sha256(b"2")}


async def test_every_form_of_the_sample_is_mirrored(ledger: Ledgers) -> None:
    """All that is deliberately not refused; the bytes are those of the name, read-only."""
    sample(ledger.box)
    summary, _ = await ledger.sync()
    assert summary.counts["ledger/assets/*"][State.REFUSED] == 2
    for row in ledger.rows(state="stored"):
        shown = ledger.mirror / str(row["path"])
        assert sha256(shown.read_bytes()) == row["sha256"]
        assert stat.S_IMODE(shown.stat().st_mode) == 0o440
        assert shown.stat().st_ino == (ledger.mirror / f"sha256/{str(row['sha256'])[:2]}/{row['sha256']}").stat().st_ino


async def test_bytes_that_are_not_what_is_stated_go_to_quarantine(ledger: Ledgers) -> None:
    """mismatch, exit 1, all others there; tried again, and well again when the service is."""
    trail = ledger.box.datatrails
    ledger.tracks += "events = false\n"
    blob = trail.add_blob(b"right", "text/plain")
    trail.add_asset({"bad": trail.attach(blob, file_name="bad.txt"), "good": attached(ledger, b"good", "good.txt")})
    trail.tamper(blob, b"wrong")
    summary, _ = await ledger.sync()
    assert summary.incomplete
    assert ledger.stored() == {sha256(b"good")}
    assert ledger.quarantined() == {sha256(b"wrong")}
    assert [row["state"] for row in ledger.rows(state="mismatch")] == ["mismatch"]
    assert f"its bytes are in .attachsync/quarantine/{sha256(b'wrong')}" in ledger.why("/bad")
    trail.tamper(blob, b"right")
    summary, _ = await ledger.sync()
    assert not summary.incomplete
    assert ledger.stored() == {sha256(b"good"), sha256(b"right")}


async def test_a_stated_hash_that_clients_wrote_is_checked_and_proves_nothing(ledger: Ledgers) -> None:
    """An attribute's hash of bytes that are in the store does not make them appear."""
    secret = attached(ledger, b"secret")
    lie = {**attached(ledger, b"other"), "arc_blob_hash_value": secret["arc_blob_hash_value"]}
    ledger.box.datatrails.add_asset({"a": secret})
    await ledger.sync()
    ledger.box.datatrails.add_asset({"b": lie})
    summary, _ = await ledger.sync()
    assert summary.incomplete
    assert len(ledger.shown()) == 2  # the asset's and its creation event's, of the first asset only
    assert ledger.quarantined() == {sha256(b"other")}


async def test_names_that_mean_trouble(ledger: Ledgers) -> None:
    """All inside their folder, all there, the same on every pass."""
    trail = ledger.box.datatrails
    asset = trail.add_asset({})
    names = ["../../x", "a/b", "", "é" * 300, "same.txt", "SAME.txt", "same.txt", ".hidden", "con", "x\0y\n", "events"]
    attributes = {f"key{n}": attached(ledger, b"%d" % n, name) for n, name in enumerate(names)}
    event = trail.add_event(asset, attributes)
    summary, _ = await ledger.sync()
    assert not summary.incomplete
    folder = ledger.files / asset.uuid / "events" / event.uuid
    first = {entry.name: sha256(entry.read_bytes()) for entry in folder.iterdir()}
    assert len(first) == len(names)
    assert set(first.values()) == {sha256(b"%d" % n) for n in range(len(names))}
    assert len({name.casefold() for name in first}) == len(names)
    assert all(len(name.encode()) <= 255 and not name.startswith(".") for name in first)
    assert first["same.txt"] == sha256(b"4")  # the first seen keeps it
    assert [path for path in ledger.root.rglob("*x*") if "mirror" not in path.parts] == []
    await ledger.sync()
    assert {entry.name: sha256(entry.read_bytes()) for entry in folder.iterdir()} == first
    await ledger.sync()
    assert ledger.downloads() == 0


async def test_an_attachment_called_events_gives_way_to_the_folder(ledger: Ledgers) -> None:
    """A file of that name and events with attachments live side by side."""
    trail = ledger.box.datatrails
    asset = trail.add_asset({"a": attached(ledger, b"file", "events")})
    trail.add_event(asset, {"b": attached(ledger, b"event", "e.txt")})
    summary, _ = await ledger.sync()
    assert not summary.incomplete
    assert (ledger.files / asset.uuid / "events_.txt").read_bytes() == b"file"


async def test_what_changes_while_it_is_tried_is_tried_again_in_the_same_pass(ledger: Ledgers) -> None:
    """What failed before is taken up before it is listed again, and then names other content."""
    trail = ledger.box.datatrails
    ledger.tracks += "events = false\n"
    asset = trail.add_asset({"a": {**attached(ledger, b"bad"), "arc_blob_hash_value": "0" * 64}})
    assert (await ledger.sync())[0].incomplete
    trail.add_event(asset, asset_attributes={"a": attached(ledger, b"good")})
    summary, _ = await ledger.sync()
    assert not summary.incomplete
    assert [row["state"] for row in ledger.rows()] == ["stored"]
    assert ledger.stored() == {sha256(b"good")}


async def test_old_events_that_come_into_sight_are_found(ledger: Ledgers) -> None:
    """A policy grants what an event carries long after it was listed: the feed is listed from the beginning again."""
    trail = ledger.box.datatrails
    asset = trail.add_asset({})
    event = trail.add_event(asset, {"shown": attached(ledger, b"shown")})
    trail.add_event(asset, {"newer": attached(ledger, b"newer")}, accepted="2025-06-01T00:00:00Z")
    await ledger.sync()
    event.event_attributes["granted"] = attached(ledger, b"granted")
    await ledger.sync()
    assert sha256(b"granted") not in ledger.stored()
    ledger.clock.ahead = 3700
    await ledger.sync()
    assert ledger.downloads() == 1
    assert sha256(b"granted") in ledger.stored()


async def test_changed_content_is_shown_and_the_old_is_kept(ledger: Ledgers) -> None:
    """files/ shows the new content under its new name; the store and the index keep both."""
    trail = ledger.box.datatrails
    ledger.tracks += "events = false\n"
    asset = trail.add_asset({"document_document": attached(ledger, b"one", "Doc v1.txt")})
    await ledger.sync()
    trail.add_event(asset, {}, {"document_document": attached(ledger, b"two", "Doc v2.txt")})
    summary, recorder = await ledger.sync()
    assert not summary.incomplete
    assert recorder.outcomes[0].changed
    assert ledger.shown() == [f"{asset.uuid}/Doc v2.txt"]
    assert ledger.stored() == {sha256(b"one"), sha256(b"two")}
    with ledger.index() as index:
        described = index.reports.describe(index.reports.find(sha256(b"one"))[0])
    assert [old["sha256"] for old in described["history"]] == [sha256(b"one")]  # type: ignore[index, union-attr]


async def test_nothing_vanishes_because_upstream_did(ledger: Ledgers) -> None:
    """An asset that is hidden, or a list that is empty, removes nothing."""
    trail = ledger.box.datatrails
    asset = trail.add_asset({"a": attached(ledger, b"kept")})
    await ledger.sync()
    before = ledger.shown()
    trail.hide(asset, status=404)
    await ledger.sync()
    assert ledger.shown() == before
    assert ledger.stored() == {sha256(b"kept")}


async def test_one_blob_is_downloaded_once(ledger: Ledgers) -> None:
    """Two assets that share a blob, and two blobs of the same bytes (which /info states): one download."""
    trail = ledger.box.datatrails
    shared = trail.attach(trail.add_blob(b"shared", "text/plain"), file_name="s.txt")
    trail.add_asset({"a": shared})
    trail.add_asset({"b": shared})
    trail.add_asset({"c": attached(ledger, b"shared", "same-bytes.txt")})
    summary, _ = await ledger.sync()
    assert not summary.incomplete
    assert ledger.downloads() == 1
    assert len(ledger.shown()) == 6


async def test_equal_names_of_two_tracks_are_one_entry(ledger: Ledgers) -> None:
    """An asset that is tracked by itself and by "*" is shown once."""
    trail = ledger.box.datatrails
    asset = trail.add_asset({"a": attached(ledger, b"once")})
    ledger.tracks += f'[[track]]\naccount = "ledger"\nasset = "{asset.uuid}"\n'
    summary, _ = await ledger.sync()
    assert not summary.incomplete
    assert len(ledger.shown()) == 2  # the asset's, and its creation event's
    assert len(ledger.rows()) == 4


@pytest.mark.parametrize(
    ("scan", "expected"),
    [
        ("not-bad", {"ok.txt": "stored", "new.txt": "stored", "bad.txt": "refused"}),
        ("any", {"ok.txt": "stored", "new.txt": "stored", "bad.txt": "stored"}),
        ("clean", {"ok.txt": "stored", "new.txt": "waiting", "bad.txt": "refused"}),
    ],
)
async def test_scan_rules(ledger: Ledgers, scan: str, expected: dict[str, str]) -> None:
    """What may be shown (specs/datatrails.md 1.7); what waits for a scan is no failure."""
    trail = ledger.box.datatrails
    ledger.tracks += f'scan = "{scan}"\nevents = false\n'
    attributes = {}
    for name, status in (("ok", "SCANNED_OK"), ("new", "NOT_SCANNED"), ("bad", "SCANNED_BAD")):
        attributes[name] = attached(ledger, name.encode(), f"{name}.txt", scanned=status)
    asset = trail.add_asset(attributes)
    summary, recorder = await ledger.sync()
    states = {outcome.key.rpartition("/")[2] + ".txt": outcome.state.value for outcome in recorder.outcomes}
    assert states == expected
    assert summary.incomplete == ("refused" in expected.values())
    assert ledger.shown() == sorted(f"{asset.uuid}/{name}" for name, state in expected.items() if state == "stored")


async def test_what_turns_bad_leaves_for_quarantine(ledger: Ledgers) -> None:
    """/info is asked again a day later, not before; then the entry and its bytes go, and stay away."""
    trail = ledger.box.datatrails
    blob = trail.add_blob(b"sleeper", "text/plain")
    trail.add_asset({"a": trail.attach(blob, file_name="a.txt"), "b": attached(ledger, b"fine", scanned="SCANNED_OK")})
    ledger.tracks += "events = false\n"
    await ledger.sync()
    trail.set_scanned(blob, "SCANNED_BAD", "Eicar-Signature FOUND")
    await ledger.sync()
    assert ledger.requests("/info") == []
    ledger.clock.ahead = 86_500
    summary, _ = await ledger.sync()
    assert len(ledger.requests("/info")) == 1
    assert summary.incomplete
    assert ledger.stored() == {sha256(b"fine")}
    assert ledger.quarantined() == {sha256(b"sleeper")}
    assert [row["state"] for row in ledger.rows() if row["path"] is None] == ["quarantined"]
    assert f"its bytes are in .attachsync/quarantine/{sha256(b'sleeper')}" in ledger.why("/a")
    summary, _ = await ledger.sync()
    assert [row["state"] for row in ledger.rows() if row["path"] is None] == ["quarantined"]
    assert ledger.downloads() == 0
    ledger.box.faults.add(Fault(path="*/info", kind="status", status=404))
    ledger.clock.ahead *= 2
    await ledger.sync()
    assert [row["state"] for row in ledger.rows() if row["path"] is None] == ["gone"]
    assert findings(ledger) == []


def findings(ledger: Ledgers) -> list[Finding]:
    """What `verify` finds."""
    with ledger.index() as index, contextlib.closing(Store(ledger.mirror)) as store:
        return list(Verifier(store, index).findings(beside_daemon=False, now=0.0))


async def test_bytes_that_another_shows_in_good_standing_stay(ledger: Ledgers) -> None:
    """Two blobs of the same bytes, one of them found bad: its entry goes, the other's stays."""
    trail = ledger.box.datatrails
    blob = trail.add_blob(b"same", "text/plain")
    asset = trail.add_asset({"a": trail.attach(blob, file_name="a.txt")})
    trail.add_asset({"b": attached(ledger, b"same", "b.txt", scanned="SCANNED_OK")})
    ledger.tracks += "events = false\n"
    await ledger.sync()
    trail.set_scanned(blob, "SCANNED_BAD")
    ledger.clock.ahead = 86_500
    await ledger.sync()
    assert not (ledger.files / asset.uuid).exists()
    assert ledger.stored() == {sha256(b"same")}
    assert ledger.quarantined() == set()
    said = " ".join(ledger.why("/a"))
    assert "in sha256/ still" in said
    assert "quarantine" not in said


@pytest.mark.parametrize("content", [b"right", b"another"])
async def test_what_did_not_match_is_tried_again_as_it_is_listed_now(ledger: Ledgers, content: bytes) -> None:
    """Of a statement that was corrected upstream, or content that was replaced, nothing is told or fetched any more."""
    trail = ledger.box.datatrails
    ledger.tracks += "events = false\n"
    blob = trail.add_blob(b"right", "text/plain")
    asset = trail.add_asset({"a": {**trail.attach(blob, file_name="a.txt"), "arc_blob_hash_value": sha256(b"lie")}})
    await ledger.sync()
    assert [row["state"] for row in ledger.rows()] == ["mismatch"]
    now = blob if content == b"right" else trail.add_blob(content, "text/plain")
    asset.attributes["a"] = trail.attach(now, file_name="a.txt")
    summary, recorder = await ledger.sync()
    assert not summary.incomplete
    assert [outcome.state for outcome in recorder.outcomes] == [State.STORED]
    assert ledger.box.count("GET", BYTES) == 1
    assert ledger.stored() == {sha256(content)}


async def test_bytes_of_another_size_are_found_in_quarantine(ledger: Ledgers) -> None:
    """What is said of them leads there; of a body without an end nothing is kept, and nothing else is said."""
    trail = ledger.box.datatrails
    ledger.tracks += "events = false\n"
    longer, endless = (trail.add_blob(name, "text/plain") for name in (b"longer", b"endless"))
    trail.add_asset({"a": trail.attach(longer), "b": trail.attach(endless)})
    trail.tamper(longer, b"longer than that")
    ledger.box.faults.add(Fault(path=f"*/{endless.uuid}", kind="endless"))
    await ledger.sync()
    assert [row["state"] for row in ledger.rows()] == ["mismatch", "mismatch"]
    assert ledger.quarantined() == {sha256(b"longer than that")}
    assert f"its bytes are in .attachsync/quarantine/{sha256(b'longer than that')}" in ledger.why("/a")
    with ledger.index() as index:
        assert sha256(b"longer than that") in index.upkeep.evidence()  # it is no stray
    assert "quarantine" not in " ".join(ledger.why("/b"))


async def test_an_attachment_of_a_pending_event_waits(ledger: Ledgers) -> None:
    """404 while the event is not terminal is no failure; it comes when it is confirmed."""
    trail = ledger.box.datatrails
    asset = trail.add_asset({})
    trail.auto_confirm = False
    event = trail.add_event(asset, {"a": attached(ledger, b"late")}, confirmation_status="PENDING")
    summary, recorder = await ledger.sync()
    assert not summary.incomplete
    assert [outcome.state for outcome in recorder.outcomes] == [State.WAITING]
    trail.confirm(event)
    summary, _ = await ledger.sync()
    assert ledger.stored() == {sha256(b"late")}


async def test_a_superseded_attachment_is_found_by_the_ladder(ledger: Ledgers) -> None:
    """Where the event's path does not serve asset_attributes, the blob's own does (specs/datatrails.md 1.6)."""
    trail = ledger.box.datatrails
    trail.event_path_serves_asset_attributes = False
    asset = trail.add_asset({})
    trail.add_event(asset, {}, {"document_document": attached(ledger, b"one", "v1.txt")})
    trail.add_event(asset, {}, {"document_document": attached(ledger, b"two", "v2.txt")})
    summary, _ = await ledger.sync()
    assert not summary.incomplete
    assert ledger.stored() == {sha256(b"one"), sha256(b"two")}


async def test_what_no_path_leads_to_is_gone(ledger: Ledgers) -> None:
    """All rungs 404 on a terminal event: gone, exit 1, others there."""
    trail = ledger.box.datatrails
    missing = {**attached(ledger, b"x"), "arc_blob_identity": "blobs/11111111-2222-4333-8444-555555555555"}
    asset = trail.add_asset({"ok": attached(ledger, b"ok")})
    trail.add_event(asset, {"missing": missing})
    summary, _ = await ledger.sync()
    assert summary.incomplete
    assert summary.counts["ledger/assets/*"] == {"gone": 1, "stored": 2}


async def test_max_size_refuses_and_says_so(ledger: Ledgers) -> None:
    """By the stated size, without a download; nothing of it is left."""
    ledger.mirror_keys = 'max_size = "10B"'
    ledger.box.datatrails.add_asset({"big": attached(ledger, b"x" * 11), "small": attached(ledger, b"x" * 10, "s.txt")})
    ledger.tracks += "events = false\n"
    summary, recorder = await ledger.sync()
    assert summary.incomplete
    assert {outcome.state for outcome in recorder.outcomes} == {State.STORED, State.REFUSED}
    assert ledger.downloads() == 1


async def test_assets_that_come_into_sight_later_bring_their_older_events(ledger: Ledgers) -> None:
    """A policy that is granted after the cursor has moved on hides nothing."""
    trail = ledger.box.datatrails
    late = trail.add_asset({})
    trail.add_event(late, {"old": attached(ledger, b"old")}, accepted="2020-01-01T00:00:00Z")
    trail.hide(late, status=404)
    seen = trail.add_asset({})
    trail.add_event(seen, {"a": attached(ledger, b"seen")}, accepted="2024-01-01T00:00:00Z")
    await ledger.sync()
    assert ledger.stored() == {sha256(b"seen")}
    trail.hide(late, status=0)
    await ledger.sync()
    assert ledger.stored() == {sha256(b"seen"), sha256(b"old")}


async def test_assets_that_are_as_they_were_are_only_counted(ledger: Ledgers) -> None:
    """However many attachments they name. One that changes is taken anew."""
    trail = ledger.box.datatrails
    ledger.tracks += "events = false\n"
    many = {f"a{number}": attached(ledger, b"%d" % number) for number in range(700)}
    still, changing = trail.add_asset(many), trail.add_asset({"b": attached(ledger, b"b")})
    for step in range(4):
        _, recorder = await ledger.sync()
        (tally,) = recorder.tallies.values()
        assert tally["listed"] == 701 + (step >= 2)
        assert tally["new"] == {0: 701, 2: 1}.get(step, 0)
        if step == 1:
            trail.add_event(changing, {}, {"c": attached(ledger, b"c")})
    assert len(ledger.shown()) == 702
    with ledger.index() as index:
        marks = index.attachments.cursors(ledger.config().tracks[0].name)
        assert [str(marks.get(f"asset/{asset.uuid}")).split(", ")[1] for asset in (still, changing)] == ["700]", "2]"]


async def test_attribute_filters_leave_out_the_events_of_other_assets(ledger: Ledgers) -> None:
    """The wildcard feed of events is not filtered by the service."""
    trail = ledger.box.datatrails
    ledger.tracks += 'attributes = { arc_display_type = "Traffic light" }\n'
    light = trail.add_asset({"arc_display_type": "Traffic light"})
    door = trail.add_asset({"arc_display_type": "Door"})
    trail.add_event(light, {"a": attached(ledger, b"light")})
    trail.add_event(door, {"a": attached(ledger, b"door")})
    await ledger.sync()
    trail.add_event(light, {"b": attached(ledger, b"light 2")})
    trail.add_event(door, {"b": attached(ledger, b"door 2")})
    await ledger.sync()
    assert ledger.stored() == {sha256(b"light"), sha256(b"light 2")}


async def test_a_public_asset_needs_no_token(ledger: Ledgers) -> None:
    """Public paths only, no Authorization."""
    trail = ledger.box.datatrails
    asset = trail.add_asset({"a": attached(ledger, b"public")}, public=True)
    ledger.account = ""
    ledger.tracks = f'[[track]]\naccount = "ledger"\nasset = "{asset.uuid}"\npublic = true\n'
    summary, _ = await ledger.sync()
    assert not summary.incomplete
    assert ledger.stored() == {sha256(b"public")}
    assert all("public" in request.path for request in ledger.box.requests)
    assert all("Authorization" not in request.headers for request in ledger.box.requests)


@pytest.mark.parametrize("link", ["hardlink", "symlink", "reflink", "copy"])
async def test_every_kind_of_link_shows_the_bytes(ledger: Ledgers, link: str) -> None:
    """Where the file system cannot do one, the next best is made and said."""
    ledger.mirror_keys = f'link = "{link}"'
    asset = ledger.box.datatrails.add_asset({"a": attached(ledger, b"bytes")})
    ledger.tracks += "events = false\n"
    summary, _ = await ledger.sync()
    assert not summary.incomplete
    entry = ledger.files / asset.uuid / "file.txt"
    assert entry.read_bytes() == b"bytes"
    assert entry.is_symlink() == (link == "symlink")
    if link == "symlink":
        assert not os.path.isabs(os.readlink(entry))
    if link == "copy":
        assert entry.stat().st_nlink == 1
    assert os.listdir(ledger.mirror / ".attachsync/tmp") == []


async def test_rate_limits_pause_the_account_and_lose_nothing(ledger: Ledgers) -> None:
    """429 in both header styles, on lists and downloads (specs/datatrails.md 3)."""
    ledger.box.datatrails.add_asset({"a": attached(ledger, b"a")})
    for header in ("Archivist-Rate-Limit-Reset", "Retry-After"):
        for path in (DOWNLOADS, "*/assets", "*/events"):
            ledger.box.faults.add(Fault(path=path, kind="status", status=429, headers={header: "0.05"}, times=1))
    summary, _ = await ledger.sync()
    assert not summary.incomplete
    assert ledger.stored() == {sha256(b"a")}


@pytest.mark.parametrize(
    "fault",
    [
        Fault(path=DOWNLOADS, kind="status", status=500, times=2),
        Fault(path=DOWNLOADS, kind="reset", times=2),
        Fault(path=DOWNLOADS, kind="gzip"),
        Fault(path=DOWNLOADS, kind="no_length"),
        Fault(path=DOWNLOADS, kind="drip", size=7, every=0.001),
        Fault(path=BYTES, kind="tamper", times=1),
        Fault(path="*/events", kind="status", status=503, times=2),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status}",
)
async def test_passing_trouble_is_overcome_within_the_pass(ledger: Ledgers, fault: Fault) -> None:
    """A GET is repeated; a body that differs once is fetched once more."""
    ledger.box.datatrails.add_asset({"a": attached(ledger, b"some bytes" * 10)})
    ledger.box.faults.add(fault)
    summary, _ = await ledger.sync()
    assert not summary.incomplete
    assert ledger.stored() == {sha256(b"some bytes" * 10)}


@pytest.mark.parametrize(
    ("fault", "state"),
    [
        (Fault(path=BYTES, kind="truncate", after=5), "failed"),
        (Fault(path="*/info", kind="status", status=403), "failed"),
        (Fault(path="*/info", kind="html"), "failed"),
        (Fault(path="*/info", kind="json", value=[1, 2]), "failed"),
        (Fault(path="*/info", kind="json", depth=100_000), "failed"),
    ],
    ids=lambda value: getattr(value, "kind", value),
)
async def test_lasting_trouble_ends_with_its_attachment(ledger: Ledgers, fault: Fault, state: str) -> None:
    """The row says what happened, nothing half-made is left, and the next pass makes it good."""
    ledger.box.datatrails.add_asset({"a": attached(ledger, b"some bytes" * 10)})
    ledger.tracks += "events = false\n"
    ledger.box.faults.add(fault)
    summary, recorder = await ledger.sync()
    assert summary.incomplete
    assert [outcome.state.value for outcome in recorder.outcomes] == [state]
    assert ledger.stored() == set()
    assert os.listdir(ledger.mirror / ".attachsync/tmp") == []
    ledger.box.faults.clear()
    summary, _ = await ledger.sync()
    assert not summary.incomplete


async def test_a_listing_that_breaks_off_does_not_move_the_cursor(ledger: Ledgers) -> None:
    """What was listed is mirrored; the rest comes with the next pass."""
    trail = ledger.box.datatrails
    trail.page_limit = 2
    asset = trail.add_asset({})
    for number in range(6):
        trail.add_event(asset, {"a": attached(ledger, b"%d" % number)})
    ledger.box.faults.add(Fault(path="*/events", kind="html", skip=2, times=1))
    summary, _ = await ledger.sync()
    assert summary.incomplete
    assert "JSON" in summary.errors["ledger/assets/*"]
    assert 0 < len(ledger.stored()) < 6
    summary, _ = await ledger.sync()
    assert not summary.incomplete
    assert len(ledger.stored()) == 6


async def test_a_bad_track_does_not_hold_up_another(ledger: Ledgers) -> None:
    """An asset that cannot be read is its own track's error."""
    trail = ledger.box.datatrails
    asset = trail.add_asset({"a": attached(ledger, b"good")})
    ledger.tracks = "".join(
        f'[[track]]\naccount = "ledger"\nasset = "{uuid}"\n'
        for uuid in ("aaaaaaaa-2222-4333-8444-555555555555", asset.uuid)
    )
    summary, _ = await ledger.sync()
    assert summary.incomplete
    assert list(summary.errors) == ["ledger/assets/aaaaaaaa-2222-4333-8444-555555555555"]
    assert "404" in next(iter(summary.errors.values()))
    assert ledger.stored() == {sha256(b"good")}


@pytest.mark.parametrize("spelling", ["{}", "Bearer {}\n", "Authorization: Bearer {}\n", "  authorization:bearer {}"])
async def test_token_files_in_all_spellings(ledger: Ledgers, spelling: str) -> None:
    """Bare, Bearer, or a whole header line (specs/datatrails.md 2)."""
    token = ledger.root / "token"
    token.write_text(spelling.format(TOKEN))
    token.chmod(0o600)
    ledger.box.datatrails.add_asset({"a": attached(ledger, b"a")})
    summary, _ = await ledger.sync()
    assert not summary.incomplete


async def test_a_token_that_is_refused_is_the_accounts_trouble(ledger: Ledgers) -> None:
    """One request, one error that names account and status; with a new token all is well."""
    ledger.box.datatrails.add_asset({"a": attached(ledger, b"a")})
    ledger.config()
    (ledger.root / "token").write_text("stale")
    summary, recorder = await ledger.sync()
    assert summary.incomplete
    assert len(ledger.box.requests) == 1
    assert "ledger" in recorder.down[0]
    assert "401" in recorder.down[0]
    assert "stale" not in recorder.down[0]
    (ledger.root / "token").write_text(TOKEN)
    summary, _ = await ledger.sync()
    assert not summary.incomplete


def with_a_client(ledger: Ledgers) -> Path:
    """Sign in by client credentials; the file with the secret."""
    ledger.box.datatrails.add_client("my-client", "my-secret")
    secret = ledger.root / "secret"
    secret.write_text("my-secret\n")
    secret.chmod(0o600)
    ledger.account = 'client_id = "my-client"\nclient_secret_file = "secret"\n'
    return secret


async def test_client_credentials_are_exchanged_and_renewed(ledger: Ledgers) -> None:
    """One exchange for many requests; a revoked token is replaced in mid-pass."""
    trail, secret = ledger.box.datatrails, with_a_client(ledger)
    for number in range(10):
        trail.add_asset({"a": attached(ledger, b"%d" % number)})
    summary, _ = await ledger.sync()
    assert not summary.incomplete
    assert ledger.box.count(path="*/appidp/token") == 1
    trail.access.uses_per_token = 5
    trail.add_asset({"b": attached(ledger, b"one more")})
    summary, _ = await ledger.sync()
    assert not summary.incomplete
    secret.write_text("wrong")
    summary, recorder = await ledger.sync()
    assert summary.incomplete
    assert "client_id" in recorder.down[0]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"error": "invalid_client", "error_description": "my-secret expired"}, "the answer: (a key) expired; check"),
        ({"error": "invalid_client"}, "the answer: invalid_client; check client_id and "),
        ({"access_token": "two words"}, "no usable access_token in the answer; check client_id and "),
        ({"access_token": None}, "no usable access_token in the answer; check client_id and "),
    ],
)
async def test_an_exchange_that_brings_no_token(ledger: Ledgers, answer: JSON, said: str) -> None:
    """What the service says instead is told, with the status, and without the secret."""
    with_a_client(ledger)
    ledger.box.faults.add(Fault(path="*/appidp/token", kind="json", value=answer))
    _, recorder = await ledger.sync()
    assert said in recorder.down[0]
    assert "/appidp/token: HTTP 200, but no usable" in recorder.down[0]
    assert "token file" not in recorder.down[0]
    assert "my-secret" not in recorder.down[0]
    assert "two words" not in recorder.down[0]


async def test_sha256sums_lists_what_is_shown(ledger: Ledgers) -> None:
    """`sha256sum -c` accepts it, and it follows what changes."""
    trail = ledger.box.datatrails
    asset = trail.add_asset({"a": attached(ledger, b"one", "naïve name.txt")})
    await ledger.sync()
    trail.add_event(asset, {"b": attached(ledger, b"two")})
    await ledger.sync()
    pipe = asyncio.subprocess.PIPE
    checking = await asyncio.create_subprocess_exec("sha256sum", "-c", "SHA256SUMS", cwd=ledger.mirror, stdout=pipe)
    said, _ = await checking.communicate()
    assert checking.returncode == 0
    assert said.count(b": OK") == 3


async def test_a_full_disk_ends_the_pass_and_loses_nothing(ledger: Ledgers) -> None:
    """min_free is kept; the pass says so, and goes on when there is room."""
    ledger.mirror_keys = ""
    ledger.box.datatrails.add_asset({"a": attached(ledger, b"one")})
    free = os.statvfs(ledger.root).f_bavail * os.statvfs(ledger.root).f_frsize
    ledger.min_free = f'"{2 * free}B"'
    summary, _ = await ledger.sync()
    assert summary.incomplete
    assert "min_free" in summary.errors["ledger/assets/*"]
    assert ledger.stored() == set()
    ledger.min_free = "0"
    summary, _ = await ledger.sync()
    assert not summary.incomplete


async def test_more_links_than_the_file_system_allows(tmp_path: Path) -> None:
    """ext4 allows 65,000 to a file: the next entry is a copy, and that is said once."""
    store = Store(tmp_path)
    store.prepare()
    said: list[tuple[str, str, str]] = []
    views = Views(store, "hardlink", Modes(), lambda *words: said.append(words))
    views.prepare()

    async def chunks() -> AsyncIterator[bytes]:
        yield b"popular"

    digest, _ = await store.add(chunks(), Expected(), 100, Pin())
    (tmp_path / "links").mkdir()
    with contextlib.suppress(OSError):
        for number in range(70_000):
            os.link(store.path(digest), tmp_path / "links" / str(number))
    for name in ("a", "b"):
        views.show(f"files/ledger/{name}", digest)
        assert (tmp_path / "files/ledger" / name).read_bytes() == b"popular"
    if store.path(digest).stat().st_nlink < 70_000:  # this file system has a limit
        assert [(wanted, made) for wanted, made, _ in said] == [("hardlink", "copy")]
    store.close()


@pytest.mark.parametrize("order", [1, -1])
async def test_bad_bytes_of_two_rows_leave_together(ledger: Ledgers, order: int) -> None:
    """An asset's attachment and its event's are asked about at the same time: the last one takes the bytes away."""
    trail = ledger.box.datatrails
    blob = trail.add_blob(b"sleeper", "text/plain")
    trail.add_asset({"a": trail.attach(blob, file_name="a.txt")})
    await ledger.sync()
    assert len(ledger.shown()) == 2
    trail.set_scanned(blob, "SCANNED_BAD")
    ledger.clock.ahead = 90_000
    await ledger.sync()
    assert (ledger.shown(), ledger.stored(), ledger.quarantined()) == ([], set(), {sha256(b"sleeper")})
    assert ledger.mirror.joinpath("SHA256SUMS").read_text() == ""


async def test_a_withdrawal_that_was_cut_short_is_finished(ledger: Ledgers) -> None:
    """A crash between the mark and the move leaves nothing bad in sight after the next pass."""
    trail = ledger.box.datatrails
    blob = trail.add_blob(b"sleeper", "text/plain")
    trail.add_asset({"a": trail.attach(blob, file_name="a.txt")})
    ledger.tracks += "events = false\n"
    await ledger.sync()
    trail.set_scanned(blob, "SCANNED_BAD")
    database = Index.open(ledger.mirror / ".attachsync").database
    database.run("UPDATE attachment SET state = 'quarantined', digest = NULL, withdrawn = 1")
    database.close()
    await ledger.sync()
    assert (ledger.shown(), ledger.stored(), ledger.quarantined()) == ([], set(), {sha256(b"sleeper")})


async def test_a_tightened_scan_rule_is_applied_to_what_is_there(ledger: Ledgers) -> None:
    """any -> not-bad takes the infected file away, without waiting for a day; -> clean what is not scanned yet.

    Of the latter the bytes stay, and are not fetched again.
    """
    trail = ledger.box.datatrails
    trail.add_asset({"bad": attached(ledger, b"bad", scanned="SCANNED_BAD"), "ok": attached(ledger, b"ok", "ok.txt")})
    plain = ledger.tracks + "events = false\n"
    ledger.tracks = plain + 'scan = "any"\n'
    summary, _ = await ledger.sync()
    assert not summary.incomplete
    for rule, shown in (("not-bad", 1), ("clean", 0), ("not-bad", 1)):
        ledger.tracks = f'{plain}scan = "{rule}"\n'
        await ledger.sync()
        assert (len(ledger.shown()), ledger.stored()) == (shown, {sha256(b"ok")})
        assert (findings(ledger), ledger.downloads()) == ([], 0)


async def test_a_new_file_name_for_the_same_blob_renames_the_entry(ledger: Ledgers) -> None:
    """No download; the old name goes."""
    trail = ledger.box.datatrails
    value = attached(ledger, b"same", "old.txt")
    asset = trail.add_asset({"a": value})
    ledger.tracks += "events = false\n"
    await ledger.sync()
    trail.add_event(asset, {}, {"a": {**value, "arc_file_name": "new.txt"}})
    summary, _ = await ledger.sync()
    assert not summary.incomplete
    assert ledger.downloads() == 0
    assert ledger.shown() == [f"{asset.uuid}/new.txt"]


async def test_an_event_that_becomes_visible_late_is_not_lost(ledger: Ledgers) -> None:
    """Accepted before the newest one, seen after the cursor moved, however long the pause between passes."""
    trail = ledger.box.datatrails
    trail.now = datetime(2023, 1, 1, tzinfo=UTC)
    asset = trail.add_asset({})
    trail.add_event(asset, {"a": attached(ledger, b"new")}, accepted="2024-01-01T00:01:00Z")
    await ledger.sync()
    trail.add_event(asset, {"a": attached(ledger, b"late")}, accepted="2024-01-01T00:00:30Z")
    ledger.clock.ahead = 5000
    await ledger.sync()
    assert ledger.stored() == {sha256(b"new"), sha256(b"late")}


async def test_a_pending_asset_waits_as_its_event_does(ledger: Ledgers) -> None:
    """Its own attachments are not gone, only not there yet."""
    trail = ledger.box.datatrails
    trail.auto_confirm = False
    trail.add_asset({"a": attached(ledger, b"soon")}, confirmation_status="PENDING")
    ledger.box.faults.add(Fault(path="*/v1/blobs/*", kind="status", status=404))
    ledger.box.faults.add(Fault(path=DOWNLOADS, kind="status", status=404))
    summary, _ = await ledger.sync()
    assert not summary.incomplete
    assert "gone" not in summary.counts["ledger/assets/*"]


async def test_a_public_track_of_an_account_with_a_token_sends_none(ledger: Ledgers) -> None:
    """specs/datatrails.md 1.10: no Authorization."""
    asset = ledger.box.datatrails.add_asset({"a": attached(ledger, b"public")}, public=True)
    ledger.tracks = f'[[track]]\naccount = "ledger"\nasset = "{asset.uuid}"\npublic = true\n'
    summary, _ = await ledger.sync()
    assert not summary.incomplete
    assert all("Authorization" not in request.headers for request in ledger.box.requests)


async def test_one_unsound_asset_does_not_keep_back_the_events(ledger: Ledgers) -> None:
    """What can be read is mirrored; the track says that something could not."""
    trail = ledger.box.datatrails
    asset = trail.add_asset({})
    trail.add_event(asset, {"a": attached(ledger, b"event")})
    ledger.box.faults.add(Fault(path="*/v2/assets", kind="json", value={"assets": [{"identity": 7}]}))
    summary, _ = await ledger.sync()
    assert "1 of the listed assets" in summary.errors["ledger/assets/*"]
    assert ledger.stored() == {sha256(b"event")}


async def test_a_page_too_long_to_be_read_is_asked_for_in_smaller_ones(ledger: Ledgers) -> None:
    """With half as many records, until it can be read; those after it, too, but no other list."""
    for number in range(30):
        ledger.box.datatrails.add_asset({"a": attached(ledger, b"%d" % (number % 2))})
    for size in (100, 50):
        long = b"[" + b" " * MAX_JSON
        ledger.box.faults.add(Fault(path="*/assets", query=f"*page_size={size}", kind="html", body=long))
    summary, recorder = await ledger.sync()
    assert not summary.incomplete
    assert [outcome.state for outcome in recorder.outcomes] == [State.STORED] * 60
    pages = [(request.path.rpartition("/")[2], dict(request.query).get("page_size")) for request in ledger.box.requests]
    assert [size for kind, size in pages if kind == "assets"] == ["100", "50", "25", "25"]
    assert [size for kind, size in pages if kind == "events"] == ["100"]


@pytest.mark.parametrize(
    ("value", "is_page"),
    [
        ({"assets": None, "events": None, "next_page_token": None}, True),
        ({"next_page_token": ""}, True),
        ({}, True),
        ({"code": 7, "message": "no"}, False),
        ({"assets": {}, "events": ""}, False),
        ([], False),
    ],
)
async def test_a_list_that_is_null_or_left_out_is_empty(ledger: Ledgers, value: JSON, is_page: bool) -> None:
    """As unpopulated fields are (specs/datatrails.md 1.3, 6), but not where something else is said instead."""
    ledger.box.faults.add(Fault(path="*/v2/assets*", kind="json", value=value))
    summary, _ = await ledger.sync()
    assert summary.incomplete != is_page


async def test_a_body_that_breaks_off_once_is_begun_anew(ledger: Ledgers) -> None:
    """Within the pass (specs/datatrails.md 8)."""
    ledger.box.datatrails.add_asset({"a": attached(ledger, b"some bytes" * 10)})
    ledger.box.faults.add(Fault(path=BYTES, kind="truncate", after=5, times=1))
    summary, _ = await ledger.sync()
    assert not summary.incomplete


@pytest.mark.parametrize("encoding", ["br", "zstd"])
async def test_an_encoding_that_cannot_be_read_is_its_attachments_trouble(ledger: Ledgers, encoding: str) -> None:
    """It is named, and not asked for again at once; the account is well."""
    if getattr(compression_utils, f"HAS_{ {'br': 'BROTLI', 'zstd': 'ZSTD'}[encoding] }"):
        pytest.skip(f"{encoding} can be read here")
    ledger.box.datatrails.add_asset({"a": attached(ledger, b"a")})
    ledger.tracks += "events = false\n"
    ledger.box.faults.add(Fault(path=BYTES, kind="headers", headers={"Content-Encoding": encoding}))
    summary, recorder = await ledger.sync()
    assert [outcome.state for outcome in recorder.outcomes] == [State.FAILED]
    assert f"Content-Encoding ({encoding})" in recorder.outcomes[0].reason
    assert (ledger.box.count("GET", BYTES), summary.errors) == (1, {})


async def test_a_redirect_with_a_password_is_refused(ledger: Ledgers) -> None:
    """And ends with its attachment."""
    ledger.box.datatrails.add_asset({"a": attached(ledger, b"a")})
    location = f"http://user:secret@127.0.0.1:{ledger.port}/x"
    ledger.box.faults.add(Fault(path=BYTES, kind="redirect", location=location, status=302))
    summary, recorder = await ledger.sync()
    assert summary.incomplete
    assert {outcome.state for outcome in recorder.outcomes} == {State.REFUSED}
    assert all("secret" not in outcome.reason for outcome in recorder.outcomes)


async def test_redirects_within_the_origin_keep_credentials_and_others_do_not(ledger: Ledgers) -> None:
    """A loopback account may be redirected on loopback; its token stays at home."""
    asset = ledger.box.datatrails.add_asset({"a": attached(ledger, b"a")})
    ledger.tracks += "events = false\n"
    other = await serve(ledger.box)
    blob = next(iter(ledger.box.datatrails.blobs))
    path = f"/datatrails/archivist/v2/attachments/assets/{asset.uuid}/{blob}"
    try:
        location = f"http://127.0.0.1:{other[1]}{path}?signature=secret"
        ledger.box.faults.add(Fault(path=BYTES, kind="redirect", location=location, status=302, times=1))
        summary, recorder = await ledger.sync()
    finally:
        await other[0].cleanup()
    assert summary.incomplete  # without a token the other origin refuses
    [outcome] = recorder.outcomes
    assert outcome.reason.startswith(f"ledger: GET {path}, redirected to 127.0.0.1 without credentials: HTTP 401")
    assert "signature" not in outcome.reason
    seen = [request.headers.get("Authorization") for request in ledger.box.requests if request.path == path]
    assert seen[:2] == ["Bearer (valid)", None]


@pytest.mark.parametrize(
    ("location", "why"),
    [("", "more than 5 redirects (HTTP 302)"), ("http://[::bad/x?secret", "redirected (HTTP 302) to what is no URL")],
)
async def test_redirects_that_lead_nowhere_are_told_with_their_status(ledger: Ledgers, location: str, why: str) -> None:
    """And without the address."""
    ledger.box.datatrails.add_asset({"a": attached(ledger, b"a")})
    ledger.box.faults.add(Fault(path=BYTES, kind="redirect", status=302, location=location))
    ledger.tracks += "events = false\n"
    _, recorder = await ledger.sync()
    [outcome] = recorder.outcomes
    assert outcome.reason.endswith(f": {why}")


async def test_a_rate_limited_service_is_mirrored_whole(ledger: Ledgers) -> None:
    """429 again and again, with a hint: patience, not failure."""
    trail = ledger.box.datatrails
    trail.add_asset({f"a{n}": attached(ledger, b"%d" % n, f"{n}.txt", scanned="SCANNED_OK") for n in range(30)})
    trail.rate_limit = RateLimit(10, 0.2)
    summary, _ = await ledger.sync()
    assert not summary.incomplete
    assert len(ledger.stored()) == 30


async def test_sha256sums_is_made_again_when_it_is_missing(ledger: Ledgers) -> None:
    """A crash before it was written, or somebody's rm."""
    ledger.box.datatrails.add_asset({"a": attached(ledger, b"a")})
    await ledger.sync()
    (ledger.mirror / "SHA256SUMS").unlink()
    await ledger.sync()
    assert (ledger.mirror / "SHA256SUMS").read_text().count(sha256(b"a")) == 2


async def test_one_that_does_not_fit_does_not_starve_the_others(ledger: Ledgers) -> None:
    """It failed; smaller ones are there."""
    trail = ledger.box.datatrails
    ledger.mirror_keys = 'max_size = "4000GiB"'
    huge = trail.add_blob(b"huge", "text/plain")
    stated = {"size": 3000 * 2**30, "mime_type": "text/plain", "scanned_status": "SCANNED_OK"}
    ledger.box.faults.add(Fault(path=f"*/{huge.uuid}/info", kind="json", value=stated))
    trail.add_asset({"a": trail.attach(huge, file_name="huge.txt"), "b": attached(ledger, b"small")})
    ledger.tracks += "events = false\n"
    summary, _ = await ledger.sync()
    assert summary.counts["ledger/assets/*"] == {"failed": 1, "stored": 1}
    assert ledger.downloads() == 1


async def test_retain_removes_what_was_kept_long_enough(ledger: Ledgers) -> None:
    """From files/ and, unless another shows it, from the store; it is not fetched again; a new version is.

    Though the service does not say what time it is.
    """
    trail = ledger.box.datatrails
    shared = attached(ledger, b"shared", "shared.txt")
    kept = trail.add_asset({"a": shared})
    asset = trail.add_asset({"a": shared, "b": attached(ledger, b"own", "own.txt")})
    ledger.tracks = "".join(
        f'[[track]]\naccount = "ledger"\nasset = "{uuid}"\nevents = false\n{retain}'
        for uuid, retain in ((kept.uuid, ""), (asset.uuid, 'retain = "90s"\n'))
    )
    await ledger.sync()
    assert len(ledger.shown()) == 3
    ledger.clock.ahead = 100
    ledger.box.faults.add(Fault(path="*", kind="headers", headers={"Date": ""}))
    summary, recorder = await ledger.sync()
    assert not summary.incomplete
    assert {outcome.reason for outcome in recorder.outcomes} == {"kept for 2m, as `retain` says, and removed"}
    assert ledger.shown() == [f"{kept.uuid}/shared.txt"]
    assert ledger.stored() == {sha256(b"shared")}
    summary, _ = await ledger.sync()
    assert (summary.incomplete, ledger.downloads()) == (False, 0)
    trail.add_event(asset, {}, {"b": attached(ledger, b"new", "own.txt")})
    await ledger.sync()
    assert ledger.shown() == [f"{kept.uuid}/shared.txt", f"{asset.uuid}/own.txt"]


async def test_retain_counts_from_mirroring_whatever_the_name(ledger: Ledgers) -> None:
    """The same bytes under another name are as old as they were."""
    trail = ledger.box.datatrails
    asset, there = trail.add_asset({}), attached(ledger, b"own", "a.txt")
    trail.add_event(asset, {}, {"a": there})
    ledger.tracks += 'events = false\nretain = "100s"\n'
    await ledger.sync()
    (first,) = ledger.rows()
    ledger.clock.ahead = 60
    trail.add_event(asset, {}, {"a": {**there, "arc_file_name": "b.txt"}})
    await ledger.sync()
    assert ledger.shown() == [f"{asset.uuid}/b.txt"]
    assert [row["mirrored_at"] for row in ledger.rows()] == [first["mirrored_at"]]
    ledger.clock.ahead = 110
    await ledger.sync()
    assert (ledger.shown(), ledger.stored()) == ([], set())


async def test_retain_removes_what_is_shown_still_because_its_successor_cannot_be_had(ledger: Ledgers) -> None:
    """The attachment stays work; what another track shows stays, too, and what is new comes when it can be had."""
    trail = ledger.box.datatrails
    shared = attached(ledger, b"shared", "shared.txt")
    asset, other = trail.add_asset({"a": shared, "b": attached(ledger, b"own", "own.txt")}), trail.add_asset({})
    trail.add_event(other, {}, {"a": shared})
    ledger.tracks = "".join(
        f'[[track]]\naccount = "ledger"\nasset = "{uuid}"\nevents = false\n{retain}'
        for uuid, retain in ((asset.uuid, 'retain = "100s"\n'), (other.uuid, ""))
    )
    await ledger.sync()
    new = {name: attached(ledger, b"new " + name.encode(), f"{name}.txt") for name in ("shared", "own")}
    trail.add_event(asset, {}, {"a": new["shared"], "b": new["own"]})
    ledger.box.faults.add(*(Fault(path=f"*/{one['arc_blob_identity'][6:]}", kind="tamper") for one in new.values()))
    ledger.clock.ahead = 60
    summary, _ = await ledger.sync()
    assert (summary.incomplete, len(ledger.shown())) == (True, 3)
    ledger.clock.ahead = 110
    await ledger.sync()
    assert ledger.shown() == [f"{other.uuid}/shared.txt"]
    assert ledger.stored() == {sha256(b"shared")}
    assert sorted(str(row["state"]) for row in ledger.rows()) == ["mismatch", "mismatch", "stored"]
    ledger.box.faults.clear()
    summary, _ = await ledger.sync()
    assert not summary.incomplete
    assert ledger.stored() == {sha256(b"shared"), sha256(b"new shared"), sha256(b"new own")}
    ledger.clock.ahead = 180
    await ledger.sync()
    assert len(ledger.stored()) == 3


async def test_retain_removes_what_an_attachment_was_before(ledger: Ledgers) -> None:
    """Each version when its own time is over, and of tracks that say so only."""
    trail = ledger.box.datatrails
    assets = [trail.add_asset({"a": attached(ledger, b"first of %d" % number)}) for number in range(2)]
    ledger.tracks = "".join(
        f'[[track]]\naccount = "ledger"\nasset = "{asset.uuid}"\nevents = false\n{retain}'
        for asset, retain in zip(assets, ('retain = "100s"\n', ""), strict=True)
    )
    await ledger.sync()
    ledger.clock.ahead = 60
    for number, asset in enumerate(assets):
        trail.add_event(asset, {}, {"a": attached(ledger, b"next of %d" % number)})
    await ledger.sync()
    assert len(ledger.stored()) == 4
    ledger.clock.ahead = 110
    await ledger.sync()
    assert ledger.stored() == {sha256(data) for data in (b"next of 0", b"first of 1", b"next of 1")}
    ledger.clock.ahead = 170
    await ledger.sync()
    assert ledger.stored() == {sha256(data) for data in (b"first of 1", b"next of 1")}


async def test_a_clock_that_jumped_empties_no_mirror(ledger: Ledgers) -> None:
    """The service's own clock says that it is not that late."""
    ledger.box.datatrails.add_asset({"a": attached(ledger, b"a")})
    ledger.tracks += 'retain = "90d"\n'
    await ledger.sync()
    ledger.clock.ahead = 100 * 86_400
    await ledger.sync()
    assert ledger.stored() == {sha256(b"a")}


async def test_a_removal_that_was_cut_short_is_finished(ledger: Ledgers) -> None:
    """Rows are marked before anything is taken away: the next pass finds the mark."""
    ledger.box.datatrails.add_asset({"a": attached(ledger, b"a")})
    ledger.tracks += "events = false\n"
    await ledger.sync()
    with contextlib.closing(Index.open(ledger.mirror / ".attachsync")) as index:
        index.removals.vanish("ledger/assets/*", [str(ledger.rows()[0]["key"])])
    assert len(ledger.stored()) == 1
    summary, recorder = await ledger.sync()
    assert (summary.incomplete, [one.state for one in recorder.outcomes]) == (False, [State.GONE])
    assert (ledger.stored(), ledger.shown()) == (set(), [])


async def test_what_came_after_it_was_marked_for_removal_leaves_too(ledger: Ledgers) -> None:
    """A listing says that it is gone while its bytes are on their way."""
    ledger.box.datatrails.add_asset({"a": attached(ledger, b"a")})
    ledger.tracks += "events = false\n"
    await ledger.sync()
    with contextlib.closing(Index.open(ledger.mirror / ".attachsync")) as index:
        row = index.database.rows(f"SELECT *, {LISTED} FROM attachment")[0]
        coming = entry_of(row)._replace(digest=None, shown=None, path=None)
        index.database.run("UPDATE attachment SET digest = NULL, shown = NULL, path = NULL, state = 'waiting'")
        index.removals.vanish("ledger/assets/*", [str(row["key"])])
        assert index.removals.marked(9) == []
        assert index.attachments.stored([Stored(coming, Digest(row["digest"]), 1, None, row["path"])], 0.0) == [True]
        index.attachments.settled(coming, State.FAILED, "", 0.0)
        assert [entry.shown for entry in index.removals.marked(9)] == [row["digest"]]
    summary, _ = await ledger.sync()
    assert (summary.incomplete, ledger.stored(), ledger.shown()) == (False, set(), [])


async def test_a_stated_hash_is_no_path(ledger: Ledgers) -> None:
    """A record's hash that leads out of the store shows nothing that is there."""
    (ledger.root / "secret").write_bytes(b"secret")
    ledger.box.datatrails.add_asset({"a": {**attached(ledger, b"bytes!"), "arc_blob_hash_value": "../secret"}})
    record = {"hash": {"alg": "SHA256", "value": "../secret"}, "size": 6, "mime_type": "text/plain"}
    ledger.box.faults.add(Fault(path="*/info", kind="json", value=record))
    summary, _ = await ledger.sync()
    assert summary.incomplete
    assert [path.read_bytes() for path in ledger.files.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("events", [True, False])
async def test_a_track_of_one_asset_is_of_no_other(ledger: Ledgers, events: bool) -> None:
    """Whatever the service puts among its events."""
    trail = ledger.box.datatrails
    ours, other = trail.add_asset({}), trail.add_asset({})
    for asset in (ours, other):
        trail.add_event(asset, {"x": attached(ledger, asset.uuid.encode(), "x.txt")})
    foreign = await listed(ledger, other.uuid)
    own = await listed(ledger, ours.uuid)
    value = {"events": [*own["events"], *foreign["events"]], "next_page_token": ""}
    ledger.box.faults.add(Fault(path=f"*/{ours.uuid}/events", kind="json", value=value))
    ledger.tracks = f'[[track]]\naccount = "ledger"\nasset = "{ours.uuid}"\nevents = {str(events).lower()}\n'
    summary, _ = await ledger.sync()
    assert not summary.incomplete
    assert ledger.stored() == ({sha256(ours.uuid.encode())} if events else set())


async def listed(ledger: Ledgers, asset: str) -> dict[str, Any]:
    """An asset's events, as the service lists them."""
    account = ledger.config().accounts["ledger"]
    http = Http(account, SERVICE.credentials(account), ledger.clock)
    try:
        reply = await http.get(http.url(f"/archivist/v2/assets/{asset}/events"))
        return dict(reply.object())
    finally:
        await http.close()

"""Outboxes of DataTrails and RKVST: a blob, an event that carries it, and a mirror that need not download it."""

import contextlib
import dataclasses
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog

from attachsync import keys, receipts, units
from attachsync.adopting import Adopter
from attachsync.clock import Clock
from attachsync.credentials import Secret
from attachsync.errors import RejectedError, UnavailableError
from attachsync.http import Http
from attachsync.index import Index
from attachsync.model import Account, Digest, Draft, Outbox
from attachsync.outbox import Notice, Outgoing, retry
from attachsync.sandbox import Fault, Sandbox, serve
from attachsync.sandbox.ledger import Ledger
from attachsync.sandbox.ledger_records import Asset
from attachsync.services import SERVICES
from attachsync.sources.datatrails.keys import AccountKeys, OutboxKeys, TrackKeys
from attachsync.sources.datatrails.sender import attribute_of, event_of
from attachsync.spool import digest
from attachsync.store import Store
from tests.ledgers import BYTES, TOKEN, Ledgers, ledgers
from tests.outboxes import Leaping, Rig

BLOBS = "*/archivist/v1/blobs"
EVENTS = "*/archivist/v2/assets/*/events"
UUID = "c04d5ecf-02e0-4be2-a014-ffbbf0e8ddeb"


class Trail(Rig):
    """One outbox of one asset in the sandbox."""

    @property
    def ledger(self) -> Ledger:
        return self.box.rkvst if self.account.service == "rkvst" else self.box.datatrails

    @property
    def asset(self) -> Asset:
        return next(iter(self.ledger.assets.values()))

    def outgoing(self, **changes: Any) -> Outgoing:
        config = dataclasses.replace(self.config, **changes)
        push = SERVICES[self.account.service].push
        assert push is not None
        sender = push.sender(self.http, config.options)
        return Outgoing(config, sender, self.index.uploads, self.clock, notify=self.notices.append)

    def recorded(self) -> list[dict[str, Any]]:
        """The event attributes of what was recorded since the asset was made."""
        return [dict(event.event_attributes) for event in self.asset.events[1:]]

    def posts(self, path: str) -> int:
        return self.box.count("POST", path)


@contextlib.asynccontextmanager
async def trail(tmp_path: Path, service: str = "datatrails", asset: str | None = None) -> AsyncIterator[Trail]:
    """An outbox ready for use, and a ledger behind it whose clock is right."""
    box = Sandbox()
    ledger = box.rkvst if service == "rkvst" else box.datatrails
    ledger.add_token(TOKEN)
    ledger.now = datetime.now(UTC)
    made = ledger.add_asset()
    runner, port = await serve(box)
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text(TOKEN)
    account = Account("ledger", service, f"http://127.0.0.1:{port}/{service}", AccountKeys(Secret(token)))
    root = tmp_path / "outbox"
    root.mkdir()
    config = Outbox(root, "ledger", OutboxKeys(asset or made.uuid))
    clock = Leaping()
    http = Http(account, SERVICES[service].credentials(account), clock)
    (tmp_path / "state").mkdir()
    index = Index.open(tmp_path / "state")
    one = Trail(box, account, config, http, index, clock)
    try:
        with structlog.testing.capture_logs() as one.logs:
            yield one
    finally:
        await http.close()
        index.close()
        await runner.cleanup()


@pytest.mark.parametrize("service", ["datatrails", "rkvst"])
async def test_a_file_becomes_a_blob_and_an_event_that_carries_it(tmp_path: Path, service: str) -> None:
    """Form A, under the file's own name; the receipt says which blob, asset and event."""
    async with trail(tmp_path, service) as one:
        path = one.drop("Q1 report.v2.txt")
        with path.open("rb") as file:
            sha256 = digest(file.fileno())
        outcome = await one.flush()
        assert outcome.sent == 1
        assert outcome.complete
        [blob] = one.ledger.blobs.values()
        assert (blob.recorded.sha256, blob.media_type) == (sha256, "text/plain")
        event = one.asset.events[-1]
        assert (event.operation, event.behaviour) == ("Record", "RecordEvidence")
        assert one.recorded() == [
            {
                "Q1 report_v2_txt": {
                    "arc_attribute_type": "arc_attachment",
                    "arc_blob_identity": blob.identity,
                    "arc_blob_hash_alg": "SHA256",
                    "arc_blob_hash_value": sha256,
                    "arc_file_name": "Q1 report.v2.txt",
                    "arc_display_name": "Q1 report.v2.txt",
                }
            }
        ]
        said = one.document("sent/Q1 report.v2.txt")
        assert isinstance(said.pop("uploaded_at"), datetime)
        assert said == {
            "account": "ledger",
            "file_name": "Q1 report.v2.txt",
            "sha256": sha256,
            "size": 10,
            "media_type": "text/plain",
            "attempts": 1,
            "possible_orphan": False,
            "blob": blob.identity,
            "asset": one.asset.identity,
            "event": event.identity,
        }
        assert [notice.event for notice in one.notices] == ["sent"]
        assert (one.posts(BLOBS), one.posts(EVENTS), one.box.count("GET")) == (1, 1, 0)


async def test_the_upload_is_one_part_of_known_length(tmp_path: Path) -> None:
    """Content-Length, never chunked (specs/datatrails.md 1.8); bytes of more than one block arrive whole."""
    async with trail(tmp_path) as one:
        data = os.urandom(700_000)
        one.drop("big.bin", data)
        assert (await one.flush()).sent == 1
        [blob] = one.ledger.blobs.values()
        assert blob.recorded.size == len(data)
        [request] = [request for request in one.box.requests if request.path.endswith("/blobs")]
        headers = {name.lower(): value for name, value in request.headers.items()}
        assert int(headers["content-length"]) > len(data)
        assert "transfer-encoding" not in headers


async def test_an_answer_with_another_hash_is_no_success(tmp_path: Path) -> None:
    """Nobody knows what the service has: no event for it, the file is sent again, and the receipt says so."""
    async with trail(tmp_path) as one:
        answer = {"identity": f"blobs/{UUID}", "hash": {"alg": "SHA256", "value": "0" * 64}}
        one.box.faults.add(Fault(path=BLOBS, kind="json", value=answer, times=1))
        one.drop()
        assert (await one.flush()).sent == 1
        assert one.document("sent/report.txt")["possible_orphan"] is True
        assert len(one.recorded()) == 1
        [said] = one.said("send_unknown")
        assert "its SHA-256 is stated as 0000" in said["error"]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ([], "no JSON object"),
        ({"identity": f"blobs/{UUID}"}, "stated as nothing"),
        ({"identity": "blobs/1", "hash": {"value": "sum"}}, "no identity of a blob"),
    ],
)
async def test_an_upload_whose_answer_makes_no_sense_is_an_unknown_outcome(
    tmp_path: Path, answer: Any, expected: str
) -> None:
    """A 2xx was said, but not of what."""
    async with trail(tmp_path) as one:
        draft = _draft(one.drop())
        if isinstance(answer, dict) and "hash" in answer:
            answer["hash"]["value"] = draft.sha256
        one.box.faults.add(Fault(path=BLOBS, kind="json", value=answer))
        with (one.root / draft.name).open("rb") as file, pytest.raises(UnavailableError, match=expected):
            await _sender(one).upload(draft, file)


async def test_a_lost_answer_to_the_upload_may_leave_an_orphan(tmp_path: Path) -> None:
    """The blob was taken, its identity lost: sent again, and only the second one gets an event."""
    async with trail(tmp_path) as one:
        one.box.faults.add(Fault(path=BLOBS, method="POST", kind="lost", times=1))
        one.drop()
        assert (await one.flush()).sent == 1
        said = one.document("sent/report.txt")
        assert (said["possible_orphan"], said["attempts"]) == (True, 2)
        assert [blob.identity for blob in one.ledger.blobs.values()][1:] == [said["blob"]]
        assert len(one.recorded()) == 1


async def test_a_lost_answer_to_the_event_does_not_record_twice(tmp_path: Path) -> None:
    """The event is found by its blob among the asset's events; one blob, one event."""
    async with trail(tmp_path) as one:
        one.box.faults.add(Fault(path=EVENTS, method="POST", kind="lost", times=1))
        one.drop()
        assert (await one.flush()).sent == 1
        assert one.clock.ahead > 19  # lists lag behind (specs/datatrails.md 1.4)
        assert len(one.recorded()) == len(one.ledger.blobs) == one.posts(EVENTS) == 1
        said = one.document("sent/report.txt")
        assert (said["event"], said["possible_orphan"]) == (one.asset.events[-1].identity, False)
        [look] = [request for request in one.box.requests if request.method == "GET"]
        since = units.moment(dict(look.query)["timestamp_accepted_since"])
        assert 86_000 < Clock().now() - since < 87_000


async def test_an_event_of_a_service_with_another_clock_is_found(tmp_path: Path) -> None:
    """Its stamps are years behind ours: it is on the newest page all the same, and not recorded twice."""
    async with trail(tmp_path) as one:
        one.ledger.now = datetime(2021, 5, 1, tzinfo=UTC)
        one.box.faults.add(Fault(path=EVENTS, method="POST", kind="lost", times=1))
        one.drop()
        assert (await one.flush()).sent == 1
        assert len(one.recorded()) == one.posts(EVENTS) == 1
        [event] = [event for event in one.asset.events if "report_txt" in event.event_attributes]
        assert one.document("sent/report.txt")["event"] == event.identity


async def test_an_event_is_found_behind_many_others(tmp_path: Path) -> None:
    """All pages are walked, and other events of the same name are not ours."""
    async with trail(tmp_path) as one:
        one.ledger.page_limit = 3
        one.box.faults.add(Fault(path=EVENTS, method="POST", kind="lost", times=1))
        one.drop()
        ours = _draft(one.root / "report.txt")
        with (one.root / ours.name).open("rb") as file:
            receipt = await _sender(one).upload(ours, file)
        with pytest.raises(UnavailableError):
            await _sender(one).deliver(ours, receipt, None)
        event = one.asset.events[-1]
        for _ in range(7):
            one.ledger.add_event(one.asset, {"report_txt": one.ledger.attach(one.ledger.add_blob(b"other"))})
        assert await _sender(one).deliver(ours, receipt, one.clock.now()) == {"event": event.identity}
        assert one.posts(EVENTS) == 1


async def test_an_event_that_never_arrived_is_recorded_after_a_look(tmp_path: Path) -> None:
    """The connection broke before it was carried out: looked for, not found, recorded once."""
    async with trail(tmp_path) as one:
        one.box.faults.add(Fault(path=EVENTS, method="POST", kind="reset", times=1))
        one.drop()
        assert (await one.flush()).sent == 1
        assert len(one.recorded()) == len(one.ledger.blobs) == 1
        assert one.box.count("GET", EVENTS) == 2  # since the attempt, and the newest whatever their stamps say


async def test_an_answer_to_the_event_that_makes_no_sense_is_looked_up(tmp_path: Path) -> None:
    """It was carried out, though the answer was no event."""
    async with trail(tmp_path) as one:
        one.box.faults.add(Fault(path=EVENTS, method="POST", kind="html", carry_out=True, times=1))
        one.drop()
        assert (await one.flush()).sent == 1
        assert len(one.recorded()) == 1
        assert one.document("sent/report.txt")["event"] == one.asset.events[-1].identity


@pytest.mark.parametrize(("state", "recorded"), [("uploaded", False), ("posting", False), ("posting", True)])
async def test_killed_between_blob_event_and_receipt(tmp_path: Path, state: str, recorded: bool) -> None:
    """What the journal has is taken up: no second blob, no second event."""
    async with trail(tmp_path) as one:
        draft = _draft(one.drop())
        blob = one.ledger.add_blob(b"quarterly\n")
        said = {"blob": blob.identity, "asset": one.asset.identity, receipts.UPLOADED_AT: "2026-08-01T12:00:00Z"}
        upload = one.index.uploads.begin(str(one.root), draft.name, draft, one.clock.now())
        one.index.uploads.advance(upload, state, one.clock.now(), receipt=said)
        if recorded:
            one.ledger.add_event(one.asset, {"report_txt": one.ledger.attach(blob, "report.txt")})
        assert (await one.flush()).sent == 1
        assert len(one.recorded()) == len(one.ledger.blobs) == 1
        assert one.posts(BLOBS) == 0
        assert one.posts(EVENTS) == (0 if recorded else 1)
        assert one.document("sent/report.txt")["event"] == one.asset.events[-1].identity


async def test_a_file_that_is_too_large_fails_alone(tmp_path: Path) -> None:
    """402 `filesize exceeds maximum` is about one file; the next one is sent."""
    async with trail(tmp_path) as one:
        one.ledger.max_blob_size = 1000
        one.drop("big.txt", b"x" * 2000)
        one.drop("small.txt")
        outcome = await one.flush()
        assert (outcome.failed, outcome.sent) == (1, 1)
        said = one.document("failed/big.txt")
        assert (said["code"], said["status"]) == ("too_large", 402)
        assert "filesize exceeds maximum" in said["error"]


async def test_a_proxy_that_finds_a_file_too_large_is_understood(tmp_path: Path) -> None:
    """413 without a word of the service."""
    async with trail(tmp_path) as one:
        one.box.faults.add(Fault(path=BLOBS, kind="status", status=413, body=""))
        one.drop()
        assert (await one.flush()).failed == 1
        said = one.document("failed/report.txt")
        assert (said["code"], said["status"]) == ("too_large", 413)


@pytest.mark.parametrize(("path", "blobs"), [(BLOBS, 0), (EVENTS, 1)])
@pytest.mark.parametrize("status", [402, 403, 404])
async def test_what_is_about_the_account_burns_no_files(tmp_path: Path, path: str, blobs: int, status: int) -> None:
    """Quota, permission, a wrong asset or base_url: the outbox pauses, files stay; later nothing is sent twice."""
    async with trail(tmp_path) as one:
        one.box.faults.add(Fault(path=path, method="POST", kind="status", status=status))
        for name in ("a.txt", "b.txt"):
            one.drop(name)
        outcome = await one.flush()
        assert str(status) in outcome.trouble
        assert (outcome.sent, outcome.failed, len(one.ledger.blobs)) == (0, 0, blobs)
        assert one.tree() == ["a.txt", "b.txt"]
        one.box.faults.clear()
        assert (await one.flush()).sent + (await one.flush()).sent == 2  # an event may be under way for a while
        assert len(one.ledger.blobs) == len(one.recorded()) == 2


async def test_an_event_that_was_refused_is_not_looked_for(tmp_path: Path) -> None:
    """403 or 404 did nothing: no later process waits until it would be listed."""
    async with trail(tmp_path) as one:
        one.box.faults.add(Fault(path=EVENTS, method="POST", kind="status", status=403, times=2))
        one.box.faults.add(Fault(path=EVENTS, method="POST", kind="status", status=404, times=1))
        one.drop()
        assert [(await one.flush()).sent for _ in range(4)] == [0, 0, 0, 1]
        assert (one.box.count("GET"), one.posts(BLOBS), len(one.recorded())) == (0, 1, 1)


async def test_an_event_is_looked_for_though_the_look_was_refused(tmp_path: Path) -> None:
    """What a 403 says of the look, or of another event, it does not say of the one whose answer was lost."""
    async with trail(tmp_path) as one:
        one.box.faults.add(Fault(path=EVENTS, method="POST", kind="lost", times=1))
        one.box.faults.add(Fault(path=EVENTS, method="GET", kind="status", status=403))
        one.drop()
        assert [(await one.flush()).sent for _ in range(2)] == [0, 0]
        one.box.faults.clear()
        assert (await one.flush()).sent == 1
        assert len(one.recorded()) == one.posts(EVENTS) == 1


async def test_an_asset_that_is_not_there_is_said(tmp_path: Path) -> None:
    """A typing error in `asset` is the config's: the file waits, and the message names the cause."""
    async with trail(tmp_path, asset=UUID) as one:
        one.drop()
        assert "the account has no such asset" in (await one.flush()).trouble
        assert one.tree() == ["report.txt"]


async def test_a_refused_event_keeps_the_address_of_its_blob(tmp_path: Path) -> None:
    """400 to the event: failed/, and the record says which blob is there."""
    async with trail(tmp_path) as one:
        one.box.faults.add(Fault(path=EVENTS, method="POST", kind="status", status=400))
        one.drop()
        assert (await one.flush()).failed == 1
        [blob] = one.ledger.blobs.values()
        said = one.document("failed/report.txt")
        assert (said["status"], said["blob"]) == (400, blob.identity)


@pytest.mark.parametrize("there", [True, False])
async def test_a_file_whose_event_was_refused_has_its_blob_still(tmp_path: Path, there: bool) -> None:
    """Tried again, it is not uploaded again; unless this account does not have that blob."""
    async with trail(tmp_path) as one:
        one.box.faults.add(Fault(path=EVENTS, method="POST", kind="status", status=400, times=2))
        one.drop()
        assert (await one.flush()).failed == 1
        assert retry(one.config, one.index.uploads, "report.txt", one.clock.now())
        assert (await one.flush()).failed == 1
        [blob] = one.ledger.blobs.values()
        assert one.document("failed/report.txt")["blob"] == blob.identity
        if not there:
            one.ledger.blobs.clear()
        assert retry(one.config, one.index.uploads, "report.txt", one.clock.now())
        assert (await one.flush()).sent == 1
        said = one.document("sent/report.txt")
        assert ((said["blob"], said["possible_orphan"]) == (blob.identity, False)) is there
        assert (one.posts(BLOBS), one.posts(EVENTS), len(one.recorded())) == (1 if there else 2, 3, 1)
        assert one.recorded()[0]["report_txt"]["arc_blob_identity"] == said["blob"]


async def test_where_nobody_can_say_whether_a_blob_is_there_the_outbox_waits(tmp_path: Path) -> None:
    """Before a second one is made."""
    async with trail(tmp_path) as one:
        one.box.faults.add(Fault(path=EVENTS, method="POST", kind="status", status=400, times=1))
        one.drop()
        assert (await one.flush()).failed == 1
        assert retry(one.config, one.index.uploads, "report.txt", one.clock.now())
        one.box.faults.add(Fault(path=f"{BLOBS}/*/info", kind="status", status=401))
        assert "401" in (await one.flush()).trouble
        one.box.faults.clear()
        assert (await one.flush()).sent == 1
        assert one.posts(BLOBS) == 1


async def test_nothing_is_ever_deleted(tmp_path: Path) -> None:
    """`propagate_deletes` makes no sense here: it is said, and no request is made."""
    async with trail(tmp_path) as one:
        one.drop()
        await one.flush()
        (one.root / "sent/report.txt").unlink()
        one.box.forget()
        assert "cannot be deleted" in (await one.flush(propagate_deletes=True)).trouble
        assert len(one.box.requests) == 0
        with pytest.raises(RejectedError):
            await _sender(one).delete({"blob": f"blobs/{UUID}"})


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("cat.jpeg", "cat_jpeg"),
        ("a.b\tc\x7f.tar.gz", "a_b_c__tar_gz"),
        ("arc_description", "file_arc_description"),
        ("Größe 1.pdf", "Größe 1_pdf"),
        ("x" * 2000, "x" * 1024),
    ],
)
def test_attributes_are_named_after_files(name: str, key: str) -> None:
    """No dots, no control characters, none of the service's own names, at most 1024 characters."""
    assert attribute_of(name) == key
    assert set(event_of(Draft("t", name, "text/plain", 1, Digest("0" * 64)), "blobs/1")["event_attributes"]) == {key}


def test_an_account_without_credentials_cannot_send() -> None:
    """Said by `check`, before any file is dropped; for both names of the service."""
    for name in ("datatrails", "rkvst"):
        push = SERVICES[name].push
        assert push is not None
        keyless = Account("public", name, "https://x.example", AccountKeys())
        [(key, text)] = push.faults(OutboxKeys(UUID), keyless)
        assert key == "account"
        assert "token_file" in text
        faulty = Account("ledger", name, "https://x.example", AccountKeys(token_file=keys.FAULTY))  # said already
        assert not list(push.faults(OutboxKeys(UUID), faulty))


@pytest.mark.parametrize(
    ("track", "mirrored"),
    [
        (TrackKeys("*"), True),
        (TrackKeys(UUID), True),
        (TrackKeys(UUID, public=True), True),
        (TrackKeys(UUID.replace("c", "d")), False),
        (TrackKeys(UUID, events=False), False),
        (TrackKeys("*", attributes=(("a", "b"),)), False),
    ],
)
def test_which_tracks_list_what_is_sent(track: TrackKeys, mirrored: bool) -> None:
    """Only those that list the asset's events, for certain."""
    push = SERVICES["datatrails"].push
    assert push is not None
    assert push.mirrored(OutboxKeys(UUID), track) is mirrored


# --- the mirror of the same asset ---------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def both_ways(tmp_path: Path) -> AsyncIterator[tuple[Ledgers, Asset, Path]]:
    """A mirror, and an outbox to an asset of it."""
    (tmp_path / "etc").mkdir()
    outbox = tmp_path / "outbox"
    outbox.mkdir()
    async with ledgers(tmp_path / "etc") as one:
        one.box.datatrails.now = datetime.now(UTC)
        asset = one.box.datatrails.add_asset()
        one.tracks = (
            f'[[track]]\naccount = "ledger"\nasset = "*"\n'
            f'[[outbox]]\naccount = "ledger"\nasset = "{asset.uuid}"\ndirectory = "{outbox}"\nsettle = "0s"\n'
        )
        yield one, asset, outbox


@pytest.mark.parametrize("track", ["*", "asset"])
async def test_the_mirror_shows_what_was_sent_without_downloading_it(tmp_path: Path, track: str) -> None:
    """Its bytes are in the store already, under the hash that /info states."""
    async with both_ways(tmp_path) as (one, asset, outbox):
        one.tracks = one.tracks.replace('"*"', f'"{asset.uuid if track == "asset" else "*"}"')
        (outbox / "cat.jpeg").write_bytes(b"cat")
        await one.sync()
        downloads = one.downloads()
        (outbox / "sent/cat.jpeg").write_bytes(b"dog")
        summary, _ = await one.sync()
        assert not summary.incomplete
        assert downloads + one.downloads() == one.box.count("GET", BYTES) == 0
        [shown] = one.shown()
        assert shown == f"{asset.uuid}/events/{asset.events[-1].uuid}/cat.jpeg"
        assert (one.files / shown).read_bytes() == b"cat"


async def test_what_was_sent_is_no_stray_before_the_mirror_lists_it(tmp_path: Path) -> None:
    """`verify` between the two passes finds nothing wrong."""
    async with both_ways(tmp_path) as (one, _asset, outbox):
        one.box.faults.add(Fault(path="*/assets/-/events", kind="status", status=403))
        (outbox / "cat.jpeg").write_bytes(b"cat")
        await one.sync()
        [stored] = one.stored()
        with one.index() as index:
            assert index.reports.holds(stored)
            assert not index.reports.holds("0" * 64)


@pytest.mark.parametrize("why", ["other asset", "too large", "no room"])
async def test_what_the_mirror_would_not_take_is_not_kept(tmp_path: Path, why: str) -> None:
    """No track lists it, `max_size` forbids it, or the disk is full: it is sent all the same."""
    async with both_ways(tmp_path) as (one, asset, outbox):
        if why == "other asset":
            one.tracks = one.tracks.replace('"*"', f'"{one.box.datatrails.add_asset().uuid}"')
        elif why == "too large":
            one.mirror_keys = "max_size = 2"
        else:
            one.min_free = '"1000000GiB"'
        (outbox / "cat.jpeg").write_bytes(b"cat")
        with structlog.testing.capture_logs() as logs:
            summary, _ = await one.sync()
        assert [sent.sent for sent in summary.sent.values()] == [1]
        assert one.stored() == set()
        assert len(asset.events) == 2
        assert [line["file"] for line in logs if line["event"] == "sent_not_kept"] == (
            ["sent/cat.jpeg"] if why == "no room" else []
        )


async def test_a_sent_file_that_was_changed_at_once_is_not_kept(tmp_path: Path) -> None:
    """Only bytes of the hash that was sent get into the store."""
    (tmp_path / "sent").mkdir()
    store = Store(tmp_path / "mirror")
    store.prepare()
    try:
        adopter = Adopter(store, 1000)
        document = {"sha256": "0" * 64, "size": 3}
        (tmp_path / "sent/a").write_bytes(b"changed")
        with structlog.testing.capture_logs() as logs:
            for name in ("sent/a", "sent/gone"):
                adopter.heard(Notice("sent", "ledger", str(tmp_path), name.rpartition("/")[2], name, document))
            await adopter.finish()
        assert sorted(line["file"] for line in logs) == ["sent/a", "sent/gone"]
        assert list(store.digests()) == list(store.tmp.iterdir()) == []
    finally:
        store.close()


def _draft(path: Path) -> Draft:
    with path.open("rb") as file:
        return Draft("ticket-1", path.name, "text/plain", path.stat().st_size, Digest(digest(file.fileno())))


def _sender(one: Trail) -> Any:
    push = SERVICES["datatrails"].push
    assert push is not None
    return push.sender(one.http, one.config.options)

"""Everything that was ever listed is in exactly one place, and the numbers say so, wherever they are shown."""

import json

from hypothesis import given
from hypothesis import strategies as st

from attachsync.completeness import PLACES, Completeness, counted, together
from attachsync.model import NEEDS_A_PERSON, State
from attachsync.sandbox import Fault
from attachsync.status import gathered
from tests.ledgers import Ledgers
from tests.test_prune import prune

TRACK = "ledger/assets/*"


def adds_up(one: Completeness) -> bool:
    """Whether all that was listed is accounted for."""
    return one.listed == sum(one.places().values())


def missing(one: Completeness) -> bool:
    """Whether something could not be mirrored: what makes a pass exit 1."""
    return bool(sum(one.refused.values()) or one.gone or one.failed)


@given(
    counts=st.dictionaries(st.tuples(st.sampled_from(State), st.booleans()), st.integers(0, 99)),
    tried=st.integers(0, 99),
)
def test_every_state_has_one_place(counts: dict[tuple[State, bool], int], tried: int) -> None:
    """Whatever is there, it adds up; and something is missing if and only if a pass exits 1 for it."""
    refused = counts.get((State.REFUSED, True), 0) + counts.get((State.QUARANTINED, True), 0)
    tried = min(tried, counts.get((State.WAITING, True), 0))
    rows = [(state, kept, count) for (state, kept), count in counts.items()]
    one = counted(rows, {"scan": refused}, tried, (0, 0))
    assert adds_up(one)
    assert one.listed == sum(counts.values())
    assert missing(one) == any(count and kept and state in NEEDS_A_PERSON for state, kept, count in rows)
    assert adds_up(together([one, one]))
    assert together([one, one]).listed == 2 * one.listed


async def test_a_pass_accounts_for_all_that_is_listed(ledger: Ledgers) -> None:
    """Stored, refused by each rule, not ready, gone, failed, removed: as many as were made so, and exit 1."""
    trail = ledger.box.datatrails
    ledger.mirror_keys, ledger.tracks = 'max_size = "1KiB"', ledger.tracks + 'scan = "clean"\nevents = false\n'
    blobs = {
        name: trail.add_blob(name.encode() * (400 if name == "huge" else 1), "text/plain", scanned=scanned)
        for name, scanned in {
            "one": "SCANNED_OK", "two": "SCANNED_OK", "huge": "SCANNED_OK", "bad": "SCANNED_BAD",
            "unscanned": "NOT_SCANNED", "gone": "SCANNED_OK", "wrong": "SCANNED_OK",
        }.items()
    }  # fmt: skip
    for name, blob in blobs.items():
        trail.add_asset({name: trail.attach(blob, file_name=f"{name}.txt")})
    trail.tamper(blobs["wrong"], b"tampered")
    ledger.box.faults.add(Fault(path=f"*{blobs['gone'].uuid}*", kind="status", status=404))
    summary, _ = await ledger.sync()
    one = summary.completeness[TRACK]
    assert {place: count for place, count in one.places().items() if count} == {
        "stored": 2, "not ready": 1, "refused": 2, "gone": 1, "failed": 1,
    }  # fmt: skip
    assert one.refused == {"max_size": 1, "scan": 1}
    assert (one.listed, one.pass_listed, one.pass_new, adds_up(one)) == (7, 7, 7, True)
    assert missing(one)
    assert summary.incomplete
    assert one.sentence() == "7 listed = 2 stored + 1 not ready + 2 refused (1 max_size, 1 scan) + 1 gone + 1 failed"

    (row,) = [row for row in ledger.rows(state="stored") if str(row["path"]).endswith("one.txt")]
    await prune(ledger, str(row["path"]))
    summary, _ = await ledger.sync()
    one = summary.completeness[TRACK]
    assert (one.stored, one.removed, one.listed, adds_up(one)) == (1, 1, 7, True)
    assert one.pass_new == 0
    with ledger.index() as index:
        (document,) = gathered(ledger.config(), index, None, ledger.clock.now()).document()["tracks"]  # type: ignore
    assert document["completeness"] == json.loads(json.dumps(one.document()))
    assert document["completeness"]["refused_by"] == {"max_size": 1, "scan": 1}


async def test_what_is_still_to_be_fetched_is_no_failure(ledger: Ledgers) -> None:
    """An account that breaks down in mid-pass leaves the rest to fetch; what the next pass fetches is stored."""
    trail = ledger.box.datatrails
    ledger.tracks += "events = false\n"
    for number in range(40):
        trail.add_asset({"a": trail.attach(trail.add_blob(b"%d" % number, "text/plain"), file_name="a.txt")})
    ledger.box.faults.add(Fault(path="*/attachments/*", kind="status", status=401, skip=9))
    summary, _ = await ledger.sync()
    one = summary.completeness[TRACK]
    assert (one.listed, adds_up(one), missing(one)) == (40, True, False)
    assert one.to_fetch > 0
    assert summary.incomplete  # for the account, not for any attachment
    ledger.box.faults.clear()
    summary, _ = await ledger.sync()
    assert {place: count for place, count in summary.completeness[TRACK].places().items() if count} == {"stored": 40}
    assert not summary.incomplete


def test_the_places_are_those_of_the_documentation() -> None:
    """They are told apart by name in `status`, in its JSON, and on the page for operators."""
    one = counted([], {}, 0, (0, 0)).document()
    assert {place.replace(" ", "_") for place in PLACES} <= set(one)

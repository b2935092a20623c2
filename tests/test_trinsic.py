"""Trinsic: base64 in JSON as it streams, lists, and whole passes over sessions and access keys in the sandbox."""

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import stat
import tracemalloc
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attachsync.answers import explain
from attachsync.clock import Clock
from attachsync.daemon import equipped, holding
from attachsync.discretion import without
from attachsync.errors import MalformedError, NotReadyError
from attachsync.explaining import of_listing
from attachsync.http import Http
from attachsync.index import Index
from attachsync.model import JSON, State
from attachsync.sandbox import Fault, Sandbox
from attachsync.sandbox.content import Grown
from attachsync.sandbox.rate import RateLimit
from attachsync.sandbox.sample_ids import JPEG, admit_ids, fill_ids, sessions_text
from attachsync.sandbox.sample_ids import PENDING as DEMO_PENDING
from attachsync.sandbox.trinsic_records import Session
from attachsync.services import SERVICES
from attachsync.sources.trinsic import finished, lists, schedule
from attachsync.sources.trinsic.content import is_json
from attachsync.sources.trinsic.decoder import ContentDecoder
from attachsync.status import gathered
from attachsync.views import Views
from tests.identities import CANARY, EXCHANGE, PNG, RESULTS, SESSION, TOKEN, Ids, fingerprint, sha256
from tests.ledgers import Recorder
from tests.namespaces import other_disk

OTHER = "9b2d7c3e-0a51-4a0e-8f1d-5d7a4f0c2b11"
DONE: JSON = {"id": SESSION, "done": True, "success": True}
GET = "/trinsic/api/v1/sessions/*/attachments/*/get"


# --- the decoder ----------------------------------------------------------------------------------------------------


def cut(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    places = sorted(place % (len(data) + 1) for place in cuts)
    for start, end in zip([0, *places], [*places, len(data)], strict=True):
        yield data[start:end]


def decoded(pieces: Iterator[bytes]) -> tuple[bytes, ContentDecoder]:
    decoder = ContentDecoder()
    found = b"".join([decoder.feed(piece) for piece in pieces])
    decoder.close()
    return found, decoder


def escaped(text: str, how: int) -> str:
    if how == 0:
        return text
    if how == 1:
        return text.replace("+", r"\u002B").replace("/", r"\/").replace("=", r"\u003d")
    return "".join(f"\\u{ord(char):04x}" for char in text)


extras = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
)


@given(
    data=st.binary(max_size=300),
    cuts=st.lists(st.integers(0, 10_000), max_size=12),
    how=st.integers(0, 2),
    type_first=st.booleans(),
    space=st.sampled_from(["", " ", "\r\n\t "]),
    extra=extras,
    bom=st.booleans(),
)
def test_any_chunking_gives_the_same_bytes(
    data: bytes, cuts: list[int], how: int, type_first: bool, space: str, extra: JSON, bom: bool
) -> None:
    """Whatever the order of the fields, the escapes, the white space and the unknown fields."""
    content = f'"content"{space}:{space}"{escaped(base64.b64encode(data).decode(), how)}"'
    kind, more = '"contentType": "image\\/jpeg"', f'"extra{how}": {json.dumps(extra)}'
    fields = [kind, content, more] if type_first else [more, content, kind]
    text = f"{{{space}{f'{space},{space}'.join(fields)}{space}}}{space}".encode()
    found, decoder = decoded(cut(b"\xef\xbb\xbf" * bom + text, cuts))
    assert (found, decoder.media_type, decoder.encrypted) == (data, "image/jpeg", False)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"contentType":"a/b"}',
        '{"content":"/9j/"',
        '{"content":"/9j/"}x',
        '{"content":"/9j/4"}',
        '{"content":"/9j/4A=="'[:-1] + '/9j/"}',
        '{"content":"/9=j"}',
        '{"content":"/9j*"}',
        '{"content":"/9j/4=="}',
        '{"content":"/9j/4A==\\n/9j/"}',
        '{"content":"="}',
        '{"content":"\\/9\\q"}',
        '{"content":"\\u00zz"}',
        '{"content":7}',
        '{"content":{}}',
        '{"content":"/9j/","content":"/9j/"}',
        '{"content":"/9j/",}',
        '{"content":"/9j/" "a":1}',
        '{"a":[}],"content":""}',
        '{"a":nul,"content":""}',
        '{"a":"\\x","content":""}',
        '{"a":"\n","content":""}',
        '{"a":' + "[" * 600 + "]" * 600 + ',"content":""}',
    ],
)
@pytest.mark.parametrize("step", [1, 1000])
def test_what_is_malformed_is_told(text: str, step: int) -> None:
    data = text.encode()
    with pytest.raises(MalformedError) as caught:
        decoded(data[start : start + step] for start in range(0, len(data), step))
    assert "/9j" not in str(caught.value)


@given(
    data=st.binary(max_size=300),
    cuts=st.lists(st.integers(0, 10_000), max_size=12),
    how=st.integers(0, 2),
    url_safe=st.booleans(),
    padding=st.integers(0, 2),
    width=st.integers(1, 80),
    between=st.sampled_from(["", "\n", "\r\n", " "]),
)
def test_base64_is_read_in_all_its_forms(
    data: bytes, cuts: list[int], how: int, url_safe: bool, padding: int, width: int, between: str
) -> None:
    """In lines, for URLs, without its padding or with a part of it."""
    text = (base64.urlsafe_b64encode if url_safe else base64.b64encode)(data).decode()
    bare = text.rstrip("=")
    text = bare + "=" * min(padding, len(text) - len(bare))
    lines = "".join(between + text[start : start + width] for start in range(0, len(text), width)) + between
    content = escaped(json.dumps(lines)[1:-1], how if between in ("", " ") else 0)
    found, _ = decoded(cut(f'{{"content":"{content}"}}'.encode(), cuts))
    assert found == data


@given(st.binary(max_size=60), st.lists(st.integers(0, 100), max_size=4))
def test_noise_only_ever_raises_malformed(noise: bytes, cuts: list[int]) -> None:
    for text in (noise, b'{"content":"' + noise, b'{"a":' + noise, b'{"content":"QUJD",' + noise):
        with contextlib.suppress(MalformedError):
            decoded(cut(text, cuts))


def test_encrypted_content_is_noticed() -> None:
    found, decoder = decoded(iter([b'{"content":"","contentType":"image/jpeg","encryptedContent":"b3Bh"}']))
    assert (found, decoder.encrypted) == (b"", True)
    assert not decoded(iter([b'{"content":null,"encryptedContent":null}']))[1].encrypted


def test_the_decoder_needs_no_memory_for_size() -> None:
    """64 MiB of content, and a field as long that nobody asked for."""
    content = Grown(64 << 20)
    decoder, digest = ContentDecoder(), hashlib.sha256()
    tracemalloc.start()
    try:
        rest = b""
        digest.update(decoder.feed(b'{"other":"'))
        for _ in range(64):
            digest.update(decoder.feed(b"x" * (1 << 20)))
        digest.update(decoder.feed(b'","content":"'))
        for chunk in content.chunks():
            data = rest + chunk
            whole = len(data) - len(data) % 3
            digest.update(decoder.feed(base64.b64encode(data[:whole]).replace(b"/", rb"\/")))
            rest = data[whole:]
        digest.update(decoder.feed(base64.b64encode(rest) + b'"}'))
        decoder.close()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert digest.hexdigest() == content.sha256
    assert peak < 12 << 20


@pytest.mark.parametrize(
    ("media_type", "head", "expected"),
    [
        ("application/json; charset=utf-8", b'{"content":"', True),
        ("text/plain", b' {"contentType":"a/b","content":"', True),
        (None, b'{"content":"', True),
        ("application/octet-stream", b'{"content":"', True),
        ("image/jpeg", b'{"content":"', False),
        ("application/json", b'{"report":1}', False),
        (None, JPEG, False),
        ("application/pdf", b"%PDF", False),
        ("application/json", b'{"content":null,"contentType":"image/jpeg"}', True),
        ("application/json", b'{"encryptedContent":"b3BhcXVl"}', True),
        ("application/json", b'{"traceId":"1","content":"/9j/', True),
        ("application/json", b'{"content":"!","contentType":"image/jpeg"}', True),
        ("application/json", b'{"report":{"content":"/9j/"}}', False),
        ("application/json", b'{"said":"\\"content\\":","content":5}', False),
        (None, b'[{"content":"/9j/"}]', False),
        ("application/json", b'{"content": "a report, in words"}', False),
        ("application/json", b'{"content": "in words"}', False),
        ("application/json", b'{"content": "reports"}', False),
        ("application/json", b'{"content": "_9j-", "contentType": "image/jpeg"}', True),
        ("application/json", b'{"content": "' + rb"/9j/4AAQ\r\n" * 6000, True),
        ("application/json", b'{"contentType": "image/jpeg", "content": "/9j*"}', True),
        ("application/json", b'{"content": "/9j*", "contentType": "image/jpeg"}', True),
    ],
)
def test_what_is_json_is_told_by_type_then_shape(media_type: str | None, head: bytes, expected: bool) -> None:
    assert is_json(media_type, head) is expected


# --- lists, schedule, discretion ------------------------------------------------------------------------------------


def test_a_session_list_says_which_lines_are_wrong_and_never_what_they_hold() -> None:
    text = (
        f"# comment\n\n{SESSION} rak_1 ada\r\nnot-a-uuid rak_2\n{OTHER}\n{OTHER} rak_3 a b\n{SESSION.upper()} rak_9\n"
    )
    found = lists.parsed(text, lists.session_line, lambda line: line.identity)
    assert [(line.session, line.results_key) for line in found.found.values()] == [(SESSION, "rak_9")]
    assert [fault.partition(":")[0] for fault in found.faults] == ["line 4", "line 5", "line 6"]
    assert "rak_" not in repr(found) + str(found.faults)


def test_a_key_list_takes_names_and_sessions_in_any_order() -> None:
    text = f"k1\nk2 front\nk3 session={SESSION}\nk4 session={SESSION} back\nk5 a b\nk6 session=x\nsession={SESSION}\n"
    found = lists.parsed(text, lists.key_line, lambda line: line.identity)
    assert [(line.key, line.name, line.session) for line in found.found.values()] == [
        ("k1", "", ""),
        ("k2", "front", ""),
        ("k3", "", SESSION),
        ("k4", "back", SESSION),
    ]
    assert len(found.faults) == 3
    assert "k1" not in repr(found).replace("k10", "")


def test_a_comment_may_follow_a_line() -> None:
    text = f"k1 # of Ada\nk2 front #2\nk#3 back#4\n  # k4\nk5 session={SESSION} #\n"
    found = lists.parsed(text, lists.key_line, lambda line: line.identity)
    assert [(line.key, line.name) for line in found.found.values()] == [
        ("k1", ""),
        ("k2", "front"),
        ("k#3", "back#4"),
        ("k5", ""),
    ]
    assert not found.faults


def test_the_schedule() -> None:
    assert [schedule.wait(n, spread=0.5) for n in range(9)] == [2, 5, 10, 30, 60, 120, 300, 300, 300]
    assert 270 <= schedule.wait(50) <= 330
    assert schedule.wait(0, age=100_000) == 3600


@given(st.text(min_size=4, max_size=20), st.text(max_size=30), st.text(max_size=30))
def test_no_secret_is_said(secret: str, before: str, after: str) -> None:
    if secret not in "(a key)" and "(a key)" not in secret and secret not in before + "(a key)" + after:
        assert secret not in without(before + secret + after, [secret])
    assert without("the key aak_secre", ["aak_secret"]) == "the key (a key)"


def test_errors_of_all_generations_are_read() -> None:
    """specs/trinsic.md 1.7, 4."""
    problem = {"title": "Bad Request", "status": 400, "detail": "Example detail"}
    assert explain(json.dumps(problem).encode()) == ("", "Example detail")
    problem["errors"] = {"PropertyName": ["Specific error"]}
    assert explain(json.dumps(problem).encode()) == ("", "Specific error")
    assert explain(b'[{"memberNames":["A"],"errorMessage":"is required"}]') == ("", "is required")
    assert explain(b'{"message":"Unauthorized"}') == ("", "Unauthorized")
    assert explain(b'"The attachment is not ready"') == ("", "The attachment is not ready")
    assert explain(b"503") == explain(b"not ready") == ("", "")


def test_a_finished_session_is_asked_about_once_a_day_while_there_is_something_to_lose() -> None:
    """Or whenever a person asks; a clock that was set back does not put it off."""
    settled = finished.Finished("", ("k",), 1000.0, "x")
    assert [settled.is_due(now, thorough=False) for now in (1001.0, 87_399.0, 87_400.0, 999.0)] == [
        False,
        False,
        True,
        True,
    ]
    assert settled.is_due(1001.0, thorough=True)
    assert not settled.over().is_due(1e9, thorough=True)
    assert finished.read(settled.mark()) == settled
    assert finished.read({"error_code": ""}) == finished.Finished()
    assert finished.read(None) is None


# --- whole passes -----------------------------------------------------------------------------------------------------


async def test_a_session_is_mirrored_whole_and_then_nothing_is_asked(ids: Ids) -> None:
    """Unknown types too; two of one type keep apart; the second pass makes no request at all."""
    trinsic = ids.box.trinsic
    session = trinsic.add_session(SESSION, f"rak_{CANARY}")
    trinsic.add_attachment(session, "document_front", JPEG)
    trinsic.add_attachment(session, "selfie", PNG, "image/png")
    trinsic.add_attachment(session, "selfie", PNG + b"2", "image/png")
    trinsic.add_attachment(session, "passport_chip_photo", b"\0chip", "image/x-chip")
    trinsic.add_attachment(session, "document_back", b"", "image/jpeg")
    ids.track_session(SESSION, f"rak_{CANARY}")
    summary, _ = await ids.sync()
    assert not summary.incomplete
    shown = ids.shown()
    assert len(shown) == 5
    assert {f"sessions/{SESSION}/{name}" for name in ("document_front.jpg", "selfie.png", "passport_chip_photo")} < set(
        shown
    )
    assert (ids.files / "sessions" / SESSION / "document_front.jpg").read_bytes() == JPEG
    assert ids.stored() == {sha256(data) for data in (JPEG, PNG, PNG + b"2", b"\0chip", b"")}
    assert stat.S_IMODE((ids.files / "sessions").stat().st_mode) == 0o700
    assert all(row["media_type"] for row in ids.rows())
    summary, _ = await ids.sync()
    assert not summary.incomplete
    assert len(ids.box.requests) == 0


@pytest.mark.parametrize("media", ["", "text/json", "text/plain", "application/octet-stream"])
@pytest.mark.parametrize("type_first", [False, True])
async def test_every_way_of_writing_the_json(ids: Ids, media: str, type_first: bool) -> None:
    trinsic = ids.box.trinsic
    trinsic.json_type, trinsic.escaped_base64, trinsic.type_first = media, True, type_first
    trinsic.extra = {"undocumented": [{"content": "no"}, "}"]}
    session = trinsic.add_session(SESSION, "rak_1")
    trinsic.add_attachment(session, "selfie", PNG, "image/png")
    ids.track_session(SESSION, "rak_1")
    summary, _ = await ids.sync()
    assert not summary.incomplete
    assert ids.stored() == {sha256(PNG)}


async def test_pending_is_no_failure_and_done_is_mirrored(ids: Ids) -> None:
    trinsic = ids.box.trinsic
    session = trinsic.add_session(SESSION, "rak_1", done=False)
    ids.track_session(SESSION, "rak_1")
    summary, _ = await ids.sync()
    assert not summary.incomplete
    assert ids.rows() == []
    assert await ids.plan() == []
    assert awaited(ids, "results")[1] is None
    assert awaited(ids, f"sessions/{SESSION.upper()}") == (f"1 session without results yet: {SESSION}", "not listed")
    held = trinsic.add_attachment(session, "selfie", JPEG, ready=False)
    trinsic.finish(session)
    for status in (503, 202, 200):
        trinsic.current.not_ready = status
        summary, _ = await ids.sync()
        assert not summary.incomplete
        assert list(ids.states().values()) == ["waiting"]
        assert ids.box.count("POST", GET) == 1
    held.ready = True
    summary, _ = await ids.sync()
    assert not summary.incomplete
    assert list(ids.states().values()) == ["stored"]
    assert awaited(ids, f"sessions/{SESSION}") == (None, None)


def awaited(ids: Ids, what: str) -> tuple[object, object]:
    """What `status` tells that is waited for, and the state that `explain` tells of an upstream identity."""
    with ids.index() as index:
        (track,) = gathered(ids.config(), index, None, ids.clock.now()).tracks
        found = of_listing(ids.config(), index, what) or {}
    return track["awaited"], found.get("state")


async def test_failed_sessions_are_settled_with_their_code(ids: Ids) -> None:
    """Whatever the code; the others are mirrored; a failed one is asked for, and told, once: nobody failed."""
    trinsic = ids.box.trinsic
    trinsic.add_session(SESSION, "rak_1", error_code="LivenessNotProven")
    good = trinsic.add_session(OTHER, "rak_2")
    trinsic.add_attachment(good, "selfie", JPEG)
    ids.track_list("sessions_file", f"{SESSION} rak_1", f"{OTHER} rak_2 ada")
    summary, recorder = await ids.sync()
    assert not summary.incomplete
    assert len(recorder.outcomes) == 2
    assert ids.states()[f"sessions/{SESSION}"] == "failed"
    assert "LivenessNotProven" in ids.reasons()
    assert ids.stored() == {sha256(JPEG)}
    assert await ids.plan() == []
    summary, recorder = await ids.sync()
    assert not summary.incomplete
    assert recorder.outcomes == []
    assert len(ids.box.requests) == 0
    with ids.index() as index:
        [name] = summary.tracks
        assert index.tracks.completeness([name])[name].removed == 0


@pytest.mark.parametrize("success", [{}, {"success": None}, {"success": False, "errorCode": "Other"}])
async def test_what_a_session_holds_is_mirrored_however_it_ended(ids: Ids, success: dict[str, JSON]) -> None:
    """Attachments in hand tell more than a word that is missing, or not."""
    held = ids.box.trinsic.add_attachment(ids.box.trinsic.add_session(SESSION, "rak_1"), "selfie", JPEG)
    listed = {"id": held.id, "type": "selfie", "contentType": "image/jpeg", "sizeBytes": len(JPEG)}
    answer = {"session": {"id": SESSION, "done": True, **success}, "identityData": {"attachments": [listed]}}
    ids.box.faults.add(Fault(path=RESULTS, kind="json", value=answer))
    ids.track_session(SESSION, "rak_1")
    summary, _ = await ids.sync()
    assert (summary.incomplete, ids.stored()) == (False, {sha256(JPEG)})


async def test_every_session_in_trouble_is_told(ids: Ids) -> None:
    """Of the list and of each session, with what may be wrong; the pending ones are still no failure."""
    trinsic = ids.box.trinsic
    third = str(uuid.uuid4())
    for session in (SESSION, OTHER):
        trinsic.add_session(session, f"rak_{CANARY}")
    ids.track_list("sessions_file", "oops", f"{SESSION} rak_other1", f"{third} rak_3", f"{OTHER} rak_other2")
    summary, _ = await ids.sync()
    assert summary.incomplete
    [error] = summary.errors.values()
    assert "sessions_file: line 1:" in error
    assert all(session in error for session in (SESSION, OTHER, third))
    assert f"is its results key, in {ids.root / 'sessions_file'}, the one of this session?" in error
    assert "rak_" not in error
    more = [str(uuid.uuid4()) for _ in range(5)]
    ids.secret("sessions_file", "".join(f"{session} rak_3\n" for session in more))
    summary, _ = await ids.sync()
    [error] = summary.errors.values()
    assert sum(session in error for session in more) == 5
    ids.secret("sessions_file", "".join(f"{session} rak_3\n" for session in (*more, SESSION, OTHER)))
    summary, _ = await ids.sync()
    [error] = summary.errors.values()
    assert error.endswith("(and trouble with 2 more sessions)")


async def test_a_401_is_a_keys_where_the_token_is_good(ids: Ids) -> None:
    """It holds up nothing else; where the token is refused it is the account's, and no more is asked."""
    trinsic = ids.box.trinsic
    trinsic.add_session(SESSION, "rak_1")
    trinsic.add_attachment(trinsic.add_session(OTHER, "rak_2"), "selfie", JPEG)
    keys = [trinsic.add_access_key(PNG + b"%d" % n, uses=1) for n in range(2)]
    ids.box.faults.add(Fault(path=f"*/{SESSION}/results", kind="status", status=401))
    ids.box.faults.add(Fault(path=EXCHANGE, kind="status", status=401, times=1))
    ids.account = "concurrency = 1"
    ids.track_list("sessions_file", f"{SESSION} rak_1", f"{OTHER} rak_2")
    ids.track_list("access_keys_file", *(key.key for key in keys))
    summary, recorder = await ids.sync()
    [error] = summary.errors.values()
    assert f"{SESSION}/results: HTTP 401" in error
    assert "is its results key" in error
    assert sorted(ids.states().values()) == ["failed", "stored", "stored"]
    trinsic.revoke_tokens()
    summary, recorder = await ids.sync()
    assert len(summary.errors) == 2
    assert "HTTP 401" in recorder.down[0]
    assert [outcome for outcome in recorder.outcomes if outcome.state is not State.STORED] == []


@pytest.mark.parametrize(
    "fault",
    [
        Fault(path=RESULTS, kind="status", status=202, times=1),
        Fault(path=RESULTS, kind="status", status=503, headers={"Retry-After": "0"}, times=5),
        Fault(path=RESULTS, kind="json", value={"session": DONE, "identityData": {}}, times=1),
        Fault(path=RESULTS, kind="json", value={"session": DONE, "identityData": {"attachments": None}}, times=1),
    ],
    ids=["202", "503", "no list", "null"],
)
async def test_results_that_are_accepted_but_not_there_are_pending(ids: Ids, fault: Fault) -> None:
    """202 and 503 are how earlier generations say so (specs/trinsic.md 2); a list that is required may come yet."""
    trinsic = ids.box.trinsic
    trinsic.add_attachment(trinsic.add_session(SESSION, "rak_1"), "selfie", JPEG)
    ids.box.faults.add(fault)
    ids.track_session(SESSION, "rak_1")
    summary, _ = await ids.sync()
    assert not summary.incomplete
    assert ids.shown() == []
    await ids.sync()
    assert ids.stored() == {sha256(JPEG)}


async def test_encrypted_ones_are_unsupported_and_never_stored(ids: Ids) -> None:
    trinsic = ids.box.trinsic
    session = trinsic.add_session(SESSION, "rak_1")
    trinsic.add_attachment(session, "document_front", PNG, "image/png", hpke=False)
    trinsic.add_attachment(session, "selfie", JPEG, hpke=True)
    untold = trinsic.add_attachment(session, "document_back", JPEG)
    sealed = trinsic.add_session(OTHER, "rak_2")
    sealed.hpke = True
    ids.box.faults.add(
        Fault(path=f"*/{untold.id}/get", kind="json", value={"content": "", "encryptedContent": {"enc": "b3Bh"}})
    )
    ids.track_list("sessions_file", f"{SESSION} rak_1", f"{OTHER} rak_2")
    summary, recorder = await ids.sync()
    assert summary.incomplete
    assert ids.stored() == {sha256(PNG)}
    assert sorted(ids.states().values()) == ["stored", "unsupported", "unsupported", "unsupported"]
    assert recorder.outcomes
    assert "HPKE" in ids.reasons()


@pytest.mark.parametrize(
    ("keep", "value", "state", "why"),
    [
        ('max_size = "10B"', None, "refused", "max_size"),
        ("", {"content": "", "encryptedContent": "b3Bh"}, "unsupported", "HPKE"),
        ("", {"content": "", "contentType": "image/png"}, "waiting", "not ready yet"),
    ],
)
async def test_a_key_whose_content_came_but_is_not_kept_is_spent(
    ids: Ids, keep: str, value: JSON, state: str, why: str
) -> None:
    """It is not exchanged again, in the next pass either, and why it is not kept stays; but no content spends none."""
    key = ids.box.trinsic.add_access_key(JPEG, uses=1)
    if value is not None:
        ids.box.faults.add(Fault(path=EXCHANGE, kind="json", value=value))
    ids.mirror_keys = keep
    ids.track_list("access_keys_file", key.key)
    for passes in (1, 2):
        await ids.sync()
        assert list(ids.states().values()) == [state]
        assert why in ids.reasons()
        assert ids.box.count("POST", EXCHANGE) == (1 if state == "waiting" else 2 - passes)
    if state == "refused":  # a person may know better
        ids.mirror_keys = ""
        await ids.sync()
        assert ids.box.count("POST", EXCHANGE) == 1


@pytest.mark.parametrize(
    ("told", "is_it"), [(SESSION.upper(), True), (None, True), (OTHER, False), (7, False), ("", False)]
)
async def test_results_of_another_session_are_none(ids: Ids, told: JSON, is_it: bool) -> None:
    """Ignoring case; an answer that does not say whose it is counts as that of who was asked for."""
    trinsic = ids.box.trinsic
    listed = trinsic.add_attachment(trinsic.add_session(SESSION, "rak_1"), "selfie", JPEG)
    data = {"attachments": [{"id": listed.id, "type": "selfie", "contentType": "image/jpeg"}]}
    value = {"session": {**DONE, "id": told}, "identityData": data}
    ids.box.faults.add(Fault(path=RESULTS, kind="json", value=value))
    ids.track_session(SESSION, "rak_1")
    summary, _ = await ids.sync()
    assert summary.incomplete != is_it
    assert ids.stored() == ({sha256(JPEG)} if is_it else set())
    assert is_it or "another session" in repr(summary.errors)


async def test_redacted_sessions_and_earlier_generations_are_told(ids: Ids) -> None:
    trinsic = ids.box.trinsic
    redacted = trinsic.add_session(SESSION, "rak_1")
    trinsic.add_attachment(redacted, "selfie", JPEG)
    trinsic.redact(redacted)
    ids.track_list("sessions_file", f"{SESSION} rak_1")
    summary, _ = await ids.sync()
    assert summary.incomplete
    assert ids.states() == {f"sessions/{SESSION}": "gone"}
    sealed = {"session": {"id": OTHER, "done": True, "success": True}, "hpkeEncryptedIdentityData": "b3Bh"}
    ids.box.faults.add(Fault(path=RESULTS, kind="json", value=sealed, times=1))
    ids.secret("sessions_file", f"{OTHER} rak_2\n")
    await ids.sync()
    assert ids.states()[f"sessions/{OTHER}"] == "unsupported"
    for generation in ("A", "B2"):
        trinsic.speak(generation)  # type: ignore[arg-type]
        session = trinsic.add_session(None, "rak_3")
        trinsic.add_attachment(session, "selfie", JPEG)
        ids.secret("sessions_file", f"{session.id} rak_3\n")
        await ids.sync()
        assert ids.states()[f"sessions/{session.id}"] == "unsupported"


async def test_sizes_are_checked_and_base64_too(ids: Ids) -> None:
    trinsic = ids.box.trinsic
    session = trinsic.add_session(SESSION, "rak_1")
    trinsic.add_attachment(session, "selfie", JPEG, stated_size=len(JPEG) + 1)
    trinsic.add_attachment(session, "document_front", JPEG, text="/9j/4AAQSkZJ*gAB")
    trinsic.add_attachment(session, "document_back", PNG, "image/png")
    ids.track_session(SESSION, "rak_1")
    summary, _ = await ids.sync()
    assert summary.incomplete
    assert sorted(ids.states().values()) == ["failed", "mismatch", "stored"]
    assert ids.stored() == {sha256(PNG)}
    assert ids.quarantined() == {sha256(JPEG)}


async def test_an_appended_line_is_picked_up_and_bad_ones_are_told(ids: Ids) -> None:
    """The list may be absent yet; bad lines are an error with their number, the others work."""
    trinsic = ids.box.trinsic
    ids.track_list("sessions_file").unlink()
    summary, _ = await ids.sync()
    assert not summary.incomplete
    for session, key in ((SESSION, f"rak_{CANARY}1"), (OTHER, f"rak_{CANARY}2")):
        trinsic.add_attachment(trinsic.add_session(session, key), "selfie", JPEG)
    listed = ids.secret("sessions_file", f"{SESSION} rak_{CANARY}1\n")
    await ids.sync()
    assert ids.shown() == [f"sessions/{SESSION}/selfie.jpg"]
    with listed.open("a") as file:
        file.write(f"oops {CANARY}\n{OTHER} rak_{CANARY}2\n")
    summary, _ = await ids.sync()
    assert len(ids.shown()) == 2
    assert ids.box.count("POST", RESULTS) == 1
    [error] = summary.errors.values()
    assert "sessions_file: line 2:" in error
    assert CANARY not in error
    listed.chmod(0o644)
    with pytest.raises(Exception, match="chmod 600"):
        ids.config()


async def test_a_list_that_becomes_readable_by_others_is_refused(ids: Ids) -> None:
    listed = ids.track_list("access_keys_file", "aak_1")
    config = ids.config()
    listed.chmod(0o640)
    async with holding(config, "sync", ids.clock) as index, equipped(config, index, ids.clock, Recorder()) as plant:
        turn = await plant.mirrors["ids"].turn(list(config.tracks))
    assert "chmod 600" in turn.errors["ids/access-keys/*"]
    assert ids.box.trinsic.exchanges == []


@pytest.mark.parametrize("api", ["exchange", "attachment"])
@pytest.mark.parametrize("shape", ["raw", "json"])
@pytest.mark.parametrize("content_type", [None, "application/octet-stream", ""])
async def test_access_keys_in_both_generations_and_all_shapes(
    ids: Ids, api: str, shape: str, content_type: str | None
) -> None:
    """202 and 503 use nothing up and are no failure; raw or JSON, with a type or without."""
    trinsic = ids.box.trinsic
    ids.account = f'attachments_api = "{api}"'
    endpoint = trinsic.exchange if api == "exchange" else trinsic.attachment
    endpoint.reply, endpoint.content_type = shape, content_type  # type: ignore[assignment]
    key = trinsic.add_access_key(JPEG, key=f"aak_{CANARY}", ready=False, uses=1)
    later = trinsic.add_access_key(PNG, "image/png", session=SESSION if api == "attachment" else "", uses=1)
    ids.track_list("access_keys_file", f"aak_{CANARY}", f"{later.key} selfie session={SESSION}")
    for status in (202, 503, 200):
        endpoint.not_ready = status
        summary, _ = await ids.sync()
        assert not summary.incomplete
        assert ids.states()[f"access-keys/{fingerprint(key.key)}"] == "waiting"
    key.attachment.ready = True
    summary, _ = await ids.sync()
    assert not summary.incomplete
    assert ids.shown() == [f"access-keys/{fingerprint(key.key)}.jpg", "access-keys/selfie.png"]
    assert trinsic.exchanged(later) == 1
    assert {one.path.rpartition("/")[2] for one in trinsic.exchanges} == {api}
    exchanges = len(trinsic.exchanges)
    await ids.sync()
    assert len(trinsic.exchanges) == exchanges


@pytest.mark.parametrize("api", ["exchange", "attachment"])
@pytest.mark.parametrize("shape", ["raw", "json"])
async def test_a_type_that_says_nothing_is_left_to_the_bytes(ids: Ids, api: str, shape: str) -> None:
    """Wherever it is said: of a file in a person's folder the extension is how it is opened."""
    trinsic = ids.box.trinsic
    ids.account = f'attachments_api = "{api}"'
    (trinsic.exchange if api == "exchange" else trinsic.attachment).reply = shape  # type: ignore[assignment]
    for data in (JPEG, b"who knows"):
        trinsic.add_access_key(data, "application/octet-stream", key=f"aak_{data[:3].hex()}")
    trinsic.add_attachment(trinsic.add_session(SESSION, "rak_1"), "selfie", JPEG, "binary/octet-stream")
    ids.track_list("access_keys_file", f"aak_{JPEG[:3].hex()} front", "aak_77686f unknown")
    ids.track_session(SESSION, "rak_1")
    summary, _ = await ids.sync()
    assert not summary.incomplete
    assert ids.shown() == ["access-keys/front.jpg", "access-keys/unknown", f"sessions/{SESSION}/selfie.jpg"]
    assert {row["media_type"] for row in ids.rows() if str(row["path"]).endswith(".jpg")} == {"image/jpeg"}


async def test_an_attachment_that_is_json_itself_is_not_taken_apart(ids: Ids) -> None:
    """Its key is good for one exchange: what came is kept as it came."""
    trinsic = ids.box.trinsic
    report = b'{"pages": [{"content": "/9j/"}], "content": "three pages, in words"}'
    trinsic.exchange.reply = "raw"
    key = trinsic.add_access_key(report, "application/json", uses=1)
    ids.track_list("access_keys_file", f"{key.key} report")
    summary, _ = await ids.sync()
    assert not summary.incomplete
    assert ids.stored() == {sha256(report)}
    assert ids.shown() == ["access-keys/report.json"]


async def test_dry_run_and_check_exchange_nothing(ids: Ids) -> None:
    trinsic = ids.box.trinsic
    key = trinsic.add_access_key(JPEG, key=f"aak_{CANARY}")
    listed = ids.track_list("access_keys_file")
    await ids.sync()
    ids.secret(listed.name, key.key + "\n")
    config = ids.config()
    assert await ids.plan() == [f"fetch files/ids/access-keys/{fingerprint(key.key)}"]
    pull = SERVICES["trinsic"].pull
    assert pull
    account = config.accounts["ids"]
    http = Http(account, SERVICES["trinsic"].credentials(account), Clock())
    try:
        source = pull.source(http)
        assert "1 access key in" in await source.probe(config.tracks[0])
        assert await source.probe(None) == "signed in"
    finally:
        await http.close()
    assert trinsic.exchanges == []


async def test_probe_looks_a_session_up_without_its_key(ids: Ids) -> None:
    ids.box.trinsic.add_session(SESSION, "rak_1", error_code="Canceled")
    ids.track_session(SESSION, "rak_1")
    config = ids.config()
    account = config.accounts["ids"]
    http = Http(account, SERVICES["trinsic"].credentials(account), Clock())
    try:
        pull = SERVICES["trinsic"].pull
        assert pull
        assert "Canceled" in await pull.source(http).probe(config.tracks[0])
    finally:
        await http.close()
    assert ids.box.count("POST") == 0


async def test_a_spent_key_settles_and_is_tried_once_a_pass(ids: Ids) -> None:
    trinsic = ids.box.trinsic
    trinsic.add_access_key(JPEG, key=f"aak_{CANARY}", uses=0)
    ids.track_list("access_keys_file", f"aak_{CANARY}")
    for n in (1, 2):
        summary, _ = await ids.sync()
        assert summary.incomplete
        assert list(ids.states().values()) == ["gone"]
        assert len(trinsic.exchanges) == n
    assert "used already" in ids.reasons()


async def test_a_line_that_is_being_written_is_left_to_its_writer(ids: Ids) -> None:
    """By the daemon, until its file is still; whoever says `sync` is done with it."""
    ids.box.trinsic.add_access_key(JPEG, key="aak_12")
    listed = ids.track_list("access_keys_file", "aak_1")
    listed.write_text("aak_0\naak_1")
    config = ids.config()

    async def taken(since: float, *, thorough: bool = False) -> list[str]:
        os.utime(listed, (ids.clock.now() - since,) * 2)
        account = config.accounts["ids"]
        http = Http(account, SERVICES["trinsic"].credentials(account), ids.clock)
        pull, index = SERVICES["trinsic"].pull, Index.peek(ids.root)
        assert pull
        found: list[str] = []
        try:
            cursors = index.attachments.cursors("", thorough=thorough)
            async for page in pull.source(http).pages(config.tracks[0], cursors):
                found += [item.key for item in page.items]
        except NotReadyError as error:
            found.append("more" if error.after and 0 < error.after <= 2 else str(error.after))
        finally:
            index.close()
            await http.close()
        return found

    first, second = (f"access-keys/{fingerprint(key)}" for key in ("aak_0", "aak_1"))
    assert await taken(0.0) == [first, "more"]
    assert await taken(0.0, thorough=True) == await taken(3.0) == await taken(-60.0) == [first, second]
    listed.write_text("aak_0\naak_1\n")
    assert await taken(0.0) == [first, second]


async def test_who_takes_a_line_out_asks_for_nothing_more(ids: Ids) -> None:
    """What is not mirrored is no failure then, whatever it was before; a line that comes back is taken up again."""
    trinsic = ids.box.trinsic
    sealed = trinsic.add_session(SESSION, "rak_1")
    trinsic.add_attachment(sealed, "selfie", JPEG, hpke=True)
    trinsic.add_attachment(sealed, "document_front", PNG, "image/png")
    keys, sessions = ids.track_list("access_keys_file", "aak_late"), ids.track_list("sessions_file", f"{SESSION} rak_1")
    summary, _ = await ids.sync()
    assert summary.incomplete
    assert sorted(ids.states().values()) == ["gone", "stored", "unsupported"]
    for file in (keys, sessions):
        ids.secret(file.name, "# nothing\n")
    for _ in range(2):
        summary, _ = await ids.sync()
        assert not summary.incomplete
        assert sorted(ids.states().values()) == ["stored", "waiting", "waiting"]
        assert ids.reasons().count("any more") == 2
    trinsic.add_access_key(JPEG, key="aak_late")
    ids.secret(keys.name, "aak_late\n")
    ids.secret(sessions.name, f"{SESSION} rak_1\n")
    await ids.sync()
    assert sorted(ids.states().values()) == ["stored", "stored", "unsupported"]


async def test_a_key_without_its_session_says_what_to_do(ids: Ids) -> None:
    trinsic = ids.box.trinsic
    ids.account = 'attachments_api = "attachment"'
    trinsic.add_access_key(JPEG, key="aak_1", session=SESSION)
    ids.track_list("access_keys_file", "aak_1")
    await ids.sync()
    assert "add session=UUID" in ids.reasons()
    ids.secret("access_keys_file", f"aak_1 session={SESSION}\n")
    summary, _ = await ids.sync()
    assert not summary.incomplete
    assert len(ids.shown()) == 1


async def test_a_one_use_key_is_exchanged_once_whatever_fails_after(ids: Ids, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes are durable, then showing them fails: the next pass needs no exchange."""
    trinsic = ids.box.trinsic
    key = trinsic.add_access_key(JPEG, uses=1)
    ids.track_list("access_keys_file", f"{key.key} front")

    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Views, "show_all", broken)
        summary, _ = await ids.sync()
    assert summary.incomplete
    assert ids.stored() == {sha256(JPEG)}
    summary, _ = await ids.sync()
    assert not summary.incomplete
    assert ids.shown() == ["access-keys/front.jpg"]
    assert trinsic.exchanged(key) == 1


async def test_a_one_use_key_is_not_exchanged_where_its_bytes_may_not_fit(ids: Ids) -> None:
    """Once it is, they are stored, be they so many that less than min_free is left."""
    content = Grown(16 << 20)
    key = ids.box.trinsic.add_access_key(content, uses=1)
    ids.box.trinsic.exchange.reply = "raw"
    with other_disk(ids.mirror):
        await ids.sync()
        found = os.statvfs(ids.mirror)
        free = found.f_bavail * found.f_frsize
        ids.track_list("access_keys_file", key.key)
        for short, exchanged in ((6 << 20, 0), (12 << 20, 1)):
            ids.min_free = f'"{free - short}B"'
            summary, _ = await ids.sync()
            assert ids.box.trinsic.exchanged(key) == exchanged
            assert summary.incomplete == (not exchanged)
            assert ("less than min_free" in ids.reasons()) == (not exchanged)
        assert ids.stored() == {content.sha256}


async def test_an_exchange_that_has_begun_is_not_broken_off(ids: Ids) -> None:
    """Stopped in its middle, it ends; the next pass finds what came."""
    key = ids.box.trinsic.add_access_key(JPEG, uses=1)
    ids.box.faults.add(Fault(path=EXCHANGE, kind="drip", size=10, every=0.1))
    ids.track_list("access_keys_file", key.key)
    config = ids.config()
    async with holding(config, "sync", ids.clock) as index, equipped(config, index, ids.clock, Recorder()) as plant:
        turn = asyncio.create_task(plant.mirrors["ids"].turn(list(config.tracks)))
        await ids.box.requests.until(1, "POST", EXCHANGE)
        turn.cancel()
        with pytest.raises(asyncio.CancelledError):
            await turn
    assert ids.stored() == {sha256(JPEG)}
    summary, _ = await ids.sync()
    assert not summary.incomplete
    assert ids.box.trinsic.exchanged(key) == 1


async def test_two_tracks_of_one_key_exchange_it_once(ids: Ids) -> None:
    """Nor does a track of another name, later."""
    key = ids.box.trinsic.add_access_key(JPEG, uses=1)
    ids.track_list("access_keys_file", key.key)
    ids.tracks += 'name = "a"\n[[track]]\naccount = "ids"\nname = "b"\naccess_keys_file = "access_keys_file"\n'
    summary, _ = await ids.sync()
    assert not summary.incomplete
    ids.tracks = ids.tracks.replace('"b"', '"c"')
    summary, _ = await ids.sync()
    assert not summary.incomplete
    assert ids.box.trinsic.exchanged(key) == 1


async def test_what_one_track_got_of_a_key_has_its_type_in_another(ids: Ids) -> None:
    """A name without an extension gets it in both."""
    key = ids.box.trinsic.add_access_key(JPEG, uses=1)
    ids.track_list("access_keys_file", f"{key.key} one")
    ids.secret("others", f"{key.key} two\n")
    ids.tracks += 'name = "a"\n[[track]]\naccount = "ids"\nname = "b"\naccess_keys_file = "others"\n'
    summary, _ = await ids.sync()
    assert not summary.incomplete
    assert set(ids.shown()) == {"access-keys/one.jpg", "access-keys/two.jpg"}
    assert {row["media_type"] for row in ids.rows()} == {"image/jpeg"}


@pytest.mark.parametrize("kind", ["truncate", "reset"])
async def test_a_key_is_never_exchanged_twice_within_a_pass(ids: Ids, kind: str) -> None:
    key = ids.box.trinsic.add_access_key(JPEG * 100, uses=1)
    ids.box.faults.add(Fault(path=EXCHANGE, kind=kind, after=500))  # type: ignore[arg-type]
    ids.track_list("access_keys_file", key.key)
    await ids.sync()
    assert ids.box.trinsic.exchanged(key) == 1
    assert ids.stored() == set()


@pytest.mark.parametrize("path", [GET, EXCHANGE])
async def test_a_part_is_never_taken_for_the_whole(ids: Ids, path: str) -> None:
    ids.box.trinsic.add_attachment(ids.box.trinsic.add_session(SESSION, "rak_1"), "selfie", JPEG)
    ids.box.trinsic.add_access_key(JPEG, key="aak_1")
    told = {"Content-Type": "image/jpeg", "Content-Range": f"bytes 0-{len(PNG) - 1}/999"}
    ids.box.faults.add(Fault(path=path, kind="status", status=206, headers=told, body=PNG))
    ids.track_session(SESSION, "rak_1")
    ids.track_list("access_keys_file", "aak_1")
    summary, _ = await ids.sync()
    assert summary.incomplete
    assert ids.stored() == {sha256(JPEG)}
    assert "HTTP 206" in ids.reasons()


async def test_a_broken_download_of_a_session_is_begun_anew(ids: Ids) -> None:
    session = ids.box.trinsic.add_session(SESSION, "rak_1")
    ids.box.trinsic.add_attachment(session, "selfie", Grown(1 << 20))
    ids.box.faults.add(Fault(path=GET, kind="reset", after=300_000, times=1))
    ids.box.faults.add(Fault(path=RESULTS, kind="status", status=503, times=1))
    ids.track_session(SESSION, "rak_1")
    summary, _ = await ids.sync()
    assert not summary.incomplete


@pytest.mark.parametrize("path", [RESULTS, GET, EXCHANGE])
@pytest.mark.parametrize("status", [302, 307])
async def test_redirects_are_refused(ids: Ids, path: str, status: int) -> None:
    """The body carries a key: it goes nowhere else, not even on the same host."""
    trinsic = ids.box.trinsic
    trinsic.add_attachment(trinsic.add_session(SESSION, "rak_1"), "selfie", JPEG)
    trinsic.add_access_key(JPEG, key="aak_1")
    location = f"http://127.0.0.1:{ids.port}/trinsic/elsewhere"
    ids.box.faults.add(Fault(path=path, kind="redirect", status=status, location=location))
    ids.track_session(SESSION, "rak_1")
    ids.track_list("access_keys_file", "aak_1")
    summary, _ = await ids.sync()
    assert summary.incomplete
    assert ids.box.count("*", "*/elsewhere") == 0


@pytest.mark.parametrize("status", [400, 401, 403, 418, 500, 503])
async def test_no_key_and_no_token_is_ever_said(ids: Ids, status: int) -> None:
    """Not in the index, outcomes or errors, though the service echoes what it was sent."""
    trinsic = ids.box.trinsic
    results, access = f"rak_{CANARY}", f"aak_{CANARY}" + "x" * 100
    trinsic.add_attachment(trinsic.add_session(SESSION, results), "selfie", JPEG)
    trinsic.add_session(OTHER, results)
    unspoken = [(f"*/{OTHER}/results", results, 400), (GET, results, 400), (EXCHANGE, access, status)]
    for path, key, code in unspoken:
        body = json.dumps({"title": "no", "status": 400, "detail": "z" * 120 + f" the key {key} of {TOKEN}"})
        ids.box.faults.add(Fault(path=path, kind="status", status=code, body=body))
    ids.track_list("sessions_file", f"{SESSION} {results}", f"{OTHER} {results}", f"bad {CANARY}")
    ids.track_list("access_keys_file", access)
    summary, recorder = await ids.sync()
    assert summary.incomplete
    said = repr(summary) + repr(recorder.outcomes) + repr(recorder.down) + ids.reasons() + repr(ids.config().tracks)
    assert "the key (a key)" in said
    state = b"".join(path.read_bytes() for path in (ids.mirror / ".attachsync").rglob("*") if path.is_file())
    for secret in (results, access[:20], TOKEN):
        assert secret not in said
        assert secret.encode() not in state
    assert fingerprint(access).encode() in state


async def test_a_large_attachment_streams(ids: Ids) -> None:
    """64 MiB through the whole pass."""
    content = Grown(64 << 20)
    session = ids.box.trinsic.add_session(SESSION, "rak_1")
    ids.box.trinsic.add_attachment(session, "document_scan_report", content, "application/pdf")
    ids.track_session(SESSION, "rak_1")
    summary, _ = await ids.sync()
    assert not summary.incomplete
    assert ids.stored() == {content.sha256}


async def test_being_limited_is_waited_out(ids: Ids) -> None:
    trinsic = ids.box.trinsic
    session = trinsic.add_session(SESSION, "rak_1")
    for n in range(6):
        trinsic.add_attachment(session, "selfie", b"%d" % n)
    trinsic.rate_limit = RateLimit(4, 1.0)
    ids.track_session(SESSION, "rak_1")
    summary, _ = await ids.sync()
    assert not summary.incomplete


async def test_the_sample_data_is_mirrored(ids: Ids) -> None:
    """Every session of the sandbox's own list; the one that is pending is no failure."""
    admit_ids(ids.box.trinsic)
    fill_ids(ids.box.trinsic)
    ids.track_list("sessions_file", *sessions_text().splitlines())
    summary, _ = await ids.sync()
    assert not summary.incomplete
    assert set(ids.states().values()) == {State.STORED}
    assert not any(DEMO_PENDING in key for key in ids.states())


async def test_the_daemon_polls_and_watches(ids: Ids) -> None:
    """A pending session is looked at again on the schedule, a changed list at once; not only every interval."""
    trinsic = ids.box.trinsic
    session = trinsic.add_session(SESSION, "rak_1", done=False)
    listed = ids.track_list("sessions_file", f"{SESSION} rak_1")
    config, recorder = ids.config(), Recorder()
    async with holding(config, "run", ids.clock) as index, equipped(config, index, ids.clock, recorder) as plant:
        keeper = asyncio.create_task(plant.mirrors["ids"].keep(lambda _: 3600.0))
        try:
            async with asyncio.timeout(20):
                await ids.box.requests.until(2, "POST", RESULTS)  # the first one was answered, then
                trinsic.add_attachment(session, "selfie", JPEG)
                trinsic.finish(session)
                while not recorder.outcomes:
                    await ids.clock.sleep(0.05)
                trinsic.add_attachment(trinsic.add_session(OTHER, "rak_2"), "selfie", PNG)
                with listed.open("a") as file:
                    file.write(f"{OTHER} rak_2\n")
                while len(recorder.outcomes) < 2:
                    await ids.clock.sleep(0.05)
        finally:
            keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeper
    assert len(ids.stored()) == 2


@pytest.mark.parametrize(
    ("keys", "fault"),
    [
        ("", "session: is required"),
        (f'session = "{SESSION}"', "results_key_file: is required with session"),
        ('sessions_file = "a"\naccess_keys_file = "b"', "exclude each other"),
        (f'session = "{SESSION}"\nresults_key_file = "token"\nsessions_file = "a"', "exclude each other"),
        ('sessions_file = "a"\nresults_key_file = "token"', "results_key_file: is for a session"),
        ('session = "x"\nresults_key_file = "token"', "must be a UUID"),
    ],
)
def test_wrong_keys_are_told(tmp_path: Path, keys: str, fault: str) -> None:
    one = Ids(Sandbox(), 1, tmp_path, tracks=f'[[track]]\naccount = "ids"\n{keys}\n')
    with pytest.raises(Exception, match=fault):
        one.config()


# --- what is gone upstream ------------------------------------------------------------------------------------------


async def mirrored(ids: Ids, on_gone: str) -> Session:
    """A session with two images, mirrored; the second of them is shown by a session that stays, too."""
    trinsic = ids.box.trinsic
    session, stays = trinsic.add_session(SESSION, "rak_1"), trinsic.add_session(OTHER, "rak_2")
    trinsic.add_attachment(session, "document_front", JPEG)
    for one in (session, stays):
        trinsic.add_attachment(one, "selfie", PNG, "image/png")
    ids.track_session(SESSION, "rak_1")
    ids.tracks += f'on_gone = "{on_gone}"\n'
    ids.track_session(OTHER, "rak_2")
    await ids.sync()
    assert len(ids.shown()) == 3
    return session


@pytest.mark.parametrize("status", [200, 400, 404, 410])
async def test_a_redacted_session_is_removed_where_that_is_wanted(ids: Ids, status: int) -> None:
    """Whatever the service answers then (specs/trinsic.md 1.6); bytes that another session shows stay."""
    session = await mirrored(ids, "delete")
    ids.box.trinsic.redacted_status = status
    ids.box.trinsic.redact(session)
    summary, recorder = await ids.sync()
    assert not summary.incomplete
    assert ids.shown() == [f"sessions/{OTHER}/selfie.png"]
    assert ids.stored() == {sha256(PNG)}
    assert {one.state for one in recorder.outcomes} == {State.GONE}
    assert {one.reason for one in recorder.outcomes} == {"removed upstream, and so here, as `on_gone` says"}
    assert (ids.mirror / "SHA256SUMS").read_text().count("\n") == len(ids.shown())
    with ids.index() as index:
        complete = index.tracks.completeness([f"ids/sessions/{one}" for one in (SESSION, OTHER)])
        assert [one.removed for one in complete.values()] == [2, 0]
    summary, _ = await ids.sync()
    assert not summary.incomplete
    assert not [one for one in ids.box.requests if SESSION in one.path]
    assert await ids.plan() == []


async def test_a_redacted_session_stays_by_default(ids: Ids) -> None:
    ids.box.trinsic.redact(await mirrored(ids, "keep"))
    summary, _ = await ids.sync()
    assert not summary.incomplete
    assert len(ids.shown()) == 3


@pytest.mark.parametrize("doubt", ["another key", "no session", "empty list", "other trouble", "forbidden"])
async def test_nothing_is_removed_while_there_is_doubt(ids: Ids, doubt: str) -> None:
    """A key that was replaced, another environment, a list that came back empty, an outage: none of them says so."""
    session = await mirrored(ids, "delete")
    trinsic = ids.box.trinsic
    match doubt:
        case "another key":
            trinsic.redacted_status = 404
            trinsic.redact(session)
            ids.secret(f"{SESSION}.key", "rak_other")
        case "no session":
            trinsic.remove_session(session)
        case "empty list":
            session.attachments.clear()
        case "other trouble":
            ids.box.faults.add(Fault(path=RESULTS, kind="status", status=500))
        case "forbidden":
            ids.box.faults.add(Fault(path=RESULTS, kind="status", status=403))
    summary, _ = await ids.sync()
    assert summary.incomplete == (doubt != "empty list")
    assert len(ids.shown()) == 3
    assert ids.stored() == {sha256(JPEG), sha256(PNG)}


@pytest.mark.parametrize("others", [0, 1])
async def test_refusals_of_all_of_many_sessions_remove_nothing(ids: Ids, others: int) -> None:
    """An address that moved looks like that; where another session is answered, it has not."""
    trinsic = ids.box.trinsic
    sessions = [str(uuid.uuid4()) for _ in range(11 + others)]
    for number, session in enumerate(sessions):
        trinsic.add_attachment(trinsic.add_session(session, "rak_1"), "selfie", b"%d" % number)
    ids.track_list("sessions_file", *(f"{session} rak_1" for session in sessions))
    ids.tracks += 'on_gone = "delete"\n'
    await ids.sync()
    for session in sessions[:11]:
        ids.box.faults.add(Fault(path=f"*/{session}/results", kind="status", status=404))
    summary, _ = await ids.sync()
    assert summary.incomplete == (not others)
    assert len(ids.stored()) == (1 if others else 11)
    if not others:
        assert f"{sessions[0]} and 10 more are refused" in next(iter(summary.errors.values()))
        ids.box.faults.clear()
        summary, _ = await ids.sync()
        assert (summary.incomplete, len(ids.stored())) == (False, 11)


async def test_an_attachment_that_left_its_list_is_removed_alone(ids: Ids) -> None:
    session = await mirrored(ids, "delete")
    ids.box.trinsic.remove_attachment(session, session.attachments[0])
    await ids.sync()
    assert ids.shown() == [f"sessions/{SESSION}/selfie.png", f"sessions/{OTHER}/selfie.png"]
    assert ids.stored() == {sha256(PNG)}


async def test_retain_is_kept_where_nothing_is_asked_any_more(ids: Ids) -> None:
    """Only then is the service asked for the time; while it gives none, all stays."""
    trinsic = ids.box.trinsic
    trinsic.add_attachment(trinsic.add_session(SESSION, "rak_1"), "selfie", JPEG)
    ids.track_session(SESSION, "rak_1")
    ids.tracks += 'retain = "90s"\n'
    await ids.sync()
    await ids.sync()
    assert len(ids.box.requests) == 0
    ids.clock.ahead = 100
    ids.box.faults.add(Fault(path="*", kind="reset"))
    await ids.sync()
    assert ids.stored() == {sha256(JPEG)}
    ids.box.faults.clear()
    summary, recorder = await ids.sync()
    assert (summary.incomplete, [one.state for one in recorder.outcomes]) == (False, [State.GONE])
    assert (ids.stored(), ids.shown()) == (set(), [])
    assert ids.box.count("POST", RESULTS) == 0

"""Whatever comes from outside: only the documented errors, no path that leads out, and no secret in what is said.

`FUZZ_EXAMPLES` says how many examples each test tries; `-m slow` tries many.
"""

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yarl import URL

from attachsync import answers, names, receipts, retry, units
from attachsync import config as configs
from attachsync.credentials import Secret
from attachsync.errors import AttachsyncError, AuthFailedError, ConfigError, MalformedError, RefusedError
from attachsync.index import Index
from attachsync.model import JSON, Attachment, Page
from attachsync.origins import Boundary, base_url_fault
from attachsync.sources.auco import records as auco
from attachsync.sources.auco import slots
from attachsync.sources.datatrails import records as ledger
from attachsync.sources.datatrails.credentials import token_of
from attachsync.sources.sunshine import cookies, messages, rules
from attachsync.sources.trinsic import lists
from attachsync.sources.trinsic import records as trinsic
from attachsync.sources.trinsic.decoder import ContentDecoder

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "60"))
fuzzed = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=EXAMPLES <= 60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
UUID = "c04d5ecf-02e0-4be2-a014-ffbbf0e8ddeb"
SECRET = "s3cr3t-Zq9xVw7LkJ2m"

# --- JSON that resembles what services say ------------------------------------------------------------------------

ODD = st.sampled_from(
    [
        *(
            "",
            ".",
            "..",
            "../..",
            "/etc/passwd",
            "a/b",
            "a\\b",
            "COM1.txt",
            "%2e%2e%2f",
            "events",
            "#1",
            "data:,x",
            "//host",
        ),
        *(
            "2020-01-01T00:00:00Z",
            "9999-12-31",
            "0001-01-01T00:00:00+23:59",
            "image/png",
            "cat.jpg",
            "SHA256",
            "blobs/x",
        ),
        *(
            "https://example.org/a%zz?x=1",
            "http://[::1",
            "https://u:p@h/a?sig=1",
            UUID,
            f"assets/{UUID}",
            f"blobs/{UUID}",
        ),
        *("\0", "\n", "\x1b[31m", "\u202e", "\ud800", "e" * 300, "é" * 200, "🐈.jpg"),
    ]
)
NUMBERS = st.sampled_from([0, -1, 1, 2**31, 2**63, -(2**70), 10**400, 0.5, 1e300])
LEAVES = st.one_of(ODD, NUMBERS, st.text(max_size=12), st.none(), st.booleans())
VALUES = st.one_of(LEAVES, LEAVES, st.lists(LEAVES, max_size=2), st.dictionaries(ODD, LEAVES, max_size=2)).map(
    lambda value: value
)  # one alternative, wherever it is one


def mostly(right: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Five of six times the right thing."""
    return st.integers(0, 5).flatmap(lambda number: VALUES if number == 5 else right)


def hole(*right: object) -> st.SearchStrategy[Any]:
    """What belongs here, mostly."""
    return mostly(st.sampled_from(right))


def shaped(**parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """An object of these parts, any of which may be absent."""
    return st.fixed_dictionaries({}, optional=parts)


def listed(row: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return mostly(st.lists(row, min_size=1, max_size=2))


BLOB = st.builds(
    dict,
    shaped(
        arc_attachment_identity=hole(f"blobs/{UUID}"),
        arc_file_name=VALUES,
        arc_display_name=VALUES,
        arc_blob_hash_value=hole("a" * 64),
        arc_blob_hash_alg=hole("SHA256"),
    ),
    arc_blob_identity=hole(f"blobs/{UUID}"),
)
BLOBS = st.one_of(BLOB, st.lists(BLOB, min_size=1, max_size=2))
ATTRIBUTES = mostly(st.dictionaries(st.one_of(st.just("a"), ODD), mostly(BLOBS), min_size=1, max_size=2))
ASSET = st.builds(dict, shaped(confirmation_status=VALUES), identity=hole(f"assets/{UUID}"), attributes=ATTRIBUTES)
EVENT = st.builds(
    dict,
    shaped(timestamp_accepted=VALUES, confirmation_status=VALUES, asset_attributes=ATTRIBUTES, from_=VALUES),
    identity=hole(f"assets/{UUID}/events/{UUID}"),
    event_attributes=ATTRIBUTES,
)
FILE = st.builds(dict, name=mostly(st.one_of(ODD, st.text(max_size=20))), url=hole("https://h/x?sig=1"))
PART = shaped(mediaUrl=hole("https://h/x"), mediaType=VALUES, mediaSize=VALUES, altText=VALUES, text=VALUES)
CONTENT = st.builds(dict, PART, type=hole("file", "carousel"), items=listed(PART), mediaUrl=hole("https://h/y"))
MESSAGE = st.builds(dict, shaped(received=VALUES, author=VALUES, source=VALUES), id=hole("m1", "m2"), content=CONTENT)
HELD = st.builds(dict, shaped(type=VALUES, contentType=VALUES, sizeBytes=VALUES, hpkeEncrypted=VALUES), id=hole("x"))


def assets(body: JSON) -> Iterator[Attachment]:
    for asset in ledger.listing(body, "assets").assets:
        yield from ledger.of_asset("t", asset)


def events(body: JSON) -> Iterator[Attachment]:
    for event in ledger.listing(body, "events").events:
        yield from ledger.of_event("t", event)


def signer(body: JSON) -> Iterator[Attachment]:
    files = auco.signer(body, "user").files
    known = slots.from_cursor(body)
    target = auco.Target("package", "p1")
    found = slots.numbered(files, known)
    slots.from_cursor(slots.cursor(slots.places(known, found)))
    for slot, file in found.items():
        made = auco.attachment("t", target, "user", slot, file, {})
        assert auco.subject(made.key) == ("user", slot)
        yield made


def chat(body: JSON) -> Iterator[Attachment]:
    messages.listing(body, "conversations")
    yield from messages.of_page("t", "c1", messages.listing(body, "messages").messages)


def session(body: JSON) -> Iterator[Attachment]:
    assert isinstance(body, dict)
    yield from trinsic.attachments("t", UUID, "", trinsic.results(body, UUID))


BODIES: dict[str, tuple[Callable[[JSON], Iterator[Attachment]], st.SearchStrategy[Any]]] = {
    "assets": (assets, st.builds(dict, assets=listed(ASSET))),
    "events": (events, st.builds(dict, events=listed(EVENT))),
    "signer": (signer, st.builds(dict, signer=st.builds(dict, files=listed(FILE), status=VALUES), finish=VALUES)),
    "chat": (
        chat,
        st.builds(
            dict,
            messages=listed(MESSAGE),
            conversations=listed(shaped(id=hole("c1"), lastUpdatedAt=VALUES)),
            meta=st.builds(dict, shaped(beforeCursor=VALUES, afterCursor=VALUES), hasMore=hole(True, False)),
        ),
    ),
    "session": (
        session,
        st.builds(
            dict,
            shaped(encryptedIdentityData=VALUES),
            session=st.builds(dict, shaped(errorCode=VALUES), done=st.just(True), success=hole(True, False)),
            identityData=st.one_of(st.builds(dict, attachments=listed(HELD)), VALUES),
        ),
    ),
}


@pytest.fixture(scope="module")
def index() -> Iterator[Index]:
    """In memory."""
    made = Index.peek(Path("/nonexistent"))
    yield made
    made.close()


def refusal(attempt: Callable[[], object], documented: type[Exception]) -> str:
    """What the documented error says; empty where there is none."""
    try:
        attempt()
    except documented as error:
        return str(error)
    return ""


def finite(number: float) -> None:
    assert 0 <= number < float("inf")


def replied(value: object) -> JSON:
    """As it comes off the wire."""
    return answers.Reply(200, {}, json.dumps(value).encode(), "a: GET /x").json()


@pytest.mark.parametrize("kind", BODIES)
def test_listings_of_all_services(kind: str, index: Index) -> None:
    """What is parsed can be kept, claimed under a path that stays inside, and read back."""
    parse, bodies = BODIES[kind]
    seen = 0

    @fuzzed
    @given(bodies)
    def check(value: object) -> None:
        nonlocal seen
        try:
            found = list(parse(replied(value)))
        except MalformedError:
            return
        seen += len(found)
        index.attachments.take("account", "t", Page(tuple(found)), 0.0)
        for item in found:
            inside(index.naming.claim("account", item, item.media_type))

    check()
    assert seen  # how many there are, changes with the constants that Hypothesis finds in our code


def test_nul_in_names_is_no_end_of_them() -> None:
    """SQLite's JSON stops at NUL: a name with one would be taken for another, or for a new one each time."""
    blob = {"arc_blob_identity": f"blobs/{UUID}"}
    row = {"identity": f"assets/{UUID}", "attributes": {"a": blob, "\0": blob, "a\0b": blob, "\0\ud800": blob}}
    page = Page(tuple(assets(replied({"assets": [row]}))))
    index = Index.peek(Path("/nonexistent"))
    assert index.attachments.take("account", "t", page, 0.0).new == 4
    assert index.attachments.take("account", "t", page, 0.0).new == 0
    index.close()


def inside(path: str) -> None:
    parts = path.split("/")
    assert parts[:2] == ["files", "account"]
    assert len(parts) >= 3
    for part in parts[2:]:
        assert part not in ("", ".", "..")
        assert not part.startswith(".")
        assert len(part.encode()) <= names.MAX_BYTES
        assert "\0" not in part
        assert part.isprintable() or not any(ord(sign) < 32 for sign in part)


@fuzzed
@given(
    st.one_of(
        st.builds(dict, shaped(hash=VALUES, size=VALUES, mime_type=VALUES, scanned_status=VALUES, identity=VALUES)),
        st.builds(dict, signers=listed(shaped(userId=VALUES)), finish=VALUES, status=VALUES),
        st.builds(dict, attachment=shaped(mediaUrl=VALUES, mediaType=VALUES), messages=listed(MESSAGE)),
        ASSET,
        EVENT,
        VALUES,
    ),
    st.sampled_from(["any", "clean", "not-bad"]),
)
def test_single_answers_of_all_services(value: Any, scan: str) -> None:
    try:
        body = replied(value)
    except MalformedError:
        return
    parsers: list[Callable[[], object]] = [
        lambda: ledger.facts(body, scan, "event"),
        lambda: ledger.asset(body),
        lambda: ledger.event(body),
        lambda: auco.process(body, auco.Target("code", "c1")),
        lambda: auco.ended(body),
        lambda: rules.uploaded(body),
        lambda: rules.messages(body),
        lambda: rules.marked(body, "ticket", "https://x/y"),
        lambda: rules.older(body, 1.0),
    ]
    for parse in parsers:
        assert len(refusal(parse, MalformedError)) < 500


@fuzzed
@given(
    st.one_of(
        st.binary(max_size=200),
        st.builds(dict, content=hole("aGVsbG8="), contentType=VALUES, more=VALUES).map(
            lambda one: json.dumps(one).encode()
        ),
    ),
    st.lists(st.integers(1, 50), max_size=5),
)
def test_content_in_json_however_it_is_cut(body: bytes, cuts: list[int]) -> None:
    decoder = ContentDecoder()
    try:
        for cut in [*cuts, len(body)]:
            decoder.feed(body[:cut])
            body = body[cut:]
        decoder.close()
    except MalformedError:
        pass


# --- headers, addresses, units ------------------------------------------------------------------------------------

HEADERS = st.one_of(
    st.text(max_size=40),
    st.sampled_from(["nan", "inf", "-1", "1e400", "0", "1e-400", "٣", "1_0"]),
    st.sampled_from(["9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 01 Jan 0001 00:00:00 -2359"]),
    st.datetimes().map(lambda moment: moment.strftime("%a, %d %b %Y %H:%M:%S GMT")),
)


@fuzzed
@given(st.integers(300, 999), HEADERS, st.one_of(st.binary(max_size=60), VALUES.map(lambda v: json.dumps(v).encode())))
def test_answers_that_are_errors(status: int, header: str, body: bytes) -> None:
    wait = retry.wait_asked(header, 1.7e9)
    assert wait is None or 0 <= wait < float("inf")
    answers.skew(header, 1.7e9)
    headers = {"Retry-After": header, "Archivist-Rate-Limit-Reset": header}
    error = answers.fault(status, headers, body, "a: GET /x", 1.7e9)
    assert isinstance(error, AttachsyncError)
    assert str(error).isprintable()
    assert len(str(error)) < 500


HOSTS = ["127.0.0.1", "[::1]", "[::ffff:10.0.0.1]", "localhost.", "10.0.0.1", "169.254.169.254", "[fe80::1%25x]"]
LINKS = st.one_of(
    st.text(max_size=40),
    ODD,
    st.builds(
        "{}://{}{}{}/{}".format,
        st.sampled_from(["http", "https", "HTTP", "ftp", "file", "javascript"]),
        st.sampled_from(["", "user@", "user:pw@"]),
        st.sampled_from([*HOSTS, "a.b"]),
        st.sampled_from(["", ":80", ":99999", ":-1"]),
        st.text(max_size=5),
    ),
)


@fuzzed
@given(LINKS)
def test_links(text: str) -> None:
    """Refused, or https to a host that is not private, without a user."""
    fault = base_url_fault(text)
    assert fault is None or isinstance(fault, str)
    boundary = Boundary("https://api.example.org")
    try:
        url = URL("https://api.example.org/x").join(URL(text, encoded=True)).with_fragment(None)
        boundary.check(url)
    except (ValueError, RefusedError):
        return
    assert url.scheme == "https"
    assert not url.user
    assert url.host not in {host.strip("[]") for host in HOSTS}
    assert boundary.may_carry_credentials(url) == (url.host == "api.example.org" and url.port == 443)


@fuzzed
@given(
    st.one_of(st.text(max_size=60), st.builds("n={}; Max-Age={}; Domain={}; Path={}".format, ODD, HEADERS, ODD, ODD))
)
def test_cookies(header: str) -> None:
    found = cookies.cookie(header, URL("https://api.example.org/x"), 1.7e9)
    line = cookies.netscape([found] if found else [])
    assert len(line.splitlines()) <= 3


@fuzzed
@given(
    st.one_of(
        LEAVES,
        st.sampled_from(["9" * 400 + "GiB", "9" * 400 + "d"]),
        st.from_regex(r"\d{1,400}(\.\d{1,5})? ?[A-Za-z]{0,3}", fullmatch=True),
    )
)
def test_durations_sizes_and_times(value: Any) -> None:
    for parse in (units.seconds, units.size):
        assert refusal(lambda parse=parse: finite(parse(value)), ValueError)[:7] in ("", "must be")
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            units.moment(value)


@fuzzed
@given(st.one_of(st.text(max_size=300), ODD, st.binary(max_size=40).map(os.fsdecode)), st.booleans())
def test_names(name: str, folder: bool) -> None:
    inside(f"files/account/{names.safe(name, folder=folder)}")
    inside(f"files/account/{names.extended(names.safe(name), name)}")
    inside(f"files/account/{names.distinct(names.safe(name), name, 3)}")


# --- files that people write --------------------------------------------------------------------------------------

LINES = st.sampled_from(
    [
        *(SECRET, f"{SECRET} a b c", f"{UUID} {SECRET} {SECRET} x", f"session={SECRET}", f"x session={SECRET}"),
        *(f"Bearer {SECRET} {SECRET}", f"{SECRET} {SECRET}", f"# {SECRET}", f"{UUID} {SECRET}"),
    ]
)


@fuzzed
@given(st.lists(st.one_of(st.text(max_size=30), LINES), max_size=5))
def test_lists_and_tokens_never_repeat_a_secret(lines: list[str]) -> None:
    text = "\n".join(lines)
    said: list[str] = []
    for parse, identity in ((lists.session_line, str), (lists.key_line, str)):
        found = lists.parsed(text, parse, identity)  # type: ignore[type-var]
        said += found.faults
    try:
        token_of(text)
    except AuthFailedError as error:
        said.append(str(error))
    assert not [line for line in said if SECRET in line]


@fuzzed
@given(st.one_of(st.binary(max_size=100), st.binary(max_size=50).map(lambda more: SECRET.encode() + more)))
def test_secret_files(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "secret"
        path.touch(mode=0o600)
        path.write_bytes(content)
        secret = Secret(path)
        said = refusal(lambda: asyncio.run(secret.value()), AuthFailedError)
        assert SECRET not in said + repr(secret)


EXAMPLE = (Path(__file__).parents[1] / "config.example.toml").read_text()
KNOWN = sorted(set(re.findall(r"^#? ?([a-z_]+) *=", EXAMPLE, re.M)))
WORDS = [
    "datatrails",
    "sunshine",
    "trinsic",
    "auco",
    "5m",
    "1GiB",
    "*",
    UUID,
    "../x",
    "~",
    "\0",
    "9" * 400 + "GiB",
    "0440",
]
PLAIN: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from([*WORDS, True, 0, 2**63 - 1, float("nan"), float("inf"), 0.5]),
    st.dates(),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
)
TOML = st.one_of(PLAIN, st.lists(PLAIN, max_size=2), st.dictionaries(st.sampled_from(KNOWN), PLAIN, max_size=2))
TABLE = st.dictionaries(st.sampled_from(KNOWN), TOML, max_size=8)
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "mirror": st.one_of(TABLE, TOML),
        "daemon": st.one_of(TABLE, TOML),
        "accounts": st.one_of(
            st.dictionaries(st.sampled_from(["ledger", "Ledger", "a b", ""]), TABLE, max_size=3), TOML
        ),
        "track": st.one_of(st.lists(TABLE, max_size=3), TOML),
        "outbox": st.one_of(st.lists(TABLE, max_size=2), TOML),
        "hook": st.one_of(st.lists(TABLE, max_size=2), TOML),
        "other": TOML,
    },
)


@fuzzed
@given(st.one_of(DOCUMENTS.map(lambda tables: tomli_w.dumps(tables).encode()), st.binary(max_size=80)))
def test_configs(text: bytes) -> None:
    """Sound, or refused with lines for people."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.toml"
        path.write_bytes(text)
        said = refusal(lambda: configs.load(path, {}), ConfigError)
        assert all(line.startswith(str(path)) for line in said.split("\n") if said), said


@fuzzed
@given(st.one_of(st.binary(max_size=100), DOCUMENTS.map(lambda tables: tomli_w.dumps(tables).encode())))
def test_receipts(text: bytes) -> None:
    found = receipts.parsed(text)
    if found is not None:
        assert receipts.is_receipt(found, "support") in (True, False)


# --- for long -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_all_of_it_for_long() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "--timeout=3000", __file__]
    done = subprocess.run(command, check=False, env={**os.environ, "FUZZ_EXAMPLES": "1500"})
    assert done.returncode == 0

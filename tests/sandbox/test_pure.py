"""Properties of the sandbox's pure parts."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attachsync.sandbox.content import BLOCK, Grown, Held
from attachsync.sandbox.ids import Ids
from attachsync.sandbox.ledger_match import holds
from attachsync.sandbox.ledger_query import ASSET_PARAMETERS, ASSET_SCOPES, Condition, read_query
from attachsync.sandbox.paging import next_token, resume, slice_of
from attachsync.sandbox.shapes import crumbs, cut
from attachsync.sandbox.stamps import parse_time, precise, whole

TEXT = st.text(st.characters(exclude_categories=["C"], exclude_characters="."), min_size=1, max_size=20)


@given(count=st.integers(0, 50), size=st.integers(0, 12), limit=st.integers(1, 12), key=TEXT, value=TEXT)
def test_pages_cover_a_list_once(count: int, size: int, limit: int, key: str, value: str) -> None:
    """Following tokens shows each row once, whatever the sizes, and keeps the filters."""
    rows = list(range(count))
    pairs = [(f"attributes.{key}", value)]
    page = resume([*pairs, ("page_size", str(size))])
    seen: list[int] = []
    while True:
        shown, token, _ = slice_of(rows, page, limit)
        seen += shown
        if not token:
            break
        page = resume([("page_token", token)])
        assert page.pairs == pairs
    assert seen == rows


@pytest.mark.parametrize("token", ["x", "e30=", "bnVsbA==", "eyJvcmlnX3JlcSI6MSwic2tpcCI6Mn0="])
def test_bad_tokens(token: str) -> None:
    """Anything that is not one of our tokens is refused."""
    with pytest.raises(ValueError, match="page_token"):
        resume([("page_token", token)])


def test_token_of_the_documents() -> None:
    """The documented example is what we write."""
    assert next_token(resume([("page_size", "2")]), 2) == "eyJvcmlnX3JlcSI6eyJwYWdlX3NpemUiOjJ9LCJza2lwIjoyfQ=="


@given(key=TEXT, value=TEXT)
def test_filter_finds_its_own_attribute(key: str, value: str) -> None:
    """An attribute is found by its value and by presence, and not by absence."""
    attributes = {key: value}
    query = read_query([(f"attributes.{key}", value)], ASSET_PARAMETERS, ASSET_SCOPES)
    if value != "*":
        assert query.groups == ((Condition("attributes", (key,), value),),)
        assert holds(attributes, query.groups[0][0])
    if not key.endswith("!"):
        assert holds(attributes, Condition("attributes", (key,), "*"))
        assert not holds(attributes, Condition("attributes", (f"{key}!",), "*"))
        assert holds({}, Condition("attributes", (f"{key}!",), "*"))


@given(value=st.text("ab '\\", max_size=12))
def test_quoted_filter(value: str) -> None:
    """A quoted value of `filters` survives with its blanks, quotes and backslashes."""
    quoted = value.replace("\\", "\\\\").replace("'", "\\'")
    text = f"attributes.a='{quoted}' OR attributes.b=c"
    query = read_query([("filters", text)], ASSET_PARAMETERS, ASSET_SCOPES)
    assert [one.value for one in query.groups[0]] == [value, "c"]


@given(st.integers(0, 4_000_000_000_000).map(lambda number: datetime.fromtimestamp(number / 1000, UTC)))
def test_times(time: datetime) -> None:
    """Times survive writing, to the second or the millisecond."""
    assert parse_time(whole(time)) == time.replace(microsecond=0)
    assert parse_time(precise(time)) == time.replace(microsecond=time.microsecond // 1000 * 1000)


def test_times_of_the_documents() -> None:
    """The shapes that were really seen."""
    assert parse_time("2022-07-06T14:56:24.681514884Z").microsecond == 681514
    assert parse_time("2024-09-04T23:45:20+01:00") == parse_time("2024-09-04T22:45:20Z")
    for wrong in ("2024-09-04", "2024-09-04 23:45:20Z", "2024-13-04T23:45:20Z", "2024-09-04T23:45:20 01:00"):
        with pytest.raises(ValueError, match=r"RFC 3339|month"):
            parse_time(wrong)


@given(size=st.integers(0, 3 * BLOCK), take=st.integers(0, 3 * BLOCK), seed=st.text(max_size=3))
def test_grown_content(size: int, take: int, seed: str) -> None:
    """Grown bytes have their size and hash, and are the same each time; cutting takes the first of them."""
    grown = Grown(size, seed)
    data = b"".join(grown.chunks())
    assert (len(data), Held(data).sha256) == (size, grown.sha256)
    assert b"".join(cut(grown.chunks(), take)) == data[:take]


@given(data=st.binary(max_size=50), size=st.integers(1, 9))
def test_crumbs(data: bytes, size: int) -> None:
    """Crumbs are the same bytes in pieces of the wanted size."""
    pieces = list(crumbs(iter([data]), size))
    assert b"".join(pieces) == data
    assert all(len(piece) == size for piece in pieces[:-1])


def test_ids() -> None:
    """Identities differ from each other, and are the same for the same seed."""
    one, two = Ids("a"), Ids("a")
    made = [one.uuid("x"), one.uuid("x"), one.hex24("m", 1000), one.ulid("u", 1738599094655)]
    assert made == [two.uuid("x"), two.uuid("x"), two.hex24("m", 1000), two.ulid("u", 1738599094655)]
    assert len(set(made)) == 4
    # The first ten characters of the ULID in specs/sunshine.md 3.5 are this time.
    assert made[3].startswith("01JK699PBZ")

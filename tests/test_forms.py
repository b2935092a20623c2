"""Which attribute values name an attachment: every form of specs/datatrails.md 1.9, and what only looks like one."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attachsync.sources.datatrails.forms import references, stated
from attachsync.sources.datatrails.paging import OVERLAP, since, watermark

ONE = "08838336-c357-460d-902a-3aba9528dd22"
TWO = "1754b920-cf20-4d7e-9d36-9ed7d479744d"
HASH = "ea3cf22c42e507ea96a3b20bbaaf9ff84e3b00b0cc112992e2b544f90f340d9d"
FORM_A = {
    "arc_attribute_type": "arc_attachment",
    "arc_blob_identity": f"blobs/{ONE}",
    "arc_blob_hash_alg": "SHA256",
    "arc_blob_hash_value": HASH,
    "arc_file_name": "cat.jpeg",
    "arc_display_name": "a cat",
}
FORM_D = {
    "arc_display_name": "Picture from yesterday",
    "arc_attachment_identity": f"blobs/{TWO}",
    "arc_hash_alg": "sha256",
    "arc_hash_value": HASH.upper(),
}


def found(attributes: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    return [(ref.blob, ref.name, ref.sha256) for ref in references({"attributes": attributes})]


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"anything": FORM_A}, [(ONE, "cat.jpeg", HASH)]),
        ({"arc_primary_image": FORM_A}, [(ONE, "cat.jpeg", HASH)]),
        ({"document_document": FORM_A, "document_hash_value": HASH}, [(ONE, "cat.jpeg", HASH)]),
        ({"arc_attachments": [FORM_D]}, [(TWO, "Picture from yesterday", HASH)]),
        ({"arc_attachments": [FORM_A, FORM_D]}, [(ONE, "cat.jpeg", HASH), (TWO, "Picture from yesterday", HASH)]),
        ({"arc_append_attachments": [FORM_D]}, [(TWO, "Picture from yesterday", HASH)]),
        ({"some key": [FORM_A]}, [(ONE, "cat.jpeg", HASH)]),
        ({"conformance_report": f"blobs/{ONE}"}, [(ONE, "conformance_report", None)]),
        ({"sbom_identity": f"blobs/{ONE}", "sbom": FORM_A}, [(ONE, "cat.jpeg", HASH)]),
        ({"arc_primary_image_identity": f"attachments/{ONE}"}, [(ONE, "arc_primary_image_identity", None)]),
        ({"x": {**FORM_A, "arc_file_name": "  "}}, [(ONE, "a cat", HASH)]),
        ({"x": {"arc_blob_identity": f"blobs/{ONE.upper()}"}}, [(ONE, "x", None)]),
    ],
)
def test_forms_that_name_an_attachment(attributes: dict[str, Any], expected: list[tuple[str, str, str | None]]) -> None:
    """A to H, in the spellings that were ever written."""
    assert found(attributes) == expected


@pytest.mark.parametrize(
    "attributes",
    [
        {"arc_blob_hash_value": HASH, "arc_blob_hash_alg": "SHA256", "arc_file_name": "external.mov"},
        {
            "arc_access_policy_always_read": [
                {"tessera": "SmL4PHAHXLdpkj/c6Xs+2br+hxqLmhcRk75Hkj5DyEQ=", "wallet": "0x5e"}
            ]
        },
        {"document_version_authors": [{"display_name": "George", "email": "g@example.tv"}]},
        {"note": "see blobs/ for more", "weight": "3.6kg"},
        {"x": {"arc_blob_identity": "blobs/not-a-uuid"}},
        {"x": {"arc_blob_identity": f"assets/{ONE}"}},
        {"x": 7, "y": None, "z": [[FORM_A]]},
    ],
)
def test_look_alikes(attributes: dict[str, Any]) -> None:
    """Form X has no bytes here; the others are no attachments at all."""
    assert found(attributes) == []


def test_form_e_is_named_twice_and_counts_once() -> None:
    """The event's own entry, and the merged list that results from it."""
    maps = {
        "event_attributes": {"arc_append_attachments": [FORM_D]},
        "asset_attributes": {"arc_attachments": [FORM_A, FORM_D]},
    }
    assert sorted(ref.blob for ref in references(maps)) == sorted([ONE, TWO])


def test_two_attributes_that_name_one_blob_are_two_attachments() -> None:
    """Each attribute is one, whatever it shares with another."""
    assert len(found({"a": FORM_A, "b": FORM_A})) == 2


def test_order_of_keys_does_not_matter() -> None:
    """The service shuffles them at each answer."""
    attributes = {"b": FORM_A, "a": FORM_D, "c": [FORM_D, FORM_A]}
    assert references({"m": attributes}) == references({"m": dict(reversed(attributes.items()))})


@pytest.mark.parametrize("algorithm", ["SHA256", "sha256", "SHA-256", "sha_256", None, ""])
@pytest.mark.parametrize(
    "value", [HASH, HASH.upper(), f"sha256:{HASH}", "6jzyLELlB+qWo7ILuq+f+E47ALDMESmS4rVE+Q80DZ0="]
)
def test_any_spelling_of_a_hash(algorithm: str | None, value: str) -> None:
    """One digest."""
    assert stated(algorithm, value) == HASH


def test_a_hash_that_is_none_matches_nothing_and_other_algorithms_are_not_checked() -> None:
    """Text that claims to be a SHA-256 is kept as it is."""
    assert stated("SHA256", "not-a-hash") == "not-a-hash"
    assert stated("SHA512", "ab" * 64) is None
    assert stated("SHA256", "") is None
    assert stated("SHA256", None) is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)
    )
)
def test_any_json_is_survived(value: Any) -> None:
    """Attributes are free text of strangers."""
    references({"attributes": value, "other": {"k": value}})


def test_the_cursor_keeps_an_overlap_and_never_passes_the_present() -> None:
    """specs/datatrails.md 1.4: late visibility, whole seconds, strictly greater; and stamps may lie."""
    now = 1_000_000.0
    cursor = watermark(None, 999_000.0, now, pages=1)
    assert since(cursor, now) == "1970-01-12T13:20:00Z"
    assert since(watermark(cursor, 999_000.0, now + OVERLAP), now) == "1970-01-12T13:20:00Z"
    swept = watermark(cursor, 999_000.0, now + OVERLAP + 1)  # a walk with the overlap was made so much later
    assert since(swept, now) == "1970-01-12T13:29:58Z"
    assert since(watermark(swept, 999_500.0, now + 5), now) == "1970-01-12T13:28:20Z"
    ahead = {"accepted": now, "reached": now, "swept": False, "whole": now, "pages": 1}
    assert watermark(cursor, 2_000_000.0, now) == ahead
    assert watermark(cursor, 998_000.0, now + 5) == cursor
    assert since(watermark(None, None, now), now) is None


@pytest.mark.parametrize(("pages", "rest"), [(1, 3600), (4, 3600), (100, 86_400), (10_000, 8_640_000)])
def test_a_feed_is_listed_whole_again_at_a_hundred_pages_a_day(pages: int, rest: int) -> None:
    """A policy may show more of old events at any time: all are listed again, more rarely the more there are."""
    now = 1_000_000.0
    cursor = watermark(watermark(None, 999_000.0, now, pages=pages), 999_500.0, now + 60)
    assert since(cursor, now + rest - 1) is not None
    assert since(cursor, now + rest) is None
    assert since(cursor, now - 1) is None  # our clock was wrong then, or is now
    assert since({"accepted": 999_000.0, "reached": now, "swept": True}, now) is None  # as earlier versions kept it


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", f"a[{ONE}]", f"a[{ONE} 2]", f"a%5B{ONE}]", f"a%255B{ONE}]", f"a%25255B{ONE} 2]"]),
            st.booleans(),
        )
    )
)
def test_no_two_places_are_one(made: list[tuple[str, bool]]) -> None:
    """Whatever attributes are called: an attachment is known by its place."""
    attributes = {name: [FORM_A, FORM_A] if is_list else FORM_D for name, is_list in made}
    places = [reference.place for reference in references({"attributes": attributes})]
    assert len(set(places)) == len(places)
    assert len(places) == sum(2 if isinstance(value, list) else 1 for value in attributes.values())


@pytest.mark.parametrize("name", ["100%2F a", "report[1]_pdf", "a%5B1]", "[", f"a[{ONE}] b", f"a[{ONE.upper()}]"])
def test_the_place_of_an_ordinary_name_is_that_name(name: str) -> None:
    """It has been an attachment's identity."""
    (one,) = references({"attributes": {name: FORM_A}})
    assert one.place == f"attributes/{name}"

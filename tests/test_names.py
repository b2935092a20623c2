"""Names from outside never leave their folder, and are the same every time."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attachsync import names

ANY_NAME = st.text(st.characters(), max_size=400)


@pytest.mark.parametrize(
    ("raw", "safe"),
    [
        ("../../x", "____x"),
        ("a..b.pdf", "a_b.pdf"),
        ("///", "unnamed"),
        ("a/b", "a_b"),
        ("", "unnamed"),
        (".", "unnamed"),
        ("..", "unnamed"),
        (".profile", "_profile"),
        ("con.txt", "con_.txt"),
        ("LPT1", "LPT1_"),
        ("aux.tar.gz", "aux_.tar.gz"),
        ("events", "events_"),
        ("tab\tand\0nul", "tab_and_nul"),
        ("cedula de ciudadanía.pdf", "cedula de ciudadanía.pdf"),
        ("e\u0301.txt", "é.txt"),
        ("photo.jpg\u202egnp.exe", "photo.jpg_gnp.exe"),
        ("lone \ud800 surrogate", "lone _ surrogate"),
        ("trailing. ", "trailing"),
    ],
)
def test_known_names(raw: str, safe: str) -> None:
    """What becomes of names that mean trouble."""
    assert names.safe(raw) == safe


@given(ANY_NAME)
def test_a_safe_name_is_one_harmless_component(raw: str) -> None:
    """No separator, no control character, no leading dot, at most 255 bytes, NFC, encodable."""
    name = names.safe(raw)
    assert name
    assert name not in (".", "..")
    assert not name.startswith(".")
    assert "/" not in name
    assert "\\" not in name
    assert "\0" not in name
    assert len(name.encode()) <= names.MAX_BYTES
    assert not any(unicodedata.category(char) in ("Cc", "Cs") for char in name)
    assert unicodedata.is_normalized("NFC", name)


@given(ANY_NAME)
def test_making_a_name_safe_twice_changes_nothing(raw: str) -> None:
    """safe is idempotent."""
    assert names.safe(names.safe(raw)) == names.safe(raw)


@given(ANY_NAME, st.text(max_size=50), st.integers(0, 6))
def test_distinct_names_stay_safe_and_keep_their_extension(raw: str, identity: str, attempt: int) -> None:
    """The digits go before the extension, and the whole stays within 255 bytes."""
    name = names.safe(raw)
    other = names.distinct(name, identity, attempt)
    assert len(other.encode()) <= names.MAX_BYTES
    assert other != name
    assert names.split(other)[1] == names.split(name)[1]
    assert names.distinct(name, identity, attempt) == other


def test_three_hundred_accents_fit() -> None:
    """An over-long name is cut between characters, its extension kept."""
    name = names.safe("é" * 300 + ".pdf")
    assert name.endswith("é.pdf")
    assert len(name.encode()) <= 255


@pytest.mark.parametrize(
    ("name", "media_type", "extended"),
    [
        ("report", "application/pdf", "report.pdf"),
        ("photo", "image/jpeg", "photo.jpg"),
        ("photo", "image/jpg; q=1", "photo.jpg"),
        ("photo.jpeg", "image/png", "photo.jpeg"),
        ("data", "application/octet-stream", "data"),
        ("data", "no/such-type", "data"),
        ("data", None, "data"),
        ("x" * 255, "application/pdf", "x" * 251 + ".pdf"),
    ],
)
def test_a_name_without_extension_gets_its_media_types(name: str, media_type: str | None, extended: str) -> None:
    """Contract 3."""
    assert names.extended(name, media_type) == extended


def test_fold_joins_what_a_case_blind_system_would() -> None:
    """Names that differ in case or normal form only are one."""
    assert names.fold("Straße/É.PDF") == names.fold("STRASSE/e\u0301.pdf")

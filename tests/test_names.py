"""Names from outside never leave their folder, and are the same every time."""

import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attachsync import extensions, names

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
        ("CON", "CON_"),
        ("Nul.PDF", "Nul_.PDF"),
        ("com1.tar", "com1_.tar"),
        ("events", "events_"),
        ("Events", "Events_"),
        ("events.pdf", "events.pdf"),
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


@given(st.from_regex(r"[0-9A-Za-z_-]{1,70}(\.[0-9A-Za-z]{1,20})?", fullmatch=True), st.booleans())
def test_an_ordinary_name_is_kept(raw: str, folder: bool) -> None:
    """What no system treats specially is what it was."""
    special = {"con", "prn", "aux", "nul", "events"} | {f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10)}
    if raw.partition(".")[0].lower() not in special and raw.strip("_"):
        assert names.safe(raw, folder=folder) == raw


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
        ("feed", "application/xml", "feed.xml"),
        ("code", "text/javascript", "code.js"),
        ("film", "video/x-matroska", "film.mkv"),
        ("clip", "video/3gpp", "clip.3gp"),
        ("voice", "audio/wav", "voice.wav"),
        ("voice", "audio/AMR", "voice.amr"),
        ("voice", "audio/m4a", "voice.m4a"),
        ("values", "application/yaml", "values.yaml"),
        ("all", "application/x-zip-compressed", "all.zip"),
        ("ticket", "application/vnd.apple.pkpass", "ticket.pkpass"),
        ("photo", "image/pjpeg", "photo.jpg"),
        ("letter", "text/rtf", "letter.rtf"),
        ("letter", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "letter.docx"),
        ("picture", "image/ief", "picture.ief"),
    ],
)
def test_a_name_without_extension_gets_its_media_types(name: str, media_type: str | None, extended: str) -> None:
    """Contract 3."""
    assert names.extended(name, media_type) == extended


def test_fold_joins_what_a_case_blind_system_would() -> None:
    """Names that differ in case or normal form only are one."""
    assert names.fold("Straße/É.PDF") == names.fold("STRASSE/e\u0301.pdf")


def test_a_systems_own_table_changes_no_name(tmp_path: Path) -> None:
    """One mirror has the same names on every machine; what a file is sent as, its people may say there."""
    table = tmp_path / "mime.types"
    table.write_text("application/xml weird\nimage/ief weird\nno/such-type weird\nimage/x-own own\n")
    script = f"""import mimetypes; mimetypes.init([{str(table)!r}])
from attachsync import names
print(*(names.extended("x", kind) for kind in ("application/xml", "image/ief", "no/such-type")))
print(names.media_type_of("x.own"), names.media_type_of("x.xml"))"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["x.xml", "x.ief", "x", "image/x-own", "application/xml"]


def test_the_type_of_an_extension_gives_that_extension() -> None:
    """When an index is made anew, a name is all that tells the media type it has its extension from."""
    for kind in extensions._EXTENSIONS:
        name = names.extended("x", kind)
        assert names.extended("x", names.media_type_of(name)) == name

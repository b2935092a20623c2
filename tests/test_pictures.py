"""Pictures and pages: they are whole, name nothing of the machine that made them, and can be made anew."""

import importlib.util
import os
import re
import socket
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from attachsync.completeness import PLACES

ROOT = Path(__file__).parents[1]
PICTURES = ("sync", "done", "status")


def looked_at(picture: Path) -> str:
    """A picture's text; it is sound, and loads nothing from elsewhere."""
    text = picture.read_text(encoding="utf-8")
    tree = ElementTree.fromstring(text)
    assert tree.tag == "{http://www.w3.org/2000/svg}svg"
    assert "@font-face" not in text
    assert not [value for one in tree.iter() for name, value in one.items() if name.endswith("href")]
    shown = " ".join("".join(one.itertext()) for one in tree.iter("{http://www.w3.org/2000/svg}text"))
    for ours in (str(ROOT), socket.gethostname(), os.path.expanduser("~"), "/tmp/"):
        assert not re.search(rf"(^|[\s/(]){re.escape(ours)}($|[\s/):])", shown), ours
    return shown.replace("\xa0", " ")


@pytest.mark.parametrize("picture", [*PICTURES, "attachment"])
def test_a_picture(picture: str) -> None:
    looked_at(ROOT / "docs" / f"{picture}.svg")


@pytest.mark.slow
def test_pictures_can_be_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From real passes; they show what they are for."""
    spec = importlib.util.spec_from_file_location("pictures", ROOT / "docs" / "pictures.py")
    assert spec is not None
    assert spec.loader is not None
    pictures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pictures)
    monkeypatch.setattr(sys, "argv", ["pictures", str(tmp_path)])
    pictures.main()
    shown = {name: looked_at(tmp_path / f"{name}.svg") for name in PICTURES}
    assert "inspection" in shown["sync"]
    assert all(re.search(r"\d+ listed = \d+ stored \+ 1 not ready \+ 1 refused", shown[name]) for name in PICTURES[1:])
    assert "things need a person" in shown["status"]


def test_every_link_of_a_page_leads_somewhere() -> None:
    """Within the project."""
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
            assert "://" in target or (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_readme_has_two_commands() -> None:
    """To see it work, and to test it: whoever reads only the fenced blocks finds these."""
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    assert blocks[0].rstrip().endswith("attachsync demo")
    assert blocks[1].rstrip().endswith("-m pytest")


def test_the_page_names_every_place() -> None:
    """Where what was listed can be, as the numbers call it."""
    page = (ROOT / "docs" / "watching.md").read_text()
    assert [place for place in PLACES if f"\n| {place} |" not in page] == []

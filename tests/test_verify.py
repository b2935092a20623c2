"""`verify`: what it finds, and what `--repair` mends (contract 4)."""

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.commands import LIGHT, Stage, stage


@pytest.fixture
def mirrored(tmp_path: Path) -> Iterator[Stage]:
    """A stage with one track mirrored."""
    with stage(tmp_path) as made:
        assert made.run("sync", LIGHT).code == 0
        yield made


def stored(scene: Stage, row: Any) -> Path:
    return scene.mirror / "sha256" / row["sha256"][:2] / row["sha256"]


def flip(path: Path) -> None:
    """Change one byte behind everybody's back."""
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)


def _flip_stored(scene: Stage, row: Any) -> str:
    flip(stored(scene, row))
    return "corrupt"


def _remove_stored(scene: Stage, row: Any) -> str:
    stored(scene, row).unlink()
    return "missing"


def _edit_entry(scene: Stage, row: Any) -> str:
    entry = scene.mirror / row["path"]
    entry.unlink()
    entry.write_text("edited")
    return "edited"


def _remove_entry(scene: Stage, row: Any) -> str:
    (scene.mirror / row["path"]).unlink()
    return "absent"


Damage = Callable[[Stage, Any], str]


def kinds(scene: Stage, *options: str) -> list[str]:
    """The kinds of what `verify` finds; its exit code agrees, and its last line counts them."""
    done = scene.run("verify", "--json", *options)
    *findings, summary = done.documents
    assert (summary["event"], summary["findings"]) == ("verified", len(findings))
    assert done.code == (1 if findings else 0)
    assert all(set(row) == {"event", "kind", "path", "digest", "detail"} for row in findings)
    return sorted(row["kind"] for row in findings)


def test_a_sound_mirror(mirrored: Stage) -> None:
    """Nothing is found; what was re-hashed is counted; exit 0; `--repair` has nothing to do."""
    assert kinds(mirrored) == []
    done = mirrored.run("verify")
    assert re.fullmatch(r"\d+ files?, [\d.]+ \w+ re-hashed: all as it should be\n", done.out)
    assert mirrored.run("verify", "--repair").code == 0


@pytest.mark.parametrize("damage", [_flip_stored, _remove_stored, _edit_entry, _remove_entry])
def test_damage_is_found_and_repaired(mirrored: Stage, damage: Damage) -> None:
    """Found, exit 1; mended by --repair from the service, exit 0; sound afterwards, with the same bytes as before."""
    row = mirrored.first("--track", LIGHT)
    before = (mirrored.mirror / row["path"]).read_bytes()
    kind = damage(mirrored, row)
    assert kind in kinds(mirrored)
    done = mirrored.run("verify")
    assert done.code == 1
    assert re.search(rf"^{kind} +(files|sha256)/", done.out, re.MULTILINE)
    repaired = mirrored.run("verify", "--repair")
    assert repaired.code == 0, repaired.out
    assert repaired.out.endswith("all as it should be\n")
    assert (mirrored.mirror / row["path"]).read_bytes() == before
    assert stored(mirrored, row).read_bytes() == before
    assert kinds(mirrored) == []


def test_corrupt_bytes_are_kept_in_quarantine(mirrored: Stage) -> None:
    """A repair does not destroy what may be evidence."""
    row = mirrored.first("--track", LIGHT)
    flip(stored(mirrored, row))
    wrong = stored(mirrored, row).read_bytes()
    assert mirrored.run("verify", "--repair").code == 0
    assert (mirrored.mirror / ".attachsync" / "quarantine" / row["sha256"]).read_bytes() == wrong


def test_repair_in_json_prints_nothing_but_json(mirrored: Stage) -> None:
    """One object a line: findings, what was fetched again, and both summaries."""
    row = mirrored.first("--track", LIGHT)
    stored(mirrored, row).unlink()
    events = [row["event"] for row in mirrored.run("verify", "--repair", "--json").documents]
    assert events.count("verified") == 2
    assert "attachment" in events


def test_strays_and_misnamed_files(mirrored: Stage) -> None:
    """Unknown files, and names that are no digests, are found; no repair removes them: they may be somebody's."""
    objects = mirrored.mirror / "sha256"
    (objects / "note.txt").write_text("mine")
    (objects / "ab").mkdir(exist_ok=True)
    row = mirrored.first("--track", LIGHT)
    os.link(stored(mirrored, row), objects / "ab" / row["sha256"])
    unknown = hashlib.sha256(b"unknown").hexdigest()
    (objects / unknown[:2]).mkdir(exist_ok=True)
    (objects / unknown[:2] / unknown).write_bytes(b"unknown")
    (mirrored.mirror / "files" / "mine.txt").write_text("mine")
    assert kinds(mirrored) == ["misnamed", "misnamed", "stray", "stray"]
    assert mirrored.run("verify", "--repair").code == 1
    assert (mirrored.mirror / "files" / "mine.txt").exists()
    assert kinds(mirrored) == ["misnamed", "misnamed", "stray", "stray"]


def test_a_dangling_symlink(tmp_path: Path) -> None:
    """With link = "symlink" the entry stays when its object goes: both are found, and mended."""
    with stage(tmp_path) as scene:
        scene.edit("[mirror]", '[mirror]\nlink = "symlink"')
        scene.run("sync", LIGHT)
        assert kinds(scene) == []
        row = scene.first("--track", LIGHT)
        assert (scene.mirror / row["path"]).is_symlink()
        stored(scene, row).unlink()
        assert {"missing", "absent"} <= set(kinds(scene))
        assert scene.run("verify", "--repair").code == 0
        assert kinds(scene) == []


def test_a_sample_hashes_less_but_still_looks_at_everything(mirrored: Stage) -> None:
    """A small sample reads fewer bytes; what is missing is found all the same."""
    (*_, whole) = mirrored.run("verify", "--json").documents
    (*_, part) = mirrored.run("verify", "--json", "--sample", "0.0001%").documents
    assert part["bytes"] < whole["bytes"]
    assert part["objects"] == whole["objects"]
    stored(mirrored, mirrored.first("--track", LIGHT)).unlink()
    assert "missing" in kinds(mirrored, "--sample", "0.0001%")
    for wrong in ("0%", "101%", "some", "nan", ""):
        done = mirrored.run("verify", "--sample", wrong)
        assert (done.code, "is not a percentage such as 5%" in done.err) == (2, True)


def test_before_anything_was_mirrored(tmp_path: Path) -> None:
    """Exit 1, in words."""
    with stage(tmp_path) as scene:
        done = scene.run("verify")
        assert (done.code, done.out) == (1, "")
        assert "nothing was mirrored yet" in done.err

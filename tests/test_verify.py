"""`verify`: what it finds, and what `--repair` mends (contract 4)."""

import contextlib
import hashlib
import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from attachsync.sandbox import Fault
from attachsync.sandbox.content import Held
from tests.commands import LIGHT, Stage, environment, stage, until


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


def add(scene: Stage, count: int, size: int = 10) -> list[Path]:
    """Objects of their own, each with its row; where they are."""
    made = []
    with contextlib.closing(sqlite3.connect(scene.mirror / ".attachsync/index.sqlite3")) as connection, connection:
        for number in range(count):
            data = b"%08d" % number * (size // 8 + 1)
            digest = hashlib.sha256(data).hexdigest()
            path = scene.mirror / "sha256" / digest[:2] / digest
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
            made.append(path)
            connection.execute("INSERT INTO past VALUES (1, ?, 'files/x', 1, 1)", (digest,))
    return sorted(made)


def test_it_goes_on_where_it_was_interrupted(mirrored: Stage) -> None:
    """Ctrl-C in the middle of a file that takes long: --resume re-hashes only what is left; after that, all again."""
    sizes = {path.name: path.stat().st_size for path in add(mirrored, 100)}
    long = mirrored.mirror / "sha256" / "80" / ("80" + "0" * 62)
    long.parent.mkdir(exist_ok=True)
    with long.open("wb") as file:
        file.truncate(2**40)
    with mirrored.process("verify") as running:
        until(lambda: has_open(running.pid, long))
        running.send_signal(signal.SIGINT)
        assert running.wait(10) == 130
    long.unlink()
    done = {row[0] for row in query(mirrored, "SELECT digest FROM checked")}
    assert done
    assert all(digest < long.name for digest in done)
    left = [path for path in (mirrored.mirror / "sha256").rglob("*") if path.is_file() and path.name not in done]
    (*_, rest) = mirrored.run("verify", "--json", "--resume").documents
    assert rest["bytes"] == sum(path.stat().st_size for path in left)
    assert rest["objects"] == len(left) + len(done)
    (*_, whole) = mirrored.run("verify", "--json", "--resume").documents
    assert whole["bytes"] >= sum(sizes.values()), "that one was whole: there is nothing to go on with"


def has_open(process: int, file: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return any(os.readlink(one) == str(file) for one in Path(f"/proc/{process}/fd").iterdir())
    return False


def query(scene: Stage, statement: str) -> list[Any]:
    with contextlib.closing(sqlite3.connect(scene.mirror / ".attachsync/index.sqlite3")) as connection:
        return connection.execute(statement).fetchall()


def test_resume_skips_exactly_what_was_good_since(mirrored: Stage) -> None:
    """What was re-hashed before the interrupted one began is hashed again, and so is what was not good."""
    old, new, bad = add(mirrored, 3)
    (*_, whole) = mirrored.run("verify", "--json").documents
    flip(bad)
    flip(new)
    with contextlib.closing(sqlite3.connect(mirrored.mirror / ".attachsync/index.sqlite3")) as connection, connection:
        connection.execute("UPDATE meta SET value = '2000' WHERE key = 'verify_began'")
        connection.execute("UPDATE checked SET at = 1000")
        connection.execute("UPDATE checked SET at = 3000 WHERE digest = ?", (new.name,))
        connection.execute("DELETE FROM checked WHERE digest = ?", (bad.name,))
    *found, rest = mirrored.run("verify", "--json", "--resume").documents
    assert [one["digest"] for one in found] == [bad.name]
    assert rest["objects"] == whole["objects"]
    *found, _ = mirrored.run("verify", "--json").documents
    assert [one["digest"] for one in found] == sorted([new.name, bad.name])
    assert old.exists()


def test_many_findings_come_in_the_order_of_names(mirrored: Stage) -> None:
    """Though two threads hash."""
    for path in add(mirrored, 60)[::2]:
        flip(path)
    found = [row["path"] for row in mirrored.run("verify", "--json").documents[:-1]]
    assert (len(found), found) == (30, sorted(found))


def test_what_cannot_be_fetched_again_is_left_as_missing(mirrored: Stage) -> None:
    """The bytes are damaged here and gone upstream: exit 1, evidence kept, and nothing damaged is shown."""
    row = mirrored.first("--track", LIGHT)
    flip(stored(mirrored, row))
    mirrored.box.faults.add(Fault(path="/archivist/*", kind="status", status=404))
    done = mirrored.run("verify", "--repair")
    assert done.code == 1
    assert "could not be fetched again" in done.out
    assert not (mirrored.mirror / row["path"]).exists()
    assert (mirrored.mirror / ".attachsync/quarantine" / row["sha256"]).exists()


def test_what_could_not_be_fetched_again_is_not_forgotten(mirrored: Stage) -> None:
    """It is found by the next `verify`, and the next `--repair` fetches it, when the service is back."""
    row = mirrored.first("--track", LIGHT)
    flip(stored(mirrored, row))
    mirrored.box.faults.add(Fault(path="/archivist/*", kind="status", status=404))
    assert mirrored.run("verify", "--repair").code == 1
    assert set(kinds(mirrored)) == {"missing"}
    mirrored.box.faults.clear()
    assert mirrored.run("verify", "--repair").code == 0
    assert (mirrored.mirror / row["path"]).exists()
    assert kinds(mirrored) == []


def test_what_the_service_states_otherwise_is_found_though_other_bytes_are_shown(mirrored: Stage) -> None:
    """Bytes that came and are not what is stated: the old ones stay, and neither `verify` nor a repair is content."""
    ledger = mirrored.box.datatrails
    asset = next(one for uuid, one in ledger.assets.items() if LIGHT.endswith(uuid))
    for text, stated in (("old", {}), ("new", {"arc_blob_hash_value": "1" * 64})):
        attribute = ledger.attach(ledger.add_blob(Held(text.encode()), "text/plain"), file_name="news.txt")
        ledger.add_event(asset, asset_attributes={"news": {**attribute, **stated}})
        mirrored.run("sync", LIGHT)
    (shown,) = [row for row in mirrored.run("ls", "--json", "--state", "mismatch").documents if row["path"]]
    assert (mirrored.mirror / shown["path"]).read_text() == "old"
    assert kinds(mirrored) == ["contradicted"]
    assert mirrored.run("verify", "--repair").code == 1


def test_what_files_still_has_is_stored_again_without_a_request(mirrored: Stage) -> None:
    """A service may be unable to give it again: a key that is good for one exchange."""
    row = mirrored.first("--track", LIGHT)
    stored(mirrored, row).unlink()
    mirrored.box.faults.add(Fault(path="/archivist/*", kind="status", status=404))
    assert mirrored.run("verify", "--repair").code in (0, 1)
    assert stored(mirrored, row).stat().st_ino == (mirrored.mirror / row["path"]).stat().st_ino
    assert kinds(mirrored) == []


def test_names_that_are_no_text(mirrored: Stage) -> None:
    """Somebody's file in files/ whose name is not UTF-8 is a stray like any other."""
    (mirrored.mirror / "files").joinpath(os.fsdecode(b"caf\xe9.txt")).write_text("mine")
    assert kinds(mirrored) == ["stray"]


def test_a_bar_on_a_terminal(mirrored: Stage) -> None:
    """On standard error; what is found goes to standard output as always."""
    master, terminal = pty.openpty()
    with os.fdopen(master, "rb", buffering=0) as shown:
        command = [sys.executable, "-m", "attachsync", "--config", str(mirrored.config), "verify"]
        variables = environment(mirrored.home) | {"TERM": "xterm"}
        running = subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=terminal)
        os.close(terminal)
        seen = b""
        with contextlib.suppress(OSError):  # how a terminal says that nobody writes any more
            while block := shown.read(4096):
                seen += block
        out, _ = running.communicate()
    assert b"verifying" in seen
    assert out.endswith(b"all as it should be\n")

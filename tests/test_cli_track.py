"""`track`, `untrack` and `explain`: tracks of config.d/, and why things are where they are (contract 4)."""

import json
import os
import signal
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import LIGHT, Stage, stage, until

ASSET = "27044f14-608d-45ad-a9f9-dc46c45e653e"
TRACK = f"ledger/assets/{ASSET}"


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Stage]:
    """A stage whose config tracks one asset."""
    with stage(tmp_path) as made:
        text = made.config.read_text()
        one = f'[[track]]\naccount = "ledger"\nasset = "{LIGHT.rpartition("/")[2]}"\n\n'
        made.config.write_text(text[: text.index("[[track]]")] + one + text[text.index("[[outbox]]") :])
        yield made


# --- track and untrack ----------------------------------------------------------------------------------------------


def test_a_track_is_looked_up_added_mirrored_and_removed(scene: Stage) -> None:
    """It says what it would mirror; the hand-written file stays as it is; what was mirrored stays too."""
    before = scene.config.read_text()
    done = scene.run("track", "ledger", f"asset={ASSET}", "retain=90d", "events=false", "--json")
    assert done.code == 0
    (about,) = done.documents
    assert (about["track"], about["attachments"], about["counted"]) == (TRACK, 1, True)
    file = Path(about["file"])
    assert file.parent == scene.config.parent / "config.d"
    (table,) = tomllib.loads(file.read_text())["track"]
    assert table == {"account": "ledger", "asset": ASSET, "retain": "90d", "events": False, "name": TRACK}
    assert stat.S_IMODE(file.stat().st_mode) == stat.S_IMODE(scene.config.stat().st_mode) & 0o644
    assert scene.run("sync", TRACK).code == 0
    assert (scene.mirror / "files" / TRACK / "file.txt").exists()
    done = scene.run("untrack", TRACK)
    assert (done.code, file.exists(), scene.config.read_text()) == (0, False, before)
    assert (scene.mirror / "files" / TRACK / "file.txt").exists()
    assert scene.run("untrack", TRACK).code == 2


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("ledger", "aset=1"), 2, "'asset'"),
        (("ledger", f"asset={ASSET}", "interval=never"), 2, "interval"),
        (("ledgr", f"asset={ASSET}"), 2, "'ledger'"),
        (("ledger", "asset"), 2, "is not KEY=VALUE"),
        (("ledger", "attributes={a"), 2, "not TOML"),
        (("ledger", f"asset={LIGHT.rpartition('/')[2]}"), 2, "another track's name"),
        (("ledger", f"asset={ASSET[:-1]}f"), 1, "404"),
        (("ledger",), 2, "KEY=VALUE"),
    ],
)
def test_what_is_wrong_adds_nothing(scene: Stage, arguments: tuple[str, ...], code: int, said: str) -> None:
    done = scene.run("track", *arguments)
    assert done.code == code
    assert said in done.err
    assert not list(scene.config.parent.glob("config.d/*"))


def test_offline_it_is_not_looked_up(scene: Stage) -> None:
    """And two tracks of one folder get files of their own."""
    scene.box.forget()
    assert scene.run("track", "ledger", "asset=*", "--offline").code == 0
    assert scene.run("track", "ledger", "asset=*", "name=again", "--offline").code == 0
    assert not list(scene.box.requests)
    assert len(list(scene.config.parent.glob("config.d/*.toml"))) == 2
    assert scene.run("untrack", "again").code == 0
    assert scene.run("check").code == 0


def test_a_hand_written_track_is_not_removed(scene: Stage) -> None:
    beside = scene.config.parent / "config.d"
    beside.mkdir()
    (beside / "mine.toml").write_text(f'[[track]]\naccount = "ledger"\nasset = "{ASSET}"\n')
    done = scene.run("untrack", TRACK)
    assert (done.code, (beside / "mine.toml").exists()) == (1, True)
    assert "by hand" in done.err


@pytest.mark.parametrize(
    "more", ["# precious\n", "interval = 60 # so\n", '\n[accounts.more]\nservice = "datatrails"\n']
)
def test_what_was_added_to_its_file_is_not_removed(scene: Stage, more: str) -> None:
    """Neither other tables nor comments."""
    scene.run("track", "ledger", f"asset={ASSET}", "--offline")
    (file,) = (scene.config.parent / "config.d").iterdir()
    text = file.read_text() + more
    file.write_text(text)
    done = scene.run("untrack", TRACK)
    assert (done.code, file.read_text()) == (1, text)
    assert "written by hand, in part at least" in done.err


def test_a_running_daemon_takes_it_up(scene: Stage) -> None:
    """Within a moment, without being asked."""
    with scene.process("run") as daemon:
        until((scene.mirror / "files" / LIGHT).exists)
        assert scene.run("track", "ledger", f"asset={ASSET}").code == 0
        until((scene.mirror / "files" / TRACK / "file.txt").exists)
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(5) == 0


# --- explain ----------------------------------------------------------------------------------------------------------


def why(scene: Stage, what: object) -> str:
    done = scene.run("explain", what)
    assert done.code == 0, done.err
    assert scene.run("explain", what, "--json").documents[0][0]["why"]
    return done.out


def test_why_an_attachment_is_where_it_is(scene: Stage) -> None:
    """By path, digest and identity; its track's trouble; and when nobody tracks it any more."""
    scene.run("sync")
    row = next(row for row in scene.run("ls", "--json").documents if row["path"].endswith("/cat.jpeg"))
    for what in (row["path"], scene.mirror / row["path"], row["sha256"], row["key"]):
        assert "it is mirrored" in why(scene, what)
    scene.box.datatrails.revoke_tokens()
    scene.run("sync")
    assert "was not whole" in why(scene, row["key"])
    scene.edit(LIGHT.rpartition("/")[2], ASSET)
    assert "not in the config any more" in why(scene, row["key"])
    done = scene.run("explain", "never heard of")
    assert (done.code, "nothing is known" in done.err) == (1, True)


def test_why_a_dropped_file_is_where_it_is(scene: Stage) -> None:
    """Sent, refused, ignored, or no file at all."""
    scene.drop("report.txt")
    scene.drop("program.exe")
    scene.run("sync")
    for name in ("draft~", ".hidden", "w.txt"):
        scene.drop(name)
    os.symlink("w.txt", scene.outbox / "link")
    outbox = scene.outbox
    assert "it is in sent/report.txt now" in why(scene, outbox / "report.txt")
    assert "report.txt.toml says how" in why(scene, outbox / "sent/report.txt")
    assert "outbox retry program.exe" in why(scene, outbox / "program.exe")
    assert "`ignore`" in why(scene, outbox / "draft~")
    assert "hidden" in why(scene, outbox / ".hidden")
    assert "no links" in why(scene, outbox / "link") or "regular" in why(scene, outbox / "link")
    assert "nothing has written to it" in why(scene, outbox / "w.txt")
    assert "record of sent/report.txt" in why(scene, outbox / "sent/report.txt.toml")
    assert "record of failed/program.exe" in why(scene, outbox / "failed/program.exe.toml")
    (outbox / "folder").symlink_to(scene.config.parent)
    assert "no links" in why(scene, outbox / "folder" / scene.config.name)
    assert scene.run("explain", outbox / "sent/none").code == 1
    assert scene.run("explain", outbox / "none").code == 1
    assert scene.run("explain", "none").code == 1
    assert scene.run("explain", "w.txt").out == scene.run("explain", outbox / "w.txt").out
    assert json.loads(scene.run("explain", outbox / "w.txt", "--json").out)[0]["state"] == "waiting"
    (outbox / "sent/report.txt").unlink()
    for name in ("report.txt", "sent/report.txt"):
        assert "it is gone from sent/report.txt; its record is there still" in why(scene, outbox / name)
    scene.edit("[[outbox]]", "[[outbox]]\npropagate_deletes = true")
    scene.run("sync")
    for name in ("report.txt", "sent/report.txt"):
        assert "it is gone from sent/report.txt, and was deleted upstream at 2" in why(scene, outbox / name)
    (outbox / "sent/report.txt.toml").unlink()
    assert "is gone from there with its record" in why(scene, outbox / "report.txt")
    assert scene.run("explain", outbox / "sent/report.txt").code == 1

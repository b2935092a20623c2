"""`prune`: what it takes, what it leaves, and that it comes to its end whatever happens (contract 4)."""

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from attachsync import lock, pruning
from attachsync.daemon import equipped, holding
from attachsync.observer import Observer
from tests.commands import Done, Stage, attachsync, stage, until
from tests.ledgers import Ledgers

WEEK = 7 * 86400
TRACK = "archive/assets/3ea5aca3-da02-4bae-b6d0-85a5ab586ed6"


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Stage]:
    """A stage with a small track mirrored: two attachments of the same bytes, and a report."""
    with stage(tmp_path) as made:
        made.run("sync", TRACK)
        yield made


def sql(scene: Stage, statement: str, *values: object) -> list[Any]:
    """Look into, or change, the index behind everybody's back."""
    connection = sqlite3.connect(scene.mirror / ".attachsync" / "index.sqlite3")
    with connection:
        rows = connection.execute(statement, values).fetchall()
    connection.close()
    return rows


def stored(scene: Stage) -> set[str]:
    return {Path(path).name for path in scene.tree("mirror", "sha256")}


def place(scene: Stage, digest: str) -> Path:
    return scene.mirror / "sha256" / digest[:2] / digest


def is_sound(scene: Stage) -> bool:
    """verify finds nothing, and SHA256SUMS lists exactly what files/ shows."""
    listed = {line.split("  ", 1)[1] for line in (scene.mirror / "SHA256SUMS").read_text().splitlines()}
    return scene.run("verify").code == 0 and listed == {f"files/{path}" for path in scene.tree("mirror", "files")}


def report(scene: Stage) -> Any:
    """The one attachment whose bytes no other shows."""
    return scene.first("--track", TRACK, "--media-type", "application/pdf")


def removed(done: Done) -> list[tuple[str, str | None]]:
    assert done.code == 0, done.err
    (document,) = done.documents
    return [(row["kind"], row["path"]) for row in document["removed"]]


def account_of(done: Done) -> Any:
    (document,) = done.documents
    return document


@pytest.mark.parametrize("how", ["path", "whole path", "digest", "prefix", "identity", "stored file"])
def test_what_is_named_goes_for_good(scene: Stage, how: str) -> None:
    """Entry, bytes and row; said with its size; not fetched again; what is not named stays as it was."""
    row = report(scene)
    others = set(scene.tree("mirror", "files")) - {row["path"].removeprefix("files/")}
    name = {
        "path": row["path"],
        "whole path": scene.mirror / row["path"],
        "digest": row["sha256"],
        "prefix": row["sha256"][:16].upper(),
        "identity": row["key"],
        "stored file": place(scene, row["sha256"]),
    }[how]
    done = scene.run("prune", "--yes", "--json", name)
    assert removed(done) == [("attachment", row["path"])]
    assert account_of(done)["bytes"] == row["size"]
    assert row["sha256"] not in stored(scene)
    assert set(scene.tree("mirror", "files")) == others
    assert is_sound(scene)
    scene.box.forget()
    assert scene.run("sync", TRACK).code == 0
    assert row["sha256"] not in stored(scene)
    (gone,) = scene.run("ls", "--json", "--state", "gone").documents
    assert (gone["key"], gone["path"]) == (row["key"], None)
    for known in (row["path"], scene.mirror / row["path"]):
        assert "it is gone: removed by `prune`" in scene.run("explain", known).out
        assert scene.run("show", "--json", known).documents[0]["key"] == row["key"]
    again = scene.run("prune", "--yes", name)
    assert (again.code, "it is gone, removed by `prune`" in again.err) == (1, how in ("path", "whole path", "identity"))


def test_where_nothing_was_mirrored_yet_nothing_is_untracked(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[mirror]\ndirectory = "mirror"\n')
    done = attachsync("--config", config, "prune", "--untracked", "--dry-run", home=tmp_path)
    assert (done.code, done.out, done.err) == (0, "would remove nothing, 0 B\n", "")
    assert os.listdir(tmp_path) == ["config.toml"]


def test_it_asks_and_a_dry_run_changes_nothing(scene: Stage) -> None:
    """Where nobody can be asked it wants --yes; --dry-run says the same as the real thing, and does nothing."""
    row = report(scene)
    before = scene.tree("mirror")
    done = scene.run("prune", row["path"])
    assert (done.code, "give --yes" in done.err) == (2, True)
    dry = scene.run("prune", "--dry-run", "--json", row["path"])
    assert account_of(dry)["dry_run"] is True
    assert [name for name in scene.tree("mirror") if not name.endswith(("-wal", "-shm"))] == [
        name for name in before if not name.endswith(("-wal", "-shm"))
    ]
    assert removed(dry) == removed(scene.run("prune", "--yes", "--json", row["path"]))
    text = scene.run("prune", "--dry-run", "--older-than", "0s", "--tracked").out
    assert text.endswith("would remove 2 attachments, 72 B\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "one of them"),
        (("--untracked", "--older-than", "1d"), "one of them"),
        (("x", "--untracked"), "one of them"),
        (("x", "--tracked"), "--tracked goes with --older-than"),
        (("--older-than", "soon"), "a duration"),
    ],
)
def test_wrong_usage(scene: Stage, arguments: tuple[str, ...], words: str) -> None:
    done = scene.run("prune", *arguments)
    assert (done.code, done.out, words in done.err) == (2, "", True)


def test_unknown_and_ambiguous(scene: Stage) -> None:
    """1 and 2, and nothing is removed, not even what another WHAT of the same command names."""
    row = report(scene)
    before = stored(scene)
    done = scene.run("prune", "--yes", row["path"], "files/nothing.txt")
    assert (done.code, "nothing is known by 'files/nothing.txt'" in done.err) == (1, True)
    assert scene.run("prune", "--yes", "../../etc/passwd").code == 1
    assert scene.run("prune", "--yes", ".attachsync/quarantine/../index.sqlite3").code == 1
    digest = "abcd" + "0" * 60
    for last in "12":
        stray = place(scene, digest[:-1] + last)
        stray.parent.mkdir(exist_ok=True)
        stray.write_bytes(b"")
    done = scene.run("prune", "--yes", "abcd")
    assert (done.code, "ambiguous" in done.err) == (2, True)
    assert before < stored(scene)


async def test_bytes_that_another_shows_stay(ledger: Ledgers) -> None:
    """Two attachments of the same bytes: the named one's entry goes, the bytes stay; naming the digest takes both."""
    trail = ledger.box.datatrails
    asset = trail.add_asset({})
    blob = trail.add_blob(b"same", "text/plain", scanned="SCANNED_OK")
    for name in ("one.txt", "two.txt"):
        trail.add_event(asset, {"a": trail.attach(blob, file_name=name)})
    await ledger.sync()
    one, two = sorted(str(row["path"]) for row in ledger.rows())
    assert ((await prune(ledger, one)).bytes, len(ledger.shown())) == (0, 1)
    assert ledger.stored() == {hashlib.sha256(b"same").hexdigest()}
    plan = await prune(ledger, hashlib.sha256(b"same").hexdigest())
    assert ([item.path for item in plan.items], plan.bytes) == ([two], 4)
    assert (ledger.stored(), ledger.shown()) == (set(), [])
    _, recorder = await ledger.sync()
    assert (ledger.downloads(), recorder.outcomes) == (0, [])


async def prune(one: Ledgers, name: str = "", *, older_than: float = 0, tracked: bool = False) -> pruning.Plan:
    """As the command does it, in this loop: what was removed."""
    config = one.config()
    tracks = [track.name for track in config.tracks]
    async with (
        holding(config, "prune", one.clock) as index,
        equipped(config, index, one.clock, Observer(), outboxes=False) as plant,
    ):
        if name:
            plan = pruning.named(plant.store, index, [[name]])
        else:
            before = one.clock.now() - older_than
            plan = pruning.older(plant.store, index, before, tracks, tracked=tracked)
        await pruning.remove(plant.keeping, plan)
        return plan


def kinds(plan: pruning.Plan) -> list[str]:
    return sorted("version" if item.past else "attachment" for item in plan.items)


async def changed(one: Ledgers) -> tuple[str, str]:
    """An attachment whose content changed once: the digests, old and new."""
    trail = one.box.datatrails
    one.tracks += "events = false\n"
    old = trail.add_blob(b"old", "text/plain", scanned="SCANNED_OK")
    asset = trail.add_asset({"photo": trail.attach(old, file_name="photo.txt")})
    await one.sync()
    new = trail.add_blob(b"newer", "text/plain", scanned="SCANNED_OK")
    trail.add_event(asset, asset_attributes={"photo": trail.attach(new, file_name="photo.txt")})
    await one.sync()
    return hashlib.sha256(b"old").hexdigest(), hashlib.sha256(b"newer").hexdigest()


async def test_older_versions_go_by_age_and_by_digest_and_what_is_shown_stays(ledger: Ledgers) -> None:
    """--older-than spares what a track shows, unless --tracked; a digest names just these bytes."""
    old, new = await changed(ledger)
    assert ledger.stored() == {old, new}
    assert kinds(await prune(ledger, older_than=3600)) == []
    assert kinds(await prune(ledger)) == ["version"]
    assert ledger.stored() == {new}
    with ledger.index() as index:
        assert index.reports.describe(1)["history"] == []
    assert kinds(await prune(ledger, tracked=True)) == ["attachment"]
    assert ledger.stored() == set()


async def test_an_old_version_is_named_by_its_digest(ledger: Ledgers) -> None:
    """What is shown now is not touched; naming the attachment takes both."""
    old, new = await changed(ledger)
    assert kinds(await prune(ledger, old[:12])) == ["version"]
    assert (ledger.stored(), len(ledger.shown())) == ({new}, 1)
    assert kinds(await prune(ledger, str(ledger.rows()[0]["path"]))) == ["attachment"]


async def test_naming_an_attachment_takes_its_older_versions(ledger: Ledgers) -> None:
    await changed(ledger)
    assert kinds(await prune(ledger, str(ledger.rows()[0]["path"]))) == ["attachment", "version"]
    assert (ledger.stored(), ledger.shown()) == (set(), [])


async def test_a_pruned_attachment_comes_back_when_its_content_changes(ledger: Ledgers) -> None:
    """What was deleted was this content, under whatever track and blob it is listed; another one is news."""
    trail = ledger.box.datatrails
    ledger.tracks += 'events = false\nname = "first"\n'
    first = trail.add_blob(b"1", "text/plain", scanned="SCANNED_OK")
    asset = trail.add_asset({"photo": trail.attach(first, file_name="photo.txt")})
    await ledger.sync()
    await prune(ledger, str(ledger.rows()[0]["path"]))
    ledger.box.forget()
    ledger.tracks += ledger.tracks.replace('"first"', '"second"')
    await ledger.sync()
    copy = trail.add_blob(b"1", "text/plain", scanned="SCANNED_OK")
    trail.add_event(asset, asset_attributes={"photo": trail.attach(copy, file_name="photo.txt")})
    ledger.tracks = ledger.tracks.replace('"first"', '"renamed"')
    await ledger.sync()
    assert (ledger.shown(), ledger.downloads()) == ([], 0)
    assert {row["track"]: row["state"] for row in ledger.rows()} == dict.fromkeys(
        ("first", "second", "renamed"), "gone"
    )
    second = trail.add_blob(b"2", "text/plain", scanned="SCANNED_OK")
    trail.add_event(asset, asset_attributes={"photo": trail.attach(second, file_name="photo.txt")})
    await ledger.sync()
    assert len(ledger.shown()) == 1


# --- untracked ----------------------------------------------------------------------------------------------------


def untrack(scene: Stage) -> None:
    """Take the small track out of the config."""
    tables = scene.config.read_text().split("\n\n")
    kept = [table for table in tables if not (table.startswith("[[track]]") and '"archive"' in table)]
    assert len(kept) == len(tables) - 1
    scene.config.write_text("\n\n".join(kept))


def age(scene: Stage, seconds: float) -> None:
    """Let time pass for what is untracked."""
    sql(scene, "UPDATE untracked SET since = since - ?", seconds)


def test_a_track_that_left_the_config_goes_after_a_week(scene: Stage) -> None:
    """Not before it was noticed as untracked for 7 days; what other tracks show stays."""
    scene.run("sync")
    untrack(scene)
    scene.run("sync")
    done = scene.run("prune", "--untracked", "--yes", "--json")
    assert (removed(done), account_of(done)["left"]["not_long_enough"]) == ([], 3)
    age(scene, WEEK - 60)
    assert removed(scene.run("prune", "--untracked", "--yes", "--json")) == []
    age(scene, 120)
    assert len(removed(scene.run("prune", "--untracked", "--dry-run", "--json"))) == 3
    others = [path for path in scene.tree("mirror", "files") if not path.startswith("archive/")]
    assert len(removed(scene.run("prune", "--untracked", "--yes", "--json"))) == 3
    assert scene.tree("mirror", "files") == others
    assert is_sound(scene)


async def test_an_entry_that_another_track_shows_too_stays(ledger: Ledgers) -> None:
    """Two tracks of one asset show it at one path; the one that left the config takes nothing with it."""
    trail = ledger.box.datatrails
    asset = trail.add_asset({"a": trail.attach(trail.add_blob(b"a", scanned="SCANNED_OK"), file_name="a.txt")})
    one = f'[[track]]\naccount = "ledger"\nname = "one"\nasset = "{asset.uuid}"\nevents = false\n'
    ledger.tracks = one + one.replace('"one"', '"two"')
    await ledger.sync()
    before = ledger.shown()
    ledger.tracks = one
    await ledger.sync()
    with ledger.index() as index:
        assert list(index.upkeep.untracked("track")) == ["two"], "noticed by the pass itself"
    ledger.clock.ahead += WEEK + 60
    config = ledger.config()
    async with (
        holding(config, "prune", ledger.clock) as index,
        equipped(config, index, ledger.clock, Observer(), outboxes=False) as plant,
    ):
        plan = pruning.untracked(plant.store, index, ["one"], ledger.clock.now())
        await pruning.remove(plant.keeping, plan)
    assert (kinds(plan), plan.bytes) == (["attachment"], 0)
    assert ledger.shown() == before
    assert {row["track"]: row["state"] for row in ledger.rows()} == {"one": "stored", "two": "gone"}


def test_a_track_that_came_back_begins_anew(scene: Stage) -> None:
    """Seven days in a row, not in all."""
    scene.run("sync")
    before = scene.config.read_text()
    untrack(scene)
    scene.run("sync")
    age(scene, 2 * WEEK)
    after = scene.config.read_text()
    scene.config.write_text(before)
    scene.run("sync")
    scene.config.write_text(after)
    assert removed(scene.run("prune", "--untracked", "--yes", "--json")) == []


def stray(scene: Stage, data: bytes = b"nobody's") -> Path:
    path = place(scene, hashlib.sha256(data).hexdigest())
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (1, 1))
    return path


def test_strays_go_when_they_were_seen_a_week_ago(scene: Stage) -> None:
    """In the store and in quarantine; entries of files/ that are the very file; not what somebody put there."""
    scene.run("sync")
    lost, evidence = stray(scene), scene.mirror / ".attachsync/quarantine/evidence"
    evidence.write_bytes(b"wrong")
    entry, mine = scene.mirror / "files/ledger/left.txt", scene.mirror / "files/ledger/mine.txt"
    os.link(lost, entry)
    mine.write_text("mine")
    assert removed(scene.run("prune", "--untracked", "--yes", "--json")) == []
    age(scene, WEEK + 1)
    done = scene.run("prune", "--untracked", "--yes", "--json")
    assert {path for _, path in removed(done)} == {
        str(lost.relative_to(scene.mirror)),
        ".attachsync/quarantine/evidence",
        "files/ledger/left.txt",
    }
    assert [path.exists() for path in (lost, evidence, entry, mine)] == [False, False, False, True]
    assert scene.run("prune", "--yes", "files/ledger/mine.txt").code == 0
    assert is_sound(scene)


def test_no_file_is_a_stray_while_a_track_was_never_listed(scene: Stage) -> None:
    """What is in the store may be what it would show: a lost index must not empty a mirror."""
    lost = stray(scene)
    done = scene.run("prune", "--untracked", "--yes", "--json")
    assert account_of(done)["left"]["never_listed"]
    sql(scene, "INSERT INTO untracked VALUES ('file', ?, 1)", str(lost.relative_to(scene.mirror)))
    assert removed(scene.run("prune", "--untracked", "--yes", "--json")) == []
    assert lost.exists()


# --- whatever happens -----------------------------------------------------------------------------------------------


def test_it_is_held_off_by_a_daemon_and_a_dry_run_is_not(scene: Stage) -> None:
    with scene.process("run"):
        until(lambda: (scene.home / "log").exists() and '"running"' in (scene.home / "log").read_text())
        done = scene.run("prune", "--yes", "abcd")
        assert (done.code, "attachsync run" in done.err) == (75, True)
        row = report(scene)
        assert scene.run("prune", "--dry-run", row["path"]).code == 0


def test_a_removal_that_was_cut_short_is_finished_by_the_next_start(scene: Stage) -> None:
    """A mark is what a kill leaves: the entry and the bytes go, though nobody names them again."""
    row = report(scene)
    sql(scene, "UPDATE attachment SET state = 'gone', digest = NULL, withdrawn = 1, kept = 0 WHERE key = ?", row["key"])
    sql(scene, "INSERT INTO leaving VALUES (?)", row["sha256"])
    assert scene.run("sync", TRACK).code == 0
    assert row["sha256"] not in stored(scene)
    assert row["path"].removeprefix("files/") not in scene.tree("mirror", "files")
    assert is_sound(scene)


def test_what_came_back_before_a_removal_was_finished_stays(scene: Stage) -> None:
    """Bytes that are marked to leave, and that something shows by now, do not."""
    row = report(scene)
    sql(scene, "INSERT INTO leaving VALUES (?)", row["sha256"])
    assert scene.run("sync", TRACK).code == 0
    assert row["sha256"] in stored(scene)
    assert is_sound(scene)


def test_kills_at_any_moment(scene: Stage) -> None:
    """Real ones, from before the mark to the end: after the next start all of what was named is gone, or nothing."""
    ends = set()
    for name, moment in enumerate(("start", "marked", "hidden", "hidden", "marked", "marked")):
        row = scene.first("--state", "stored")
        with scene.process("prune", "--yes", row["path"]) as running:
            while running.poll() is None and not _reached(scene, moment, row):
                pass
            running.kill()
            running.wait()
        (marked,) = sql(scene, "SELECT kept FROM attachment WHERE key = ? AND track = ?", row["key"], row["track"])
        done = scene.run("sync", TRACK)
        assert done.code == 0, done
        shown = (scene.mirror / row["path"]).exists()
        assert shown is bool(marked[0]), (name, moment)
        assert sql(scene, "SELECT * FROM leaving") == []
        assert is_sound(scene)
        ends.add(shown)
        if not shown and not scene.run("ls", "--json", "--state", "stored").documents:
            break
    assert False in ends


def _reached(scene: Stage, moment: str, row: Any) -> bool:
    """Whether a removal has come so far."""
    if moment == "start":
        return bool(lock.holder(scene.mirror / ".attachsync"))
    if moment == "hidden":
        return not (scene.mirror / row["path"]).exists()
    return bool(sql(scene, "SELECT 1 FROM attachment WHERE NOT kept AND withdrawn"))

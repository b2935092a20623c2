"""A lost or damaged index: noticed, set aside and made anew, and nothing that is there is fetched again."""

import contextlib
import hashlib
import json
import os
import sqlite3
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from attachsync.index import Index
from attachsync.model import JSON
from attachsync.sandbox import Fault, Sandbox, write_config
from attachsync.sandbox.content import Held
from attachsync.sandbox.sample_ids import JPEG
from tests.commands import LIGHT, Stage, stage, until
from tests.identities import PNG, RESULTS, SESSION, Ids, fingerprint

UPLOADS = "/sunshine/v2/apps/*/attachments"


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Stage]:
    """A stage with the ledgers mirrored, and one file sent."""
    with stage(tmp_path) as made:
        made.run("sync")
        made.drop("sent.txt", "sent\n")
        assert made.run("sync").code == 0
        yield made


def index_of(scene: Stage) -> Path:
    return scene.mirror / ".attachsync" / "index.sqlite3"


def listed(scene: Stage) -> list[tuple[Any, ...]]:
    keys = ("account", "track", "key", "path", "sha256", "size", "media_type", "state")
    return sorted(tuple(row[key] for key in keys) for row in scene.run("ls", "--json").documents)


def downloads(box: Sandbox) -> list[str]:
    """Paths of requests for bytes, of whatever service."""
    apart = ("/info", "/token", "/results")
    wanted = ("/attachments/", "/v1/blobs/", "/media/", "/get")
    return [
        one.path for one in box.requests if any(word in one.path for word in wanted) and not one.path.endswith(apart)
    ]


def _removed(index: Path) -> None:
    index.unlink()


def _emptied(index: Path) -> None:
    os.truncate(index, 0)


def _cut(index: Path) -> None:
    os.truncate(index, index.stat().st_size // 2)


def _header(index: Path) -> None:
    with index.open("r+b") as file:
        file.write(b"no database at all, but words of somebody")


def _zeroed(index: Path) -> None:
    with index.open("r+b") as file:
        file.seek(4096 * 3)
        file.write(bytes(4096 * 6))


Damage = Callable[[Path], None]
DAMAGE: list[Damage] = [_cut, _header, _zeroed]


@pytest.mark.parametrize("damage", [_removed, _emptied, *DAMAGE])
def test_it_is_made_anew_without_downloading(scene: Stage, damage: Damage) -> None:
    """The same attachments under the same names; no request for bytes, no second upload; the old index is kept."""
    before, tree = listed(scene), scene.tree("mirror", "files")
    marker = (scene.mirror / ".attachsync/marker").read_text()
    index = index_of(scene)
    for suffix in ("-wal", "-shm"):  # a reader may leave them, empty
        index.with_name(index.name + suffix).unlink(missing_ok=True)
    damage(index)
    content = index.read_bytes() if index.exists() else None
    scene.box.forget()
    done = scene.run("sync")
    assert (done.code, "index_made_anew" in done.err) == (0, True)
    assert (listed(scene), scene.tree("mirror", "files")) == (before, tree)
    assert downloads(scene.box) == []
    assert scene.box.count("POST", UPLOADS) == 0
    aside = [
        path for path in index.parent.iterdir() if ".broken-" in path.name and not path.name.endswith(("-wal", "-shm"))
    ]
    assert [path.read_bytes() for path in aside] == ([content] if content is not None else [])
    assert (scene.mirror / ".attachsync/marker").read_text() == marker
    assert scene.run("verify").code == 0
    (status,) = scene.run("status", "--json").documents
    assert status["store"]["index_made_anew"]["set_aside"] == (aside[0].name if aside else None)
    assert "made anew at" in scene.run("status").out
    again = scene.run("sync")
    assert (again.code, again.err) == (0, "")
    assert downloads(scene.box) == []


def test_an_index_that_nobody_touched_is_not_read_whole_again(scene: Stage) -> None:
    """What it looked like when it was closed is kept; after any change all of it is read, and damage found."""
    stamp = index_of(scene).with_name("index.closed")
    before = stamp.read_text()
    assert scene.run("sync").code == 0
    _zeroed(index_of(scene))
    assert "index_made_anew" in scene.run("sync").err
    assert stamp.read_text() != before


@pytest.mark.parametrize("damage", DAMAGE)
def test_readers_say_so_and_leave_it_alone(scene: Stage, damage: Damage) -> None:
    """Exit 1, in words; who only looks does not touch it. `sync` and `run` do."""
    index = index_of(scene)
    damage(index)
    before = index.read_bytes()
    commands = (["ls"], ["show", "abcd"], ["status"], ["verify"], ["prune", "--yes", "abcd"], ["outbox", "ls"])
    codes = [scene.run(*command) for command in commands]
    told = [done for done in codes if done.code == 1 and "the index is damaged" in done.err]
    assert told or damage is _zeroed  # where the pages that these ask for are sound, they may answer
    assert damage is _zeroed or len(told) == len(commands)
    assert damage is _zeroed or index.read_bytes() == before
    with scene.process("run"):
        until(lambda: '"index_made_anew"' in (scene.home / "log").read_text())
        until(lambda: '"running"' in (scene.home / "log").read_text())


def test_a_new_mirror_has_lost_nothing(tmp_path: Path) -> None:
    """No index, and nothing mirrored: that is a beginning."""
    with stage(tmp_path) as scene:
        done = scene.run("sync")
        assert (done.code, done.err) == (0, "")
        (status,) = scene.run("status", "--json").documents
        assert status["store"]["index_made_anew"] is None


def test_names_are_told_apart_as_they_were(scene: Stage) -> None:
    """Who gave way to another of the same name still does, though it is listed before that one now."""
    ledger = scene.box.datatrails
    asset = next(one for uuid, one in ledger.assets.items() if LIGHT.endswith(uuid))
    for key in ("zulu", "alfa"):
        blob = ledger.add_blob(Held(key.encode()), "application/pdf")
        ledger.add_event(asset, asset_attributes={key: ledger.attach(blob, file_name="report")})
        assert scene.run("sync", LIGHT).code == 0
    before = {row["key"]: row["path"] for row in scene.run("ls", "--json", "--track", LIGHT).documents}
    assert len({path for path in before.values() if "/report" in path}) == 4
    index_of(scene).unlink()
    assert scene.run("sync").code == 0
    assert {row["key"]: row["path"] for row in scene.run("ls", "--json", "--track", LIGHT).documents} == before
    assert scene.run("verify").code == 0


def test_others_do_not_hide_the_loss(scene: Stage) -> None:
    """Commands that come before the next pass make no index in its place; nor does one that is empty count."""
    before = listed(scene)
    index = index_of(scene)
    index.unlink()
    scene.run("verify")
    scene.run("outbox", "confirm")
    assert not index.exists()
    Index.open(index.parent).close()
    done = scene.run("sync")
    assert (done.code, "index_made_anew" in done.err) == (0, True)
    assert listed(scene) == before


def test_a_lost_wal_is_no_damage(scene: Stage) -> None:
    """What was committed last is listed again."""
    for suffix in ("-wal", "-shm"):
        Path(str(index_of(scene)) + suffix).unlink(missing_ok=True)
    done = scene.run("sync")
    assert (done.code, done.err) == (0, "")


def test_an_index_of_an_earlier_version_is_taken_over(scene: Stage) -> None:
    """Without the tables that came later: readers read it, the next pass adds them."""
    counts, said = counted(scene), described(scene)
    with contextlib.closing(sqlite3.connect(index_of(scene))) as connection, connection:
        connection.execute("UPDATE attachment SET meta = (SELECT meta FROM listing WHERE attachment = attachment.id)")
        for table in ("checked", "untracked", "leaving", "found", "tally", "total", "listing"):
            connection.execute(f"DROP TABLE {table}")
        for trigger in ("tally_new", "tally_moved", "total_moved"):
            connection.execute(f"DROP TRIGGER {trigger}")
        connection.execute("DELETE FROM meta WHERE key = 'tallied'")
    before = listed(scene)
    assert scene.run("verify", "--sample", "50%").code == 0
    assert (counted(scene), described(scene)) == (counts, said)
    assert scene.run("prune", "--dry-run", "--untracked").code == 0
    assert scene.run("sync").code == 0
    assert (listed(scene), counted(scene), described(scene)) == (before, counts, said)
    assert scene.run("verify").code == 0


def described(scene: Stage) -> list[JSON]:
    """What `show` says that the listing said of each."""
    keys = [row["key"] for row in scene.run("ls", "--json").documents]
    said = [json.loads(scene.run("show", key, "--json").out) for key in keys]
    assert all(one["listing"]["identity"] for one in said)
    return [one["listing"] for one in said]


def counted(scene: Stage) -> tuple[JSON, JSON, JSON]:
    """What `status` says of how much there is."""
    status = json.loads(scene.run("status", "--json").out)
    return status["tracks"][0]["counts"], status["store"]["objects"], status["store"]["bytes"]


# --- services that state no digest -----------------------------------------------------------------------------------


def lose(ids: Ids) -> None:
    for path in (ids.mirror / ".attachsync").glob("index.sqlite3*"):
        path.unlink()


@pytest.mark.parametrize("link", ["hardlink", "symlink", "copy"])
async def test_what_can_be_had_only_once_is_found_again(ids: Ids, link: str) -> None:
    """By its name under files/, whatever entries are made of; the keys are not exchanged a second time."""
    trinsic = ids.box.trinsic
    first = trinsic.add_access_key(JPEG, uses=1)
    named = trinsic.add_access_key(PNG, "image/png", uses=1)
    session = trinsic.add_session(SESSION, "rak_1")
    for number in range(3):
        trinsic.add_attachment(session, "selfie", PNG + bytes([number]), "image/png")
    ids.track_list("access_keys_file", first.key, f"{named.key} front")
    ids.track_session(SESSION, "rak_1")
    ids.mirror_keys = f'link = "{link}"'
    summary, _ = await ids.sync()
    assert not summary.incomplete
    before = {path: (ids.files / path).read_bytes() for path in ids.shown()}
    by_key = {row["key"]: (row["path"], row["sha256"]) for row in ids.rows()}
    assert len(before) == 5
    assert f"access-keys/{fingerprint(first.key)}.jpg" in before
    lose(ids)
    summary, recorder = await ids.sync()
    assert not summary.incomplete
    assert {path: (ids.files / path).read_bytes() for path in ids.shown()} == before
    assert {row["key"]: (row["path"], row["sha256"]) for row in ids.rows()} == by_key
    assert (trinsic.exchanged(first), trinsic.exchanged(named)) == (1, 1)
    assert [one.fetched for one in recorder.outcomes] == [False] * 5
    assert ids.downloads() == 0


async def test_what_changed_behind_our_back_is_not_taken_for_it(ids: Ids) -> None:
    """Flipped bytes in the store, an entry that somebody replaced: hashed again, and not shown."""
    trinsic = ids.box.trinsic
    flipped, replaced = (trinsic.add_access_key(data, uses=1) for data in (JPEG, PNG))
    ids.track_list("access_keys_file", f"{flipped.key} flipped", f"{replaced.key} replaced")
    await ids.sync()
    target = ids.mirror / "sha256" / hashlib.sha256(JPEG).hexdigest()[:2] / hashlib.sha256(JPEG).hexdigest()
    target.chmod(0o600)
    target.write_bytes(b"x" + JPEG[1:])
    entry = next(path for path in ids.files.rglob("replaced*"))
    entry.unlink()
    entry.write_bytes(b"something else")
    lose(ids)
    summary, _ = await ids.sync()
    assert summary.incomplete
    assert set(ids.states().values()) == {"gone"}


async def test_a_size_that_is_listed_counts(ids: Ids) -> None:
    """What was shown under the name, but is not as long as the service says now, is fetched."""
    trinsic = ids.box.trinsic
    session = trinsic.add_session(SESSION, "rak_1")
    one = trinsic.add_attachment(session, "selfie", PNG, "image/png")
    ids.track_session(SESSION, "rak_1")
    await ids.sync()
    lose(ids)
    one.content = Held(PNG + b"longer")
    summary, _ = await ids.sync()
    assert not summary.incomplete
    assert next(path for path in ids.files.rglob("selfie*")).read_bytes() == PNG + b"longer"


async def test_the_hints_last_until_all_is_there(ids: Ids) -> None:
    """A first pass that could not list is no reason to give up what only files/ knows."""
    ids.box.trinsic.add_attachment(ids.box.trinsic.add_session(SESSION, "rak_1"), "selfie", PNG, "image/png")
    ids.track_session(SESSION, "rak_1")
    await ids.sync()
    lose(ids)
    ids.box.faults.add(Fault(path=RESULTS, kind="status", status=404))
    summary, _ = await ids.sync()
    assert summary.incomplete
    ids.box.faults.clear()
    summary, recorder = await ids.sync()
    assert not summary.incomplete
    assert [one.fetched for one in recorder.outcomes] == [False]
    await ids.sync()
    with ids.index() as index:
        assert not index.upkeep.has_found()


async def test_a_kill_between_listing_and_finding_again(ids: Ids) -> None:
    """All is listed, nothing is shown yet: the next start still knows what files/ shows."""
    key = ids.box.trinsic.add_access_key(JPEG, uses=1)
    ids.track_list("access_keys_file", key.key)
    await ids.sync()
    (row,) = ids.rows()
    with contextlib.closing(sqlite3.connect(ids.mirror / ".attachsync/index.sqlite3")) as connection, connection:
        connection.execute("INSERT INTO found VALUES (?, ?)", (row["path"], row["sha256"]))
        connection.execute(
            "UPDATE attachment SET digest = NULL, shown = NULL, path = NULL, mirrored_at = NULL, record = '{}',"
            " state = 'waiting', attempted = 0"
        )
    summary, _ = await ids.sync()
    assert not summary.incomplete
    assert ids.box.trinsic.exchanged(key) == 1


def test_all_five_services(tmp_path: Path) -> None:
    """The sandbox's own config: after a lost index the same files, and nothing fetched that is final."""
    with stage(tmp_path) as scene:
        whole = write_config(scene.box, scene.base, scene.config.parent, scene.outbox)
        scene.config.write_text(whole.replace(str(scene.config.parent / "mirror"), str(scene.mirror)))
        first = scene.run("sync")
        before, tree = listed(scene), scene.tree("mirror", "files")
        assert {row[0] for row in before} >= {"ledger", "archive", "ids", "signing", "support"}
        index_of(scene).unlink()
        scene.box.forget()
        done = scene.run("sync", "--json")
        assert done.code == first.code, done.err
        assert set(listed(scene)) ^ set(before) == set()
        assert scene.tree("mirror", "files") == tree
        fetched = [row for row in done.documents if row["event"] == "attachment" and row["fetched"]]
        assert fetched == []
        assert scene.run("verify").code == 0


# --- the outboxes' journal --------------------------------------------------------------------------------------------


def receipt(scene: Stage, name: str) -> dict[str, Any]:
    return tomllib.loads((scene.outbox / f"sent/{name}.toml").read_text())


def test_a_file_that_may_have_been_sent_says_so(scene: Stage) -> None:
    """It is there, and its journal is not: sent (perhaps again), and its receipt warns. Later files are as always."""
    scene.drop("report.txt")
    index_of(scene).unlink()
    scene.box.forget()
    assert scene.run("sync").code == 0
    assert scene.box.count("POST", UPLOADS) == 1
    assert receipt(scene, "report.txt")["possible_orphan"] is True
    scene.drop("later.txt")
    assert scene.run("sync").code == 0
    assert receipt(scene, "later.txt")["possible_orphan"] is False


def test_hold_holds_it(scene: Stage) -> None:
    scene.config.write_text(scene.config.read_text() + 'on_unknown = "hold"\n')
    scene.drop("report.txt")
    index_of(scene).unlink()
    scene.box.forget()
    assert scene.run("sync").code == 1
    assert scene.box.count("POST", UPLOADS) == 0
    assert [row["state"] for row in scene.run("outbox", "ls", "--json").documents] == ["held"]


def test_a_receipt_that_is_there_is_enough(scene: Stage) -> None:
    """The receipt was durable, the move was not made: it is made, and nothing is sent."""
    (scene.outbox / "sent/sent.txt").rename(scene.outbox / "sent.txt")
    index_of(scene).unlink()
    scene.box.forget()
    assert scene.run("sync").code == 0
    assert scene.box.count("POST", UPLOADS) == 0
    assert scene.tree("outbox") == ["sent/sent.txt", "sent/sent.txt.toml"]


def test_what_is_posted_as_a_message_is_held(scene: Stage) -> None:
    """A message is posted at most once: whether it was is not known any more."""
    chat = scene.box.sunshine.add_conversation()
    scene.config.write_text(scene.config.read_text() + f'send = true\nconversation = "{chat.id}"\n')
    scene.drop("report.txt")
    index_of(scene).unlink()
    scene.box.forget()
    assert scene.run("sync").code == 1
    assert scene.box.count("POST", UPLOADS) == 0
    (row,) = scene.run("outbox", "ls", "--json").documents
    assert (row["state"], "not known" in row["error"]) == ("held", True)
    assert scene.run("outbox", "retry", "report.txt").code == 0
    assert scene.run("sync").code == 0
    assert len(chat.messages) == 1

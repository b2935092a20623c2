"""`files/`: what somebody else put there stays theirs, keeps nothing else back, and leads nowhere (contract 3)."""

import contextlib
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from attachsync.errors import StorageError
from attachsync.sandbox.content import Held
from attachsync.store import Store
from tests.commands import LIGHT, Stage, stage


@pytest.fixture
def lit(tmp_path: Path) -> Iterator[Stage]:
    """A stage with the light mirrored, and something new of it upstream."""
    with stage(tmp_path) as made:
        assert made.run("sync", LIGHT).code == 0
        yield made


def attach(scene: Stage, text: str, key: str = "news") -> None:
    """Attach something to the light, in place of what it has by this key."""
    ledger = scene.box.datatrails
    asset = next(one for uuid, one in ledger.assets.items() if LIGHT.endswith(uuid))
    blob = ledger.attach(ledger.add_blob(Held(text.encode()), "text/plain"), file_name=f"{key}.txt")
    ledger.add_event(asset, asset_attributes={key: blob})


def shown(scene: Stage, name: str) -> list[str]:
    """What the files of this name in `files/` hold."""
    return [path.read_text() for path in (scene.mirror / "files").rglob(name) if path.is_file()]


def entry_of(scene: Stage, name: str) -> Path:
    """The asset's own entry of this name."""
    return scene.mirror / "files" / LIGHT / name


def test_a_folder_in_the_place_of_an_entry_keeps_nothing_else_back(lit: Stage) -> None:
    """It is named, and only what it stands in the way of waits for it to be moved; `--repair` goes on as well.

    Also where bytes that are lost are shown elsewhere.
    """
    attach(lit, "old")
    attach(lit, "old", "same")
    assert lit.run("sync", LIGHT).code == 0
    entry = entry_of(lit, "news.txt")
    entry.unlink()
    (entry / "mine").mkdir(parents=True)
    cat = entry_of(lit, "cat.jpeg")
    cat.unlink()
    attach(lit, "new")
    attach(lit, "other", "more")
    done = lit.run("sync", LIGHT)
    assert done.code == 1
    assert f"{entry}: Is a directory: something else is in its place" in done.out
    assert ".attachsync/tmp" not in done.out + done.err
    assert shown(lit, "more.txt")
    digest = hashlib.sha256(b"old").hexdigest()
    lost = lit.mirror / "sha256" / digest[:2] / digest
    lost.unlink()
    done = lit.run("verify", "--repair")
    assert done.code == 1
    assert f"{entry}: Is a directory: something else is in its place, move that away" in done.err
    assert lost.exists()
    assert cat.exists()
    assert (entry / "mine").is_dir()
    shutil.rmtree(entry)
    assert lit.run("sync", LIGHT).code == 0
    assert entry.read_text() == "new"


def test_a_file_in_the_place_of_an_accounts_folder(lit: Stage) -> None:
    """What cannot be shown is told, each with what is in its way; another account is none the worse."""
    (lit.mirror / "files/archive").write_text("mine")
    done = lit.run("sync")
    assert done.code == 1
    assert f"{lit.mirror}/files/archive" in done.out
    assert (lit.mirror / "files/archive").read_text() == "mine"
    assert not [row for row in lit.run("ls", "--json", "--account", "ledger").documents if row["state"] == "failed"]


def test_links_in_files_lead_nowhere(lit: Stage, tmp_path: Path) -> None:
    """Nothing is written or removed behind them; `verify` tells of them."""
    attach(lit, "old")
    assert lit.run("sync", LIGHT).code == 0
    folder, elsewhere = entry_of(lit, "news.txt").parent, tmp_path / "elsewhere"
    folder.rename(tmp_path / "moved")
    elsewhere.mkdir()
    for name in ("news.txt", "cat.jpeg"):
        (elsewhere / name).write_text("somebody's")
    folder.symlink_to(elsewhere)
    attach(lit, "new")
    attach(lit, "more", "more")
    done = lit.run("sync", LIGHT)
    assert done.code == 1
    assert f"{folder}: Too many levels of symbolic links: something else is in its place" in done.out
    done = lit.run("verify", "--json")
    assert str(folder.relative_to(lit.mirror)) in [row["path"] for row in done.documents if row.get("kind") == "stray"]
    assert lit.run("verify", "--repair").code == 1
    lit.run("prune", f"files/{LIGHT}/news.txt", "--tracked", "--yes")
    lit.run("prune", f"files/{LIGHT}/cat.jpeg", "--tracked", "--yes")
    assert {path.name: path.read_text() for path in elsewhere.iterdir()} == {
        "news.txt": "somebody's",
        "cat.jpeg": "somebody's",
    }


def modes(root: Path) -> set[int]:
    """The modes of a folder and all folders below."""
    return {stat.S_IMODE(os.stat(folder).st_mode) for folder, _, _ in os.walk(root)}


def test_modes_that_the_config_changes_are_given_to_what_is_there(lit: Stage) -> None:
    """Of `sha256/`, of `files/`, and of one account's folders: opened, and closed again."""
    for store, files, account in (("0755", "0755", "0700"), ("0700", "0750", "0755")):
        before = lit.config.read_text()
        lit.edit("[mirror]", f'[mirror]\nstore_mode = "{store}"\ndir_mode = "{files}"')
        lit.edit("[accounts.ledger]", f'[accounts.ledger]\ndir_mode = "{account}"')
        assert lit.run("sync", LIGHT).code == 0
        assert modes(lit.mirror / "sha256") == {int(store, 8)}
        assert stat.S_IMODE((lit.mirror / "files").stat().st_mode) == int(files, 8)
        assert modes(lit.mirror / "files/ledger") == {int(account, 8)}
        lit.config.write_text(before)
    (lit.mirror / "files/ledger").chmod(0o755 | stat.S_ISGID)
    assert lit.run("sync", LIGHT).code == 0
    assert stat.S_IMODE((lit.mirror / "files/ledger").stat().st_mode) == 0o750 | stat.S_ISGID


def test_the_folders_of_an_account_that_nobody_names_any_more_stay_closed(lit: Stage) -> None:
    """Identity documents, say, whose account was taken out of the config."""
    ours = lit.mirror / "files/ledger"
    closed = '[accounts.ledger]\ndir_mode = "0700"'
    lit.edit("[accounts.ledger]", closed)
    assert lit.run("sync", LIGHT).code == 0
    text = lit.config.read_text()
    lit.config.write_text(text[: text.index("[accounts.ledger]")] + text[text.index("[accounts.archive]") :])
    tables = [table for table in lit.config.read_text().split("\n\n") if 'account = "ledger"' not in table]
    lit.config.write_text("\n\n".join(tables))
    lit.run("sync")
    assert modes(ours) == {0o700}


def test_a_part_of_the_mirror_on_another_disk_is_named(tmp_path: Path) -> None:
    """Nothing can be renamed into it."""
    if Path("/dev/shm").stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second disk")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere, contextlib.closing(Store(tmp_path)) as store:
        (tmp_path / "files").symlink_to(elsewhere)
        with pytest.raises(StorageError, match="files is on another disk"):
            store.prepare()


def test_what_somebody_left_among_temporary_files_is_swept(lit: Stage) -> None:
    """A folder, too."""
    (lit.mirror / ".attachsync/tmp/left/behind").mkdir(parents=True)
    assert lit.run("sync", LIGHT).code == 0
    assert lit.tree("mirror", ".attachsync/tmp") == []


# --- SHA256SUMS ---------------------------------------------------------------------------------------------------


def _cut(sums: Path) -> None:
    text = sums.read_text()
    sums.chmod(0o600)
    sums.write_text(text[: len(text) * 2 // 3])


def _added(sums: Path) -> None:
    sums.chmod(0o600)
    with sums.open("a") as file:
        file.write("of mine\n")


def _linked(sums: Path) -> None:
    sums.unlink()
    sums.with_name("mine").write_text("of mine\n")
    sums.symlink_to("mine")


def _removed(sums: Path) -> None:
    sums.unlink()


def test_a_folder_in_the_place_of_the_list_keeps_nothing_else_back(lit: Stage) -> None:
    """It is told once, whatever is listed, until it is moved away."""
    sums = lit.mirror / "SHA256SUMS"
    sums.unlink()
    sums.mkdir()
    attach(lit, "new")
    done = lit.run("sync", LIGHT)
    told = f"{sums}: Is a directory: something else is in its place, move that away"
    assert (done.code, done.err.count(told)) == (1, 1)
    assert shown(lit, "news.txt")
    status = lit.run("status", "--check", "--json")
    assert status.code == 1
    assert [need["what"] for need in status.documents[0]["what_to_do"]] == [told]
    assert {track["last_error"] for track in status.documents[0]["tracks"]} == {None}
    done = lit.run("prune", f"files/{LIGHT}/news.txt", "--yes")
    assert (done.code, told in done.err, entry_of(lit, "news.txt").exists()) == (1, True, False)
    assert lit.run("verify", "--repair").code == 1
    sums.rmdir()
    assert lit.run("sync", LIGHT).code == 0
    assert lit.run("verify").code == 0


@pytest.mark.parametrize("news", [False, True])
@pytest.mark.parametrize("damage", [_cut, _added, _linked, _removed])
def test_a_list_that_somebody_changed_is_written_anew(lit: Stage, damage: Any, news: bool) -> None:
    """`verify` tells of it, and the next pass mends it, whether it brings something new or not."""
    sums = lit.mirror / "SHA256SUMS"
    whole = set(sums.read_text().splitlines())
    damage(sums)
    done = lit.run("verify", "--json")
    assert done.code == 1
    assert [row["path"] for row in done.documents if row["event"] == "finding"] == ["SHA256SUMS"]
    if news:
        attach(lit, "new")
    assert lit.run(*(["sync", LIGHT] if news else ["verify", "--repair"])).code == 0
    assert not sums.is_symlink()
    found = sums.read_text().splitlines()
    assert len(found) == len(set(found))
    assert {line.partition("  ")[2] for line in found} == {row["path"] for row in lit.run("ls", "--json").documents} - {
        None
    }
    assert whole <= set(found)
    assert lit.run("verify").code == 0

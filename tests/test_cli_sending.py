"""`outbox` and `sunshine`: sending by folder and by hand (contract 4)."""

import contextlib
import os
import stat
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from attachsync import receipts
from attachsync.index import Index
from attachsync.model import Digest, Draft
from attachsync.sandbox import Fault
from tests.commands import Stage, stage


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Stage]:
    """A stage without samples: only the outbox matters."""
    with stage(tmp_path) as made:
        text = made.config.read_text()
        tracks, outbox = text.index("[[track]]"), text.index("[[outbox]]")
        made.config.write_text(text[:tracks] + text[outbox:])
        yield made


# --- outbox -------------------------------------------------------------------------------------------------------


def test_outbox_ls_of_what_waits_and_what_failed(scene: Stage) -> None:
    """A line each with state, size, file and error; --json: an object a line; what was sent is not listed."""
    assert scene.run("outbox", "ls").out == "state  size  since  file  error\n"
    scene.drop("tool.exe")
    assert scene.run("sync").code == 1
    scene.drop("later.txt", "12345")
    rows = {row["name"]: row for row in scene.run("outbox", "ls", "--json").documents}
    assert set(rows) == {"later.txt", "tool.exe"}
    assert set(rows["later.txt"]) == {"outbox", "name", "state", "size", "attempts", "error", "since"}
    assert (rows["later.txt"]["state"], rows["later.txt"]["size"]) == ("waiting", 5)
    assert (rows["tool.exe"]["state"], rows["tool.exe"]["outbox"]) == ("failed", str(scene.outbox))
    assert ".exe" in rows["tool.exe"]["error"]
    text = scene.run("outbox", "ls").out.splitlines()
    assert [line.split()[0] for line in text] == ["state", "waiting", "failed"]


def test_a_file_that_is_not_being_sent_is_not_said_to_be(scene: Stage) -> None:
    """What a killed process left, what is sent but for its receipt, what is to be tried again."""

    def said() -> str:
        (row,) = scene.run("outbox", "ls", "--json").documents
        done = scene.run("explain", "report.txt")
        assert (str(row["error"]) in done.out, "it is being sent" in done.out) == (True, False)
        return done.out

    path, now = scene.drop("report.txt"), time.time()
    draft = Draft("1", path.name, "text/plain", path.stat().st_size, Digest(""))
    (scene.mirror / ".attachsync").mkdir(parents=True)
    with contextlib.closing(Index.open(scene.mirror / ".attachsync")) as index:
        row = index.uploads.begin(str(scene.outbox), path.name, draft, now)
        assert "was interrupted; the next pass takes it up" in said()
        row = index.uploads.postpone(row, "support: HTTP 503", now, now, state="retry")
        assert "attempt 1 did not succeed: support: HTTP 503; it is tried again" in said()
        row = index.uploads.advance(row, "uploaded", now)
        assert "it is uploaded; " in said()
        for record, words in (
            ({}, "it is sent; its receipt"),
            ({receipts.FAILED_AT: "x"}, "it is refused; its record"),
        ):
            index.uploads.advance(row, "filing", now, receipt=record)
            assert f"{words} is still to be written" in said()
        index.uploads.note_trouble(str(scene.outbox), "files", "report.txt: No space left on device")
        assert "in its way: report.txt: No space left on device" in said()


def test_outbox_retry(scene: Stage) -> None:
    """A failed file, by name or whole path, comes back and is sent; unknown names exit 1."""
    (scene.outbox / "sub").mkdir()
    scene.drop("sub/report.txt")
    scene.box.faults.add(Fault(path="*/attachments", method="POST", kind="status", status=413))
    assert scene.run("sync").code == 1
    assert scene.tree("outbox", "failed") == ["sub/report.txt", "sub/report.txt.toml"]
    assert scene.run("sync").code == 0  # it is not tried again by itself
    scene.box.faults.clear()
    done = scene.run("outbox", "retry", scene.outbox / "sub" / "report.txt")
    assert (done.code, done.err) == (0, "")
    assert "will be tried again" in done.out
    done = scene.run("outbox", "retry", "--json", "none.txt")
    assert (done.code, done.documents) == (1, [{"tried_again": []}])
    assert scene.run("sync").code == 0
    assert scene.tree("outbox", "sent") == ["sub/report.txt", "sub/report.txt.toml"]
    for name in ("none.txt", "../x", "/etc/passwd", ""):
        done = scene.run("outbox", "retry", name)
        assert (done.code, "neither failed nor held in any outbox" in done.err) == (1, True)


def test_an_outbox_that_is_named_in_a_roundabout_way(scene: Stage) -> None:
    """`..` in the config: its files are known by their plain paths."""
    scene.edit(f'directory = "{scene.outbox}"', 'directory = "../outbox"')
    scene.drop("tool.exe")
    assert scene.run("sync").code == 1
    (row,) = scene.run("outbox", "ls", "--json").documents
    assert row["outbox"] == str(scene.outbox)
    assert "refused for good" in scene.run("explain", scene.outbox / "failed" / "tool.exe").out
    done = scene.run("outbox", "retry", "--json", scene.outbox / "tool.exe")
    assert (done.code, done.documents) == (0, [{"tried_again": [str(scene.outbox / "tool.exe")]}])


def test_outbox_retry_does_not_overwrite(scene: Stage) -> None:
    """Another file of that name in the outbox: exit 1, and both stay."""
    scene.drop("tool.exe")
    scene.run("sync")
    scene.drop("tool.exe", "another")
    done = scene.run("outbox", "retry", "tool.exe")
    assert done.code == 1
    assert "already has another tool.exe" in done.err
    assert scene.tree("outbox") == ["failed/tool.exe", "failed/tool.exe.toml", "tool.exe"]


def test_outbox_confirm(scene: Stage) -> None:
    """More than ten deletions at once wait; `outbox confirm` lets them go with the next pass."""
    scene.edit('settle = "50ms"', 'settle = "50ms"\npropagate_deletes = true')
    assert scene.run("outbox", "confirm").out == "no deletion waits\n"
    assert scene.run("outbox", "confirm", "--json").documents == [{"confirmed": 0}]
    for number in range(11):
        scene.drop(f"{number}.txt")
    assert scene.run("sync").code == 0
    for number in range(11):
        (scene.outbox / "sent" / f"{number}.txt").unlink()
    done = scene.run("sync")
    assert done.code == 1
    assert "11 held deletions" in done.out
    assert [row["state"] for row in scene.run("outbox", "ls", "--json").documents] == ["held deletion"] * 11
    assert scene.run("status", "--check").code == 1
    assert scene.run("outbox", "confirm").out == "11 deletions confirmed: the next pass carries them out\n"
    assert scene.run("sync").code == 0
    assert scene.box.count("POST", "*/attachments/remove") == 11
    assert scene.run("status", "--check").code == 0


def test_names_that_are_no_text_are_listed_and_left(scene: Stage) -> None:
    """A name that is not UTF-8, and one with an escape sequence, harm no terminal and no script."""
    (Path(scene.outbox) / "bad\udcff.txt").write_text("x")
    scene.drop("red\x1b[31m.txt")
    done = scene.run("sync")
    assert done.code == 1
    assert "left where it is" in done.err
    assert "\x1b" not in done.out + done.err
    assert scene.tree("outbox/sent") == ["red\x1b[31m.txt", "red\x1b[31m.txt.toml"]
    listed = scene.run("outbox", "ls")
    assert listed.code == 0
    assert "bad\\xff.txt" in listed.out
    assert "\x1b" not in listed.out
    states = {row["name"]: row["state"] for row in scene.run("outbox", "ls", "--json").documents}
    assert states == {"bad\\xff.txt": "odd"}
    for what in ("bad\udcff.txt", scene.outbox / "bad\udcff.txt", "bad\\xff.txt"):
        assert "its name is not UTF-8: rename it" in scene.run("explain", what).out
    assert scene.run("explain", "none\udcff.txt").code == 1
    done = scene.run("sunshine", "upload", scene.outbox / "bad\udcff.txt")
    assert (done.code, "its name is not UTF-8: rename it" in done.err) == (1, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "\udce9"),
        ("ls", "--track", "\udce9"),
        ("ls", "--account", "\udce9"),
        ("prune", "--dry-run", "a", "\udce9"),
        ("outbox", "retry", "\udce9"),
        ("sync", "\udce9"),
        ("track", "ledger", "asset=\udce9"),
        ("sunshine", "token", "\udce9"),
    ],
)
def test_arguments_that_are_no_text_are_wrong_usage(scene: Stage, arguments: tuple[str, ...]) -> None:
    done = scene.run(*arguments)
    assert (done.code, done.out) == (2, "")
    assert "is not UTF-8: nothing has such a name" in done.err


def test_arguments_where_the_system_knows_no_utf_8(scene: Stage) -> None:
    """They are text all the same."""
    scene.drop("é.exe")
    variables = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    assert scene.run("sync").code == 1
    with scene.process("outbox", "retry", "--json", "é.exe", **variables) as running:
        assert running.wait(10) == 0
    assert scene.tree("outbox") == ["é.exe"]


def test_a_refused_key_is_said_everywhere(scene: Stage) -> None:
    """`sync` exits 1 and names account and status; the file stays; `status` says that it needs a person."""
    (scene.config.parent / "secrets" / "support.secret").write_text("wrong\n")
    scene.drop("report.txt")
    done = scene.run("sync")
    assert done.code == 1
    assert "support: POST" in done.err
    assert "HTTP 401" in done.err
    assert scene.tree("outbox") == ["report.txt"]
    shown = scene.run("status", "--check")
    assert shown.code == 1
    assert "1 thing needs a person, see below" in shown.out
    assert "HTTP 401" in shown.out.partition("needs a person:")[2]
    (document,) = scene.run("status", "--json").documents
    assert [account["last_error"] is None for account in document["accounts"]] == [True, True, True, False]


def test_a_held_file_is_one_thing_and_says_nothing_of_its_account(scene: Stage) -> None:
    scene.edit('settle = "50ms"', 'settle = "50ms"\non_unknown = "hold"')
    scene.box.faults.add(Fault(path="*/attachments", method="POST", kind="lost", times=1))
    scene.drop("report.txt")
    assert scene.run("sync").code == 1
    (document,) = scene.run("status", "--json").documents
    assert document["needs_a_person"] == [f"{scene.outbox}: 1 held"]
    assert [account["last_error"] for account in document["accounts"]] == [None] * 4
    (row,) = scene.run("outbox", "ls", "--json").documents
    assert row["error"].startswith("support: POST")


def test_what_keeps_an_outbox_from_going_on_needs_a_person(scene: Stage) -> None:
    """A deletion that is refused, and a file where sent/ is to be: `status` says so until a pass goes well."""

    def needed() -> str:
        done = scene.run("status", "--check")
        assert done.code == ("needs a person:" in done.out)
        return done.out.partition("needs a person:")[2]

    scene.edit('settle = "50ms"', 'settle = "50ms"\npropagate_deletes = true')
    scene.box.faults.add(Fault(path="*/attachments/remove", kind="status", status=400, times=1))
    scene.drop("report.txt")
    assert scene.run("sync").code == 0
    (scene.outbox / "sent/report.txt").unlink()
    assert scene.run("sync").code == 1
    assert "report.txt could not be deleted upstream" in needed()
    assert scene.run("sync").code == 0
    assert needed() == ""
    (scene.outbox / "sent").rename(scene.outbox.parent / "elsewhere")
    (scene.outbox / "sent").write_text("in the way")
    scene.drop("report.txt")
    assert scene.run("sync").code == 1
    assert "sent: Not a directory" in needed()
    (scene.outbox / "sent").unlink()
    assert scene.run("sync").code == 0
    assert needed() == ""


# --- sunshine -----------------------------------------------------------------------------------------------------


def test_upload_and_delete_by_url(scene: Stage, tmp_path: Path) -> None:
    """`upload` prints the address; `delete` takes it; deleting twice says that it is gone and exits 1."""
    file = tmp_path / "note.txt"
    file.write_text("hello")
    done = scene.run("sunshine", "upload", file)
    assert (done.code, done.err) == (0, "")
    url = done.out.strip()
    assert url.startswith(scene.base)
    done = scene.run("sunshine", "delete", url)
    assert (done.code, done.out) == (0, f"{url}: deleted\n")
    done = scene.run("sunshine", "delete", url)
    assert (done.code, done.out) == (1, "")
    assert "no longer has it (HTTP 404)" in done.err


def test_a_conversation_that_no_config_may_name_is_wrong_usage(scene: Stage) -> None:
    done = scene.run("sunshine", "upload", scene.config, "--conversation", "c/1?x")
    assert (done.code, "must be an id of letters, digits" in done.err) == (2, True)
    assert scene.box.count("POST", "*") == 0


def test_upload_of_several_files_goes_on_after_one_that_is_refused(scene: Stage, tmp_path: Path) -> None:
    """One document with a result each; the refused one with its error; exit 1."""
    names = ("a.txt", "empty.txt", "tool.exe", "b.txt")
    for name in names:
        (tmp_path / name).write_text("" if name.startswith("empty") else name)
    done = scene.run("sunshine", "upload", *(tmp_path / name for name in names), "--json", "--access", "private")
    (rows,) = done.documents
    assert done.code == 1
    assert [("media_url" in row, "error" in row) for row in rows] == [
        (True, False),
        (False, True),
        (False, True),
        (True, False),
    ]
    assert all(row["access"] == "private" for row in rows if "access" in row)
    assert "HTTP 4" in rows[2]["error"]
    assert "support" in rows[2]["error"]
    assert scene.run("sunshine", "upload", tmp_path / "none.txt").code == 2


def test_delete_by_receipt_says_so_in_the_receipt(scene: Stage) -> None:
    """The receipt of an outbox, with all its keys, gets `deleted_at`; twice exits 1; what is no receipt is named."""
    scene.drop("report.txt").chmod(0o644)
    assert scene.run("sync").code == 0
    receipt = scene.outbox / "sent" / "report.txt.toml"
    before, mode = tomllib.loads(receipt.read_text()), stat.S_IMODE(receipt.stat().st_mode)
    assert scene.run("sunshine", "delete", receipt).code == 0
    after = tomllib.loads(receipt.read_text())
    assert {key: value for key, value in after.items() if key != "deleted_at"} == before
    assert after["deleted_at"] >= before["uploaded_at"]
    assert stat.S_IMODE(receipt.stat().st_mode) == mode
    assert scene.run("sunshine", "delete", receipt).code == 1
    for wrong in (scene.outbox / "sent" / "report.txt", scene.config, "nothing", scene.home):
        done = scene.run("sunshine", "delete", wrong)
        assert (done.code, "receipt" in done.err) == (1, True), done.err


def test_a_receipt_names_its_account(scene: Stage) -> None:
    """Of several accounts a receipt's own is taken; one of another app could not delete it, and is not asked to."""
    scene.drop("report.txt")
    assert scene.run("sync").code == 0
    receipt = scene.outbox / "sent" / "report.txt.toml"
    text = scene.config.read_text()
    table = text[text.index("[accounts.support]") : text.index("[[outbox]]")].replace("support", "second", 1)
    app = tomllib.loads(receipt.read_text())["app_id"]
    scene.config.write_text(text + table.replace(app, "another"))
    done = scene.run("sunshine", "delete", "--account", "second", receipt)
    assert (done.code, f"uploaded to app {app}" in done.err) == (1, True)
    assert "deleted_at" not in receipt.read_text()
    assert scene.run("sunshine", "delete", receipt).code == 0
    assert "deleted_at" in receipt.read_text()


def test_a_receipt_that_cannot_be_written(scene: Stage) -> None:
    """The deletion is done all the same, and the error says so."""
    scene.drop("report.txt")
    assert scene.run("sync").code == 0
    with (scene.outbox / "sent" / "report.txt.toml").open() as receipt:
        done = scene.run("sunshine", "delete", f"/proc/{os.getpid()}/fd/{receipt.fileno()}")
    assert (done.code, "deleted, but its receipt could not be told so" in done.err) == (1, True)


def test_an_upload_of_unknown_outcome(scene: Stage, tmp_path: Path) -> None:
    """The answer is lost: the error says that the file may be there."""
    file = tmp_path / "note.txt"
    file.write_text("hello")
    scene.box.faults.add(Fault(path="*/attachments", method="POST", kind="lost"))
    done = scene.run("sunshine", "upload", file)
    assert (done.code, "may be there all the same" in done.err) == (1, True)


def test_which_account(scene: Stage, tmp_path: Path) -> None:
    """One account is taken; of several, one has to be named; a wrong name and none at all are wrong usage."""
    file = tmp_path / "note.txt"
    file.write_text("hello")
    assert scene.run("sunshine", "upload", file, "--account", "support").code == 0
    done = scene.run("sunshine", "upload", file, "--account", "suport")
    assert (done.code, "did you mean 'support'?" in done.err) == (2, True)
    text = scene.config.read_text()
    table = text[text.index("[accounts.support]") : text.index("[[outbox]]")]
    scene.config.write_text(text + table.replace("support", "second", 1))
    done = scene.run("sunshine", "upload", file)
    assert (done.code, "--account support or --account second" in done.err) == (2, True)
    assert scene.run("sunshine", "upload", file, "--account", "second").code == 0
    scene.config.write_text(text[: text.index("[accounts.support]")])
    done = scene.run("sunshine", "upload", file)
    assert (done.code, "the config has no sunshine account" in done.err) == (2, True)

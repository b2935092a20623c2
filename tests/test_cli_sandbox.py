"""`sandbox` and `demo`: the main job without any account (contract 4)."""

import hashlib
import shutil
import signal
import stat
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.commands import attachsync, process, stop


def _printed(running: subprocess.Popen[str]) -> str:
    """The config that a sandbox prints, whole."""
    assert running.stdout is not None
    text = ""
    while not text.endswith('account = "support"\n\n'):
        text += running.stdout.readline()
    return text


def test_the_printed_config_works_wherever_it_is_saved(tmp_path: Path) -> None:
    """It is complete, flushed once listening, and passes `check --online` and `sync` beside and inside DIR."""
    folder, documents = tmp_path / "sb", tmp_path / "documents"
    for place in (folder, documents):
        place.mkdir()
    (documents / "thesis.txt").write_text("of the user's own")
    (folder / "outbox").symlink_to(documents)
    with process("sandbox", "--directory", folder, home=tmp_path) as running:
        text = _printed(running)
        outbox = Path(tomllib.loads(text)["outbox"][0]["directory"])
        (outbox / "hello.txt").write_text("hello")
        for place in (tmp_path, folder):
            config = place / "sandbox.toml"
            config.write_text(text)
            assert attachsync("--config", config, "check", "--online", home=tmp_path).code == 0
            done = attachsync("--config", config, "sync", home=tmp_path)
            assert (done.code, done.err) == (0, "")
        assert (outbox / "sent" / "hello.txt.toml").exists()
        assert [path.name for path in documents.iterdir()] == ["thesis.txt"]
        secrets = sorted((folder / "secrets").iterdir())
        assert secrets
        assert {stat.S_IMODE(path.stat().st_mode) for path in secrets} == {0o600}
        assert stop(running) == 0
    shutil.rmtree(outbox.parent)
    assert (tmp_path / "log").read_text() == ""


def test_the_printed_config_works_in_the_folder_for_temporary_files(tmp_path: Path) -> None:
    """Saved where DIR is by default; and a new DIR of an earlier one's name has nothing of what was dropped then.

    Where DIR has a folder `outbox`, as `demo` makes, the outbox is the same at each start, too.
    """
    outboxes: list[Path] = []
    for name in ("dropped.txt", "again.txt", "anew.txt"):
        (tmp_path / "sb" / "outbox").mkdir(parents=True, exist_ok=True)
        with process("sandbox", "--directory", tmp_path / "sb", home=tmp_path, TMPDIR=str(tmp_path)) as running:
            config = tmp_path / "sandbox.toml"
            config.write_text(_printed(running))
            outbox = Path(tomllib.loads(config.read_text())["outbox"][0]["directory"])
            outboxes.append(outbox)
            assert [path.name for path in outbox.iterdir()] == (["dropped.txt"] if name == "again.txt" else [])
            (outbox / name).write_text(name)
            assert attachsync("--config", config, "check", home=tmp_path).code == 0
            assert stop(running) == 0
        if name == "again.txt":
            shutil.rmtree(tmp_path / "sb")
    assert outboxes[0] == outboxes[1] != outboxes[2]
    for outbox in outboxes[1:]:
        shutil.rmtree(outbox.parent)


def test_ctrl_c_ends_it_and_a_second_one_on_the_same_port_is_told(tmp_path: Path) -> None:
    """Exit 0 at SIGINT; a port in use is one line and exit 1."""
    with process("sandbox", home=tmp_path, TMPDIR=str(tmp_path)) as running:
        printed = tomllib.loads(_printed(running))
        port = printed["accounts"]["ledger"]["base_url"].rpartition(":")[2]
        done = attachsync("sandbox", "--port", port, "--directory", tmp_path / "second", home=tmp_path)
        assert (done.code, done.out) == (1, "")
        assert port in done.err
        assert len(done.err.splitlines()) == 1
        assert stop(running, signal.SIGINT) == 0
    shutil.rmtree(Path(printed["outbox"][0]["directory"]).parent)


def test_demo_twice(tmp_path: Path) -> None:
    """The first run mirrors and sends, then mirrors what is new; the second says that nothing was; all exit 0."""
    home = tmp_path / "demo"
    first = attachsync("demo", home, home=tmp_path)
    assert (first.code, first.err) == (0, "")
    assert "cat.jpeg" in first.out
    assert "hello.txt.toml" in first.out
    news = [line for line in first.out.partition("Meanwhile")[2].splitlines() if ", 1 mirrored" in line]
    assert [line.partition("/")[0] for line in news] == ["ledger", "ledger", "archive", "support", "ids", "signing"]
    before = sorted((home / "mirror" / "files").rglob("*"))
    second = attachsync("demo", home, home=tmp_path)
    assert second.code == 0
    assert second.out.endswith("Nothing was new: all had been mirrored and sent before.\n")
    assert sorted((home / "mirror" / "files").rglob("*")) == before
    (said,) = attachsync("demo", home, "--json", home=tmp_path).documents
    assert (said["directory"], said["new"], said["tracks"]["signing/codes/TR99AQMY31"]) == (str(home), 0, {"stored": 1})
    for path in (home / "mirror" / "sha256").glob("*/*"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_demo_where_it_cannot_write(tmp_path: Path, place: str) -> None:
    """In words."""
    (tmp_path / "file").write_text("")
    done = attachsync("demo", tmp_path / place, home=tmp_path)
    assert done.code in (1, 2)
    assert str(tmp_path / "file") in done.err

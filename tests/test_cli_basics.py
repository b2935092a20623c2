"""`init`, `check`, `--help`, exit codes, signals and pipes: what every command has in common (contract 4)."""

import json
import os
import pwd
import re
import shlex
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from attachsync import __version__
from attachsync.cli import cli
from attachsync.cli.check import example
from attachsync.sandbox import Fault
from tests.commands import LIGHT, Stage, attachsync, environment, needs_two_users, process, stage, stop, until


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Stage]:
    """A stage of a test's own."""
    with stage(tmp_path) as made:
        yield made


# --- help ---------------------------------------------------------------------------------------------------------


def every_command(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from every_command(command, (*path, name))
        else:
            yield *path, name


@pytest.mark.parametrize("path", list(every_command(cli)), ids=lambda path: " ".join(path) or "attachsync")
def test_every_command_has_help(tmp_path: Path, path: tuple[str, ...]) -> None:
    """--help and -h: exit 0, a whole sentence, no option without an explanation; none of it needs a config."""
    done = attachsync(*path, "--help", home=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert attachsync(*path, "-h", home=tmp_path).out == done.out
    assert done.out.startswith("Usage: attachsync " + " ".join((*path, "[OPTIONS]")))
    assert re.search(r"\n  [A-Z][^\n]+", done.out)
    assert "..." not in done.out.replace("[ARGS]...", "").replace("]...", "")  # no summary is cut short
    options = done.out.partition("Options:\n")[2].partition("\n\n")[0]
    starts = re.findall(r"^  (-.*)$", options, re.MULTILINE)
    assert all("  " in start or len(start) > 25 for start in starts)


def test_version(tmp_path: Path) -> None:
    """The package's own."""
    assert attachsync("--version", home=tmp_path).out == f"attachsync, version {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["synk"], "Did you mean"),
        (["sync", "--dryrun"], "--dry-run"),
        (["ls", "--state", "fine"], "'stored'"),
        (["show"], "Missing argument 'WHAT'"),
        (["sandbox", "--port", "70000"], "0<=x<=65535"),
    ],
)
def test_wrong_usage(tmp_path: Path, arguments: list[str], hint: str) -> None:
    """Exit 2, on standard error, with a hint."""
    done = attachsync(*arguments, home=tmp_path)
    assert (done.code, done.out) == (2, "")
    assert hint in done.err


# --- init, check --------------------------------------------------------------------------------------------------


def test_init_writes_the_example_for_its_owner_only(tmp_path: Path) -> None:
    """Mode 0600, at the user's place or where it is told to; the next step is said."""
    done = attachsync("init", home=tmp_path)
    target = tmp_path / ".config" / "attachsync" / "config.toml"
    assert (done.code, done.err) == (0, "")
    assert f"{target} written" in done.out
    assert "attachsync check --online" in done.out
    assert target.read_text() == example()
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    other = tmp_path / "a folder" / "c.toml"
    done = attachsync("init", other, home=tmp_path)
    assert f"attachsync --config '{other}' check" in done.out
    assert other.read_text() == example()
    assert attachsync("init", "--json", tmp_path / "x", home=tmp_path).documents == [{"config": str(tmp_path / "x")}]


def test_init_leaves_an_existing_file_alone(tmp_path: Path) -> None:
    """Exit 1, and not a byte of it changes; a dangling link is not followed either."""
    target = tmp_path / "config.toml"
    target.write_text("mine")
    done = attachsync("init", target, home=tmp_path)
    assert (done.code, done.out) == (1, "")
    assert "exists already; left as it is" in done.err
    assert target.read_text() == "mine"
    link = tmp_path / "link.toml"
    link.symlink_to(tmp_path / "nowhere")
    assert attachsync("init", link, home=tmp_path).code == 1
    assert not (tmp_path / "nowhere").exists()
    assert attachsync("init", target / "below", home=tmp_path).code == 1


@needs_two_users
def test_a_config_that_this_user_cannot_read(open_path: Path) -> None:
    """A wrong config, however it is named; `init` leaves it alone."""
    file = open_path / "config.toml"
    file.touch(mode=0o600)
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    for arguments, variables, code in (
        (("--config", file, "check"), {}, 78),
        (("check",), {"ATTACHSYNC_CONFIG": str(file)}, 78),
        (("init", file), {}, 1),
    ):
        with process(*arguments, home=open_path, before=nobody, **variables) as running:
            assert running.wait(10) == code


def test_check(scene: Stage) -> None:
    """What the config has; nothing is written, no service is asked."""
    before = scene.tree()
    done = scene.run("check")
    assert (done.code, done.err) == (0, "")
    assert done.out == f"{scene.config}: 4 accounts, 4 tracks, 1 outbox: no faults\n"
    assert scene.tree() == before
    assert len(scene.box.requests) == 0
    assert scene.run("check", "--json").documents[0]["ok"] is True
    scene.edit("[mirror]", "[mirror]\nlnik = 1")
    done = scene.run("check", "--json")
    assert (done.code, done.documents) == (78, [{"ok": False, "faults": done.err.splitlines()}])


def test_check_online(scene: Stage) -> None:
    """Every account and every track gets a line; an account without credentials is not asked for any."""
    done = scene.run("check", "--online")
    assert (done.code, done.err) == (0, "")
    rows = [line for line in done.out.splitlines() if line.startswith("ok    ")]
    assert len(rows) == 8
    assert "ok    account public: has no credentials: for public assets only" in rows
    (document,) = scene.run("check", "--online", "--json").documents
    assert [row["ok"] for row in document["online"]] == [True] * 8


def test_check_online_names_what_cannot_be_reached(scene: Stage) -> None:
    """A refused token and an asset that is not there: exit 1, each with the HTTP status."""
    scene.box.datatrails.revoke_tokens()
    absent = "00000000-0000-4000-8000-000000000000"
    scene.edit("3ea5aca3-da02-4bae-b6d0-85a5ab586ed6", absent)
    done = scene.run("check", "--online")
    assert done.code == 1
    failed = [line for line in done.out.splitlines() if line.startswith("FAIL")]
    assert len(failed) == 4
    assert re.match(r"FAIL  account ledger: GET .*: HTTP 401", failed[0])
    assert re.match(rf"FAIL  track archive/assets/{absent}: GET .*: HTTP 404", failed[3])


# --- who may, when ------------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who must not write into other people's mirrors")
def test_root_keeps_out_of_the_mirror_of_another_user(scene: Stage) -> None:
    """Exit 78, with the sudo line to use."""
    scene.mirror.mkdir()
    os.chown(scene.mirror, pwd.getpwnam("nobody").pw_uid, -1)
    for command in ("sync", "run", "ls", "verify"):
        done = scene.run(command)
        assert done.code == 78
        assert f"sudo -u nobody attachsync --config {scene.config} {command}\n" in done.err
    done = attachsync("sync", "--json", home=scene.home, ATTACHSYNC_CONFIG=str(scene.config))  # which sudo drops
    assert f"sudo -u nobody attachsync --config {scene.config} sync --json\n" in done.err
    with scene.process("ls") as running:  # `python -m attachsync`
        assert running.wait(10) == 78
    assert (
        f"sudo -u nobody {sys.executable} -m attachsync --config {scene.config} ls\n"
        in (scene.home / "log").read_text()
    )


def test_an_index_of_another_version_and_a_moved_mirror(scene: Stage) -> None:
    """Told in words, exit 1; nothing is touched."""
    assert scene.run("sync", LIGHT).code == 0
    (scene.mirror / ".attachsync" / "marker").write_text("another\n")
    done = scene.run("sync", LIGHT)
    assert done.code == 1
    assert "is its disk mounted?" in done.err
    (scene.mirror / ".attachsync" / "index.sqlite3").write_bytes(b"no database at all" * 100)
    for command in ("ls", "status", "verify"):
        done = scene.run(command)
        assert (done.code, "the index is damaged" in done.err) == (1, True), done.err


# --- signals and pipes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_pass_that_is_interrupted(scene: Stage, number: int, code: int) -> None:
    """130 and 143, quickly, without a traceback, nothing half-written; the next pass does the rest."""
    scene.box.faults.add(Fault(path="*/blobs/*", kind="hang"), Fault(path="*/attachments/*", kind="hang"))
    with scene.process("sync", LIGHT) as running:
        until(lambda: scene.box.requests.arrived(path="*/attachments/*") + scene.box.requests.arrived(path="*/blobs/*"))
        (document,) = scene.run("status", "--json").documents
        assert document["daemon"]["running"] is False
        assert document["daemon"]["holder"].startswith("`attachsync sync` (process ")
        copies = [
            Path(f"/proc/{pid}") for pid in Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
        ]
        assert len(copies) == min(len(os.sched_getaffinity(0)), 2)  # couriers that need not load what it has loaded
        assert {(copy / "cmdline").read_bytes() for copy in copies} == {
            Path(f"/proc/{running.pid}/cmdline").read_bytes()
        }
        assert stop(running, number) == code
        assert not any(copy.exists() for copy in copies)
    assert "Traceback" not in (scene.home / "log").read_text()
    assert scene.tree("mirror", "sha256") == []
    scene.box.faults.clear()
    assert scene.run("sync", LIGHT).code == 0


def test_commands_that_only_look_end_with_143_too(scene: Stage) -> None:
    """The exit code says it, also where a signal would."""
    assert scene.run("sync", LIGHT).code == 0
    with scene.process("follow", "--json") as running:
        assert json.loads(running.stdout.readline())
        assert stop(running) == 143


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("| head -1", ""),
        ("--json > /dev/full", "attachsync: standard output: No space left on device; nothing more is said there\n"),
    ],
)
def test_a_pass_does_not_need_anybody_to_read_of_it(scene: Stage, way: str, said: str) -> None:
    """All is mirrored, and it says so by its exit code."""
    given = shlex.join([sys.executable, "-m", "attachsync", "--config", str(scene.config), "sync"])
    command = ["bash", "-c", f"set -o pipefail; {given} {way}"]
    done = subprocess.run(command, env=environment(scene.home), capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, said)
    assert scene.run("sync").code == 0
    assert {row["state"] for row in scene.run("ls", "--json").documents} == {"stored"}


@pytest.mark.parametrize("way", ["2> /dev/full", "2> >(:)"])
def test_nor_to_hear_of_its_trouble(scene: Stage, way: str) -> None:
    """The other accounts are mirrored; and a wrong config is one."""
    (scene.config.parent / "secrets" / "ledger.secret").write_text("Authorization: Bearer wrong\n")
    given = shlex.join([sys.executable, "-m", "attachsync", "--config", str(scene.config), "sync"])
    for code, text in ((1, ""), (78, "[wrong]\n")):
        scene.config.write_text(scene.config.read_text() + text)
        command = ["bash", "-c", f"{given} {way}"]
        done = subprocess.run(command, env=environment(scene.home), capture_output=True, timeout=60, check=False)
        assert done.returncode == code
    scene.edit("[wrong]\n", "")
    states = {(row["account"], row["state"]) for row in scene.run("ls", "--json").documents}
    assert states == {("archive", "stored"), ("public", "stored")}


@pytest.mark.parametrize("command", ["ls", "sync"])
def test_results_that_cannot_be_written_are_no_results(scene: Stage, command: str) -> None:
    """There is nothing that `sync` tells of as it goes: all is there."""
    assert scene.run("sync").code == 0
    with Path("/dev/full").open("w") as full:
        given = [sys.executable, "-m", "attachsync", "--config", str(scene.config), command]
        done = subprocess.run(
            given, env=environment(scene.home), stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert (done.returncode, done.stderr) == (1, "attachsync: cannot write: No space left on device\n")


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_are_no_trouble(scene: Stage, closed: str) -> None:
    """Nor does the mirror get what is written to them."""
    given = shlex.join([sys.executable, "-m", "attachsync", "--config", str(scene.config)])
    for command in ("sync", "ls"):
        line = ["bash", "-c", f"{given} {command} {closed}"]
        done = subprocess.run(line, env=environment(scene.home), capture_output=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
    assert {row["state"] for row in scene.run("ls", "--json").documents} == {"stored"}


@pytest.mark.parametrize("command", ["ls", "verify"])
def test_a_reader_that_leaves_is_no_error(scene: Stage, command: str) -> None:
    """`ls | head -1` says nothing on standard error, whatever there was to list."""
    assert scene.run("sync").code == 0
    for number in range(300):
        (scene.mirror / "files" / f"stray {number}").write_text("")
    argv = [sys.executable, "-m", "attachsync", "--config", str(scene.config), command, "--json"]
    with subprocess.Popen(argv, env=environment(scene.home), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert json.loads(running.stdout.readline())
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait(10) == 0

"""The shipped unit's restrictions: how good they are, and that attachsync does all it does under them."""

import json
import os
import platform
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from attachsync.sandbox import write_config
from tests.commands import Stage, process, stage, stop, until
from tests.confined import MACHINES, denied
from tests.namespaces import needs_namespaces, within

UNIT = Path(__file__).parents[1] / "systemd" / "attachsync.service"
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
needs_filter = pytest.mark.skipif(platform.machine() not in MACHINES, reason="the filter knows x86_64 and aarch64")
READ_ONLY = """mount --bind "$p1" "$p1"; mount --bind "$p2" "$p2"; "$p3" -m tests.confined --read-only
mount -o remount,bind,rw "$p1"; mount -o remount,bind,rw "$p2"; cd ."""
PROBE = """
import ctypes, mmap, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *values):
    if getattr(libc, name)(*values) < 0:
        raise OSError(ctypes.get_errno(), name)
open(sys.argv[1] + "/writable", "w").close()
tries = {
    "mount": lambda: call("mount", b"none", b"/mnt", b"tmpfs", 0, None),
    "unshare": lambda: call("unshare", 0x10000000),
    "ptrace": lambda: call("ptrace", 0, 0, None, None),
    "chroot": lambda: os.chroot("/"),
    "chown": lambda: os.chown(sys.argv[1] + "/writable", os.getuid(), os.getgid()),
    "setuid": lambda: os.setuid(os.getuid()),
    "nice": lambda: os.setpriority(os.PRIO_PROCESS, 0, 19),
    "netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
    "packet": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
    "set-user-id": lambda: os.chmod(sys.argv[1] + "/writable", 0o4755),
    "write+exec": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC),
    "elsewhere": lambda: open(sys.argv[2] + "/elsewhere", "w"),
}
for name, attempt in tries.items():
    try:
        attempt()
    except OSError:
        continue
    print(name)
"""


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Stage]:
    with stage(tmp_path) as made:
        made.mirror.mkdir(0o700)
        yield made


def confining(scene: Stage) -> tuple[str, ...]:
    """What goes before a command that is to be confined: only mirror and outbox can be written."""
    mounts = within(READ_ONLY, scene.mirror, scene.outbox, Path(sys.executable))
    return (*mounts, "setpriv", "--bounding-set=-all", "--inh-caps=-all", sys.executable, "-m", "tests.confined")


@needs_filter
@needs_namespaces
def test_the_confinement_of_these_tests_is_real(scene: Stage) -> None:
    """Nothing of what the unit forbids is possible."""
    command = [*confining(scene), sys.executable, "-c", PROBE, str(scene.mirror), str(scene.home)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=UNIT.parents[1])
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_filter
@needs_namespaces
def test_the_daemon_does_all_it_does_when_it_is_confined(scene: Stage) -> None:
    """It mirrors from all services, sends, is reloaded and looked at, and stops in order."""
    scene.drop("report.txt")
    log = scene.home / "log"
    path = os.pathsep.join([str(UNIT.parents[1]), os.environ.get("PYTHONPATH", "")])
    with scene.process("run", before=confining(scene), PYTHONPATH=path) as running:
        until(lambda: "running" in log.read_text())
        until((scene.outbox / "sent/report.txt.toml").exists)
        until(lambda: len(scene.run("ls", "--json", "--state", "stored").documents) > 20, 30)
        scene.edit('settle = "50ms"', 'settle = "60ms"')
        until(lambda: "config_reloaded" in log.read_text())
        assert stop(running) == 0
    said = [json.loads(line) for line in log.read_text().splitlines()]
    assert [row for row in said if row["level"] == "error"] == []
    assert [row for row in said if row["event"] == "link_fallback"] == []
    scene.run("sync")  # what the stop cut short
    done = scene.run("verify")
    assert (done.code, done.err) == (0, ""), done.out


# --- private ------------------------------------------------------------------------------------------------------


def test_nothing_is_readable_by_others_at_any_moment(scene: Stage) -> None:
    """The process has a tight umask whatever it inherits, so no file can begin open; nothing is opened later either."""
    whole = scene.home / "whole"
    whole.mkdir()
    config = whole / "config.toml"
    config.write_text(write_config(scene.box, scene.base, whole, scene.home / "drop"))
    (scene.home / "drop/.report").write_text("quarterly\n")
    (scene.home / "drop/.report").chmod(0o600)  # its receipt is for those who may read it
    (scene.home / "drop/.report").rename(scene.home / "drop/report.txt")
    open_to_all = ("sh", "-c", 'umask 000; exec "$@"', "sh")
    with process("--config", config, "run", home=scene.home, before=open_to_all) as running:
        until(lambda: re.search(r"^Umask:\s+0077$", Path(f"/proc/{running.pid}/status").read_text(), re.M))
        until((scene.home / "drop/sent/report.txt.toml").exists)
        until(lambda: scene.box.count("POST", "/trinsic/*/attachments/exchange"))
        assert stop(running) == 0
    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in (whole / "mirror").rglob("*")}
    modes |= {path: stat.S_IMODE(path.lstat().st_mode) for path in (scene.home / "drop/sent").rglob("*")}
    assert len(modes) > 40
    assert [path for path, mode in modes.items() if mode & 0o007] == []
    own = (whole / "mirror/.attachsync", whole / "mirror/sha256", *(whole / "mirror/files").glob("ids*"))
    assert len(own) >= 3
    for folder in own:
        assert modes[folder] == 0o700
    kept = [mode for path, mode in modes.items() if path.is_relative_to(own[0])]
    assert [oct(mode) for mode in kept if mode & 0o077 and mode != 0o440] == []


# --- the unit -----------------------------------------------------------------------------------------------------


@needs_systemd
def test_the_unit_scores_well() -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(UNIT)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    found = re.search(r"Overall exposure level for attachsync.service: ([\d.]+)", done.stdout)
    assert found is not None, done.stderr
    assert float(found[1]) <= 1.5


@needs_systemd
def test_the_unit_is_sound(tmp_path: Path) -> None:
    """A copy is checked: ExecStart's file has to exist."""
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/opt/attachsync/bin/attachsync", sys.executable))
    done = subprocess.run(["systemd-analyze", "verify", str(copy)], check=False, capture_output=True, text=True)
    assert UNIT.name not in done.stderr, done.stderr


@needs_systemd
@needs_filter
def test_what_the_unit_allows_is_not_refused_here_and_the_other_way_round() -> None:
    """The filter of these tests refuses nothing that systemd's allows."""
    allowed: set[str] = set()
    for given in re.findall(r"^SystemCallFilter=(.*)$", UNIT.read_text(), re.M):
        calls = {call for group in given.lstrip("~").split() for call in expanded(group)}
        allowed = allowed - calls if given.startswith("~") else allowed | calls
    assert "openat" in allowed
    assert denied() & allowed <= {"personality", "unshare", "setns"}  # LockPersonality=, RestrictNamespaces=


def expanded(name: str) -> Iterator[str]:
    """A group of system calls, whole."""
    if not name.startswith("@"):
        yield name
        return
    done = subprocess.run(["systemd-analyze", "syscall-filter", name], check=True, capture_output=True, text=True)
    for line in done.stdout.splitlines()[1:]:
        if not line.strip().startswith("#"):
            yield from expanded(line.strip())

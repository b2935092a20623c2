"""`run`: the daemon as a process of its own (contract 3 and 4)."""

import contextlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from attachsync.sandbox import Fault
from attachsync.sandbox.content import Held
from tests.commands import LIGHT, Stage, stage, stop, until

ARCHIVED = "archive/assets/3ea5aca3-da02-4bae-b6d0-85a5ab586ed6"
RECEIPT = {
    "account", "file_name", "sha256", "size", "media_type", "uploaded_at", "attempts", "possible_orphan",
    "media_url", "app_id", "access",
}  # fmt: skip


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Stage]:
    """A stage whose config tracks two small assets."""
    with stage(tmp_path) as made:
        text = made.config.read_text()
        every, public = text.index("[[track]]"), text.rindex("[[track]]")
        two = text[text.index("[[track]]", every + 1) : public]
        made.config.write_text(text[:every] + two + text[text.index("[[outbox]]") :])
        yield made


def events(scene: Stage, *names: str) -> list[Any]:
    """What the daemon logged, one JSON object a line."""
    log = scene.home / "log"
    rows = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return [row for row in rows if not names or row["event"] in names]


@contextlib.contextmanager
def daemon(scene: Stage, **variables: str) -> "Iterator[subprocess.Popen[str]]":
    """A daemon that runs."""
    before = len(events(scene, "running"))
    with scene.process("run", **variables) as running:
        until(lambda: len(events(scene, "running")) > before)
        yield running


def mirrored(scene: Stage, track: str = LIGHT) -> bool:
    """Whether the four attachments of the light are there."""
    return len(scene.run("ls", "--json", "--state", "stored", "--track", track).documents) >= 3


def state_of(scene: Stage, track: str) -> Any:
    (document,) = scene.run("status", "--json").documents
    return next(row for row in document["tracks"] if row["name"] == track)


# --- the main job -------------------------------------------------------------------------------------------------


def test_it_mirrors_and_sends_and_keeps_its_secrets(scene: Stage) -> None:
    """A file written slowly is uploaded once and whole; its receipt has every key; nobody reads a secret anywhere."""
    scene.edit('settle = "50ms"', 'settle = "1s"')
    with daemon(scene) as running:
        with scene.drop("slow.txt", "").open("w") as slow:
            for number in range(30):
                slow.write(f"line {number}\n")
                slow.flush()
                time.sleep(0.1)  # this is the slow writer, not a wait
            assert scene.box.count("POST", "*/attachments") == 0
        receipt = scene.outbox / "sent" / "slow.txt.toml"
        until(receipt.exists)
        until(lambda: mirrored(scene) and mirrored(scene, ARCHIVED))
        assert stop(running) == 0
        output = running.stdout.read() if running.stdout else ""
    assert scene.box.count("POST", "*/attachments") == 1
    sent = tomllib.loads(receipt.read_text())
    assert set(sent) == RECEIPT
    assert (sent["account"], sent["file_name"], sent["size"]) == ("support", "slow.txt", len(_lines()))
    assert (scene.outbox / "sent" / "slow.txt").read_text() == _lines()
    assert sent["uploaded_at"].tzinfo is not None
    assert scene.tree("outbox") == ["sent/slow.txt", "sent/slow.txt.toml"]
    _no_secret(scene, output)


def _lines() -> str:
    return "".join(f"line {number}\n" for number in range(30))


def _no_secret(scene: Stage, output: str) -> None:
    """Secrets and the tokens had for them are in memory only: neither printed, logged nor kept."""
    secrets = {path.read_text().split()[-1].encode() for path in (scene.config.parent / "secrets").iterdir()}
    assert len(secrets) >= 3
    kept = [path for path in scene.mirror.rglob("*") if path.is_file()]
    kept += [scene.home / "log", *(path for path in scene.outbox.rglob("*") if path.is_file())]
    assert any(path.name == "index.sqlite3" for path in kept)
    for text in (output.encode(), *(path.read_bytes() for path in kept)):
        assert not [secret for secret in secrets if secret in text]
        assert b"Bearer" not in text


def test_a_second_one_is_held_off_and_readers_work(scene: Stage) -> None:
    """`run`, `sync` and `verify --repair` exit 75 and say who holds the mirror; the others work beside it."""
    with daemon(scene) as running:
        until(lambda: mirrored(scene))
        for command in (["run"], ["sync"], ["sync", LIGHT], ["verify", "--repair"]):
            done = scene.run(*command)
            assert (done.code, done.out) == (75, ""), done.err
            held = rf"attachsync: {re.escape(str(scene.mirror))} is held by `attachsync run` \(process {running.pid} on"
            assert re.match(held, done.err), done.err
        for command in (["status"], ["ls"], ["check"], ["sync", "--dry-run"], ["outbox", "ls"], ["verify"]):
            done = scene.run(*command)
            assert (done.code, done.err) == (0, "")
        shown = scene.run("status").out
        assert re.search(
            rf"^daemon +running for \d+s \(process {running.pid} on .*\); next pass in ", shown, re.MULTILINE
        )
        assert state_of(scene, LIGHT)["next_pass"] is not None
        assert stop(running) == 0
    assert scene.run("sync").code == 0


def seconds_to_stop(scene: Stage, number: int) -> float:
    """Of a daemon that downloads and sends."""
    scene.box.forget()
    with daemon(scene) as running:
        until(lambda: scene.box.requests.arrived("POST", "/sunshine/*/attachments"))
        until(lambda: scene.box.requests.arrived("GET", "*/attachments/*"))
        began = time.monotonic()
        assert stop(running, number) == 0
        return time.monotonic() - began


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_within_five_seconds_whatever_hangs(scene: Stage, number: int) -> None:
    """Exit 0 with downloads and an upload hanging; nothing half-written is visible, and nothing is lost."""
    scene.box.faults.add(
        Fault(path="*/attachments/*", kind="drip", method="GET", every=1),
        Fault(path="*/blobs/*", kind="hang"),
        Fault(path="/sunshine/*/attachments", kind="hang", method="POST"),
    )
    scene.drop("report.txt")
    spans = (seconds_to_stop(scene, number) for _ in range(3))  # a busy machine may take its time, once
    assert any(span < 5 for span in spans)
    assert events(scene)[-1]["event"] == "stopped"
    assert scene.tree("outbox") == ["report.txt"]
    assert scene.tree("mirror", "sha256") == []
    scene.box.faults.clear()
    assert scene.run("sync").code == 0
    assert tomllib.loads((scene.outbox / "sent" / "report.txt.toml").read_text())["possible_orphan"] is True


# --- reload -------------------------------------------------------------------------------------------------------


def third(scene: Stage) -> str:
    """The table of a further track: the public asset."""
    return (
        '[[track]]\naccount = "public"\nasset = "208c5282-750e-4302-86f8-eb751de89005"\npublic = true\nname = "card"\n'
    )


def test_a_saved_config_is_taken_over_and_a_wrong_one_is_not(scene: Stage) -> None:
    """Within about a second; a refused one is reported with its faults, and the old one stays in force."""
    with daemon(scene) as running:
        scene.edit("[[outbox]]", third(scene) + "[[outbox]]")
        until(lambda: events(scene, "config_reloaded"), 3)
        (change,) = events(scene, "config_changed")
        assert (change["account"], change["track"], change["change"]) == ("public", "card", "added")
        until(lambda: mirrored(scene, "card"))
        scene.edit('name = "card"', 'nam = "card"')
        until(lambda: events(scene, "config_refused"), 3)
        (refused,) = events(scene, "config_refused")
        assert any("track[3].nam: is not a known key" in fault for fault in refused["faults"])
        scene.drop("after.txt")
        until((scene.outbox / "sent" / "after.txt.toml").exists)
        beside = scene.config.parent / "config.d"
        beside.mkdir()
        scene.edit('nam = "card"', 'name = "card"')
        (beside / "more.toml").write_text(third(scene).replace('"card"', '"card again"'))
        until(lambda: len(events(scene, "running")) >= 3 and events(scene, "running")[-1]["tracks"] == 4, 5)
        assert stop(running) == 0


def test_no_config_that_is_saved_ends_it(scene: Stage) -> None:
    """Not even one of which Python itself has enough."""
    good, loop = scene.config.read_text(), scene.home / "loop"
    loop.symlink_to(loop)
    odd = {
        "too many digits": f"x = {'9' * 5000}\n{good}",
        "nested too deep": f"x = {'[' * 5000}{']' * 5000}\n{good}",
        "is not a folder": good.replace(str(scene.outbox), str(loop)),
        "an http or https URL": good.replace("[accounts.ledger]", '[accounts.ledger]\nproxy = "http://p:99999"'),
        "is no file": good.replace("[accounts.ledger]", '[daemon]\nmetrics_textfile = "/"\n[accounts.ledger]'),
    }
    with daemon(scene) as running:
        for fault, text in odd.items():
            scene.config.write_text(text)
            running.send_signal(signal.SIGHUP)
            until(lambda fault=fault: fault in str(events(scene, "config_refused")))
        assert stop(running) == 0


def test_sighup_re_reads_the_config(scene: Stage) -> None:
    """Also one that the watcher would not see; what needs a restart is said and stays."""
    with daemon(scene) as running:
        scene.edit(f'directory = "{scene.mirror}"', f'directory = "{scene.home}/elsewhere"\nmax_size = "1GiB"')
        running.send_signal(signal.SIGHUP)
        until(lambda: events(scene, "config_reloaded"), 3)
        (needed,) = events(scene, "restart_needed")
        assert (needed["key"], needed["now"]) == ("mirror.directory", str(scene.mirror))
        assert needed["saved"] == f"{scene.home}/elsewhere"
        (change,) = events(scene, "config_changed")
        assert change["change"] == "mirror.max_size: 2GiB -> 1GiB"
        until(lambda: len(events(scene, "running")) == 2)
        assert stop(running) == 0
    assert not (scene.home / "elsewhere").exists()


def test_sigusr1_starts_a_pass_now(scene: Stage) -> None:
    """Long before the interval is over, a new attachment is there."""
    with daemon(scene) as running:
        until(lambda: state_of(scene, LIGHT)["last_complete"])
        until(lambda: mirrored(scene))
        ledger = scene.box.datatrails
        asset = next(one for uuid, one in ledger.assets.items() if LIGHT.endswith(uuid))
        blob = ledger.add_blob(Held(b"just now"), "text/plain")
        ledger.add_event(asset, event_attributes={"news": ledger.attach(blob, file_name="news.txt")})
        running.send_signal(signal.SIGUSR1)
        until(lambda: [name for name in scene.tree("mirror", "files") if name.endswith("/news.txt")])
        assert stop(running) == 0


# --- systemd ------------------------------------------------------------------------------------------------------


def test_the_handshake_with_systemd(scene: Stage) -> None:
    """READY after the start, RELOADING and READY around a reload (a refused one too), WATCHDOG meanwhile, STOPPING."""
    address = str(scene.home / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(address)
        channel.settimeout(5)
        seen: list[str] = []

        def heard(state: str) -> str:
            while not (seen and seen[-1].split("\n")[0] == state):
                seen.append(channel.recv(4096).decode())
            return seen[-1]

        with daemon(scene, NOTIFY_SOCKET=address, WATCHDOG_USEC="200000") as running:
            assert heard("READY=1").startswith("READY=1\nSTATUS=tracks: 2, ")
            assert len(seen) == 1
            heard("WATCHDOG=1")
            heard("WATCHDOG=1")
            scene.edit('settle = "50ms"', 'settle = "60ms"')
            before = time.monotonic_ns() // 1000
            found = re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=(\d+)", heard("RELOADING=1"))
            assert found is not None
            assert before <= int(found[1]) <= time.monotonic_ns() // 1000
            assert heard("READY=1").startswith("READY=1\nSTATUS=tracks: 2, ")
            running.send_signal(signal.SIGHUP)  # as ExecReload does; nothing changed
            heard("RELOADING=1")
            assert "config unchanged" in heard("READY=1")
            scene.edit('settle = "60ms"', "settle = true")
            heard("RELOADING=1")
            assert "the old one stays in force" in heard("READY=1")
            heard("WATCHDOG=1")
            running.send_signal(signal.SIGTERM)
            heard("STOPPING=1")
            assert running.wait(5) == 0
    kinds = [state.split("\n")[0] for state in seen if not state.startswith("WATCHDOG")]
    assert kinds == ["READY=1", *["RELOADING=1", "READY=1"] * 3, "STOPPING=1"]


def test_a_start_that_fails_never_says_ready(scene: Stage) -> None:
    """A wrong config exits 78 at once: the unit's RestartPreventExitStatus."""
    address = str(scene.home / "notify")
    scene.edit("[mirror]", "[miror]")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(address)
        channel.setblocking(False)
        done = scene.run("run", NOTIFY_SOCKET=address)
        with pytest.raises(BlockingIOError):
            channel.recv(1)
    assert done.code == 78
    assert "miror: is not a known key; did you mean 'mirror'?" in done.err
    unit = Path(__file__).parents[1] / "systemd" / "attachsync.service"
    assert "RestartPreventExitStatus=78" in unit.read_text()


def test_log_lines_for_the_journal(scene: Stage) -> None:
    """Where standard error is the journal's stream, a priority and logfmt, without times of our own."""
    log = scene.home / "log"
    log.touch()
    stream = f"{log.stat().st_dev}:{log.stat().st_ino}"
    with scene.process("run", JOURNAL_STREAM=stream) as running:
        until(lambda: "running" in log.read_text())
        until(lambda: mirrored(scene))
        assert stop(running) == 0
    lines = log.read_text().splitlines()
    assert all(re.match(r"<[3-7]>event=\w+ ", line + " ") for line in lines)
    assert any(line.startswith("<6>event=mirrored account=ledger track=ledger/assets/") for line in lines)


def test_a_stream_that_is_not_the_journal_gets_no_priorities(scene: Stage) -> None:
    """$JOURNAL_STREAM is inherited by whoever is started with its standard error elsewhere."""
    with daemon(scene, JOURNAL_STREAM="9:9") as running:
        assert stop(running) == 0
    assert events(scene, "stopped")[0]["level"] == "info"


def test_another_log_format_is_taken_over(scene: Stage) -> None:
    """Without a restart."""
    with daemon(scene) as running:
        scene.edit("[accounts.ledger]", '[daemon]\nlog_format = "console"\n[accounts.ledger]')
        log = scene.home / "log"
        until(lambda: re.search(r"^\[info +\] running ", log.read_text(), re.MULTILINE), 5)
        assert stop(running) == 0
    assert "daemon.log_format: auto -> console" in log.read_text()


def test_what_it_makes_is_private(scene: Stage) -> None:
    """State and store are for their owner; files/ as `dir_mode` says."""
    with daemon(scene) as running:
        until(lambda: mirrored(scene))
        assert stop(running) == 0
    modes = {name: stat.S_IMODE(os.stat(scene.mirror / name).st_mode) for name in (".attachsync", "sha256", "files")}
    assert modes == {".attachsync": 0o700, "sha256": 0o700, "files": 0o750}

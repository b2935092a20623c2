"""Metrics and `/healthz` of a running daemon (contract 2, `[daemon]`)."""

import json
import re
import shutil
import signal
import socket
import stat
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from attachsync import config as configs
from attachsync.clock import Clock
from attachsync.metrics import Metrics
from attachsync.observer import Observer
from tests.commands import Stage, stage, until


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Stage]:
    with stage(tmp_path) as made:
        yield made


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def asked(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except urllib.error.URLError:
        return 0, ""


def _times(text: str) -> str:
    """When each track was listed whole."""
    return "\n".join(line for line in text.splitlines() if "last_complete_pass_timestamp_seconds{" in line)


def value(text: str, name: str, **labels: str) -> float:
    """The sum of the samples of a metric that have these labels."""
    found = [
        float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if re.match(rf"{name}[{{ ]", line) and all(f'{key}="{label}"' in line for key, label in labels.items())
    ]
    assert found, f"{name} {labels} in\n{text}"
    return sum(found)


def test_what_a_daemon_exposes(scene: Stage) -> None:
    """By state, track and outbox; no secret; the same in the text file, which is never seen half-written."""
    port, file = free_port(), scene.home / "attachsync.prom"
    scene.edit("[mirror]", f'[daemon]\nmetrics = "127.0.0.1:{port}"\nmetrics_textfile = "{file}"\n[mirror]')
    base = f"http://127.0.0.1:{port}"
    scene.drop("report.txt")
    with scene.process("run") as daemon:
        until((scene.outbox / "sent/report.txt").exists)
        until(lambda: asked(f"{base}/healthz")[0] == 200)
        until(lambda: "} 0.0" not in _times(asked(f"{base}/metrics")[1]))
        until(lambda: not scene.run("ls", "--state", "waiting", "--json").documents)
        text = asked(f"{base}/metrics")[1]
        stored = len(scene.run("ls", "--state", "stored", "--json").documents)
        assert value(text, "attachsync_attachments", state="stored") == stored
        assert value(text, "attachsync_attachments_settled_total", state="stored") >= stored
        assert value(text, "attachsync_outbox_sent_total", account="support") == 1
        assert value(text, "attachsync_track_last_complete_pass_timestamp_seconds", track="ledger/assets/*") > 1.7e9
        assert value(text, "attachsync_store_free_bytes") > 0
        assert value(text, "attachsync_received_bytes_total") > 1000
        assert "process_resident_memory_bytes" in text
        assert not re.search(r"bearer|secret|puk_|X-Amz", text)
        assert 'attachsync_build_info{version="' in file.read_text()
        assert stat.S_IMODE(file.stat().st_mode) == 0o644
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(5) == 0
    assert asked(f"{base}/healthz")[0] == 0


def test_what_is_stale_is_so_by_one_config(scene: Stage) -> None:
    """Another one may be taken over while it is looked up, in its thread."""
    before = configs.load(scene.config, {})
    patient = replace(before, daemon=replace(before.daemon, stale_after=1e9), tracks=before.tracks[:1])

    class Reloading(Clock):
        """At its third look at the time the daemon has another config."""

        looks = 0

        def now(self) -> float:
            self.looks += 1
            if self.looks == 3:
                metrics.config = patient
            return self.looks * 1e6

    metrics = Metrics(before, Observer(), Reloading())
    assert metrics.stale() == [track.name for track in before.tracks]
    assert metrics.stale() == []


def test_healthz_fails_when_data_is_stale(scene: Stage) -> None:
    """A service that does not answer any more, for longer than `stale_after`; over a socket."""
    socket_path = scene.home / "metrics.sock"
    scene.edit("[mirror]", f'[daemon]\nmetrics = "unix:{socket_path}"\nstale_after = "1s"\ninterval = "1s"\n[mirror]')
    scene.box.datatrails.revoke_tokens()

    def health() -> tuple[int, str]:
        done = subprocess.run(
            ["curl", "-s", "-w", "\n%{http_code}", "--unix-socket", str(socket_path), "http://x/healthz"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        body, _, code = done.stdout.rpartition("\n")
        return int(code or 0), body

    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    with scene.process("run") as daemon:
        until(lambda: health()[0] == 503)
        stale = json.loads(health()[1])["stale"]
        assert "ledger/assets/*" in stale
        assert not any(name.startswith("support") for name in stale)
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(5) == 0
    assert not socket_path.exists()


def test_a_place_that_is_taken_stops_nothing(scene: Stage) -> None:
    """It is told; the mirror goes on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        scene.edit("[mirror]", f'[daemon]\nmetrics = "127.0.0.1:{one.getsockname()[1]}"\n[mirror]')
        with scene.process("run") as daemon:
            until(lambda: "metrics_not_served" in (scene.home / "log").read_text())
            until((scene.mirror / "SHA256SUMS").exists)
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(5) == 0


@pytest.mark.slow
def test_promtool_finds_no_fault(scene: Stage) -> None:
    """Debian's package prometheus has it."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed")
    port = free_port()
    scene.edit("[mirror]", f'[daemon]\nmetrics = "127.0.0.1:{port}"\n[mirror]')
    with scene.process("run") as daemon:
        until(lambda: asked(f"http://127.0.0.1:{port}/metrics")[0] == 200)
        text = asked(f"http://127.0.0.1:{port}/metrics")[1]
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(5)
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")

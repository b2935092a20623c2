"""What is shipped for systemd, Prometheus and Grafana: their own tools accept it, and it names what there is."""

import json
import os
import pwd
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from attachsync import config as configs
from attachsync.clock import Clock
from attachsync.metrics import Metrics
from attachsync.observer import Observer
from tests.commands import stage

ROOT = Path(__file__).parents[1]
SYSTEMD, DOCS = ROOT / "systemd", ROOT / "docs"
UNITS = ["attachsync.service", "attachsync-sync.service", "attachsync-sync.timer", "user/attachsync.service"]


def needs(tool: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(tool) is None, reason=f"needs {tool}")


def verified(name: str, home: Path, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """What systemd-analyze says of a unit beside its neighbours, attachsync replaced by what is on every machine."""
    unit = SYSTEMD / name
    for one in (*unit.parent.glob("*.service"), *unit.parent.glob("*.timer")):
        said = text if text is not None and one == unit else one.read_text()
        (home / one.name).write_text(re.sub(r"(?m)^(ExecStart=)\S+", r"\1/bin/true", said))
    whose = ["--user"] if name.startswith("user/") else []
    return subprocess.run(
        ["systemd-analyze", *whose, "verify", "--man=no", home / unit.name],
        env={**os.environ, "XDG_RUNTIME_DIR": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )


@needs("systemd-analyze")
@pytest.mark.parametrize("name", UNITS)
def test_systemd_accepts_the_unit(tmp_path: Path, name: str) -> None:
    """Without a word; and it does say one of a key that does not exist."""
    done = verified(name, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    section = "[Timer]" if name.endswith(".timer") else "[Service]"
    text = (SYSTEMD / name).read_text().replace(section, f"{section}\nNoSuchKey=yes")
    assert "NoSuchKey" in verified(name, tmp_path, text).stderr


def settings(name: str) -> set[str]:
    lines = (SYSTEMD / name).read_text().splitlines()
    return {line for line in lines if "=" in line and not line.startswith("#")}


def test_the_pass_of_the_timer_is_confined_as_the_daemon_is() -> None:
    """Whatever the daemon's unit denies, the other denies too; they differ in how they are started only."""
    start = re.compile(r"(Description|Type|NotifyAccess|Exec|Restart|Timeout|Watchdog|WantedBy)")
    daemon, once = (
        {line for line in settings(name) if not start.match(line)}
        for name in ("attachsync.service", "attachsync-sync.service")
    )
    assert daemon == once
    assert len(daemon) > 25


@pytest.mark.parametrize("name", ["attachsync.service", "user/attachsync.service"])
def test_the_unit_says_what_run_does(name: str) -> None:
    """Notifies by itself, is reloaded by SIGHUP, is fed a watchdog, and is not started again with a wrong config."""
    assert settings(name) >= {
        "Type=notify",
        "NotifyAccess=main",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "WatchdogSec=120",
        "RestartPreventExitStatus=78",
        "UMask=0077",
        "NoNewPrivileges=yes",
    }


@needs("systemd-sysusers")
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make a user below another root")
def test_sysusers_makes_the_user(tmp_path: Path) -> None:
    """The user and the group that the units name, without a shell."""
    folder = tmp_path / "etc"
    folder.mkdir()
    argv = ["systemd-sysusers", f"--root={tmp_path}", "-"]
    text = (SYSTEMD / "sysusers.d" / "attachsync.conf").read_text()
    subprocess.run(argv, input=text, capture_output=True, text=True, check=True)
    (user,) = (line for line in (folder / "passwd").read_text().splitlines() if line.startswith("attachsync:"))
    assert user.split(":")[5:] == ["/var/lib/attachsync", "/usr/sbin/nologin"]
    assert re.search(r"^attachsync:", (folder / "group").read_text(), re.MULTILINE)
    assert {"User=attachsync", "Group=attachsync"} <= settings("attachsync.service")


@needs("systemd-tmpfiles")
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give folders to others")
def test_tmpfiles_makes_the_folders(tmp_path: Path) -> None:
    """Secrets are for nobody but their user, and nothing is open to everybody but the config's own folder."""
    text = (SYSTEMD / "tmpfiles.d" / "attachsync.conf").read_text()
    nobody = pwd.getpwnam("nobody")
    text = text.replace("attachsync attachsync -", f"{nobody.pw_uid} {nobody.pw_gid} -")
    text = text.replace("root       attachsync -", f"root {nobody.pw_gid} -")
    file = tmp_path / "attachsync.conf"
    file.write_text(text)
    subprocess.run(["systemd-tmpfiles", f"--root={tmp_path}", "--create", file], capture_output=True, check=True)
    found = {
        str(path.relative_to(tmp_path)): (f"{path.stat().st_mode & 0o7777:o}", path.stat().st_uid == 0)
        for place in ("etc/attachsync", "var/lib/attachsync")
        for path in (tmp_path / place, *(tmp_path / place).iterdir())
    }
    assert found == {
        "etc/attachsync": ("755", True),
        "etc/attachsync/config.d": ("770", True),
        "etc/attachsync/secrets": ("700", False),
        "var/lib/attachsync": ("750", False),
        "var/lib/attachsync/outbox": ("2770", False),
    }


# --- metrics ------------------------------------------------------------------------------------------------------


@pytest.fixture
def exposed(tmp_path: Path) -> dict[str, set[str]]:
    """Each metric that a daemon exposes, and the labels that it has."""
    with stage(tmp_path, full=False) as scene:
        metrics = Metrics(configs.load(scene.config, {}), Observer(), Clock())
        metrics.observer.track_ended("ledger", "one", "")
        text = generate_latest(metrics.registry).decode()
    names = {
        f"{name}_total" if kind == "counter" and not name.endswith("_total") else name: set[str]()
        for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE)
    }
    for name, labels in re.findall(r"^(\w+)\{(.*)\} ", text, re.MULTILINE):
        names.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return names


def test_alerts_and_dashboard_name_metrics_that_there_are(exposed: dict[str, set[str]]) -> None:
    """A renamed metric would leave an alert that never fires."""
    alerts = (DOCS / "alerts.yml").read_text()
    asked = re.findall(r"^\s+expr: (.*)$", alerts, re.MULTILINE)
    panels = json.loads((DOCS / "dashboard.json").read_text())["panels"]
    asked += [target["expr"] for panel in panels for target in panel["targets"]]
    assert len(asked) >= 20
    for expression in asked:
        names = re.findall(r"attachsync_\w+", expression)
        assert names
        assert set(names) <= set(exposed), expression
    labels = set.union(*exposed.values()) | {"state"}
    assert set(re.findall(r"\$labels\.(\w+)", alerts)) <= labels


def test_every_metric_of_our_own_is_alerted_of_or_shown(exposed: dict[str, set[str]]) -> None:
    """Or is known to be for other uses."""
    shown = (DOCS / "alerts.yml").read_text() + (DOCS / "dashboard.json").read_text()
    unused = {name for name in exposed if name.startswith("attachsync_") and not re.search(rf"{name}\b", shown)}
    created = {name for name in unused if name.endswith("_created")}
    assert unused - created == {"attachsync_attachments_removed", "attachsync_track_last_pass_timestamp_seconds"}


def test_what_alerts_compare_has_the_same_labels(exposed: dict[str, set[str]]) -> None:
    """Or says which of them count: else nothing is ever equal, and the alert never fires."""
    rules = re.findall(r"^\s+expr: (.*)$", (DOCS / "alerts.yml").read_text(), re.MULTILINE)
    compared = [sides for sides in (re.split(r" (?:and|or|unless) ", rule) for rule in rules) if len(sides) > 1]
    assert compared
    for first, *others in compared:
        (labels,) = (exposed[name] for name in re.findall(r"attachsync_\w+", first))
        for other in others:
            (theirs,) = (exposed[name] for name in re.findall(r"attachsync_\w+", other))
            ignored = re.match(r"ignoring\((.*?)\)", other)
            left_out = set(ignored[1].split(", ")) if ignored else set()
            assert labels - left_out == theirs - left_out, other


@pytest.mark.slow
@needs("promtool")
def test_prometheus_accepts_the_alerts() -> None:
    """By its own tool."""
    done = subprocess.run(
        ["promtool", "check", "rules", DOCS / "alerts.yml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr

"""A config that is saved while the daemon runs: noticed wherever it is, taken over whole or not at all (contract 2)."""

import contextlib
import fcntl
import os
import signal
import socket
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from attachsync.sandbox import Fault
from tests.commands import LIGHT, Stage, process, stop, until
from tests.test_daemon import daemon, events, mirrored, scene, third  # noqa: F401


@pytest.fixture
def elsewhere(scene: Stage) -> Iterator[Path]:  # noqa: F811
    """A folder that another process has locked, as an attachsync does with its outbox."""
    folder = scene.home / "elsewhere"
    folder.mkdir()
    descriptor = os.open(folder, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    yield folder
    os.close(descriptor)


def runs(scene: Stage) -> list[Any]:  # noqa: F811
    return events(scene, "running")


# --- what cannot be opened ----------------------------------------------------------------------------------------


def test_a_config_that_cannot_be_opened_leaves_the_old_one_in_force(scene: Stage, elsewhere: Path) -> None:  # noqa: F811
    """Its outbox is another's: said, and the daemon goes on; once it is free, asking again takes it over."""
    more = f'\n[[outbox]]\ndirectory = "{elsewhere}"\naccount = "support"\n'
    old = scene.config.read_text()
    with daemon(scene) as running:
        save(scene.config, old + more)
        until(lambda: len(runs(scene)) == 2)
        (refused,) = events(scene, "config_refused")
        assert refused["faults"] == [f"another attachsync holds the outbox {elsewhere}: stop it first"]
        assert (runs(scene)[-1]["outboxes"], events(scene, "config_reloaded")) == (1, [])
        scene.drop("after.txt")
        until((scene.outbox / "sent" / "after.txt.toml").exists)
        save(scene.config, old)
        until(lambda: events(scene, "config_mended"))
        elsewhere.rename(scene.home / "away")
        elsewhere.mkdir()
        save(scene.config, old + more)
        until(lambda: len(runs(scene)) == 3)
        assert runs(scene)[-1]["outboxes"] == 2
        assert events(scene, "config_reloaded")
        assert stop(running) == 0


def save(path: Path, text: str) -> None:
    """Save a config, whole."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)


def test_while_the_mirror_is_away_nothing_is_made_in_its_place(scene: Stage) -> None:  # noqa: F811
    """Neither config can be opened: it waits, and goes on with the saved one when the mirror is back."""
    state = scene.home / "state"
    state.mkdir(0o700)
    scene.edit("[mirror]", f'[mirror]\nstate_directory = "{state}"')
    with daemon(scene) as running:
        until(lambda: mirrored(scene))
        scene.mirror.rename(scene.home / "away")
        scene.mirror.mkdir()
        scene.edit("[[outbox]]", third(scene) + "[[outbox]]")
        until(lambda: events(scene, "not_running"))
        assert "is its disk mounted?" in events(scene, "not_running")[0]["error"]
        assert list(scene.mirror.iterdir()) == []
        scene.mirror.rmdir()
        (scene.home / "away").rename(scene.mirror)
        running.send_signal(signal.SIGUSR1)
        until(lambda: len(runs(scene)) == 2)
        assert (runs(scene)[-1]["tracks"], len(events(scene, "config_reloaded"))) == (3, 1)
        until(lambda: mirrored(scene, "card"))
        scene.mirror.rename(scene.home / "away")
        scene.edit(third(scene), "")
        until(lambda: len(events(scene, "not_running")) == 2)
        assert stop(running) == 0
    assert not scene.mirror.exists()


def test_a_call_to_look_while_nothing_can_be_opened_is_one_try(scene: Stage) -> None:  # noqa: F811
    """Each try is told to systemd; the next one comes after a rest."""
    scene.edit("[mirror]", f'[mirror]\nstate_directory = "{scene.home / "state"}"')
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(scene.home / "notify"))
        channel.settimeout(10)
        with daemon(scene, NOTIFY_SOCKET=str(scene.home / "notify")) as running:
            scene.mirror.rename(scene.home / "away")
            scene.mirror.mkdir()
            scene.edit('settle = "50ms"', 'settle = "60ms"')
            tries = (said for said in iter(lambda: channel.recv(4096), b"") if b"STATUS=waits: " in said)
            next(tries)
            running.send_signal(signal.SIGUSR1)
            next(tries)
            channel.settimeout(0.5)
            with pytest.raises(TimeoutError):
                next(tries)
            assert stop(running) == 0


# --- what has faults ----------------------------------------------------------------------------------------------


def test_a_secret_may_come_later_than_the_config_that_names_it(scene: Stage) -> None:  # noqa: F811
    """What was refused for the want of it is taken over when it is there, without another save."""
    secret = scene.config.parent / "secrets" / "late"
    old = scene.config.read_text()
    more = '\n[accounts.late]\nservice = "datatrails"\ntoken_file = "secrets/late"\n'
    with daemon(scene) as running:
        save(scene.config, old + more)
        until(lambda: events(scene, "config_refused"))
        secret.touch(mode=0o600)
        secret.write_text("a-token\n")
        until(lambda: events(scene, "config_reloaded"))
        assert len(events(scene, "config_refused")) == 1
        save(scene.config, old + "[[nothing]]\n")
        until(lambda: len(events(scene, "config_refused")) == 2)
        save(scene.config, old + more)
        until(lambda: events(scene, "config_mended"))
        assert stop(running) == 0


# --- what is under way --------------------------------------------------------------------------------------------


def test_an_upload_that_does_not_end_keeps_no_saved_config_waiting(scene: Stage) -> None:  # noqa: F811
    """It is cut, said to have been, and begun anew; another file goes meanwhile."""
    scene.box.faults.add(Fault(path="/sunshine/*/attachments", kind="hang", method="POST", times=1))
    scene.drop("report.txt")
    with daemon(scene) as running:
        until(lambda: scene.box.requests.arrived("POST", "/sunshine/*/attachments"))
        scene.edit("[[outbox]]", third(scene) + "[[outbox]]")
        until(lambda: mirrored(scene, "card"))
        until((scene.outbox / "sent" / "report.txt.toml").exists)
        assert stop(running) == 0
    receipt = tomllib.loads((scene.outbox / "sent" / "report.txt.toml").read_text())
    assert (receipt["attempts"], receipt["possible_orphan"]) == (2, True)


def test_a_stop_lets_an_upload_end_that_takes_a_moment(scene: Stage) -> None:  # noqa: F811
    """What it came to need not be found out then. It takes longer than a saved config would wait (`HASTE`)."""
    scene.box.faults.add(Fault(path="/sunshine/*/attachments", kind="drip", method="POST", size=60, every=0.7))
    scene.drop("report.txt")
    with daemon(scene) as running:
        until(lambda: scene.box.requests.arrived("POST", "/sunshine/*/attachments"))
        assert stop(running) == 0
    assert scene.run("sync").code == 0
    receipt = tomllib.loads((scene.outbox / "sent" / "report.txt.toml").read_text())
    assert (receipt["attempts"], receipt["possible_orphan"]) == (1, False)


def test_a_stop_does_not_wait_until_a_large_file_is_hashed(scene: Stage) -> None:  # noqa: F811
    """That takes minutes with this one, which has holes only."""
    folder = scene.home / "trail"
    folder.mkdir()
    with (folder / "huge.bin").open("wb") as huge:
        huge.truncate(96 * 1024**3)
    asset = LIGHT.rpartition("/")[2]
    scene.edit("[[outbox]]", f'[[outbox]]\ndirectory = "{folder}"\naccount = "ledger"\nasset = "{asset}"\n\n[[outbox]]')
    with daemon(scene) as running:
        until(lambda: any(str(folder / "huge.bin") == target for target in opened(running.pid)))
        assert stop(running, within=20) == 0


def opened(process: int) -> list[str]:
    """What a process has open."""
    found = []
    for one in Path(f"/proc/{process}/fd").iterdir():
        with contextlib.suppress(OSError):
            found.append(os.readlink(one))
    return found


# --- what is noticed ----------------------------------------------------------------------------------------------


def kubernetes(scene: Stage) -> tuple[Path, Callable[[str], None]]:  # noqa: F811
    """A mounted ConfigMap: a link to a link, of which the latter is replaced."""
    folder = scene.config.parent / "mounted"
    folder.mkdir()

    def published(text: str) -> None:
        fresh = folder / f"..{len(list(folder.iterdir()))}"
        fresh.mkdir()
        (fresh / "config.toml").write_text(text)
        (folder / "..tmp").symlink_to(fresh.name)
        (folder / "..tmp").rename(folder / "..data")

    (folder / "config.toml").symlink_to("..data/config.toml")
    return folder / "config.toml", published


def linked(scene: Stage) -> tuple[Path, Callable[[str], None]]:  # noqa: F811
    """A link to a file elsewhere, which is saved."""
    real, link = scene.home / "real.toml", scene.config.parent / "linked" / "config.toml"
    link.parent.mkdir()
    link.symlink_to(real)
    return link, lambda text: save(real, text)


def beside(scene: Stage) -> tuple[Path, Callable[[str], None]]:  # noqa: F811
    """A link in config.d to a file elsewhere, which is saved."""
    folder, real = scene.config.parent / "beside", scene.home / "more.toml"
    (folder / "config.d").mkdir(parents=True)
    (folder / "config.d" / "more.toml").symlink_to(real)

    def put(text: str) -> None:
        if (folder / "config.toml").exists():
            save(real, third(scene))
        else:
            real.touch()
            save(folder / "config.toml", text)

    return folder / "config.toml", put


def replaced(scene: Stage) -> tuple[Path, Callable[[str], None]]:  # noqa: F811
    """A folder that takes the place of the config's."""
    folder = scene.config.parent / "replaced"

    def put(text: str) -> None:
        fresh = scene.config.parent / "fresh"
        fresh.mkdir()
        (fresh / "config.toml").write_text(text)
        if folder.exists():
            folder.rename(folder.with_name("old"))
        fresh.rename(folder)

    return folder / "config.toml", put


@pytest.mark.parametrize("way", [kubernetes, linked, beside, replaced])
def test_a_save_is_noticed_wherever_the_config_is(
    scene: Stage,  # noqa: F811
    way: Callable[[Stage], tuple[Path, Callable[[str], None]]],
) -> None:
    """Links, and folders that are replaced, hide none."""
    old = scene.config.read_text().replace('"secrets/', f'"{scene.config.parent}/secrets/')
    path, put = way(scene)
    put(old)
    with process("--config", path, "run", home=scene.home) as running:
        until(lambda: runs(scene))
        put(old.replace("[[outbox]]", third(scene) + "[[outbox]]"))
        until(lambda: events(scene, "config_reloaded"), 3)
        assert stop(running) == 0


# --- the very beginning -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_while_it_is_about_to_start(scene: Stage, number: int) -> None:  # noqa: F811
    """The config, a pipe, is being read."""
    scene.config.unlink()
    os.mkfifo(scene.config)
    with scene.process("run") as running, scene.config.open("w"):
        assert stop(running, number) == 0

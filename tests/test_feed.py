"""The change feed: `follow`, and hooks that are told of it (contract 2 and 4)."""

import contextlib
import hashlib
import hmac
import json
import os
import shlex
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import stamina
from aiohttp import web

from attachsync.sandbox import Fault
from attachsync.sandbox.serve import LOOPBACK
from tests.commands import Stage, stage, until
from tests.ledgers import DOWNLOADS, Ledgers


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Stage]:
    with stage(tmp_path) as made:
        yield made


@pytest.fixture
def few_tries() -> Iterator[None]:
    """What fails is tried twice, at once."""
    with stamina.set_testing(True, attempts=2):
        yield


# --- follow ---------------------------------------------------------------------------------------------------------


def told(scene: Stage, *arguments: str) -> list[Any]:
    done = scene.run("follow", "--once", "--json", *arguments)
    assert done.code == 0
    return done.documents


def test_every_change_once_with_a_cursor_that_survives(scene: Stage) -> None:
    """Nothing before the first pass; then each attachment and dropped file; from a cursor on, only what came after."""
    assert told(scene) == []
    scene.drop("report.txt")
    scene.run("sync")
    first = told(scene)
    assert {one["event"] for one in first} == {"mirrored", "sent"}
    stored = scene.run("ls", "--state", "stored", "--json").documents
    shown = {(one["track"], one["key"], one["sha256"]) for one in stored}
    assert {(one["track"], one["key"], one["sha256"]) for one in first if one["event"] == "mirrored"} == shown
    (sent,) = [one for one in first if one["event"] == "sent"]
    assert (sent["account"], sent["file"], sent["path"]) == ("support", "report.txt", "sent/report.txt")
    assert len({one["cursor"] for one in first}) == len(first) == len(stored) + 1
    scene.run("sync")
    assert told(scene) == first
    assert told(scene, "--since", first[2]["cursor"]) == first[3:]
    trail = scene.box.datatrails
    trail.add_event(
        next(iter(trail.assets.values())), {"n": trail.attach(trail.add_blob(b"new", "text/plain"), file_name="n.txt")}
    )
    scene.run("sync")
    news = told(scene, "--since", first[-1]["cursor"])
    assert {(one["event"], Path(one["path"]).name) for one in news} == {("mirrored", "n.txt")}
    assert scene.run("follow", "--once", "--since", first[-1]["cursor"]).out.count("n.txt") == len(news)


@pytest.mark.parametrize(("cursor", "code"), [("nonsense", 2), ("1", 2), ("00000000-5", 1)])
def test_a_cursor_that_is_none(scene: Stage, cursor: str, code: int) -> None:
    """Wrong usage; or of an index that is no more."""
    scene.run("sync")
    done = scene.run("follow", "--since", cursor)
    assert done.code == code
    assert cursor in done.err


def test_it_waits_for_what_comes(scene: Stage) -> None:
    """Started before there is a mirror; each line arrives whole; it ends by Ctrl-C."""
    with scene.process("follow", "--json") as following:
        scene.run("sync", "ledger/assets/*")
        assert json.loads(following.stdout.readline())["event"] == "mirrored"
        following.send_signal(signal.SIGINT)
        assert following.wait(10) == 130


async def test_what_fails_turns_bad_changes_or_goes(ledger: Ledgers) -> None:
    """One change for each turn of events, however often it is tried."""
    trail = ledger.box.datatrails
    blob = trail.add_blob(b"one", "text/plain", scanned="SCANNED_OK")
    asset = trail.add_asset({"a": trail.attach(blob, file_name="a.txt")})
    ledger.tracks += "events = false\n"
    for path in (DOWNLOADS, "/datatrails/archivist/v1/blobs/*"):
        ledger.box.faults.add(Fault(path=path, kind="status", status=403))
    for _ in range(2):
        await ledger.sync()
    ledger.box.faults.clear()
    await ledger.sync()
    fresh = trail.add_blob(b"two", "text/plain", scanned="SCANNED_OK")
    trail.add_event(asset, {}, {"a": trail.attach(fresh, file_name="a.txt")})
    await ledger.sync()
    with ledger.index() as index:
        changes = index.changes.since(None, 99)
        assert index.changes.behind(str(changes[0]["cursor"])) == len(changes) - 1
    assert [one["event"] for one in changes] == ["failed", "mirrored", "changed"]
    assert "403" in str(changes[0]["reason"])


# --- hooks ----------------------------------------------------------------------------------------------------------


def hooked(one: Ledgers, command: str, more: str = "") -> None:
    line = json.dumps(["sh", "-c", command])
    one.tracks += f'events = false\n[[hook]]\non = ["mirrored", "changed"]\ncommand = {line}\n{more}'


def attach(one: Ledgers, *names: str) -> None:
    trail = one.box.datatrails
    for name in names:
        trail.add_asset({"a": trail.attach(trail.add_blob(name.encode(), "text/plain"), file_name=name)})


async def test_a_command_gets_each_change_once(ledger: Ledgers) -> None:
    """On standard input and in its environment; what it need not know is not there."""
    out = ledger.root / "out"
    attach(ledger, *(f"{number} 'é\".txt" for number in range(9)))
    os.environ["NOTIFY_SOCKET"] = "/nowhere"
    try:
        hooked(ledger, f'cat > "{out}-$ATTACHSYNC_SHA256"; env >> "{out}-$ATTACHSYNC_SHA256"')
        await ledger.sync()
        await ledger.sync()
    finally:
        del os.environ["NOTIFY_SOCKET"]
    assert len(list(ledger.root.glob("out-*"))) == 9
    assert all(path.read_text().count("ATTACHSYNC_CURSOR") == 1 for path in ledger.root.glob("out-*"))
    for path in ledger.root.glob("out-*"):
        document, _, environment = path.read_text().partition("}")
        event = json.loads(document + "}")
        data = (Path(event["mirror"]) / event["path"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == event["sha256"] == path.name.removeprefix("out-")
        assert f"ATTACHSYNC_PATH={event['path']}" in environment
        assert "NOTIFY_SOCKET" not in environment
    for path in ledger.root.glob("out-*"):
        path.unlink()
    attach(ledger, "new.txt")
    await ledger.sync()
    (path,) = ledger.root.glob("out-*")
    assert "new.txt" in path.read_text()


@pytest.mark.usefixtures("few_tries")
@pytest.mark.parametrize("trouble", ["exit 7", "sleep 60", "/nowhere/at/all"])
async def test_what_a_hook_did_not_take_is_given_to_it_again(ledger: Ledgers, trouble: str) -> None:
    """It fails, hangs or is not there: the mirror is whole all the same, and the next pass tries again."""
    out, good = ledger.root / "out", ledger.root / "good"
    attach(ledger, "a.txt", "b.txt")
    hooked(ledger, f"test -e {good} || {trouble}; cat >> {out}", 'timeout = "300ms"\n')
    if trouble.startswith("/"):
        ledger.tracks = ledger.tracks.replace('"sh"', json.dumps(str(ledger.root / "shell")))
    summary, _ = await ledger.sync()
    assert not summary.incomplete
    assert len(ledger.shown()) == 2
    assert trouble == "exit 7" or not out.exists() or out.read_text() == ""
    out.unlink(missing_ok=True)
    good.touch()
    (ledger.root / "shell").symlink_to("/bin/sh")
    await ledger.sync()
    assert out.read_text().count('"event"') == 2


@contextlib.asynccontextmanager
async def listener() -> AsyncIterator[tuple[list[tuple[bytes, str]], list[int], str]]:
    """A server that takes posts: what came with which signature, the statuses to answer first, its address."""
    came: list[tuple[bytes, str]] = []
    statuses: list[int] = []

    async def take(request: web.Request) -> web.Response:
        assert request.path_qs == "/take/?to=us"
        came.append((await request.read(), request.headers.get("X-Attachsync-Signature-256", "")))
        return web.Response(status=statuses.pop(0) if statuses else 204)

    app = web.Application()
    app.router.add_post("/take/", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, 0).start()
    try:
        yield came, statuses, f"http://{LOOPBACK}:{runner.addresses[0][1]}/take/?to=us"
    finally:
        await runner.cleanup()


@pytest.mark.usefixtures("few_tries")
async def test_what_is_posted_is_signed(ledger: Ledgers) -> None:
    """HMAC-SHA256 of the body with the secret; an error of the receiver's is tried again."""
    attach(ledger, "a.txt")
    (ledger.root / "hook").write_text("hush\n")
    (ledger.root / "hook").chmod(0o600)
    async with listener() as (came, statuses, url):
        statuses.append(503)
        ledger.tracks += f'events = false\n[[hook]]\non = ["mirrored"]\nurl = "{url}"\nsecret_file = "hook"\n'
        await ledger.sync()
    assert len(came) == 2
    assert came[0] == came[1]
    body, signature = came[0]
    assert signature == "sha256=" + hmac.new(b"hush", body, hashlib.sha256).hexdigest()
    assert json.loads(body)["event"] == "mirrored"


def test_a_command_that_does_not_read_has_taken_it(scene: Stage) -> None:
    """`true` ends, and closes its input, before it was written to: it is given each event once all the same."""
    heard = scene.home / "heard"
    tables = "".join(
        f'[[hook]]\non = ["mirrored"]\ncommand = {json.dumps(command)}\n'
        for command in (["true"], ["sh", "-c", f"exec <&-; echo >>{heard}"])
    )
    scene.config.write_text(scene.config.read_text() + tables)
    assert scene.run("sync").code == 0
    assert len(heard.read_text()) == len(told(scene))
    done = scene.run("sync")
    assert (done.code, done.err) == (0, "")


def test_a_hook_that_hangs_holds_nothing_up(scene: Stage) -> None:
    """The daemon mirrors on, and stops at once; the event was not taken, so it comes again."""
    out = scene.home / "out"
    command = json.dumps(["sh", "-c", f"echo came >> {shlex.quote(str(out))}; exec sleep 600"])
    with scene.config.open("a") as config:
        config.write(f'\n[[hook]]\non = ["mirrored"]\ncommand = {command}\n')
    with scene.process("run") as daemon:
        until(out.exists)
        until(lambda: len(scene.run("ls", "--state", "stored", "--json").documents) > 40)
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(5) == 0
    out.unlink()
    with scene.process("run") as daemon:
        until(out.exists)
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(5) == 0

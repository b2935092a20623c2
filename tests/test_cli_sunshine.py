"""`sunshine token` and `sunshine cookie`, and what other commands say of conversations (contract 4)."""

import http.cookiejar
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from attachsync.sandbox import Fault
from attachsync.sandbox.sample_chat import CONVERSATION, USER
from attachsync.sandbox.sunshine import APP_ID, Media
from tests.commands import Stage, stage

ROOT = f"/apps/{APP_ID}"


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Stage]:
    """A stage with the sample conversation, which is the only thing tracked."""
    with stage(tmp_path) as made:
        text = made.config.read_text()
        tracks, outbox = text.index("[[track]]"), text.index("[[outbox]]")
        track = f'[[track]]\naccount = "support"\nuser = "{USER}"\n'
        made.config.write_text(text[:tracks] + track + text[outbox:])
        yield made


def private(scene: Stage, name: str = "secret.txt") -> Media:
    """A private file of old, which only a cookie opens."""
    scene.box.sunshine.legacy_urls = scene.box.sunshine.cookie_only = True
    return scene.box.sunshine.add_media(b"secret", name, "text/plain", CONVERSATION, private=True)


def test_token_prints_one_a_line(scene: Stage) -> None:
    """Of the whole app, or of the paths asked for; --json: with their paths. They are nowhere else."""
    done = scene.run("sunshine", "token")
    assert (done.code, done.err) == (0, "")
    assert scene.box.sunshine.access.opens(done.out.strip()) == ROOT
    paths = (f"{ROOT}/conversations/{CONVERSATION}", ROOT)
    done = scene.run("sunshine", "token", *paths)
    assert [scene.box.sunshine.access.opens(line) for line in done.out.splitlines()] == list(paths)
    (rows,) = scene.run("sunshine", "token", *paths, "--json").documents
    assert [row["path"] for row in rows] == list(paths)
    assert all(scene.box.sunshine.access.opens(row["token"]) == row["path"] for row in rows)


def test_what_tokens_are_refused_for(scene: Stage) -> None:
    """A path that is none is wrong usage; what the service refuses exits 1, with what may be the reason."""
    assert scene.run("sunshine", "token", "https://media.smooch.io/apps/1").code == 2
    done = scene.run("sunshine", "token", "/apps/another")
    assert (done.code, "HTTP 400" in done.err) == (1, True)
    fault = Fault(path="*/attachments/token", kind="status", status=404)
    scene.box.faults.add(fault)
    done = scene.run("sunshine", "cookie")
    assert (done.code, done.out, "legacy" in done.err) == (1, "", True)
    scene.box.faults.clear()
    for value in ({}, {"tokens": []}, {"tokens": {ROOT: "a\nb"}}, []):
        scene.box.faults.add(Fault(path="*/attachments/token", kind="json", value=value))
        done = scene.run("sunshine", "token")
        assert (done.code, done.out) == (1, "")
        assert "support" in done.err
        scene.box.faults.clear()


def test_cookie_prints_a_netscape_file(scene: Stage, tmp_path: Path) -> None:
    """Python reads it, with flags and path; two paths give two cookies; --json says the same."""
    paths = (f"{ROOT}/conversations/{CONVERSATION}", ROOT)
    done = scene.run("sunshine", "cookie", *paths)
    assert (done.code, done.err) == (0, "")
    file = tmp_path / "printed.txt"
    file.write_text(done.out)
    jar = http.cookiejar.MozillaCookieJar(file)
    jar.load()
    assert sorted(one.path for one in jar) == sorted(f"/sunshine{path}" for path in paths)
    assert {(one.domain, one.secure) for one in jar} == {("127.0.0.1", False)}
    (rows,) = scene.run("sunshine", "cookie", *paths, "--json").documents
    assert [row["path"] for row in rows] == [f"/sunshine{path}" for path in paths]
    assert all(row["value"] and row["http_only"] for row in rows)


def test_cookie_signs_in_with_the_token_only(scene: Stage) -> None:
    """The account's credentials are sent for the token, not for the cookie."""
    scene.box.forget()
    scene.run("sunshine", "cookie")
    assert [(one.path.rpartition("/")[2], one.headers["Authorization"].split()[0]) for one in scene.box.requests] == [
        ("token", "Basic"),
        ("cookie", "Bearer"),
    ]


def test_the_file_is_private_and_opens_a_private_file(scene: Stage, tmp_path: Path) -> None:
    """Mode 0600 whatever was there, a link included; curl reads it; standard output does not repeat it."""
    media = private(scene)
    file, elsewhere = tmp_path / "cookies.txt", tmp_path / "elsewhere"
    elsewhere.write_text("untouched")
    file.symlink_to(elsewhere)
    done = scene.run("sunshine", "cookie", "--output", file)
    assert (done.code, done.err) == (0, "")
    assert stat.S_IMODE(file.lstat().st_mode) == 0o600
    assert elsewhere.read_text() == "untouched"
    value = file.read_text().rpartition("\t")[2].strip()
    assert scene.box.sunshine.access.opens(value) == ROOT
    assert value not in done.out
    assert value not in scene.run("sunshine", "cookie", "--output", file, "--json").out
    url = f"{scene.base}/sunshine{media.path}"
    for arguments, expected in (((), "401"), (("--cookie", str(file)), "200")):
        command = ["curl", "-s", "-o", str(tmp_path / "got"), "-w", "%{http_code}", *arguments, url]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == expected
    assert (tmp_path / "got").read_bytes() == b"secret"


def test_a_file_that_cannot_be_written(scene: Stage, tmp_path: Path) -> None:
    """Its name and the reason, exit 1; nothing secret is said instead."""
    done = scene.run("sunshine", "cookie", "--output", tmp_path / "none" / "cookies.txt")
    assert (done.code, done.out) == (1, "")
    assert "No such file" in done.err
    file = tmp_path / ("n" * 300)
    done = scene.run("sunshine", "cookie", "--output", file)
    assert (done.code, f"{file}: cannot be written: File name too long" in done.err) == (1, True)
    assert scene.run("sunshine", "cookie", "--output", tmp_path).code == 2


def test_help_says_legacy(scene: Stage) -> None:
    for command in ("token", "cookie"):
        assert "egacy" in scene.run("sunshine", command, "--help").out
    assert scene.run("sunshine", "--help").out.count("(legacy)") == 2


def test_check_online_finds_account_and_user(scene: Stage) -> None:
    (document,) = scene.run("check", "--online", "--json").documents
    said = {row["what"]: row["said"] for row in document["online"]}
    assert said["account support"] == f"signed in to app {APP_ID}"
    assert said[f"track support/users/{USER}"] == f"user {USER}, conversations: 1"


def test_a_pass_and_its_listing(scene: Stage) -> None:
    """`sync`, `ls`, `show`: paths as the contract has them; `show` tells the message, its author and its address."""
    plan = scene.run("sync", "--dry-run", "--json").documents
    assert scene.run("sync").code == 0
    rows = scene.run("ls", "--json").documents
    assert len(rows) == len(plan) == 3
    assert all(row["path"].startswith(f"files/support/conversations/{CONVERSATION}/") for row in rows)
    shown = scene.run("show", rows[0]["path"], "--json").documents[0]
    assert '"media_url"' in str(shown).replace("'", '"')
    assert scene.run("verify").code == 0


def test_dry_run_and_track_know_what_is_too_large(scene: Stage) -> None:
    """Where the service states a size; before a pass, and after one that refused it."""
    scene.edit("[mirror]\n", "[mirror]\nmax_size = 1\n")
    for _ in range(2):
        plan = scene.run("sync", "--dry-run", "--json").documents
        refused = {row["key"] for row in plan if row["action"] == "refuse" and row["reason"] == "larger than max_size"}
        assert refused == {row["key"] for row in plan if row["size"] is not None} != set()
        assert {row["action"] for row in plan if row["key"] not in refused} == {"fetch"}
        assert scene.run("sync").code == 1
    found = scene.run("track", "support", f"conversation={CONVERSATION}", "name=again", "--json").documents[0]
    assert (found["attachments"], found["bytes"]) == (len(plan) - len(refused), 0)

"""`sync`, `status`, `ls` and `show` as people and scripts meet them (contract 4)."""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import stamina

from attachsync.sandbox.content import Held
from tests.commands import LIGHT, Stage, stage

ARCHIVED = "archive/assets/3ea5aca3-da02-4bae-b6d0-85a5ab586ed6"


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A stage after one good pass; for tests that only look."""
    with stage(tmp_path_factory.mktemp("mirrored")) as made:
        made.drop("report.pdf", "%PDF-1.4\n")
        done = made.run("sync")
        assert (done.code, done.err) == (0, "")
        yield made


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Stage]:
    """A stage of a test's own."""
    with stage(tmp_path) as made:
        yield made


# --- sync ---------------------------------------------------------------------------------------------------------


def test_a_second_pass_finds_nothing_new(mirrored: Stage) -> None:
    """Unchanged upstream: nothing is fetched, nothing changes, exit 0, and each track says where it stands."""
    before = mirrored.tree("mirror", "files")
    done = mirrored.run("sync")
    assert (done.code, done.err) == (0, "")
    assert f"{LIGHT}: 0 new, 0 mirrored, 0 B fetched; now 4 stored" in done.out.splitlines()
    assert mirrored.tree("mirror", "files") == before
    assert "report.pdf" in mirrored.tree("outbox", "sent")


def test_dry_run_lists_what_it_would_do_and_writes_nothing(scene: Stage) -> None:
    """As many attachments as the pass then mirrors, and the waiting file; afterwards there is nothing left to do."""
    scene.drop("report.txt")
    before = scene.tree()
    done = scene.run("sync", "--dry-run")
    assert (done.code, done.err) == (0, "")
    assert scene.tree() == before
    assert re.search(rf"^would send +10 B +{re.escape(str(scene.outbox))}/report.txt$", done.out, re.MULTILINE)
    fetches = [line for line in done.out.splitlines() if line.startswith("would fetch")]
    passed = scene.run("sync")
    assert len(fetches) == len([line for line in passed.out.splitlines() if line.startswith("mirrored")])
    assert scene.run("sync", "--dry-run").out == ""


def test_dry_run_says_what_would_be_refused_and_why(scene: Stage) -> None:
    """As many files and attachments as the pass then refuses; nothing of it is said to be sent or fetched."""
    for name, text in (("report.txt", "fine"), ("deep/tool.exe", "MZ"), ("empty.txt", "")):
        (scene.outbox / name).parent.mkdir(exist_ok=True)
        scene.drop(name, text)
    os.utime(scene.outbox / "empty.txt", (0, 0))
    said = scene.run("sync", "--dry-run").out
    assert f"would refuse         2 B  {scene.outbox}/deep/tool.exe: Sunshine takes no .exe files\n" in said
    assert f"would refuse         0 B  {scene.outbox}/empty.txt: the file is empty\n" in said
    assert re.findall(r"would send .*/(\S+)", said) == ["report.txt"]
    rows = scene.run("sync", "--dry-run", "--json").documents
    assert [row["key"] for row in rows if row["action"] == "refuse"] == ["deep/tool.exe", "empty.txt"]


def test_dry_run_of_one_track_says_it_in_json(scene: Stage) -> None:
    """Only that track, no outbox; one object a line."""
    scene.drop("report.txt")
    rows = scene.run("sync", LIGHT, "--dry-run", "--json").documents
    assert {(row["action"], row["track"], row["account"]) for row in rows} == {("fetch", LIGHT, "ledger")}
    assert len(rows) == 4


def test_a_path_is_known_from_wherever_it_is_named(mirrored: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative to the mirror, or to where one is, be that inside the mirror; or absolute."""
    path = str(mirrored.first()["path"])
    for folder in (mirrored.home, mirrored.mirror, mirrored.mirror / "files"):
        monkeypatch.chdir(folder)
        for name in (path, os.path.relpath(mirrored.mirror / path), mirrored.mirror / path):
            assert mirrored.run("show", name, "--json").documents[0]["path"] == path
            assert path in mirrored.run("explain", name).out


def test_media_types_know_no_case(mirrored: Stage) -> None:
    """As the services that state them."""
    assert mirrored.run("ls", "--media-type", "IMAGE/Jpeg").out == mirrored.run("ls", "--media-type", "image/jpeg").out
    assert mirrored.run("ls", "--media-type", "image/jpeg").out.count("\n") > 1


def test_a_media_type_is_known_as_it_is_listed(mirrored: Stage) -> None:
    """With its parameters, too."""
    shown = {str(row["media_type"]) for row in mirrored.run("ls", "--json").documents}
    (whole,) = {one for one in shown if ";" in one}
    for glob in (whole, whole.partition(";")[0]):
        rows = mirrored.run("ls", "--json", "--media-type", glob).documents
        assert whole in {row["media_type"] for row in rows}


def test_json_lines_of_a_pass(scene: Stage) -> None:
    """An `attachment` line each, a line a sent file, an `outbox` line, and a `track` line each."""
    scene.drop("report.txt")
    done = scene.run("sync", "--json")
    assert done.code == 0
    by_event: dict[str, list[dict[str, object]]] = {}
    for row in done.documents:
        by_event.setdefault(row["event"], []).append(row)
    assert set(by_event) == {"attachment", "sent", "outbox", "track"}
    attachment = next(row for row in by_event["attachment"] if str(row["path"]).endswith("cat.jpeg"))
    stored = scene.mirror / str(attachment["path"])
    assert attachment["sha256"] == hashlib.sha256(stored.read_bytes()).hexdigest()
    assert attachment["state"] == "stored"
    assert (attachment["size"], attachment["reason"]) == (stored.stat().st_size, None)
    (sent,) = by_event["sent"]
    assert (sent["account"], sent["file"], sent["filed_as"]) == ("support", "report.txt", "sent/report.txt")
    (outbox,) = by_event["outbox"]
    assert (outbox["outbox"], outbox["sent"], outbox["failed"]) == (str(scene.outbox), 1, 0)
    tracks = {row["track"]: row for row in by_event["track"]}
    assert len(tracks) == 4
    assert (tracks[LIGHT]["counts"], tracks[LIGHT]["error"]) == ({"stored": 4}, None)
    (again,) = scene.run("sync", LIGHT, "--json").documents
    assert again.keys() == tracks[LIGHT].keys()
    assert (again["new"], again["mirrored"], again["bytes"]) == (0, 0, 0)


def test_named_tracks_only(scene: Stage) -> None:
    """`sync TRACK` mirrors that track and leaves the outbox alone."""
    scene.drop("report.txt")
    done = scene.run("sync", ARCHIVED)
    assert done.code == 0
    assert {row["track"] for row in scene.run("ls", "--json").documents} == {ARCHIVED}
    assert scene.tree("outbox") == ["report.txt"]


def test_an_unknown_track_is_wrong_usage(scene: Stage) -> None:
    """Exit 2, with the nearest known name."""
    done = scene.run("sync", "archive/assets/3ea5aca3")
    assert (done.code, done.out) == (2, "")
    assert f"is not a track; did you mean '{ARCHIVED}'?" in done.err


def test_a_mismatch_exits_1_and_all_the_rest_is_done(scene: Stage) -> None:
    """Wrong bytes never enter the store; the line says which attachment, and `status --check` exits 1."""
    blob = scene.box.datatrails.add_blob(Held(b"honest bytes"), "text/plain")
    asset = next(one for uuid, one in scene.box.datatrails.assets.items() if LIGHT.endswith(uuid))
    stated = scene.box.datatrails.attach(blob, file_name="x.txt") | {"arc_blob_hash_value": "0" * 64}
    scene.box.datatrails.add_event(asset, event_attributes={"proof": stated})
    done = scene.run("sync")
    assert done.code == 1
    assert re.search(r"^mismatch  ledger: .*proof: SHA-256 is .*, stated is .*0{64}", done.out, re.MULTILINE)
    counts = json.loads(scene.run("status", "--json").out)["tracks"][1]["counts"]
    assert (counts["stored"], counts["mismatch"]) == (4, 1)
    assert scene.run("status").code == 0
    checked = scene.run("status", "--check")
    assert checked.code == 1
    assert "\nstate     2 things need a person, see below\n" in f"\n{checked.out}"
    event = scene.first("--state", "mismatch", "--track", LIGHT)["key"].partition("events/")[2].partition("#")[0]
    why = scene.run("explain", scene.mirror / "files" / LIGHT / "events" / event / "x.txt").out
    assert "what came is not what the service states" in why
    told = checked.out.partition("needs a person:\n")[2].splitlines()
    assert told[::2] == ["  ledger/assets/*: 1 mismatch", f"  {LIGHT}: 1 mismatch"]
    assert told[1].endswith("; which: attachsync ls --state mismatch --track 'ledger/assets/*'")
    (row, *_) = scene.run("ls", "--json", "--state", "mismatch").documents
    assert row["sha256"] is None


def test_one_refused_account_does_not_hold_the_others_up(scene: Stage) -> None:
    """Exit 1; the account, the HTTP status and the file to look at are named once; the others are mirrored."""
    token = scene.config.parent / "secrets" / "ledger.secret"
    token.write_text("nonsense\n")
    done = scene.run("sync")
    assert done.code == 1
    assert "ledger: " in done.err
    assert "HTTP 401" in done.err
    assert f"{ARCHIVED}: 3 new, 3 mirrored" in done.out
    checked = scene.run("check", "--online")
    assert checked.code == 1
    assert re.search(r"^FAIL  account ledger: .*HTTP 401", checked.out, re.MULTILINE)
    assert re.search(r"^ok    account archive: signed in", checked.out, re.MULTILINE)
    shown = scene.run("status", "--check")
    assert shown.code == 1
    assert re.search(rf"^{re.escape(LIGHT)} +failing ", shown.out, re.MULTILINE)
    assert "nonsense" not in done.err + checked.out + shown.out


def test_a_service_that_is_away_is_said_once_a_track(scene: Stage) -> None:
    """Exit 1, one line, no traceback; `status` keeps it."""
    scene.edit(f'"{scene.base}"', '"http://127.0.0.1:9"')
    with stamina.set_testing(True):  # no waits between the tries of one request
        done = scene.run("sync", LIGHT)
    assert done.code == 1
    (line,) = done.err.splitlines()
    assert line.startswith(f"{LIGHT}: ledger: GET /archivist/")
    assert "cannot connect" in line
    assert "cannot connect" in scene.run("status").out


# --- status, ls, show ---------------------------------------------------------------------------------------------


def test_status_before_anything_was_mirrored(scene: Stage) -> None:
    """It can be shown, and nothing needs a person."""
    done = scene.run("status", "--check")
    assert done.code == 0
    assert re.search(r"^daemon +not running$", done.out, re.MULTILINE)
    assert re.search(rf"^{re.escape(LIGHT)} +never listed +- +- +-$", done.out, re.MULTILINE)
    assert re.search(r"^passes +\d+ of \d+ tracks never listed whole$", done.out, re.MULTILINE)
    assert done.out.endswith("\nnothing needs a person\n")


def test_status_in_json(mirrored: Stage) -> None:
    """One document: daemon, accounts, tracks, outboxes, store."""
    (document,) = mirrored.run("status", "--json").documents
    assert document["daemon"] == {"running": False, "holder": None, "pid": None, "since": None}
    assert [account["name"] for account in document["accounts"]] == ["ledger", "archive", "public", "support"]
    track = next(track for track in document["tracks"] if track["name"] == LIGHT)
    assert (track["state"], track["counts"], track["last_error"], track["next_pass"]) == (
        "ok",
        {"stored": 4},
        None,
        None,
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}Z", track["last_pass"])
    (outbox,) = document["outboxes"]
    assert {key: outbox[key] for key in ("waiting", "sent", "failed", "held")} == {
        "waiting": 0,
        "sent": 1,
        "failed": 0,
        "held": 0,
    }
    store = document["store"]
    assert store["objects"] == len(mirrored.tree("mirror", "sha256"))
    assert store["bytes"] > 0
    assert store["free"] > 0
    assert document["needs_a_person"] == document["what_to_do"] == []


def test_ls_filters(mirrored: Stage) -> None:
    """By account, track, media type, state and time; all of them may come together."""
    rows = mirrored.run("ls", "--json").documents
    assert set(rows[0]) == {
        "account", "track", "key", "path", "sha256", "size", "media_type", "state", "mirrored_at",
    }  # fmt: skip
    assert len(rows) == 72

    def listed(*filters: str) -> list[dict[str, object]]:
        return mirrored.run("ls", "--json", *filters).documents

    assert {row["account"] for row in listed("--account", "archive")} == {"archive"}
    assert len(listed("--track", LIGHT)) == 4
    assert {str(row["media_type"]).partition("/")[0] for row in listed("--media-type", "image/*")} == {"image"}
    assert listed("--state", "failed") == []
    done = mirrored.run("ls", "--json", "--account", "archiv")
    assert (done.code, done.out, "did you mean 'archive'?" in done.err) == (0, "", True)
    assert len(listed("--since", "1h")) == len(listed("--since", "2020-01-01T00:00:00Z")) == 72
    assert listed("--since", "2099-01-01T00:00:00+02:00") == []
    assert len(listed("--since", "2020-01-01t00:00:00z")) == 72
    assert len(listed("--track", LIGHT, "--media-type", "image/jpeg", "--state", "stored", "--since", "1d")) == 4


def test_ls_for_people(mirrored: Stage) -> None:
    """A heading, a line each, nothing cut, no trailing spaces."""
    lines = mirrored.run("ls", "--track", LIGHT).out.splitlines()
    assert lines[0].split("  ")[0] == "state"
    assert len(lines) == 5
    assert all(line == line.rstrip() for line in lines)
    assert any(line.endswith("/cat.jpeg") for line in lines)


@pytest.mark.parametrize("value", ["yesterday", "2024-01-01", "5 parsecs", "1.2.3h", ""])
def test_ls_refuses_a_time_that_is_none(mirrored: Stage, value: str) -> None:
    """Exit 2, and what would be right."""
    done = mirrored.run("ls", "--since", value)
    assert done.code == 2
    assert "neither an RFC 3339 time nor a duration" in done.err


def test_show_by_digest_path_and_identity(mirrored: Stage) -> None:
    """The same attachment, however it is named; text for people, one document with --json."""
    row = mirrored.first("--account", "archive", "--media-type", "application/pdf")
    stored = f"sha256/{row['sha256'][:2]}/{row['sha256']}"
    names = (row["sha256"], row["sha256"][:12].upper(), row["path"], mirrored.mirror / row["path"], row["key"], stored)
    blob = mirrored.run("show", "--json", row["path"]).documents[0]["listing"]["value"]["arc_blob_identity"]
    for what in (
        *names,
        blob,
        blob.replace("blobs/", "attachments/"),
        blob.partition("/")[2],
        row["key"].partition("#")[0],
    ):
        (document,) = mirrored.run("show", what, "--json").documents
        assert (document["key"], document["state"]) == (row["key"], "stored")
    assert document["listing"]["value"]["arc_blob_hash_value"] == row["sha256"]
    shown = mirrored.run("show", row["path"])
    assert shown.code == 0
    assert re.search(rf"^sha256 +{row['sha256']}$", shown.out, re.MULTILINE)


def test_show_by_a_digest_of_earlier_content(scene: Stage) -> None:
    """Whoever shows these bytes now comes first; who showed them once is named too: nothing is ambiguous."""
    ledger, digests = scene.box.rkvst, list[str]()
    asset = next(iter(ledger.assets.values()))
    for text in (b"first edition", b"second edition"):
        value = ledger.attach(ledger.add_blob(Held(text), "text/plain"), file_name="edition.txt")
        ledger.add_event(asset, event_attributes={"edition": value}, asset_attributes={"edition": value})
        assert scene.run("sync", ARCHIVED).code == 0
        digests.append(hashlib.sha256(text).hexdigest())
    for digest in digests:
        for what in (digest, digest[:12], scene.mirror / "sha256" / digest[:2] / digest):
            (document,) = scene.run("show", what, "--json").documents
            assert document["sha256"] == digest
    (document,) = scene.run("show", digests[0], "--json").documents
    assert f"files/archive/assets/{asset.uuid}/edition.txt" in [one["path"] for one in document["also"]]


def test_show_what_nobody_knows_and_what_is_ambiguous(scene: Stage) -> None:
    """Nothing found exits 1; a prefix of several digests exits 2 and lists them."""
    assert scene.run("show", "abcd").code == 1
    seen: dict[str, bytes] = {}
    number = 0
    while True:  # two texts whose digests begin alike
        text = f"text {number}".encode()
        prefix = hashlib.sha256(text).hexdigest()[:4]
        if prefix in seen:
            break
        seen[prefix], number = text, number + 1
    for name, data in (("one", seen[prefix]), ("two", text)):
        blob = scene.box.rkvst.add_blob(Held(data), "text/plain")
        asset = next(iter(scene.box.rkvst.assets.values()))
        scene.box.rkvst.add_event(asset, event_attributes={name: scene.box.rkvst.attach(blob, file_name=f"{name}.txt")})
    assert scene.run("sync", ARCHIVED).code == 0
    done = scene.run("show", prefix)
    assert (done.code, done.out) == (2, "")
    assert "one.txt" in done.err
    assert "two.txt" in done.err

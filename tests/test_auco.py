"""Auco: processes, signers and their files, mirrored through links that live for minutes (specs/auco.md)."""

import asyncio
import contextlib
import hashlib
import os
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from attachsync import config as configs
from attachsync.daemon import Summary, equipped, holding, one_pass
from attachsync.errors import AttachsyncError, AuthFailedError, ConfigError, GoneError, RejectedError
from attachsync.http import Http
from attachsync.index import Filter, Index
from attachsync.model import JSON, Attachment, Source
from attachsync.sandbox import Fault, Sandbox, sample, serve
from attachsync.sandbox.auco_links import LINKS
from attachsync.sandbox.auco_records import ErrorShape, Package, PendingForm, Signer
from attachsync.sandbox.sample_signing import CODE, EXPIRED, LABELS, ODD_LABELS, PACKAGE, REJECTED
from attachsync.services import SERVICES
from attachsync.sources.auco import rest
from attachsync.sources.auco.credentials import key_of
from attachsync.sources.auco.records import File, Slot
from attachsync.sources.auco.slots import Places, is_certain, numbered, only, places
from attachsync.status import Status, gathered
from tests.ledgers import Movable, Recorder

KEY = "puk_knownKey"
LINK = LINKS + "/*"
ASKED, STATUS = "/auco/attachments", "/auco/document"
NOW = {"Retry-After": "0"}
CANARIES = ("X-Amz", "Signature", KEY, LINKS, "/uploads/")
"""What no file of the mirror but the stored bytes, no outcome and no error may hold."""


@dataclass
class Signing:
    """A sandbox on loopback, and a mirror of its processes in `root`."""

    box: Sandbox
    port: int
    root: Path
    clock: Movable = field(default_factory=Movable)
    track: str = 'package = "p1"'
    account: str = ""
    said: list[str] = field(default_factory=list)
    """Every outcome, error and description so far, for canaries."""

    @property
    def files(self) -> Path:
        return self.root / "mirror/files/signing"

    def process(self, *users: str, id: str = "p1", code: str | None = None) -> tuple[Package, list[Signer]]:
        """A process with signers."""
        package = self.box.auco.add_package(id, code=code)
        return package, [self.box.auco.add_signer(package, user) for user in users]

    def config(self) -> configs.Config:
        key = self.root / "key"
        if not key.exists():
            key.write_text(KEY + "\n")
            key.chmod(0o600)
        path = self.root / "config.toml"
        path.write_text(
            '[mirror]\ndirectory = "mirror"\nmin_free = 0\n[accounts.signing]\nservice = "auco"\nkey_file = "key"\n'
            f'base_url = "http://127.0.0.1:{self.port}/auco"\n{self.account}\n'
            f'[[track]]\naccount = "signing"\n{self.track}\n'
        )
        return configs.load(path, os.environ)

    async def sync(self) -> tuple[Summary, Recorder]:
        """One pass, as `attachsync sync` makes it; the log of requests is that of this pass only."""
        self.box.forget()
        config, recorder = self.config(), Recorder()
        async with (
            holding(config, "sync", self.clock) as index,
            equipped(config, index, self.clock, recorder) as plant,
        ):
            summary = await one_pass(plant, None)
        self.said += [repr(outcome) for outcome in recorder.outcomes] + recorder.down + self.errors()
        return summary, recorder

    def rows(self) -> list[dict[str, JSON]]:
        index = Index.peek(self.root / "mirror/.attachsync")
        try:
            return list(index.reports.listing(Filter()))
        finally:
            index.close()

    def status(self) -> Status:
        """What `status` answers, beside no daemon."""
        index = Index.peek(self.root / "mirror/.attachsync")
        try:
            return gathered(self.config(), index, None, self.clock.now())
        finally:
            index.close()

    def errors(self) -> list[str]:
        """What the index keeps of how the tracks' listings ended."""
        with contextlib.closing(sqlite3.connect(self.root / "mirror/.attachsync/index.sqlite3")) as database:
            return [row[0] for row in database.execute("SELECT error FROM track") if row[0]]

    def shown(self) -> dict[str, bytes]:
        """Path below files/signing -> bytes."""
        return {str(one.relative_to(self.files)): one.read_bytes() for one in self.files.rglob("*") if one.is_file()}

    def asked(self) -> list[str]:
        """Paths of requests to the API in the last pass."""
        return [request.path for request in self.box.requests if request.path.startswith("/auco/")]

    def downloads(self, status: int | None = None) -> int:
        """Requests for links in the last pass, those that were answered so."""
        found = [one for one in self.box.requests if one.path.startswith(LINKS)]
        return sum(status is None or one.status == status for one in found)

    @contextlib.asynccontextmanager
    async def source(self) -> AsyncIterator[Source]:
        """The source alone, on its own client."""
        account = self.config().accounts["signing"]
        http = Http(account, SERVICES["auco"].credentials(account), self.clock)
        pull = SERVICES["auco"].pull
        assert pull is not None
        try:
            yield pull.source(http)
        finally:
            await http.close()

    async def probe(self) -> str:
        async with self.source() as source:
            return await source.probe(self.config().tracks[0])


@pytest.fixture
async def signing(tmp_path: Path) -> AsyncIterator[Signing]:
    """Every test ends with a look for what must not leak."""
    box = Sandbox()
    box.auco.add_key(KEY)
    runner, port = await serve(box)
    one = Signing(box, port, tmp_path)
    try:
        yield one
    finally:
        await runner.cleanup()
    assert box.auco.leaks == []
    for path in (tmp_path / "mirror/.attachsync").glob("index*"):
        held = path.read_bytes()
        assert [word for word in CANARIES if word.encode() in held] == [], path
    assert [word for word in CANARIES if any(word in text for text in one.said)] == []


# --- what is mirrored ---------------------------------------------------------------------------------------------


async def test_a_package_of_all_signers(signing: Signing) -> None:
    """What is uploaded is there; a pending signer and a missing file are no failure; folders are private."""
    sample(signing.box)
    signing.box.auco.add_key(KEY)
    signing.track = f'package = "{PACKAGE}"'
    summary, recorder = await signing.sync()
    assert not summary.incomplete
    assert set(signing.shown()) == {
        f"packages/{PACKAGE}/01/cedula de ciudadanía.pdf",
        f"packages/{PACKAGE}/01/hoja de vida.pdf",
        f"packages/{PACKAGE}/G8/selfie.png",
    }
    assert recorder.tallies.keys() == {f"signing/packages/{PACKAGE}"}
    assert {one.headers.get("Accept") for one in signing.box.requests if one.path.startswith("/auco/")} == {
        "application/json"
    }
    assert {one.headers.get("Accept") for one in signing.box.requests if one.path.startswith(LINKS)} == {"*/*"}
    assert signing.files.stat().st_mode & 0o777 == 0o700
    assert {str(row["key"]) for row in signing.rows()} >= {f"packages/{PACKAGE}/01/cedula de ciudadanía"}


async def test_a_code_and_some_signers(signing: Signing) -> None:
    """`users` are texts; signers besides are not asked for."""
    _, (one, two, _) = signing.process("01", "1", "G8", code="TR99AQMY31")
    for signer in (one, two):
        signing.box.auco.add_file(signer, "soporte", signer.user_id.encode())
    signing.track = 'code = "TR99AQMY31"\nusers = ["01"]'
    summary, _ = await signing.sync()
    assert not summary.incomplete
    assert signing.shown() == {"codes/TR99AQMY31/01/soporte.pdf": b"01"}
    assert [value for one in signing.box.requests for name, value in one.query if name == "userId"] == ["01"]
    assert await signing.probe() == "code 'Contratación 2026-11', not finished, signers: 01, 1, G8"


async def test_a_signer_who_is_not_there(signing: Signing) -> None:
    """A mistyped user is told, with who is there; the others are mirrored."""
    _, (one,) = signing.process("01")
    signing.box.auco.add_file(one, "cedula", b"x")
    signing.track += '\nusers = ["01", "1"]'
    summary, _ = await signing.sync()
    assert summary.incomplete
    assert "no signer '1' (users); there is 01" in signing.errors()[0]
    assert len(signing.shown()) == 1
    with pytest.raises(GoneError, match="no signer '1'"):
        await signing.probe()


@pytest.mark.parametrize("form", ["absent", "empty", "labels"])
async def test_pending_then_uploaded(signing: Signing, form: PendingForm) -> None:
    """All forms of `files` of a pending signer; what is uploaded later comes with the next pass."""
    _, (one,) = signing.process("01")
    signing.box.auco.pending_form = form
    file = signing.box.auco.add_file(one, "cedula")
    summary, recorder = await signing.sync()
    assert not summary.incomplete
    assert (recorder.outcomes, signing.rows()) == ([], [])
    signing.box.auco.upload(file, b"scan")
    summary, _ = await signing.sync()
    assert not summary.incomplete
    assert signing.shown() == {"packages/p1/01/cedula.pdf": b"scan"}


async def test_labels_that_mean_trouble(signing: Signing) -> None:
    """Equal labels and odd ones, each its own entry inside its folder, the same on every pass."""
    sample(signing.box)
    signing.box.auco.add_key(KEY)
    signing.track = f'package = "{LABELS}"'
    summary, _ = await signing.sync()
    assert not summary.incomplete
    shown = signing.shown()
    assert len(shown) == 3 + len(ODD_LABELS)
    assert sum(path.startswith(f"packages/{LABELS}/007/certificado") for path in shown) == 2
    assert all(path.count("/") == 3 and ".." not in path for path in shown)
    summary, recorder = await signing.sync()
    assert not summary.incomplete
    assert (recorder.outcomes, signing.downloads(304), signing.shown()) == ([], signing.downloads(), shown)


# --- equal labels -------------------------------------------------------------------------------------------------


async def test_equal_labels_keep_apart_when_the_reply_is_in_another_order(signing: Signing) -> None:
    """Nothing is downloaded, and nothing changes its name; a new one of that label gets a name of its own."""
    _, (one,) = signing.process("01")
    for data in (b"first", b"second"):
        signing.box.auco.add_file(one, "certificado", data)
    await signing.sync()
    before = signing.shown()
    one.files.reverse()
    signing.box.auco.add_file(one, "certificado", b"third")
    one.files.reverse()
    summary, recorder = await signing.sync()
    assert not summary.incomplete
    assert [outcome.digest for outcome in recorder.outcomes] == [hashlib.sha256(b"third").hexdigest()]
    assert signing.shown().items() > before.items()
    assert len(signing.shown()) == 3
    assert [str(row["key"]).rpartition("/")[2] for row in signing.rows()] == [
        "certificado",
        "certificado#2",
        "certificado#3",
    ]


def files(*links: str) -> list[File]:
    return [
        File("a", f"https://host.example{link}?sig={number}" if link else None) for number, link in enumerate(links)
    ]


def numbers(found: dict[Slot, File]) -> dict[int, str]:
    return {
        slot.number: (file.link or "").partition("?")[0][len("https://host.example") :] for slot, file in found.items()
    }


def test_numbers_follow_the_object_then_what_is_free() -> None:
    """Order means nothing; a replacement takes its predecessor's number; the same object twice is two files."""
    known: Places = places({}, numbered(files("/x", "/y"), {}))
    assert numbers(numbered(files("/y", "/x"), known)) == {1: "/x", 2: "/y"}
    assert numbers(numbered(files("/y", "/new"), known)) == {1: "/new", 2: "/y"}
    assert numbers(numbered(files("", "/y"), known)) == {2: "/y"}
    assert numbers(numbered(files("/new", "/y", "/x"), known)) == {1: "/x", 2: "/y", 3: "/new"}
    assert numbers(numbered(files("/x", "/x"), known)) == {1: "/x", 2: "/x"}
    assert numbers(numbered(files("/p", "/q"), known)) == {1: "/p", 2: "/q"}
    assert places(known, numbered(files("", "/y"), known)) == known


def test_what_one_attachment_alone_knows() -> None:
    """It is certain where its own object is met, or where no other file has its label."""
    first, second, place = Slot("a", 1), Slot("a", 2), files("/y")[0].place
    for links, certain in (("/x", "/y"), True), (("/x", "/new"), False), (("/new",), False), (("", ""), True):
        assert is_certain(second, files(*links), place) is certain
    assert numbers(numbered(files("/y", "/x"), only(second, place))) == {1: "/x", 2: "/y"}
    assert is_certain(first, files("/new"), place)
    assert not is_certain(first, files("/new", ""), place)


# --- changed content ----------------------------------------------------------------------------------------------


async def test_with_an_etag_unchanged_content_is_not_downloaded(signing: Signing) -> None:
    """The host is asked with If-None-Match, approved or not; what changed is shown, the old bytes are kept."""
    _, (one, two) = signing.process("01", "02")
    changing = signing.box.auco.add_file(one, "cedula", b"old")
    signing.box.auco.add_file(two, "cedula", b"same")
    signing.box.auco.set_status(two, "approved")
    await signing.sync()
    assert (signing.downloads(200), signing.downloads(304)) == (2, 0)
    for _ in range(2):
        summary, recorder = await signing.sync()
        assert not summary.incomplete
        assert (signing.downloads(200), signing.downloads(304), recorder.outcomes) == (0, 2, [])
    signing.box.auco.upload(changing, b"new")
    summary, recorder = await signing.sync()
    assert not summary.incomplete
    assert (signing.downloads(200), signing.downloads(304)) == (1, 1)
    assert [outcome.changed for outcome in recorder.outcomes] == [True]
    assert signing.shown()["packages/p1/01/cedula.pdf"] == b"new"
    assert hashlib.sha256(b"old").hexdigest() in {one.name for one in (signing.root / "mirror/sha256").rglob("*")}
    await signing.sync()
    assert (signing.downloads(200), signing.downloads(304)) == (0, 2)


async def test_a_host_that_heeds_no_condition_is_not_read_either(signing: Signing) -> None:
    """Its ETag says as much as a 304: a body that is cut short does not matter; another ETag does."""
    _, (one,) = signing.process("01")
    file = signing.box.auco.add_file(one, "cedula", b"old")
    signing.box.auco.conditions = False
    await signing.sync()
    signing.box.auco.set_status(one, "approved")
    signing.box.faults.add(Fault(path=LINK, kind="truncate", after=1))
    summary, recorder = await signing.sync()
    assert (summary.incomplete, recorder.outcomes) == (False, [])
    assert signing.downloads(200) == 1
    signing.box.faults.clear()
    signing.box.auco.upload(file, b"new")
    await signing.sync()
    assert signing.shown() == {"packages/p1/01/cedula.pdf": b"new"}


async def test_without_etag_it_is_downloaded_while_a_new_upload_is_possible(signing: Signing) -> None:
    """Once more when its signer was approved, once when the process is over, and then not at all."""
    package, (one,) = signing.process("01")
    auco = signing.box.auco
    file = auco.add_file(one, "cedula", b"old", etag=False)
    counts = []

    async def again() -> None:
        summary, _ = await signing.sync()
        assert not summary.incomplete
        counts.append(signing.downloads(200))

    await again()
    auco.upload(file, b"new", etag=False)
    await again()
    assert signing.shown() == {"packages/p1/01/cedula.pdf": b"new"}
    await again()
    auco.set_status(one, "approved")
    for _ in range(3):
        await again()
    auco.finish(package)
    for _ in range(2):
        await again()
    assert counts == [1, 1, 1, 1, 0, 0, 1, 0]
    assert signing.asked() == []


async def test_content_found_unchanged_by_downloading_is_no_news(signing: Signing) -> None:
    """A weak ETag says nothing of bytes: it counts as none."""
    _, (one,) = signing.process("01")
    file = signing.box.auco.add_file(one, "cedula", b"x")
    assert file.stored is not None
    file.stored = replace(file.stored, etag='W/"1"')
    signing.box.auco.objects[file.stored.path] = file.stored
    await signing.sync()
    summary, recorder = await signing.sync()
    assert not summary.incomplete
    assert (recorder.outcomes, signing.downloads(200)) == ([], 1)
    assert not any(name.lower() == "if-none-match" for one in signing.box.requests for name in one.headers)


async def test_a_reading_that_fails_is_made_up_for(signing: Signing) -> None:
    """What is shown stays; although the process is over by then, it is read again later."""
    package, (one,) = signing.process("01")
    file = signing.box.auco.add_file(one, "cedula", b"old")
    await signing.sync()
    signing.box.auco.upload(file, b"new")
    signing.box.auco.finish(package)
    signing.box.faults.add(Fault(path=LINK, kind="status", status=400, body='{"message": "X-Amz-Signature=canary"}'))
    _, recorder = await signing.sync()
    assert "HTTP 400" in recorder.outcomes[0].reason
    assert signing.shown() == {"packages/p1/01/cedula.pdf": b"old"}
    signing.box.faults.clear()
    signing.clock.ahead = 3601
    summary, _ = await signing.sync()
    assert not summary.incomplete
    assert signing.shown() == {"packages/p1/01/cedula.pdf": b"new"}
    await signing.sync()
    assert len(signing.box.requests) == 0


async def test_a_reading_that_failed_is_tried_by_every_sync(signing: Signing) -> None:
    """Whatever its time; until it succeeds, `status` tells of it, although the process is over."""
    package, (one, two) = signing.process("01", "02")
    file = signing.box.auco.add_file(one, "cedula", b"old")
    signing.box.auco.add_file(two, "cedula", b"same")
    await signing.sync()
    signing.box.auco.upload(file, b"new")
    signing.box.auco.finish(package)
    assert file.stored is not None
    signing.box.faults.add(Fault(path=f"*{file.stored.path}*", kind="status", status=503, headers=NOW, times=15))
    for _ in range(3):
        summary, _ = await signing.sync()
        assert summary.incomplete
        assert signing.downloads(503) == 5
        [track] = signing.status().tracks
        assert track["state"] == "failing"
        assert str(track["last_error"]).startswith("1 of what it shows could not be read again: ")
    summary, recorder = await signing.sync()
    assert not summary.incomplete
    assert [outcome.changed for outcome in recorder.outcomes] == [True]
    assert set(signing.shown().values()) == {b"new", b"same"}
    assert signing.status().needs == []
    await signing.sync()
    assert len(signing.box.requests) == 0


async def test_lost_bytes_are_fetched_whatever_their_etag(signing: Signing) -> None:
    """A row that is work again is not asked for with If-None-Match."""
    package, (one,) = signing.process("01")
    signing.box.auco.add_file(one, "cedula", b"x")
    signing.box.auco.finish(package)
    await signing.sync()
    index = Index.open(signing.root / "mirror/.attachsync")
    index.upkeep.lost(hashlib.sha256(b"x").hexdigest(), "its bytes were lost")
    index.close()
    summary, _ = await signing.sync()
    assert not summary.incomplete
    assert (signing.downloads(200), signing.downloads(304)) == (1, 0)
    assert signing.asked() == [ASKED]


# --- links --------------------------------------------------------------------------------------------------------


async def test_a_link_that_expired_is_asked_for_again(signing: Signing) -> None:
    """The host says 403: the signer is asked once more, and that link is good."""
    _, (one,) = signing.process("01")
    signing.box.auco.add_file(one, "cedula", b"x")
    async with signing.source() as source:
        track = signing.config().tracks[0]
        (item,) = [item async for page in source.pages(track, Nothing()) for item in page.items]
        signing.box.auco.advance(301)
        signing.box.forget()
        assert await content(source, signing, item) == b"x"
        assert [(request.path, request.status) for request in signing.box.requests if request.status != 200] == [
            (signing.box.requests[0].path, 403)
        ]
        assert signing.asked() == [ASKED]


async def test_a_link_is_used_for_240_seconds(signing: Signing) -> None:
    """No longer: a new one is asked for before the download begins."""
    _, (one,) = signing.process("01")
    signing.box.auco.add_file(one, "cedula", b"x")
    async with signing.source() as source:
        track = signing.config().tracks[0]
        (item,) = [item async for page in source.pages(track, Nothing()) for item in page.items]
        for ahead, asked in ((230, []), (241, [ASKED]), (480, []), (482, [ASKED])):
            signing.clock.ahead = ahead
            signing.box.forget()
            assert await content(source, signing, item) == b"x"
            assert signing.asked() == asked
            assert signing.downloads() == 1


@pytest.mark.parametrize(
    ("status", "times", "well"), [(403, 1, True), (410, 1, True), (403, 2, False), (404, 2, False)]
)
async def test_a_refused_link_is_asked_for_once_more(signing: Signing, status: int, times: int, well: bool) -> None:
    """Then it counts as a failure, which is tried again in the next pass."""
    _, (one,) = signing.process("01")
    signing.box.auco.add_file(one, "cedula", b"x")
    signing.box.faults.add(Fault(path=LINK, kind="status", status=status, times=times))
    summary, recorder = await signing.sync()
    assert summary.incomplete is not well
    assert signing.downloads() == 2
    assert signing.asked() == [ASKED, STATUS, ASKED, ASKED]
    if not well:
        assert f"GET 127.0.0.1/…: HTTP {status}" in recorder.outcomes[0].reason
    summary, _ = await signing.sync()
    assert not summary.incomplete
    assert len(signing.shown()) == 1


async def test_what_is_taken_back_before_it_is_fetched_is_waited_for(signing: Signing) -> None:
    """No failure while the process runs; gone when it is over."""
    package, (one,) = signing.process("01")
    file = signing.box.auco.add_file(one, "cedula", b"x")
    signing.box.faults.add(Fault(path=LINK, kind="status", status=403, times=2))
    await signing.sync()
    signing.box.auco.reject_file(file)
    summary, _ = await signing.sync()
    assert not summary.incomplete
    assert [row["state"] for row in signing.rows()] == ["waiting"]
    signing.box.auco.finish(package)
    summary, _ = await signing.sync()
    assert summary.incomplete
    assert [row["state"] for row in signing.rows()] == ["gone"]


async def test_a_body_that_breaks_off_is_fetched_anew(signing: Signing) -> None:
    """Nothing half is shown."""
    _, (one,) = signing.process("01")
    signing.box.auco.add_file(one, "cedula", b"x" * 1000)
    signing.box.faults.add(Fault(path=LINK, kind="truncate", after=10, times=1))
    summary, _ = await signing.sync()
    assert not summary.incomplete
    assert signing.shown() == {"packages/p1/01/cedula.pdf": b"x" * 1000}


async def test_a_link_is_sent_byte_for_byte_and_without_the_key(signing: Signing) -> None:
    """A signature covers the text as it was signed, however oddly it is encoded."""
    _, (one,) = signing.process("01")
    signing.box.auco.add_file(one, "cedula", b"x")
    heads: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()

    host = await asyncio.start_server(answer, "127.0.0.1", 0)
    target = "/a%2fb/%7Ec%C3%A9?z=1+2&X-Amz-Credential=k%2F20&a=%7e%3d&X-Amz-Signature=%41b"
    link = f"http://127.0.0.1:{host.sockets[0].getsockname()[1]}{target}"
    detail = {"signer": {"userId": "01", "status": "uploaded", "files": [{"name": "cedula", "url": link}]}}
    signing.box.faults.add(Fault(path=ASKED, query="*userId*", kind="json", value=detail))
    async with host:
        summary, _ = await signing.sync()
    assert not summary.incomplete
    assert signing.shown() == {"packages/p1/01/cedula": b"ok"}
    assert heads[0].startswith(f"GET {target} HTTP/1.1\r\n".encode())
    assert b"authorization" not in heads[0].lower()


@pytest.mark.parametrize(
    "link", ["http://x y/\r\nX-Evil: 1", "https://", "http://169.254.169.254/latest", "ftp://a/b", "%"]
)
async def test_links_that_lead_astray_are_not_followed(signing: Signing, link: str) -> None:
    """The attachment fails, and nothing else."""
    _, (one,) = signing.process("01")
    signing.box.auco.add_file(one, "cedula", b"x")
    detail = {"signer": {"userId": "01", "status": "uploaded", "files": [{"name": "cedula", "url": link}]}}
    signing.box.faults.add(Fault(path=ASKED, query="*userId*", kind="json", value=detail))
    summary, recorder = await signing.sync()
    assert summary.incomplete
    assert len(recorder.outcomes) == 1
    assert "latest" not in recorder.outcomes[0].reason


# --- coming to rest -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["finish", "reject", "expire"])
async def test_an_ended_process_comes_to_rest_after_a_last_full_pass(signing: Signing, end: str) -> None:
    """All signers are asked once more, pending ones too; then nothing is."""
    package, (one, _) = signing.process("01", "02")
    signing.box.auco.add_file(one, "cedula", b"x")
    await signing.sync()
    assert signing.asked() == [ASKED, STATUS, ASKED, ASKED]
    signing.box.auco.add_file(one, "hoja", b"y")
    getattr(signing.box.auco, end)(package)
    summary, _ = await signing.sync()
    assert not summary.incomplete
    assert signing.asked() == [ASKED, *([] if end == "finish" else [STATUS]), ASKED, ASKED]
    assert (signing.downloads(304), signing.downloads(200)) == (1, 1)
    for _ in range(2):
        summary, _ = await signing.sync()
        assert not summary.incomplete
        assert len(signing.box.requests) == 0
    assert len(signing.shown()) == 2


@pytest.mark.parametrize("track", [f'package = "{EXPIRED}"', f'package = "{REJECTED}"', f'code = "{CODE}"'])
async def test_the_samples_that_ended(signing: Signing, track: str) -> None:
    """One pass, then silence; a pending signer is no failure."""
    sample(signing.box)
    signing.box.auco.add_key(KEY)
    signing.track = track
    for asks in (True, False):
        summary, _ = await signing.sync()
        assert not summary.incomplete
        assert bool(signing.asked()) is asks
    assert len(signing.shown()) == 1


async def test_trouble_with_a_signer_makes_no_pass_the_last(signing: Signing) -> None:
    """The others are mirrored; the pass is not whole; the next one is."""
    package, (one, two) = signing.process("01", "02")
    for signer in (one, two):
        signing.box.auco.add_file(signer, "cedula", signer.user_id.encode())
    signing.box.auco.finish(package)
    signing.box.faults.add(Fault(path=ASKED, query="*userId=01*", kind="json", value=[1], times=1))
    summary, _ = await signing.sync()
    assert summary.incomplete
    assert "HTTP 200, but it is no JSON object" in signing.errors()[0]
    assert list(signing.shown()) == ["packages/p1/02/cedula.pdf"]
    summary, _ = await signing.sync()
    assert not summary.incomplete
    assert len(signing.shown()) == 2


async def test_a_file_that_is_none_keeps_no_other_back(signing: Signing) -> None:
    """The pass tells of it, and is not the last."""
    package, (one,) = signing.process("01")
    file = signing.box.auco.add_file(one, "cedula", b"x")
    assert file.stored is not None
    link = signing.box.auco.link(file.stored)
    signing.box.auco.finish(package)
    files = [{"name": "cedula", "url": link}, None]
    detail = {"finish": True, "signer": {"userId": "01", "status": "uploaded", "files": files}}
    signing.box.faults.add(Fault(path=ASKED, query="*userId*", kind="json", value=detail, times=1))
    summary, _ = await signing.sync()
    assert signing.errors() == ["signing: package p1: 1 file of signer 01 could not be read; asked again"]
    assert list(signing.shown()) == ["packages/p1/01/cedula.pdf"]
    for left in (3, 0):
        summary, _ = await signing.sync()
        assert not summary.incomplete
        assert len(signing.box.requests) == left


async def test_ids_and_labels_that_are_numbers_or_missing(signing: Signing) -> None:
    """They name what they name; a file without a label is one, and holds up no other."""
    _, (one,) = signing.process("01")
    file = signing.box.auco.add_file(one, "cedula", b"x")
    assert file.stored is not None
    link = signing.box.auco.link(file.stored)
    files = [{"name": label, "url": link} for label in ("cedula", 2026, None)] + [{"url": None}]
    overview = {"finish": False, "signers": [{"userId": 7, "email": None, "name": None}]}
    detail = {"signer": {"userId": 7, "status": "uploaded", "files": files}}
    signing.box.faults.add(Fault(path=ASKED, query="*userId=7*", kind="json", value=detail))
    signing.box.faults.add(Fault(path=ASKED, kind="json", value=overview))
    summary, _ = await signing.sync()
    assert not summary.incomplete
    assert set(signing.shown()) == {f"packages/p1/7/{name}.pdf" for name in ("cedula", "2026", "unnamed")}


async def test_a_status_that_cannot_be_asked_only_means_asking_again(signing: Signing) -> None:
    """GET /document may answer 401 where the attachments are well (specs/auco.md 5), or the list of templates."""
    _, (one,) = signing.process("01")
    signing.box.auco.add_file(one, "cedula", b"x")
    signing.box.faults.add(Fault(path=STATUS, kind="status", status=401, times=1))
    signing.box.faults.add(Fault(path=STATUS, kind="json", value=[{"status": "FINISH"}], times=1))
    for _ in range(2):
        summary, _ = await signing.sync()
        assert not summary.incomplete
        assert signing.asked() == [ASKED, STATUS, ASKED]


async def test_a_signer_who_left_between_the_two_calls(signing: Signing) -> None:
    """Has no files; that is no failure."""
    _, (one, two) = signing.process("01", "02")
    signing.box.auco.add_file(one, "cedula", b"x")
    signing.box.auco.remove_signer(two, ghost=True)
    summary, _ = await signing.sync()
    assert not summary.incomplete
    assert len(signing.shown()) == 1


# --- not found, not allowed ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["message", "error", "text", "empty"])
@pytest.mark.parametrize("status", [400, 404])
async def test_a_process_that_is_not_found(signing: Signing, shape: ErrorShape, status: int) -> None:
    """Told with its status; asked on every pass for an hour, as creation may lag, then once an hour."""
    signing.box.auco.error_shape, signing.box.auco.unknown_status = shape, status
    counts = []
    for ahead in (0, 1800, 3700, 3800, 7200, 7400):
        signing.clock.ahead = ahead
        summary, _ = await signing.sync()
        assert summary.incomplete
        assert f"package p1 was not found (HTTP {status})" in signing.errors()[0]
        counts.append(len(signing.box.requests))
    assert counts == [1, 1, 1, 0, 0, 1]
    with pytest.raises(RejectedError, match="was not found"):
        await signing.probe()


async def test_a_process_that_comes_into_sight(signing: Signing) -> None:
    """It is mirrored like any other, and its absence is forgotten."""
    await signing.sync()
    _, (one,) = signing.process("01")
    signing.box.auco.add_file(one, "cedula", b"x")
    summary, _ = await signing.sync()
    assert not summary.incomplete
    assert len(signing.shown()) == 1
    signing.box.auco.remove_package("p1")
    signing.clock.ahead = 7200
    await signing.sync()
    signing.clock.ahead = 7300
    await signing.sync()
    assert len(signing.box.requests) == 1
    assert len(signing.shown()) == 1


async def test_a_bad_key_is_trouble_of_the_account(signing: Signing) -> None:
    """Told with what to check, and without the key."""
    signing.process("01")
    signing.box.auco.revoke_keys()
    summary, recorder = await signing.sync()
    assert summary.incomplete
    assert "HTTP 401" in recorder.down[0]
    assert "check key_file" in recorder.down[0]
    async with signing.source() as source:
        with pytest.raises(AuthFailedError):
            await source.probe(None)
    signing.box.auco.add_key(KEY)
    async with signing.source() as source:
        assert await source.probe(None) == "signed in"


async def test_a_private_key_is_told_once(signing: Signing) -> None:
    """What is wrong with the file is known: nothing is asked, and no other guess is made."""
    signing.process("01")
    key = signing.root / "key"
    key.write_text("prk_other")
    key.chmod(0o600)
    _, recorder = await signing.sync()
    assert "private key" in recorder.down[0]
    assert "check key_file" not in recorder.down[0]
    assert signing.asked() == []


@pytest.mark.parametrize("text", [KEY, f"Bearer {KEY}", f"Authorization: {KEY}\n"])
def test_a_key_however_it_was_pasted(text: str) -> None:
    """The bare key is what is sent."""
    assert key_of(text) == KEY


@pytest.mark.parametrize("text", ["prk_secretOne", "two words here", "puk_a\nb"])
def test_what_is_no_public_key(text: str) -> None:
    """Refused before it is sent, without being shown."""
    with pytest.raises(AttachsyncError) as error:
        key_of(text)
    assert text not in str(error.value)


@pytest.mark.parametrize(
    ("track", "said"),
    [
        ("", "or code is required"),
        ('package = "a"\ncode = "b"', "exclude each other"),
        ('package = ""', "must be an id"),
        ('package = "a"\nusers = []', "at least one signer"),
        ('package = "a"\nusers = [1]', "non-empty string"),
    ],
)
async def test_faults_of_a_track(signing: Signing, track: str, said: str) -> None:
    """An empty id would silently be another call (specs/auco.md 2)."""
    signing.track = track
    with pytest.raises(ConfigError, match=said):
        signing.config()


@pytest.mark.parametrize("on_gone", ["keep", "delete"])
async def test_a_file_that_is_missing_when_the_process_is_over(signing: Signing, on_gone: str) -> None:
    """While it runs, the file may be uploaded anew: nothing is removed before the last pass."""
    package, (signer, other) = signing.process("u1", "u2")
    files = [signing.box.auco.add_file(*one) for one in ((signer, "a"), (signer, "b"), (other, "c"))]
    for file in files:
        signing.box.auco.upload(file, file.label.encode())
    signing.track += f'\non_gone = "{on_gone}"'
    await signing.sync()
    signing.box.auco.remove_file(files[0])
    await signing.sync()
    assert sorted(signing.shown().values()) == [b"a", b"b", b"c"]
    other.files.clear()
    signing.box.auco.finish(package)
    await signing.sync()
    assert sorted(signing.shown().values()) == ([b"b", b"c"] if on_gone == "delete" else [b"a", b"b", b"c"])


async def test_whether_a_process_has_ended_is_asked_ever_more_rarely() -> None:
    """specs/auco.md 2, Polling: a minute after the first time, then up to a quarter of an hour, then six hours."""
    ending, now, waits = rest.Ending(), 1e6, []
    for _ in range(7):
        assert ending.is_due(now, thorough=False)
        ending = rest.ending({"ending": ending.asked_at(now).mark()["ending"]})  # type: ignore[index,call-overload]
        assert not ending.is_due(now + ending.wait - 1, thorough=False)
        assert ending.is_due(now + 1, thorough=True)
        waits.append(ending.wait)
        now += ending.wait
    assert waits == [60, 120, 240, 480, 900, 900, 900]
    assert ending.asked_at(now + 8 * 86_400).wait == 6 * 3600
    assert rest.ending({"ending": {"first": "x"}}) == rest.ending(None) == rest.Ending()


async def test_an_extension_follows_the_media_type(signing: Signing) -> None:
    """A label has none of its own: what is uploaded anew as something else is called so."""
    _, (signer,) = signing.process("u1")
    file = signing.box.auco.add_file(signer, "cedula")
    signing.box.auco.upload(file, b"jpeg", "image/jpeg")
    await signing.sync()
    assert list(signing.shown()) == ["packages/p1/u1/cedula.jpg"]
    signing.box.auco.upload(file, b"pdf", "application/pdf")
    await signing.sync()
    assert signing.shown() == {"packages/p1/u1/cedula.pdf": b"pdf"}


@pytest.mark.parametrize("stated", ["", "application/octet-stream", "binary/octet-stream"])
async def test_storage_that_does_not_know_what_it_holds(signing: Signing, stated: str) -> None:
    """The bytes show it: a signer's identity card is a file that opens."""
    _, (signer,) = signing.process("u1")
    for label, data in (
        ("cedula", b"%PDF-1.4\n%%EOF\n"),
        ("hoja", b"%PD"),
        ("foto", b"\xff\xd8\xff\xe0" + b"x" * 100_000),
    ):
        signing.box.auco.upload(signing.box.auco.add_file(signer, label), data, stated)
    signing.box.faults.add(Fault(path=LINKS + "*", kind="drip", size=2, every=0.0, times=1))
    await signing.sync()
    assert sorted(signing.shown()) == ["packages/p1/u1/cedula.pdf", "packages/p1/u1/foto.jpg", "packages/p1/u1/hoja"]
    summary, recorder = await signing.sync()
    assert not summary.incomplete
    assert recorder.outcomes == []


class Nothing:
    """The cursors of a track that was never listed."""

    thorough = False

    def get(self, feed: str) -> JSON:
        return None


async def content(source: Source, signing: Signing, item: Attachment) -> bytes:
    """An attachment's bytes, read through the source alone."""
    track = signing.config().tracks[0]
    facts = await source.inspect(track, item, {})
    async with source.read(track, item, facts) as body:
        return b"".join([chunk async for chunk in body.chunks])


async def test_links_that_live_shorter_than_the_pass(signing: Signing) -> None:
    """Thirty files at 0.4 s each, two at a time, links of 1.5 s: all mirrored in one pass."""
    auco = signing.box.auco
    auco.link_seconds = 15
    signing.account = "concurrency = 2"
    _, (signer,) = signing.process("01")
    for number in range(30):
        auco.upload(auco.add_file(signer, f"file {number}"), b"%08d" % number, "application/pdf")
    signing.box.faults.add(Fault(path=LINK, kind="drip", size=1, every=0.05))

    async def passing_time() -> None:
        while True:  # the service's clock goes on while the pass does, ten times as fast: 15 s are 1.5 s
            await asyncio.sleep(0.05)
            auco.advance(0.5)

    async with asyncio.TaskGroup() as group:
        time = group.create_task(passing_time())
        summary, _ = await signing.sync()
        time.cancel()
    assert not summary.incomplete
    assert len(signing.shown()) == 30


async def test_a_file_that_cannot_be_read_again_makes_the_pass_incomplete(signing: Signing) -> None:
    """It stays as it is shown, and the pass says that it could not tell whether it changed."""
    auco = signing.box.auco
    _, (signer,) = signing.process("01")
    auco.upload(auco.add_file(signer, "cedula"), b"first", "application/pdf")
    await signing.sync()
    signing.box.faults.add(Fault(path=LINK, kind="status", status=500))
    summary, _ = await signing.sync()
    assert summary.incomplete
    assert "could not be read again" in next(iter(summary.errors.values()))
    assert list(signing.shown().values()) == [b"first"]


@pytest.mark.parametrize(("over", "shape"), [(False, "message"), (True, "message"), (True, "empty")])
async def test_a_signer_who_left_after_a_file_could_not_be_read_again(
    signing: Signing, over: bool, shape: ErrorShape
) -> None:
    """That is nobody's failure, and removes nothing: a 400 is no word on the file."""
    auco = signing.box.auco
    package, (one, two) = signing.process("01", "02")
    for signer in (one, two):
        auco.upload(auco.add_file(signer, "cedula"), signer.user_id.encode(), "application/pdf")
    signing.track += '\non_gone = "delete"'
    await signing.sync()
    if over:
        auco.finish(package)
    signing.box.faults.add(Fault(path=LINK, kind="status", status=503, headers=NOW))
    assert (await signing.sync())[0].incomplete
    signing.box.faults.clear()
    auco.error_shape = shape
    auco.remove_signer(two)
    for _ in range(2):
        summary, _ = await signing.sync()
        assert not summary.incomplete
        assert signing.status().needs == []
    assert sorted(signing.shown().values()) == [b"01", b"02"]

"""Processes and signers of the emulated Auco (specs/auco.md 1.1 to 1.4, 4)."""

from __future__ import annotations

from typing import Any

import pytest

from attachsync.sandbox import Fault, Sandbox, sample
from attachsync.sandbox.auco_records import ErrorShape, Package, PendingForm
from attachsync.sandbox.content import Held
from attachsync.sandbox.rate import RateLimit
from attachsync.sandbox.sample_signing import CODE, CONTRACT, DEMO_PACKAGES, EXPIRED, ODD_LABELS, REJECTED, SIGNING_KEY

from .conftest import Client, Reply

ID = "64f0c0ffee0ddba11c0ffee1"
PDF = b"%PDF-1.4\n%%EOF\n"


@pytest.fixture
def package(box: Sandbox) -> Package:
    """Return a process, in a sandbox that knows a key."""
    box.auco.add_key("puk_test")
    return box.auco.add_package(ID, code="TR99AQMY31")


async def ask(client: Client, path: str, key: str = "puk_test", **query: str) -> Reply:
    """GET with a key."""
    return await client.call("GET", f"/auco{path}", params=query, headers={"Authorization": key} if key else {})


async def test_overview_and_signer(box: Sandbox, client: Client, package: Package) -> None:
    """The overview has signers without files; a signer has files with links that open."""
    signer = box.auco.add_signer(package, "01", "Firmante Uno", "uno@example.com")
    box.auco.add_file(signer, "cedula de ciudadanía", PDF)
    box.auco.add_file(signer, "hoja de vida")
    person = {"userId": "01", "email": "uno@example.com", "name": "Firmante Uno"}
    for query in ({"package": ID}, {"code": "TR99AQMY31"}):
        head = {"package": ID, "name": "Contratación 2026-11", "finish": False}
        assert (await ask(client, "/attachments", **query)).json == {**head, "signers": [person]}
        found = (await ask(client, "/attachments", **query, userId="01")).json["signer"]
        assert {**person, "status": "uploaded"}.items() <= found.items()
        assert [one["name"] for one in found["files"]] == ["cedula de ciudadanía", "hoja de vida"]
        assert "url" not in found["files"][1]
        assert (await client.public(found["files"][0]["url"])).body == PDF


@pytest.mark.parametrize(("form", "files"), [("absent", None), ("empty", []), ("labels", [{"name": "hoja de vida"}])])
async def test_pending(box: Sandbox, client: Client, package: Package, form: PendingForm, files: object) -> None:
    """While pending, files have one of three forms, and never a link."""
    box.auco.pending_form = form
    box.auco.add_file(box.auco.add_signer(package, "01"), "hoja de vida")
    found = (await ask(client, "/attachments", package=ID, userId="01")).json["signer"]
    assert (found["status"], found.get("files")) == ("pending", files)


async def test_statuses_move(box: Sandbox, client: Client, package: Package) -> None:
    """Uploads, approval, rejection and the end of a process show at once."""
    auco = box.auco
    signer = auco.add_signer(package, "01")
    file = auco.add_file(signer, "soporte")

    async def shown() -> tuple[str, int]:
        found = (await ask(client, "/attachments", package=ID, userId="01")).json["signer"]
        return found["status"], sum("url" in one for one in found["files"])

    assert await shown() == ("pending", 0)
    auco.upload(file, PDF)
    assert await shown() == ("uploaded", 1)
    auco.reject_file(file)
    assert await shown() == ("pending", 0)
    auco.upload(file, PDF)
    auco.set_status(signer, "approved")
    assert await shown() == ("approved", 1)
    auco.remove_file(file)
    assert await shown() == ("approved", 0)
    auco.finish(package)
    assert (await ask(client, "/attachments", package=ID)).json["finish"] is True


@pytest.mark.parametrize("key", ["", "Bearer puk_test", "puk_other", "prk_test", "puk_test puk_test"])
async def test_keys(box: Sandbox, client: Client, package: Package, key: str) -> None:
    """Only the bare public key may read."""
    box.auco.add_key("prk_test")
    for path in ("/attachments", "/document", "/document/roadmap", "/company"):
        reply = await ask(client, path, key, package=ID)
        assert (reply.status, reply.json) == (401, {"message": "Unauthorized"})


async def test_ids(box: Sandbox, client: Client, package: Package) -> None:
    """Exactly one identifier is wanted; an older revision ignored the second."""
    both = {"package": ID, "code": "TR99AQMY31"}
    for query in ({}, {"package": ""}, both):
        assert (await ask(client, "/attachments", **query)).status == 400
    box.auco.both_ids_refused = False
    assert (await ask(client, "/attachments", **both)).status == 200
    for query in ({}, {"package": "", "code": ""}):
        assert isinstance((await ask(client, "/document", **query)).json, list)


async def test_unknown(box: Sandbox, client: Client, package: Package) -> None:
    """What is unknown is 400 with a code word, or 404; so is a signer who was just removed."""
    for path, word in (("/attachments", "ATTACHMENT_NOT_FOUND"), ("/document", "DOCUMENT_NOT_FOUND")):
        for query in ({"package": "nobody"}, {"code": "nobody"}, {"code": ID}):
            reply = await ask(client, path, **query)
            assert (reply.status, reply.json) == (400, {"message": word})
    signer = box.auco.add_signer(package, "01")
    box.auco.remove_signer(signer, ghost=True)
    assert [one["userId"] for one in (await ask(client, "/attachments", package=ID)).json["signers"]] == ["01"]
    assert (await ask(client, "/attachments", package=ID, userId="01")).json == {"message": "ATTACHMENT_NOT_FOUND"}
    package.attachments = False
    assert (await ask(client, "/attachments", package=ID)).status == 400
    box.auco.unknown_status = 404
    reply = await ask(client, "/document", package="nobody")
    assert (reply.status, reply.json) == (404, {"message": "document not found"})


@pytest.mark.parametrize(
    ("shape", "body"),
    [("error", b'{"error":"ATTACHMENT_NOT_FOUND"}'), ("text", b"ATTACHMENT_NOT_FOUND"), ("empty", b"")],
)
async def test_error_shapes(box: Sandbox, client: Client, package: Package, shape: ErrorShape, body: bytes) -> None:
    """The code word comes in any shape, or not at all."""
    box.auco.error_shape = shape
    assert (await ask(client, "/attachments", package="nobody")).body == body


async def test_document(box: Sandbox, client: Client, package: Package) -> None:
    """A process tells its status by package and by code, there with a PDF, images and the other name of the id."""
    signer = box.auco.add_signer(package, "01")
    box.auco.add_image(signer, "photo", b"photo", presigned=False)
    box.auco.add_image(signer, "identificationCard", b"card")
    box.auco.advance(5)
    box.auco.reject(package)
    by_package = (await ask(client, "/document", package=ID)).json
    assert (by_package["_id"], by_package["codes"], by_package["status"]) == (ID, ["TR99AQMY31"], "REJECTED")
    assert (by_package["signFinish"], by_package["signers"][0]["status"]) == (False, "NOTIFICATION")
    assert (by_package["createdAt"], by_package["updatedAt"]) == (
        "2026-11-22T01:00:00.000Z",
        "2026-11-22T01:00:05.000Z",
    )
    by_code = (await ask(client, "/document", code="TR99AQMY31", image="true")).json
    profile = by_code["signProfile"][0]
    assert (profile["id"], profile["photo"]["type"]) == ("01", "base64")
    assert (await client.public(profile["identificationCard"]["data"])).body == b"card"
    assert (await client.public(by_code["url"])).body == PDF
    plain = (await ask(client, "/document", code="TR99AQMY31")).json
    assert "photo" not in plain["signProfile"][0]
    trace = (await ask(client, "/document/roadmap", code="TR99AQMY31")).json
    assert [one["action"] for one in trace["activityLog"]] == ["CREATE", "REJECTED"]
    assert (await ask(client, "/document/roadmap", code="short")).status == 400
    assert (await ask(client, "/company")).status == 200


async def test_processes_expire(box: Sandbox, client: Client) -> None:
    """A process expires by the clock; whether `finish` follows is a setting."""
    box.auco.add_key("puk_test")
    package = box.auco.add_package(expires_in=60)
    box.auco.advance(60)
    assert (package.status, package.finish) == ("EXPIRED", False)
    box.auco.finish_on_end = True
    box.auco.reject(package)
    assert (await ask(client, "/attachments", package=package.id)).json["finish"] is True


async def test_limit_and_faults(box: Sandbox, client: Client, package: Package) -> None:
    """Beyond a limit comes 429 with Retry-After; faults meet this service as any other."""
    box.auco.rate_limit = RateLimit(0, 3.0, clock=lambda: 0.0)
    reply = await ask(client, "/attachments", package=ID)
    assert (reply.status, reply.headers["Retry-After"]) == (429, "4")
    box.auco.rate_limit = None
    box.faults.add(Fault(path="/auco/attachments", query="*userId=*", kind="status", status=500))
    assert (await ask(client, "/attachments", package=ID)).status == 200
    assert (await ask(client, "/attachments", package=ID, userId="01")).json == {"message": "Internal server error"}


async def test_over_http(box: Sandbox, client: Client, package: Package) -> None:
    """Everything that moves can be moved over HTTP."""

    async def act(noun: str, **body: Any) -> Any:
        reply = await client.call("POST", f"/_sandbox/auco/{noun}", json=body)
        return reply.json if reply.status == 200 else reply.status

    made = (await act("packages", name="P", code="ABCDEFGHI"))["package"]
    assert await act("signers", package="ABCDEFGHI", user="01") == {"user": "01"}
    where = {"package": made, "user": "01", "label": "cedula"}
    assert await act("files", **where) == {"label": "cedula"}
    told = {"label": "cedula", "sha256": Held(b"hi").sha256}
    assert await act("files", **where, text="hi", media_type="text/plain", etag=False) == told
    signer = box.auco.signer(made, "01")
    assert (signer.status, len(signer.files)) == ("uploaded", 1)
    await act("files", **where, number=2, text="ho")
    assert [one.label for one in signer.files] == ["cedula", "cedula"]
    await act("files", **where, rejected=True)
    await act("files", **where, number=2, removed=True)
    assert [one.stored for one in signer.files] == [None]
    await act("status", package=made, user="01", status="approved")
    await act("status", package=made, status="FINISH")
    assert (signer.status, signer.package.finish) == ("approved", True)
    assert await act("clock", advance=301) == {"now": "2026-11-22T01:05:01+00:00"}
    await act("keys", revoke=True, add="puk_new")
    assert box.auco.keys == {"puk_new"}
    assert await act("status", package="nobody", status="FINISH") == 400
    assert await act("signers", package=made, user="01", removed=True) == {}


async def test_sample(full: Sandbox, client: Client) -> None:
    """Every link of the sample opens; what ended badly is in processes of its own."""
    labels: list[str] = []
    queries = [{"package": id_} for id_ in DEMO_PACKAGES] + [{"code": CODE}]
    for query in queries:
        for person in (await ask(client, "/attachments", SIGNING_KEY, **query)).json["signers"]:
            one = (await ask(client, "/attachments", SIGNING_KEY, **query, userId=person["userId"])).json["signer"]
            labels += [file["name"] for file in one["files"] if "url" in file]
            for file in one["files"]:
                assert "url" not in file or (await client.public(file["url"])).status == 200
    assert set(ODD_LABELS) <= set(labels)
    assert labels.count("certificado") == 2
    statuses = {one.status for package in full.auco.packages.values() for one in package.signers}
    assert statuses == {"pending", "uploaded", "approved"}
    ended = {id_: full.auco.packages[id_].status for id_ in (EXPIRED, REJECTED, CONTRACT)}
    assert list(ended.values()) == ["EXPIRED", "REJECTED", "FINISH"]


def test_sample_is_deterministic() -> None:
    """Two sandboxes hold the same processes, objects and times."""

    def shown() -> list[Any]:
        box = Sandbox()
        sample(box)
        return [box.auco.objects, [repr(one) for one in box.auco.packages.values()]]

    assert shown() == shown()

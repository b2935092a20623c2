"""Over all services at once: no secret reaches the disk, an output or another host."""

import base64
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog
from aiohttp import web
from yarl import URL

from attachsync import config as configs
from attachsync.clock import Clock
from attachsync.daemon import Summary, equipped, holding, one_pass
from attachsync.errors import AttachsyncError, RejectedError
from attachsync.index import Filter, Index
from attachsync.log import LogObserver
from attachsync.sandbox import Fault, Sandbox, sample, serve, write_config
from attachsync.sandbox.sample_signing import BARE
from attachsync.sandbox.sunshine import KEY_ID
from tests.chats import chatting, client


@dataclass
class Everything:
    """A sandbox of all services, and a mirror of what its config tracks."""

    box: Sandbox
    config: configs.Config
    logs: list[str]

    async def sync(self) -> Summary:
        clock = Clock()
        async with (
            holding(self.config, "sync", clock) as index,
            equipped(self.config, index, clock, LogObserver()) as plant,
        ):
            return await one_pass(plant, None)

    def secrets(self) -> set[bytes]:
        """What the secret files hold (their names and session ids are none), and what signs a link."""
        folder = self.config.path.parent / "secrets"
        words = {word.encode() for path in folder.iterdir() for word in path.read_text().split()}
        made_up = {word for word in words if b"sandbox" in word.lower() or word in (b"s3cr3t", b"5a" * 32)}
        assert len(made_up) == 12  # the others are names and session ids
        return made_up | {b"X-Amz-Signature", b"Bearer "}

    def texts(self) -> dict[str, bytes]:
        """All that was kept, logged and can be shown."""
        kept = {str(path): path.read_bytes() for path in self.config.mirror.directory.rglob("*") if path.is_file()}
        index = Index.peek(self.config.state_directory)
        try:
            rows = [repr(row) for row in index.reports.listing(Filter())]
            shown = [repr(index.reports.describe(n)) for n in range(1, len(rows) + 1)]
        finally:
            index.close()
        return kept | {
            "logs": "\n".join(self.logs).encode(),
            "ls": "".join(rows).encode(),
            "show": "".join(shown).encode(),
        }


@pytest.fixture
async def everything(tmp_path: Path) -> AsyncIterator[Everything]:
    """The sandbox as the command serves it; logs are kept."""
    box, logs = Sandbox(), list[str]()
    sample(box)
    runner, port = await serve(box)
    folder = tmp_path / "config"
    folder.mkdir()
    text = write_config(box, f"http://127.0.0.1:{port}", folder, tmp_path / "outbox")
    path = folder / "config.toml"
    path.write_text(text.replace(str(folder / "mirror"), str(tmp_path / "mirror")))
    before = structlog.get_config()
    structlog.configure(processors=[lambda _logger, _method, event: logs.append(repr(event)) or repr(event)])
    try:
        yield Everything(box, configs.load(path, os.environ), logs)
    finally:
        structlog.configure(**before)
        await runner.cleanup()


async def test_a_pass_over_all_services_and_a_second_one(everything: Everything) -> None:
    """All is mirrored, then nothing is fetched; no secret is anywhere; no link's host was sent a credential."""
    (everything.config.outboxes[0].directory / "note.txt").write_text("hello")
    assert not (await everything.sync()).incomplete
    everything.box.forget()
    assert not (await everything.sync()).incomplete
    downloads = [one.path for one in everything.box.requests if one.body_bytes_sent and _is_download(one.path)]
    assert [path for path in downloads if BARE not in path] == []  # its host has no ETag: no way to tell
    for name, text in everything.texts().items():
        assert not [secret for secret in everything.secrets() if secret in text], name
    assert everything.box.auco.leaks == []


ECHOES = {
    "/archivist/v2/assets*": "ledger",
    "/rkvst/*/token": "archive",
    "/sunshine/*": "support",
    "/trinsic/*": "ids",
    "/auco/*": "signing",
}


async def test_services_that_say_what_they_were_sent(everything: Everything) -> None:
    """Their words are told without the credentials in them: in logs, in the index, and in the record of a file."""
    folder, outbox = everything.config.path.parent / "secrets", everything.config.outboxes[0].directory
    for path, account in ECHOES.items():
        secret = (folder / f"{account}.secret").read_text().split()[-1]
        sent = base64.b64encode(f"{KEY_ID}:{secret}".encode()).decode() if account == "support" else f"Bearer {secret}"
        body = json.dumps({"message": f"{secret} is not {sent}"})
        everything.box.faults.add(Fault(path=path, kind="status", status=400, body=body))
    (outbox / "note.txt").write_text("hello")
    assert (await everything.sync()).incomplete
    assert "(a key) is not (a key)" in (outbox / "failed/note.txt.toml").read_text()
    texts = everything.texts()
    for account in ECHOES.values():
        assert f"'{account}: " in texts["logs"].decode()
    for name, text in texts.items():
        assert not [secret for secret in everything.secrets() - {b"Bearer "} if secret in text], name


@pytest.mark.parametrize(
    ("status", "words"),
    [(403, "expired: {url}"), (404, "no such {query}"), (401, "{signature}: bad signature"), (400, "GET {path} ")],
)
async def test_hosts_of_links_that_say_what_they_were_asked_for(tmp_path: Path, status: int, words: str) -> None:
    """A link that is signed is in nothing that is kept, logged or shown: neither one listed, nor one redirected to."""

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/hop":
            raise web.HTTPFound("/file?a=1&X-Amz-Signature=c4n%2Fry5ig")
        return web.json_response({"message": words.format(**said(request))}, status=status)

    def said(request: web.Request) -> dict[str, str]:
        query, signature = request.url.raw_query_string, request.query["X-Amz-Signature"]
        return {"url": str(request.url), "query": query, "signature": signature, "path": request.path_qs}

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host = "http://{}:{}".format(*runner.addresses[0])
    logs = list[str]()
    before = structlog.get_config()
    structlog.configure(processors=[lambda _logger, _method, event: logs.append(repr(event)) or repr(event)])
    try:
        async with chatting(tmp_path) as chats, client(chats) as http:
            chat = chats.conversation()
            for link in ("/file?X-Amz-Signature=c4n%2Fry5ig&b=2", "/hop"):
                content = {"type": "file", "mediaUrl": host + link, "altText": "x.pdf"}
                chats.box.sunshine.add_message(chat, content)
            summary, recorder = await chats.sync()
            with pytest.raises(AttachsyncError) as raised:
                await http.get(URL(f"{host}/file?X-Amz-Signature=c4n%2Fry5ig", encoded=True))
    finally:
        structlog.configure(**before)
        await runner.cleanup()
    assert summary.incomplete or status == 404
    kept = [path.read_bytes().decode(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
    for text in (*kept, repr(logs), repr(recorder.outcomes), str(raised.value)):
        assert "c4n" not in text
    assert f"HTTP {status}" in repr(recorder.outcomes)


@pytest.mark.parametrize("words", ["invalid page_size", "no such page", "page_size=100 is too much"])
async def test_what_we_ask_for_ourselves_is_no_secret(tmp_path: Path, words: str) -> None:
    """Ordinary words of a service are told as they are; of a link and a redirect, on its own host too, they are not."""
    async with chatting(tmp_path) as chats, client(chats) as http:
        own, link = http.url("/v2/some", [("page_size", "100")]), http.url("/file", [("sig", "c4n-ry5ig")])
        chats.box.faults.add(Fault(path="*/hop", kind="redirect", location=str(link), status=302))
        body = json.dumps({"message": f"{words}; sig=c4n-ry5ig: {words}"})
        chats.box.faults.add(Fault(path="*", kind="status", status=400, body=body))
        with pytest.raises(RejectedError) as told:
            await http.get(own)
        assert str(told.value).endswith(f"HTTP 400: {words}; sig=c4n-ry5ig: {words}")
        for asked in (http.post(link, link=True), http.open(link, link=True), http.get(http.url("/hop"))):
            with pytest.raises(RejectedError) as told:
                await asked
            assert str(told.value).endswith(f"{words}; (a key): {words}")


def _is_download(path: str) -> bool:
    bytes_of_ledgers = "/v2/attachments/" in path and not path.endswith("/info")
    return bytes_of_ledgers or path.startswith(("/auco-files/", "/sunshine/attachments/")) or path.endswith("/get")


async def test_no_credential_reaches_another_host(everything: Everything) -> None:
    """Whatever redirects there: neither Authorization nor Cookie nor a key arrives."""
    seen: list[tuple[str, dict[str, str]]] = []

    async def strange(request: web.Request) -> web.Response:
        seen.append((request.path_qs, dict(request.headers)))
        return web.Response(status=404)

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", strange)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    location = f"http://127.0.0.1:{runner.addresses[0][1]}/elsewhere"
    try:
        everything.box.faults.add(Fault(path="*", kind="redirect", location=location, status=302))
        assert (await everything.sync()).incomplete
    finally:
        await runner.cleanup()
    assert seen
    for _, headers in seen:
        assert not {name.lower() for name in headers} & {"authorization", "cookie"}
        assert not [secret for secret in everything.secrets() if secret in repr(headers).encode()]

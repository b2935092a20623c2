"""TLS: certificates are verified, always; `ca_file` names another CA for one account, and nothing turns it off."""

import asyncio
import contextlib
import dataclasses
import datetime
import os
import re
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme
from aiohttp import web

from attachsync.clock import Clock
from attachsync.errors import AccountError, RefusedError
from attachsync.http import Http
from attachsync.model import Account

PACKAGE = Path(__file__).parents[1] / "attachsync"


class Nobody:
    """Signs nothing."""

    async def headers(self, http: Http) -> dict[str, str]:
        return {}

    async def renew(self, used: object) -> bool:
        return False


@contextlib.asynccontextmanager
async def served(certificate: trustme.LeafCert) -> AsyncIterator[str]:
    """An https server with a certificate: its base URL, by name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    app = web.Application()
    app.router.add_get("/hello", _hello)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        yield f"https://localhost:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _hello(_request: web.Request) -> web.Response:
    return web.json_response({"hello": "you"})


async def asked(base: str, ca: Path | None, url: str | None = None) -> object:
    """What `/hello` answers to an account that trusts `ca` (None: what the system trusts)."""
    account = Account("ledger", "datatrails", base, None)
    client = Http(dataclasses.replace(account, ca_file=ca), Nobody(), Clock())
    try:
        target = client.url("/hello") if url is None else client.url("/hello").with_host(url)
        return (await client.get(target)).json()
    finally:
        await client.close()


@pytest.fixture(scope="module")
def ours() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(ours: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    ours.cert_pem.write_to_path(str(path))
    return path


async def test_ca_file_is_what_makes_a_ca_of_ones_own_trusted(ours: trustme.CA, ca_file: Path) -> None:
    async with served(ours.issue_cert("localhost")) as base:
        assert await asked(base, ca_file) == {"hello": "you"}
        with pytest.raises(AccountError, match=r"not trusted: .*local issuer certificate; .*name that in ca_file$"):
            await asked(base, None)


async def test_who_has_no_ca_file_trusts_whom_the_system_trusts(ours: trustme.CA, ca_file: Path) -> None:
    """It is asked when somebody is to be trusted, and not before: here `SSL_CERT_FILE` says it, to another process."""
    async with served(ours.issue_cert("localhost")) as base:
        code = "import asyncio, attachsync.http; from tests import test_tls as this; print(asyncio.run(this.asked"
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            f"{code}({base!r}, None)))",
            cwd=PACKAGE.parent,
            env={**os.environ, "SSL_CERT_FILE": str(ca_file)},
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await process.communicate()
    assert said == b"{'hello': 'you'}\n"


async def test_another_ca_is_refused(ca_file: Path) -> None:
    async with served(trustme.CA().issue_cert("localhost")) as base:
        with pytest.raises(AccountError, match=r"^ledger: GET /hello: its certificate is not trusted: .*ca_file"):
            await asked(base, ca_file)


async def test_a_certificate_that_is_over_is_refused(ours: trustme.CA, ca_file: Path) -> None:
    past = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    async with served(ours.issue_cert("localhost", not_after=past)) as base:
        with pytest.raises(AccountError, match="not trusted: certificate has expired"):
            await asked(base, ca_file)


async def test_a_certificate_of_another_host_is_refused(ours: trustme.CA, ca_file: Path) -> None:
    async with served(ours.issue_cert("elsewhere.example")) as base:
        with pytest.raises(AccountError, match=r"not trusted: .*Hostname mismatch.*localhost"):
            await asked(base, ca_file)


async def test_one_link_to_a_host_that_is_not_trusted_is_no_trouble_of_the_account(
    ours: trustme.CA, ca_file: Path
) -> None:
    async with served(ours.issue_cert("localhost")) as base:
        with pytest.raises(RefusedError, match="not trusted"):
            await asked(base, ca_file, "127.0.0.1")


@pytest.mark.parametrize("word", [r"\bCERT_NONE\b", r"check_hostname\s*=\s*False", r"ssl=False", r"verify=False"])
def test_nothing_in_the_package_turns_it_off(word: str) -> None:
    sources = list(PACKAGE.rglob("*.py"))
    assert sources
    assert [path for path in sources if re.search(word, path.read_text())] == []

"""The commands that are compared: attachsync's own, and what else would do such a thing."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.benchmarks.measure import Contender
from tests.benchmarks.site import Site

AT_A_TIME = 32
_OURS = [sys.executable, "-m", "attachsync"]

_ACCOUNT = """
[mirror]
directory = "{folder}/mirror"
min_free = 0
scrub = "off"

[accounts.ledger]
service = "datatrails"
base_url = "{url}"
token_file = "token"
"""
_ALL = """
[[track]]
account = "ledger"
name = "all"
asset = "*"
"""
_ONE = """
[[track]]
account = "ledger"
asset = "{asset}"
"""
_OUTBOX = """
[mirror]
directory = "{folder}/mirror"
min_free = 0

[accounts.support]
service = "sunshine"
base_url = "{url}"
app_id = "app"
key_id = "key"
secret_file = "token"

[[outbox]]
directory = "{folder}/outbox"
account = "support"
settle = "10ms"
"""


def configured(folder: Path, text: str) -> Path:
    """A config of `text`, and the secret beside it."""
    token, config = folder / "token", folder / "config.toml"
    token.write_text("token\n")
    token.chmod(0o600)
    config.write_text(text)
    return config


def all_of(site: Site, folder: Path, *, concurrency: int | None = None) -> str:
    """A config that mirrors everything through `asset = "*"`; `concurrency` is the account's (None: the default)."""
    width = "" if concurrency is None else f"concurrency = {concurrency}\n"
    return _ACCOUNT.format(folder=folder, url=site.url) + width + _ALL


def each_of(site: Site, folder: Path, assets: Sequence[str]) -> str:
    """A config with a track an asset."""
    return _ACCOUNT.format(folder=folder, url=site.url) + "".join(_ONE.format(asset=asset) for asset in assets)


def ours(config: Path, *words: str) -> list[str]:
    """An attachsync command."""
    return [*_OURS, "--config", str(config), *words]


def attachsync(site: Site) -> Contender:
    """A cold mirror, listing and `/info` included."""
    return Contender("attachsync", lambda folder: ours(configured(folder, all_of(site, folder)), "sync"))


def downloaders(site: Site, scratch: Path) -> tuple[list[Contender], list[str]]:
    """(attachsync and its rivals, notes on those that are not here). Rivals know what to fetch beforehand."""
    found, notes = [attachsync(site)], []
    rivals: dict[str, Callable[[Path], Sequence[str]]] = {
        "curl": lambda folder: _curl(site, folder),
        "aria2c": lambda folder: _aria2(site, folder),
        "rclone": lambda folder: _rclone(site, folder),
    }
    for name, command in rivals.items():
        if shutil.which(name):
            found.append(Contender(name, command))
        else:
            notes.append(f"{name} is not installed: left out")
    sums = site.corpus / "SHA256SUMS"
    plain = [sys.executable, "-m", "tests.benchmarks.plain", f"{site.url}/archivist/v1/blobs", str(sums)]
    found.append(Contender("aiohttp+aiofiles", lambda folder: [*plain, str(folder)]))
    limit = built_limit(scratch)
    if limit:
        fetch = [str(limit), str(site.port), "/archivist/v1/blobs", str(sums)]
        found.append(Contender("limit (C)", lambda folder: [*fetch, str(folder)]))
    else:
        notes.append("no C compiler: the limit is left out")
    return found, notes


def built_limit(scratch: Path) -> Path | None:
    """The C program, compiled; None without a compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    source, program = Path(__file__).with_name("limit.c"), scratch / "limit"
    subprocess.run([compiler, "-O2", "-o", program, source, "-lpthread", "-ldl"], check=True)
    return program


def _shell(*commands: str) -> list[str]:
    return ["sh", "-c", " && ".join(commands)]


def _checked(site: Site, folder: Path) -> str:
    return f"cd {folder} && sha256sum -c --quiet {site.corpus}/SHA256SUMS"


def _curl(site: Site, folder: Path) -> list[str]:
    urls = folder.with_name("urls")
    urls.write_text(
        "".join(f'url = "{site.url}/archivist/v1/blobs/{one}"\noutput = "{folder}/{one}"\n' for one in site.blobs())
    )
    return _shell(f"curl -sSf --parallel --parallel-max {AT_A_TIME} -K {urls}", _checked(site, folder))


def _aria2(site: Site, folder: Path) -> list[str]:
    urls = folder.with_name("urls")
    lines = [line.split() for line in (site.corpus / "SHA256SUMS").read_text().splitlines()]
    urls.write_text(
        "".join(
            f"{site.url}/archivist/v1/blobs/{name}\n  out={name}\n  checksum=sha-256={digest}\n"
            for digest, name in lines
        )
    )
    quiet = ["-q", "--file-allocation=none", "--no-conf"]
    return ["aria2c", f"-j{AT_A_TIME}", "-i", str(urls), "-d", str(folder), *quiet]


def _rclone(site: Site, folder: Path) -> list[str]:
    copy = f"rclone copy --config= --transfers {AT_A_TIME} --http-url {site.url}/blobs/ --http-no-head :http: {folder}"
    return _shell(copy, _checked(site, folder))


def uploaders(site: Site, files: Path) -> tuple[list[Contender], list[str]]:
    """Those that send every file of a folder, as multipart forms."""

    def mine(folder: Path) -> list[str]:
        shutil.copytree(files, folder / "outbox")
        config = folder / "config"  # an outbox may not lie in the config's folder
        config.mkdir()
        return ours(configured(config, _OUTBOX.format(folder=folder, url=site.url)), "sync")

    def curl(folder: Path) -> list[str]:
        url = f"{site.url}/v2/apps/app/attachments?access=public"
        one = 'url = "{}"\nuser = "key:token"\nform = "source=@{}"\noutput = "/dev/null"\n'
        urls = folder / "urls"
        urls.write_text("next\n".join(one.format(url, file) for file in sorted(files.iterdir())))
        return ["curl", "-sSf", "--parallel", "--parallel-max", str(AT_A_TIME), "-K", str(urls)]

    found = [Contender("attachsync", mine)]
    if shutil.which("curl"):
        return [*found, Contender("curl", curl)], []
    return found, ["curl is not installed: left out"]

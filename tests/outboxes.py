"""What the tests of the outbox share: a sandbox on loopback, a real folder, a real index, and a clock that leaps."""

import asyncio
import contextlib
import dataclasses
import os
import tomllib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from attachsync import receipts, units
from attachsync.clock import Clock
from attachsync.credentials import Secret, secret_files
from attachsync.http import Http
from attachsync.index import Index, Upload
from attachsync.model import Account, Digest, Draft, Outbox
from attachsync.outbox import Notice, Outcome, Outgoing
from attachsync.patience import Patience
from attachsync.sandbox import Sandbox, serve
from attachsync.sources.sunshine import SERVICE
from attachsync.sources.sunshine.keys import AccountKeys, OutboxKeys
from attachsync.spool import digest

UPLOAD = "/sunshine/v2/apps/*/attachments"
MESSAGES = "/sunshine/v2/apps/*/messages"
REMOVE = "/sunshine/v2/apps/*/attachments/remove"


class Leaping(Clock):
    """A clock on which sleeping takes no time, but has passed all the same."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead

    async def sleep(self, seconds: float) -> None:
        self.ahead += seconds
        await asyncio.sleep(0)


class Eventful(Leaping):
    """A leaping clock with something that happens when it is `at` seconds ahead."""

    def __init__(self, at: float) -> None:
        super().__init__()
        self.events: list[Callable[[], object]] = []
        self._at = at

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        while self.events and self.ahead >= self._at:
            self.events.pop()()


class Slow(Clock):
    """A clock on which time hardly passes: what waits for a time waits for longer than any test."""

    def monotonic(self) -> float:
        return super().monotonic() / 1000


class Hurried(Clock):
    """A clock on which a minute takes a second."""

    pace = 60.0

    def __init__(self) -> None:
        self._began = super().now(), super().monotonic()

    def now(self) -> float:
        return self._began[0] + (super().now() - self._began[0]) * self.pace

    def monotonic(self) -> float:
        return self._began[1] + (super().monotonic() - self._began[1]) * self.pace

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self.pace)


@dataclass
class Rig:
    """One outbox of one Sunshine account in the sandbox."""

    box: Sandbox
    account: Account
    config: Outbox
    http: Http
    index: Index
    clock: Clock
    notices: list[Notice] = field(default_factory=list)
    logs: list[Any] = field(default_factory=list)

    @property
    def root(self) -> Path:
        return self.config.directory

    def outgoing(self, width: int = 8, **changes: Any) -> Outgoing:
        """The outbox, with other keys of `[[outbox]]` or of Sunshine's; `width`: the account's `concurrency`."""
        ours = {
            key: changes.pop(key) for key in ("settle", "ignore", "on_unknown", "propagate_deletes") if key in changes
        }
        options = dataclasses.replace(self.config.options, **changes)
        config = dataclasses.replace(self.config, options=options, **ours)
        assert SERVICE.push is not None
        sender = SERVICE.push.sender(self.http, options)
        uploads, secrets = self.index.uploads, secret_files(self.account.options)
        return Outgoing(config, sender, uploads, self.clock, width=width, secrets=secrets, notify=self.notices.append)

    async def flush(self, **changes: Any) -> Outcome:
        return await self.outgoing(**changes).flush()

    def drop(self, name: str = "report.txt", data: bytes = b"quarterly\n") -> Path:
        """Put a file into the outbox."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def drop_raw(self, name: bytes) -> bytes:
        """Put a file into the outbox whose name need not be UTF-8; its whole path."""
        path = os.fsencode(self.root) + b"/" + name
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
        return path

    def document(self, name: str) -> dict[str, Any]:
        """A receipt or record, such as `sent/report.txt`."""
        return tomllib.loads((self.root / f"{name}.toml").read_text())

    def tree(self) -> list[str]:
        """All files below the outbox, hidden ones too."""
        return sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*") if not path.is_dir())

    def states(self) -> list[str]:
        """The states of all journal rows, oldest first."""
        return [row["state"] for row in self.index.database.rows("SELECT state FROM upload ORDER BY id")]

    def said(self, event: str) -> list[Any]:
        """What was logged under this name."""
        return [entry for entry in self.logs if entry["event"] == event]


@contextlib.asynccontextmanager
async def rig(
    tmp_path: Path, clock: Clock | None = None, *, auth: str = "basic", quiet: float = 10
) -> AsyncIterator[Rig]:
    """An outbox ready for use, and a server behind it."""
    box = Sandbox()
    runner, port = await serve(box)
    secret = tmp_path / "secret"
    secret.touch(mode=0o600)
    secret.write_text("s3cr3t\n")
    options = AccountKeys(box.sunshine.app_id, "app_5963ceb97cde542d000dbdb1", Secret(secret), auth)
    account = Account("support", "sunshine", f"http://127.0.0.1:{port}/sunshine", options)
    root = tmp_path / "outbox"
    root.mkdir()
    config = Outbox(root, "support", OutboxKeys(), ignore=("*~", "*.part", "*.tmp", "*.crdownload"))
    clock = clock or Leaping()
    http = Http(account, SERVICE.credentials(account), clock, patience=Patience(quiet=quiet))
    (tmp_path / "state").mkdir()
    index = Index.open(tmp_path / "state")
    made = Rig(box, account, config, http, index, clock)
    try:
        with structlog.testing.capture_logs() as made.logs:
            yield made
    finally:
        await http.close()
        index.close()
        await runner.cleanup()


def journaled(
    one: Rig, path: Path, state: str, *, receipt: dict[str, str] | None = None, place: str | None = None
) -> Upload:
    """A row such as a killed process leaves for `path`."""
    name = str(path.relative_to(one.root))
    with path.open("rb") as file:
        found = digest(file.fileno())
    draft = Draft("ticket-1", path.name, "text/plain", path.stat().st_size, Digest(found))
    now = one.clock.now()
    upload = one.index.uploads.begin(str(one.root), name, draft, now)
    if state != "sending":
        upload = one.index.uploads.advance(upload, state, now, receipt=receipt, filed_as=place)
    return upload


async def uploaded(one: Rig, name: str, conversation: str = "") -> dict[str, str]:
    """What the journal holds of an upload that was answered."""
    media = one.box.sunshine.add_media(b"quarterly\n", name, conversation=conversation)
    url = media.url.replace("sandbox:", one.account.base_url)
    said = {"media_url": url, "app_id": one.box.sunshine.app_id, "access": "public"}
    return said | {receipts.UPLOADED_AT: units.rfc3339(one.clock.now()) or ""}


async def until(condition: Callable[[], object], seconds: float = 10) -> None:
    """Wait until something is so; fail if it never is."""
    for _ in range(int(seconds / 0.01)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came to be so")

"""What the tests of the mirror share: a ledger in the sandbox, a real config file, and whole passes over it."""

import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from attachsync import config as configs
from attachsync import explaining
from attachsync.cli.watching import Tally
from attachsync.clock import Clock
from attachsync.daemon import Summary, equipped, holding, one_pass
from attachsync.index import Filter, Index
from attachsync.model import JSON
from attachsync.observer import Outcome
from attachsync.reader import Config
from attachsync.sandbox import Sandbox, serve

TOKEN = "known-token"
DOWNLOADS = "/datatrails/archivist/v2/attachments/*"
BYTES = DOWNLOADS + "/????????-????-????-????-????????????"
"""Requests for an attachment's bytes, not for its /info."""


class Shifted(Clock):
    """A clock that can be set forward."""

    ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead


class Movable(Clock):
    """A clock whose both hands can be set forward."""

    ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


class Recorder(Tally):
    """Remembers what became of each attachment in a pass."""

    def __init__(self) -> None:
        super().__init__()
        self.outcomes: list[Outcome] = []
        self.down: list[str] = []

    def settled(self, outcome: Outcome) -> None:
        super().settled(outcome)
        self.outcomes.append(outcome)

    def account_down(self, account: str, error: str) -> None:
        self.down.append(error)


@dataclass
class Ledgers:
    """A sandbox on loopback, and a mirror of its ledger in `root`."""

    box: Sandbox
    port: int
    root: Path
    clock: Shifted = field(default_factory=Shifted)
    tracks: str = '[[track]]\naccount = "ledger"\nasset = "*"\n'
    account: str = 'token_file = "token"\n'
    mirror_keys: str = ""
    min_free: str = "0"

    @property
    def mirror(self) -> Path:
        return self.root / "mirror"

    @property
    def files(self) -> Path:
        return self.mirror / "files/ledger/assets"

    def config(self) -> Config:
        """The config as it is now, written and read back."""
        token = self.root / "token"
        if not token.exists():
            token.write_text(TOKEN)
            token.chmod(0o600)
        path = self.root / "config.toml"
        path.write_text(
            f'[mirror]\ndirectory = "mirror"\nmin_free = {self.min_free}\n{self.mirror_keys}\n'
            f'[accounts.ledger]\nservice = "datatrails"\nbase_url = "http://127.0.0.1:{self.port}/datatrails"\n'
            f"{self.account}\n{self.tracks}"
        )
        return configs.load(path, os.environ)

    async def sync(self, *names: str) -> tuple[Summary, Recorder]:
        """One pass, as `attachsync sync` makes it; the log of requests is that of this pass only."""
        self.box.forget()
        config, recorder = self.config(), Recorder()
        async with (
            holding(config, "sync", self.clock) as index,
            equipped(config, index, self.clock, recorder) as plant,
        ):
            return await one_pass(plant, list(names) or None), recorder

    @contextlib.contextmanager
    def index(self) -> Iterator[Index]:
        index = Index.peek(self.mirror / ".attachsync")
        try:
            yield index
        finally:
            index.close()

    def rows(self, **wanted: str) -> list[dict[str, JSON]]:
        """What `ls` shows."""
        with self.index() as index:
            return list(index.reports.listing(Filter(**wanted)))  # type: ignore[arg-type]

    def why(self, key: str) -> list[str]:
        """What `explain` says of the attachment whose key ends so."""
        config = self.config()
        with self.index() as index:
            [row] = [row["key"] for row in index.reports.listing(Filter()) if str(row["key"]).endswith(key)]
            [found] = index.reports.find(str(row))
            why = explaining.of_attachment(config, index, found)["why"]
        assert isinstance(why, list)
        return [str(sentence) for sentence in why]

    def shown(self) -> list[str]:
        """Paths below files/ledger/assets, sorted."""
        return sorted(str(path.relative_to(self.files)) for path in self.files.rglob("*") if path.is_file())

    def stored(self) -> set[str]:
        """Names of all files below sha256/."""
        return {path.name for path in (self.mirror / "sha256").rglob("*") if path.is_file()}

    def quarantined(self) -> set[str]:
        return {path.name for path in (self.mirror / ".attachsync/quarantine").iterdir()}

    def downloads(self) -> int:
        """Requests for attachments' bytes since the last pass began."""
        return sum(
            1
            for request in self.box.requests
            if "/attachments/" in request.path or "/v1/blobs/" in request.path
            if not request.path.endswith("/info")
        )

    def requests(self, ending: str) -> list[dict[str, str]]:
        """The queries of requests whose path ends so."""
        return [dict(request.query) for request in self.box.requests if request.path.endswith(ending)]


@contextlib.asynccontextmanager
async def ledgers(root: Path) -> AsyncIterator[Ledgers]:
    """A sandbox that knows one token."""
    box = Sandbox()
    box.datatrails.add_token(TOKEN)
    runner, port = await serve(box)
    try:
        yield Ledgers(box, port, root)
    finally:
        await runner.cleanup()

"""What the tests of Trinsic share: sessions and access keys in the sandbox, and whole passes over them."""

import contextlib
import hashlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from attachsync import config as configs
from attachsync.plan import planned
from attachsync.reader import Config
from attachsync.sandbox import Sandbox, serve
from tests.ledgers import Ledgers

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
CANARY = "Tr1nsicC4nary"
TOKEN = f"tok_{CANARY}"
SESSION = "678c1ff6-2178-49e7-81d2-548afb6f85ec"
RESULTS = "/trinsic/api/v1/sessions/*/results"
EXCHANGE = "/trinsic/api/v1/attachments/*"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def fingerprint(key: str) -> str:
    return sha256(key.encode())[:12]


@dataclass
class Ids(Ledgers):
    """A mirror of the sandbox's Trinsic."""

    account: str = ""
    tracks: str = ""

    @property
    def files(self) -> Path:
        return self.mirror / "files/ids"

    def secret(self, name: str, text: str) -> Path:
        path = self.root / name
        path.write_text(text)
        path.chmod(0o600)
        return path

    def track_session(self, session: str, key: str) -> None:
        self.secret(f"{session}.key", key)
        self.tracks += f'[[track]]\naccount = "ids"\nsession = "{session}"\nresults_key_file = "{session}.key"\n'

    def track_list(self, kind: str, *lines: str) -> Path:
        self.tracks += f'[[track]]\naccount = "ids"\n{kind} = "{kind}"\n'
        return self.secret(kind, "".join(f"{line}\n" for line in lines))

    def config(self) -> Config:
        self.secret("token", TOKEN)
        path = self.root / "config.toml"
        path.write_text(
            f'[mirror]\ndirectory = "mirror"\nmin_free = {self.min_free}\n{self.mirror_keys}\n'
            f'[accounts.ids]\nservice = "trinsic"\nbase_url = "http://127.0.0.1:{self.port}/trinsic"\n'
            f'token_file = "token"\n{self.account}\n{self.tracks}'
        )
        return configs.load(path, os.environ)

    def states(self) -> dict[str, str]:
        return {str(row["key"]): str(row["state"]) for row in self.rows()}

    def reasons(self) -> str:
        with self.index() as index:
            return "\n".join(str(row["reason"]) for row in index.database.each("SELECT reason FROM attachment"))

    async def plan(self) -> list[str]:
        config = self.config()
        with self.index() as index:
            return [
                f"{one.action} {one.path}" async for one in planned(config, index, list(config.tracks), outboxes=False)
            ]


@contextlib.asynccontextmanager
async def identities(root: Path) -> AsyncIterator[Ids]:
    """A sandbox that knows one token."""
    box = Sandbox()
    box.trinsic.add_token(TOKEN)
    runner, port = await serve(box)
    try:
        yield Ids(box, port, root)
    finally:
        await runner.cleanup()

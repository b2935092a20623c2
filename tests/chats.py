"""What the tests of Sunshine tracks share: conversations in the sandbox, a real config, and whole passes."""

import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attachsync import config as configs
from attachsync.clock import Clock
from attachsync.daemon import Summary, equipped, holding, one_pass
from attachsync.http import Http
from attachsync.index import Filter, Index
from attachsync.model import JSON, State
from attachsync.sandbox import Sandbox, serve
from attachsync.sandbox.sample_chat import USER
from attachsync.sandbox.sunshine import KEY_ID, Conversation, Media
from attachsync.sources.sunshine import SERVICE
from tests.ledgers import Recorder

MESSAGES = "/sunshine/v2/apps/*/messages"
MEDIA = "/sunshine/attachments/*"


@dataclass
class Chats:
    """A sandbox on loopback, and a mirror of its conversations in `root`."""

    box: Sandbox
    port: int
    root: Path
    tracks: str = f'[[track]]\naccount = "support"\nuser = "{USER}"\n'
    account: str = ""
    secret: str = "s3cr3t\n"
    last: Recorder = field(default_factory=Recorder)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}/sunshine"

    @property
    def files(self) -> Path:
        return self.root / "mirror/files/support/conversations"

    def config(self) -> configs.Config:
        secret = self.root / "secret"
        if not secret.exists():
            secret.touch(mode=0o600)
        secret.write_text(self.secret)
        path = self.root / "config.toml"
        path.write_text(
            f'[mirror]\ndirectory = "mirror"\nmin_free = "0"\n[accounts.support]\nservice = "sunshine"\n'
            f'base_url = "{self.base}"\napp_id = "{self.box.sunshine.app_id}"\nkey_id = "{KEY_ID}"\n'
            f'secret_file = "secret"\n{self.account}\n{self.tracks}'
        )
        return configs.load(path, os.environ)

    async def sync(self) -> tuple[Summary, Recorder]:
        """One pass; the log of requests is that of this pass only."""
        self.box.forget()
        config, recorder = self.config(), Recorder()
        self.last = recorder
        async with holding(config, "sync", Clock()) as index, equipped(config, index, Clock(), recorder) as plant:
            return await one_pass(plant, None), recorder

    def rows(self) -> list[dict[str, JSON]]:
        """What `ls` shows."""
        with contextlib.closing(Index.peek(self.root / "mirror/.attachsync")) as index:
            return list(index.reports.listing(Filter()))

    def failures(self) -> list[str]:
        """Why what failed in the last pass did."""
        return [one.reason for one in self.last.outcomes if one.state is State.FAILED]

    def states(self, chat: Conversation) -> list[str]:
        """The states of a conversation's attachments, in the order of its messages."""
        return [
            str(row["state"]) for row in sorted(self.rows(), key=lambda row: str(row["key"])) if chat.id in str(row)
        ]

    def shown(self) -> dict[str, bytes]:
        """Path below files/support/conversations -> bytes."""
        return {str(path.relative_to(self.files)): path.read_bytes() for path in self.files.rglob("*.*")}

    def asked(self, pattern: str = MESSAGES) -> list[dict[str, str]]:
        """Queries of requests whose path is like this."""
        return [dict(one.query) for one in self.box.requests if like(one.path, pattern)]

    def conversation(self, **more: Any) -> Conversation:
        return self.box.sunshine.add_conversation(**more)

    def send(self, chat: Conversation, data: bytes, name: str = "a.txt", kind: str = "file", **more: Any) -> Media:
        """A file that is sent as a message."""
        media = self.box.sunshine.add_media(data, name, "text/plain", chat)
        self.box.sunshine.add_message(chat, {**self.box.sunshine.file_content(media, kind), **more})
        return media


def like(path: str, pattern: str) -> bool:
    start, _, end = pattern.partition("*")
    return path.startswith(start) and path.endswith(end)


@contextlib.asynccontextmanager
async def chatting(root: Path) -> AsyncIterator[Chats]:
    """A sandbox without any conversation."""
    box = Sandbox()
    runner, port = await serve(box)
    try:
        yield Chats(box, port, root)
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def client(chats: Chats) -> AsyncIterator[Http]:
    account = chats.config().accounts["support"]
    http = Http(account, SERVICE.credentials(account), Clock())
    try:
        yield http
    finally:
        await http.close()

"""What the tests of crashes share: a mirror with an outbox, and what must be so after whatever befell them."""

import asyncio
import contextlib
import hashlib
import os
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from attachsync import receipts
from attachsync.daemon import Summary
from attachsync.index import Index
from attachsync.sandbox import Sandbox, serve
from attachsync.sandbox.sunshine import KEY, KEY_ID, Conversation
from tests.ledgers import TOKEN, Ledgers, Recorder, Shifted

CONVERSATION = "67b1c0de67b1c0de67b1c0de"
SUPPORT = """
[accounts.support]
service = "sunshine"
base_url = "http://127.0.0.1:{port}/sunshine"
app_id = "{app}"
key_id = "{key}"
secret_file = "secret"
[[track]]
account = "support"
conversation = "{conversation}"
[[outbox]]
directory = "../outbox"
account = "support"
settle = "0s"
{posting}
[daemon]
interval = "1s"
"""
POSTING = f"""
conversation = "{CONVERSATION}"
send = true
"""


class Leaping(Shifted):
    """A clock on which sleeping takes no time, but has passed all the same."""

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead

    async def sleep(self, seconds: float) -> None:
        self.ahead += seconds
        await asyncio.sleep(0)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def files_below(folder: Path) -> dict[str, Path]:
    """Path below the folder -> path, of all that is no folder."""
    return {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if not path.is_dir()}


def _media_path(url: str) -> str:
    """Where the sandbox keeps a file, from its URL as a client or as the sandbox itself writes it."""
    return url.removeprefix("sandbox:").partition("/sunshine")[2] or url.removeprefix("sandbox:")


@dataclass
class Mirrored:
    """A ledger and a conversation, mirrored; and an outbox whose files are posted in that conversation (if it `posts`).

    `dropped` are the files that were ever put into the outbox.
    """

    ledgers: Ledgers
    dropped: dict[str, bytes] = field(default_factory=dict)
    posts: bool = True

    @property
    def conversation(self) -> Conversation:
        return self.ledgers.box.sunshine.conversations[CONVERSATION]

    @property
    def known(self) -> set[str]:
        """Digests of all that was ever upstream or dropped."""
        box = self.ledgers.box
        contents = [*(blob.recorded for blob in box.datatrails.blobs.values())]
        contents += [media.content for media in box.sunshine.media.values()]
        return {one.sha256 for one in contents} | {digest(data) for data in self.dropped.values()}

    @property
    def mirror(self) -> Path:
        return self.ledgers.mirror

    @property
    def outbox(self) -> Path:
        return self.ledgers.root.parent / "outbox"

    def write_config(self) -> Path:
        """The config, on the disk."""
        secret = self.ledgers.root / "secret"
        secret.write_text(KEY[KEY_ID])
        secret.chmod(0o600)
        self.ledgers.config()
        return self.ledgers.root / "config.toml"

    def say(self, name: str, data: bytes) -> dict[str, Any]:
        """A message with a file comes in."""
        sunshine = self.ledgers.box.sunshine
        return sunshine.add_message(CONVERSATION, sunshine.file_content(sunshine.add_media(data, name)))

    def drop(self, name: str, data: bytes) -> None:
        """A file is put into the outbox, complete from its first moment."""
        self.dropped[name] = data
        path, aside = self.outbox / name, self.outbox.parent / "aside"
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(data)
        aside.rename(path)

    async def sync(self) -> tuple[Summary, Recorder]:
        """One pass, in this process."""
        return await self.ledgers.sync()

    def posted(self) -> Counter[str]:
        """Digest -> how many messages show such bytes."""
        media = self.ledgers.box.sunshine.media
        shown = [media[_media_path(message["content"]["mediaUrl"])] for message in self.conversation.messages]
        return Counter(one.content.sha256 for one in shown)

    # --- what must be so at any moment ------------------------------------------------------------------------------

    def check_whole(self) -> None:
        """Whatever can be seen is whole, has its right name, and was upstream once; nothing else is in sight."""
        if not self.mirror.exists():
            return
        hashed: dict[int, str] = {}  # by inode: most entries of files/ are the stored files themselves

        def digest_of(path: Path) -> str:
            inode = path.stat().st_ino
            if inode not in hashed:
                hashed[inode] = digest(path.read_bytes())
            return hashed[inode]

        for path in files_below(self.mirror / "sha256").values():
            found = digest_of(path)
            assert path.name == found == path.parent.name + found[2:], f"{path} has other bytes"
            assert path.stat().st_mode & 0o222 == 0, f"{path} can be written"
        known = self.known
        for path in files_below(self.mirror / "files").values():
            assert digest_of(path) in known, f"{path} is not whole"
        assert {entry.name for entry in self.mirror.iterdir()} <= {".attachsync", "sha256", "files", "SHA256SUMS"}
        sums = self.mirror / "SHA256SUMS"
        *lines, rest = sums.read_bytes().split(b"\n") if sums.exists() else [b""]
        assert not rest, "the last line of SHA256SUMS is not whole"
        assert all(re.fullmatch(rb"[0-9a-f]{64}  files/[^\0]+", line) for line in lines)

    def check_kept(self) -> None:
        """No file of the outbox is lost, and none is in sent/ without a receipt that tells where it is."""
        found = files_below(self.outbox)
        for name, data in self.dropped.items():
            places = [place for place in (name, f"sent/{name}") if place in found]
            assert [place for place in places if found[place].read_bytes() == data], f"{name} is lost"
        for name, path in found.items():
            if name.startswith("sent/") and not name.endswith(receipts.SUFFIX):
                said = receipts.parsed(found[name + receipts.SUFFIX].read_bytes())
                assert said, f"{name} has no receipt"
                assert said["sha256"] == digest(path.read_bytes()), f"{name} has another file's receipt"

    def release_held(self) -> None:
        """A file of which five tries, in a day or more, had no known end is held for a person: here is one."""
        with contextlib.closing(Index.open(self.mirror / ".attachsync")) as index:
            for row in index.database.rows("SELECT outbox, name, strikes FROM upload WHERE state = 'held'"):
                assert row["strikes"] >= 5, f"{row['name']} is held too soon"
                index.uploads.release(row["outbox"], row["name"], 0.0)

    # --- what must be so in the end ---------------------------------------------------------------------------------

    def check_shown(self, ledger: Iterable[tuple[str, bytes]]) -> None:
        """Each attachment has one entry: those of the ledger as given, and all that the conversation shows."""
        wanted = Counter((f"ledger/assets/{folder}", digest(data)) for folder, data in ledger)
        wanted += Counter({(f"support/conversations/{CONVERSATION}", one): n for one, n in self.posted().items()})
        rows = {row["path"]: row["sha256"] for row in self.ledgers.rows(state="stored")}
        found = Counter((str(path).removeprefix("files/").rpartition("/")[0], str(sha)) for path, sha in rows.items())
        assert found == wanted, f"{found - wanted} too many, {wanted - found} missing"
        sums = set((self.mirror / "SHA256SUMS").read_text().splitlines())
        assert sums ^ {f"{sha}  {path}" for path, sha in rows.items()} == set(), "SHA256SUMS is not up to date"
        for path, sha in rows.items():
            assert digest((self.mirror / str(path)).read_bytes()) == sha, f"{path} shows other bytes"
            assert (self.mirror / "sha256" / str(sha)[:2] / str(sha)).exists()
        assert os.listdir(self.mirror / ".attachsync/tmp") == []

    def check_sent(self) -> None:
        """Each dropped file was sent and filed; twice only if its receipt admits it; its message was posted once."""
        sunshine = self.ledgers.box.sunshine
        uploads = Counter(upload.sha256 for upload in sunshine.uploads)
        names = [f"sent/{name}" for name in self.dropped]
        there, wanted = set(files_below(self.outbox)), {*names, *(name + receipts.SUFFIX for name in names)}
        assert there == wanted, there ^ wanted
        posted, ids = self.posted(), {message["id"] for message in self.conversation.messages}
        for name, data in self.dropped.items():
            said = receipts.parsed((self.outbox / f"sent/{name}{receipts.SUFFIX}").read_bytes())
            assert said is not None
            assert _media_path(str(said["media_url"])) in sunshine.media
            assert uploads[digest(data)] == 1 or said["possible_orphan"] is True, f"{name} was sent twice, unsaid"
            if self.posts:
                assert (posted[digest(data)], said["message_id"] in ids) == (1, True)


@contextlib.asynccontextmanager
async def mirrored(base: Path, port: int = 0, *, posts: bool = True) -> AsyncIterator[Mirrored]:
    """A sandbox with an empty ledger and an empty conversation; the mirror is in `base/home`, the outbox beside it."""
    home = base / "home"
    home.mkdir(parents=True, exist_ok=True)
    (base / "outbox").mkdir(exist_ok=True)
    box = Sandbox()
    box.datatrails.add_token(TOKEN)
    box.sunshine.now = datetime.now(UTC) + timedelta(days=2)  # messages are looked for by their time
    box.sunshine.add_conversation(CONVERSATION)
    runner, port = await serve(box, port)
    try:
        one = Ledgers(box, port, home, Leaping())
        posting = POSTING if posts else ""
        app = box.sunshine.app_id
        one.tracks += SUPPORT.format(port=port, app=app, key=KEY_ID, conversation=CONVERSATION, posting=posting)
        made = Mirrored(one, posts=posts)
        made.write_config()
        yield made
    finally:
        await runner.cleanup()

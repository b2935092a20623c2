"""What the tests of faults share: for each service, tracks with one attachment each, and their endpoints."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from attachsync import config as configs
from attachsync.daemon import Summary, equipped, holding, one_pass
from attachsync.index import Filter, Index
from attachsync.patience import Patience
from attachsync.reader import Config
from attachsync.sandbox import Fault, Sandbox
from attachsync.sandbox.auco_links import LINKS
from attachsync.sandbox.content import Content
from attachsync.sandbox.sunshine import KEY_ID
from tests.ledgers import Recorder
from tests.outboxes import Leaping

SECRET = "known-secret"


@dataclass(frozen=True)
class Place:
    """Which requests an endpoint's are: globs, as faults have them."""

    path: str
    method: str = "GET"
    query: str = "*"
    exactly: str = ""
    """A request's address below the origin, for redirects to itself."""

    def fault(self, given: Mapping[str, object]) -> Fault:
        return Fault(path=self.path, method=self.method, query=self.query, **given)  # type: ignore[arg-type]


@dataclass
class World:
    """A sandbox on loopback, and a mirror of one account of a service in `root`."""

    box: Sandbox
    port: int
    other: int
    """The port of another origin with the same services."""
    root: Path
    service: str
    patience: Patience = field(default_factory=Patience)
    clock: Leaping = field(default_factory=Leaping)
    account: str = ""
    tracks: dict[str, str] = field(default_factory=dict)
    """Name -> its keys."""
    outbox: str = ""
    """Keys of its outbox, if it has one."""
    beside: "World | None" = None
    """Another account of the same mirror."""
    max_size: str = "20MiB"

    @property
    def mirror(self) -> Path:
        return self.root / "mirror"

    def secret(self, name: str, text: str) -> str:
        path = self.root / name
        path.write_text(text)
        path.chmod(0o600)
        return name

    def section(self, name: str) -> str:
        """The account's part of a config."""
        tracks = (f'[[track]]\naccount = "{name}"\nname = "{track}"\n{keys}\n' for track, keys in self.tracks.items())
        outbox = f'[[outbox]]\ndirectory = "../outbox"\naccount = "{name}"\n{self.outbox}\n' if self.outbox else ""
        return (
            f'[accounts.{name}]\nservice = "{self.service}"\n'
            f'base_url = "http://127.0.0.1:{self.port}/{self.service}"\n{self.account}\n{"".join(tracks)}{outbox}'
        )

    def config(self) -> Config:
        path = self.root / "config.toml"
        path.write_text(
            f'[mirror]\ndirectory = "mirror"\nmin_free = 0\nmax_size = "{self.max_size}"\n[daemon]\nconcurrency = 8\n'
            f"{self.section('one')}{self.beside.section('two') if self.beside else ''}"
        )
        return configs.load(path, os.environ)

    async def sync(self) -> tuple[Summary, Recorder]:
        """One pass; the log of requests is that of this pass only."""
        self.box.forget()
        config, recorder = self.config(), Recorder()
        async with (
            holding(config, "sync", self.clock) as index,
            equipped(config, index, self.clock, recorder, patience=self.patience) as plant,
        ):
            return await one_pass(plant, None), recorder

    def states(self) -> dict[str, str]:
        """Track -> the state of its attachment, as `ls` shows it."""
        index = Index.peek(self.mirror / ".attachsync")
        try:
            return {str(row["track"]): str(row["state"]) for row in index.reports.listing(Filter())}
        finally:
            index.close()

    def stored(self) -> set[str]:
        return {path.name for path in (self.mirror / "sha256").rglob("*") if path.is_file()}

    def left(self) -> list[str]:
        """What a pass that has ended should not leave behind."""
        return [name for place in ("tmp", "partial") for name in os.listdir(self.mirror / ".attachsync" / place)]


def trail(world: World, name: str, data: bytes | Content) -> dict[str, Place]:
    """An asset with an event with an attachment."""
    ledger = world.box.datatrails if world.service == "datatrails" else world.box.rkvst
    ledger.add_token(SECRET)
    if not world.account:
        world.account = f'token_file = "{world.secret("token", SECRET)}"\n'
    asset = ledger.add_asset({})
    blob = ledger.add_blob(data, "application/zip", scanned="SCANNED_OK")
    ledger.add_event(asset, {"a": ledger.attach(blob, file_name="a.zip")})
    world.tracks[name] = f'asset = "{asset.uuid}"'
    root = f"/{world.service}/archivist/v2/assets/{asset.uuid}"
    there = f"/{world.service}/archivist/v1/blobs/{blob.uuid}"
    return {
        "asset": Place(root, exactly=root),
        "events": Place(f"{root}/events", exactly=f"{root}/events?page_size=100"),
        "info": Place(f"*/{blob.uuid}/info", exactly=f"{there}/info"),
        "bytes": Place(f"*/{blob.uuid}", exactly=there),
    }


def session(world: World, name: str, data: bytes | Content) -> dict[str, Place]:
    """A finished session with an attachment."""
    trinsic = world.box.trinsic
    trinsic.add_token(SECRET)
    world.account = f'token_file = "{world.secret("token", SECRET)}"\n'
    made = trinsic.add_session(results_key=f"rak_{len(world.tracks)}")
    trinsic.add_attachment(made, "document_front", data)
    key = world.secret(f"{made.id}.key", f"rak_{len(world.tracks)}")
    world.tracks[name] = f'session = "{made.id}"\nresults_key_file = "{key}"'
    root = f"/trinsic/api/v1/sessions/{made.id}"
    return {
        "results": Place(f"{root}/results", "POST"),
        "bytes": Place(f"{root}/attachments/*/get", "POST"),
    }


def process(world: World, name: str, data: bytes | Content) -> dict[str, Place]:
    """A process with a signer who uploaded a file."""
    auco = world.box.auco
    auco.add_key("puk_known")
    world.account = f'key_file = "{world.secret("key", "puk_known")}"\n'
    package = auco.add_package(f"p{len(world.tracks)}")
    file = auco.add_file(auco.add_signer(package, "01"), "cedula", data)
    assert file.stored is not None
    world.tracks[name] = f'package = "{package.id}"'
    return {
        "overview": Place(
            "/auco/attachments", "GET", f"package={package.id}", f"/auco/attachments?package={package.id}"
        ),
        "signer": Place(
            "/auco/attachments",
            "GET",
            f"package={package.id}&userId=*",
            f"/auco/attachments?package={package.id}&userId=01",
        ),
        "document": Place("/auco/document", "GET", f"package={package.id}", f"/auco/document?package={package.id}"),
        "bytes": Place(LINKS + file.stored.path, exactly="?"),
    }


def chat(world: World, name: str, data: bytes | Content) -> dict[str, Place]:
    """A user's conversation with a file."""
    sunshine = world.box.sunshine
    user = f"{len(world.tracks):024x}"
    world.account = (
        f'app_id = "{sunshine.app_id}"\nkey_id = "{KEY_ID}"\nsecret_file = "{world.secret("key", "s3cr3t")}"\n'
    )
    conversation = sunshine.add_conversation(user=user)
    media = sunshine.add_media(data, "a.zip", "application/zip", conversation)
    sunshine.add_message(conversation, sunshine.file_content(media))
    world.tracks[name] = f'user = "{user}"'
    app = f"/sunshine/v2/apps/{sunshine.app_id}/conversations"
    return {
        "conversations": Place(app, "GET", f"*{user}*", f"{app}?filter[userId]={user}"),
        "messages": Place(f"{app}/{conversation.id}/messages", exactly=f"{app}/{conversation.id}/messages"),
        "bytes": Place(f"/sunshine{media.path}", exactly=f"/sunshine{media.path}"),
    }


SERVICES = {"datatrails": trail, "rkvst": trail, "trinsic": session, "auco": process, "sunshine": chat}

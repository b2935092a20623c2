"""The sample data, the config that uses it, and serving."""

from __future__ import annotations

import asyncio
import stat
import struct
import tomllib
import zlib
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from attachsync.sandbox import Fault, Sandbox, sample, serve, write_config
from attachsync.sandbox.faults import Kind
from attachsync.sandbox.ledger_records import refers
from attachsync.sandbox.sample_forms import LIGHT
from attachsync.sandbox.tiny import pdf, png

from .conftest import Client


def shown(box: Sandbox) -> list[Any]:
    """Return everything that a sandbox holds, in a form that can be compared."""
    ledgers = [
        [(event.identity, event.event_attributes, event.asset_attributes, event.accepted) for event in ledger.events]
        + [(blob.uuid, blob.recorded.sha256, blob.media_type, blob.scanned) for blob in ledger.blobs.values()]
        for ledger in (box.datatrails, box.rkvst)
    ]
    return [*ledgers, [one.messages for one in box.sunshine.conversations.values()], list(box.sunshine.media)]


def test_deterministic() -> None:
    """Two sandboxes have the same sample: identities, hashes, times."""
    one, two = Sandbox(), Sandbox()
    sample(one)
    sample(two)
    assert shown(one) == shown(two)


def test_contents(full: Sandbox) -> None:
    """The sample has what the checklist of specs/datatrails.md 9.5 wants."""
    ledger = full.datatrails
    blobs = list(ledger.blobs.values())
    hashes = [blob.recorded.sha256 for blob in blobs]
    assert {blob.scanned for blob in blobs} == {"NOT_SCANNED", "SCANNED_OK", "SCANNED_BAD"}
    assert sum(blob.scanned == "SCANNED_BAD" for blob in blobs) == 1
    assert any(blob.recorded.size == 0 for blob in blobs)
    assert len(set(hashes)) == len(hashes) - 1
    assert any(
        sum(refers(asset.attributes, uuid, True) for asset in ledger.assets.values()) == 2 for uuid in ledger.blobs
    )
    assert sum(asset.public for asset in ledger.assets.values()) == 1
    assert {"StopTracking", "StartTracking", "NewAsset", "Attach"} <= {event.operation for event in ledger.events}
    times = [event.accepted for event in ledger.events]
    assert len(set(times)) == len(times) - 1
    vector = ledger.assets[LIGHT].attributes["arc_primary_image"]
    assert isinstance(vector, dict)
    assert vector["arc_blob_hash_value"].startswith("ea3cf22c42e5")


async def test_every_reference_can_be_fetched(full: Sandbox, client: Client) -> None:
    """All but the infected file can be downloaded, by event, asset or blob, with the hash that the blob records."""
    full.datatrails.add_token("known")
    for blob in full.datatrails.blobs.values():
        reply = await client.get(f"/datatrails/archivist/v1/blobs/{blob.uuid}")
        assert (reply.status == 200) == (blob.scanned != "SCANNED_BAD")
    for event in full.datatrails.events:
        for uuid in (*full.datatrails.blobs, "not-a-uuid"):
            if not (refers(event.event_attributes, uuid) or refers(event.asset_attributes, uuid)):
                continue
            path = f"/datatrails/archivist/v2/attachments/{event.identity}/{uuid}"
            status = (await client.get(path)).status
            expected = {"not-a-uuid": 404}.get(uuid) or (400 if uuid in bad(full) else 200)
            assert status == expected


def bad(box: Sandbox) -> set[str]:
    """Return the uuids of infected blobs."""
    return {uuid for uuid, blob in box.datatrails.blobs.items() if blob.scanned == "SCANNED_BAD"}


async def test_sample_media(full: Sandbox, client: Client) -> None:
    """Every URL in the sample conversation leads into the sandbox and serves its file."""
    for media in full.sunshine.media.values():
        assert (await client.public(f"/sunshine{media.path}")).body == b"".join(media.content.chunks())


def test_official_clients_can_read_the_messages(full: Sandbox) -> None:
    """They give up a whole page because of an author of a kind that they do not know (specs/sunshine.md 6)."""
    messages = [message for chat in full.sunshine.conversations.values() for message in chat.messages]
    assert {kind for one in messages for kind in one["author"].get("subtypes", ())} <= {"AI", "activity"}
    assert {one["content"]["type"] for one in messages} <= {"text", "file", "image", "carousel"}


def test_tiny_files_are_real() -> None:
    """The PNG's chunks check out and its pixels unpack; the PDF's table points at its objects."""
    image = png(1, 2, 3)
    assert struct.unpack(">II", image[16:24]) == (8, 8)
    at = image.index(b"IDAT")
    length = struct.unpack(">I", image[at - 4 : at])[0]
    data = image[at + 4 : at + 4 + length]
    assert struct.unpack(">I", image[at + 4 + length : at + 8 + length])[0] == zlib.crc32(b"IDAT" + data)
    assert zlib.decompress(data) == (b"\x00" + b"\x01\x02\x03" * 8) * 8
    document = pdf("(hi)")
    table = document.index(b"xref")
    assert int(document.split(b"startxref\n")[1].split(b"\n")[0]) == table
    first = int(document[table:].split(b"\n")[3][:10])
    assert document[first:].startswith(b"1 0 obj")


def test_config(full: Sandbox, tmp_path: Path) -> None:
    """The config is TOML with absolute paths; secrets are 0600, and replaced at the next start."""
    for _ in range(2):
        text = write_config(full, "http://127.0.0.1:8080", tmp_path)
    config = tomllib.loads(text)
    assert {name: one["service"] for name, one in config["accounts"].items()} == {
        "ledger": "datatrails",
        "archive": "rkvst",
        "public": "datatrails",
        "support": "sunshine",
        "ids": "trinsic",
        "ids-later": "trinsic",
        "signing": "auco",
    }
    assert config["accounts"]["support"]["base_url"] == "http://127.0.0.1:8080/sunshine"
    assert "token_file" not in config["accounts"]["public"]
    secrets = [Path(config["accounts"][name][key]) for name, key in SECRETS]
    secrets += [Path(track[key]) for track in config["track"] for key in track if key.endswith("_file")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets} == {0o600}
    assert all(path.is_absolute() for path in secrets)
    assert Path(config["outbox"][0]["directory"]).is_dir()
    assert config["mirror"] == {"directory": str(tmp_path / "mirror")}
    assert {track["account"] for track in config["track"]} == set(config["accounts"])


SECRETS = (("ledger", "token_file"), ("archive", "client_secret_file"), ("support", "secret_file"))


def test_secret_is_not_written_through_a_link(full: Sandbox, tmp_path: Path) -> None:
    """A link in the place of a secret is replaced, and its target left alone."""
    (tmp_path / "secrets").mkdir()
    target = tmp_path / "target"
    target.write_text("mine")
    (tmp_path / "secrets" / "ledger.secret").symlink_to(target)
    write_config(full, "http://127.0.0.1:8080", tmp_path)
    assert target.read_text() == "mine"


def test_config_leaves_the_infected_asset_out(full: Sandbox, tmp_path: Path) -> None:
    """The track of all assets filters on an attribute that the infected file's asset lacks."""
    config = tomllib.loads(write_config(full, "http://127.0.0.1:1", tmp_path))
    wanted = config["track"][0]["attributes"]
    infected = bad(full)
    for asset in full.datatrails.assets.values():
        if any(refers(asset.attributes, uuid) for uuid in infected):
            assert not wanted.items() <= asset.attributes.items()


@pytest.mark.parametrize("kind", ["hang", "endless", "drip"])
async def test_stops_at_once(full: Sandbox, kind: Kind) -> None:
    """The server ends although answers hang, never end or drip."""
    full.faults.add(Fault(path="*", kind=kind, every=0.5))
    runner, port = await serve(full)
    url = f"http://127.0.0.1:{port}/datatrails/archivist/v2/assets"
    async with aiohttp.ClientSession() as session:
        task = asyncio.create_task(read(session, url))
        await full.requests.until(1)
        async with asyncio.timeout(30):  # and not when the answers would have ended
            await runner.cleanup()
        with pytest.raises(aiohttp.ClientError):
            await task


async def read(session: aiohttp.ClientSession, url: str) -> None:
    """Read an answer without an end."""
    async with session.get(url, headers={"Authorization": "Bearer known"}) as response:
        async for _ in response.content.iter_any():
            pass


async def test_loopback_only(full: Sandbox) -> None:
    """The server listens on 127.0.0.1."""
    runner, port = await serve(full)
    assert [address[:2] for address in runner.addresses] == [("127.0.0.1", port)]
    await runner.cleanup()

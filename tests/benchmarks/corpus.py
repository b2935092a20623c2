"""What is served: blobs, their `/info`, and the lists that name them, the same ones every time."""

import hashlib
import json
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

KIB, MIB = 1024, 1024 * 1024
PER_ASSET = 100
"""Attachments on one asset."""
_FIRST = datetime(2025, 1, 1, tzinfo=UTC).timestamp()
_PRINCIPAL = {"issuer": "https://app.datatrails.ai/appidpv1", "subject": "ffaa0f30-a503-4de7-b085-d857ed34a7cd"}
_NOBODY = {"display_name": "", "email": ""}


@dataclass(frozen=True, slots=True)
class Blob:
    """One attachment upstream."""

    uuid: str
    size: int
    sha256: str

    @property
    def attribute(self) -> dict[str, str]:
        """How an asset or an event names it."""
        return {
            "arc_attribute_type": "arc_attachment",
            "arc_blob_identity": f"blobs/{self.uuid}",
            "arc_blob_hash_alg": "SHA256",
            "arc_blob_hash_value": self.sha256,
            "arc_file_name": f"report-{self.uuid[:8]}.pdf",
            "arc_display_name": "report",
        }

    def info(self) -> dict[str, Any]:
        """What `/info` says of it."""
        return {
            "hash": {"alg": "SHA256", "value": self.sha256},
            "identity": f"blobs/{self.uuid}",
            "mime_type": "application/pdf",
            "size": self.size,
            "timestamp_accepted": "2025-01-01T00:00:00Z",
            "issuer": "local",
            "subject": "user@example.com",
            "tenantid": "tenant/0684984b-654d-4301-ad10-a508126e187d",
            "scanned_status": "SCANNED_OK",
            "scanned_bad_reason": "",
            "scanned_timestamp": "2025-01-01T00:10:00Z",
        }


def small() -> list[int]:
    """S: 10,000 files of 8 KiB."""
    return [8 * KIB] * 10_000


def medium() -> list[int]:
    """M: 2,000 files around 80 KiB, as documents are: a few large ones, many small ones."""
    source = random.Random("medium")
    return [max(1, round(source.lognormvariate(11.3, 1.0))) for _ in range(2000)]


def large() -> list[int]:
    """L: 4 files of 512 MiB."""
    return [512 * MIB] * 4


def wide() -> list[int]:
    """16 files of 96 MiB: as many as are in flight at a time."""
    return [96 * MIB] * 16


SIZES = {"S": small, "M": medium, "L": large, "W": wide}


def make(folder: Path, name: str) -> None:
    """Write the corpus `name` into `folder`, if it is not there: blobs/, info/, lists, and SHA256SUMS of the blobs."""
    if (folder / "SHA256SUMS").exists():
        return
    for part in ("blobs", "info"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    source = random.Random(name)
    blobs = [_blob(folder, source, size) for size in SIZES[name]()]
    write_lists(folder, name, blobs, on_assets=False)
    (folder / "SHA256SUMS").write_text("".join(f"{blob.sha256}  {blob.uuid}\n" for blob in blobs))


def _blob(folder: Path, source: random.Random, size: int) -> Blob:
    name, digest, left = some_uuid(source), hashlib.sha256(), size
    with (folder / "blobs" / name).open("wb") as file:
        while left:
            block = source.randbytes(min(left, MIB))
            digest.update(block)
            left -= file.write(block)
    blob = Blob(name, size, digest.hexdigest())
    (folder / "info" / f"{name}.json").write_text(json.dumps(blob.info()))
    return blob


def some_uuid(source: random.Random) -> str:
    """A version 4 UUID."""
    return str(uuid.UUID(int=source.getrandbits(128), version=4))


def write_lists(folder: Path, seed: str, blobs: list[Blob], *, on_assets: bool) -> None:
    """Name blobs on assets themselves, or each on an event of its own: one record a line, newest events first."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "assets.jsonl").open("w") as file:
        file.writelines(f"{json.dumps(asset)}\n" for asset in assets(seed, blobs, on_assets=on_assets))
    with (folder / "events.jsonl").open("w") as file:
        file.writelines(f"{json.dumps(event)}\n" for event in ([] if on_assets else events(seed, blobs)))


def assets(seed: str, blobs: list[Blob], *, on_assets: bool) -> Iterator[dict[str, Any]]:
    """As many assets as it takes; with their attachments among the attributes, if these are on them."""
    source = random.Random(f"{seed} assets")
    for first in range(0, len(blobs), PER_ASSET):
        mine = blobs[first : first + PER_ASSET] if on_assets else []
        yield {
            "identity": f"assets/{some_uuid(source)}",
            "behaviours": ["RecordEvidence", "Builtin", "AssetCreator"],
            "attributes": {"arc_display_name": f"asset {first}"}
            | {f"report_{one.uuid}": one.attribute for one in mine},
            "confirmation_status": "CONFIRMED",
            "tracked": "TRACKED",
            "owner": "",
            "at_time": "2025-01-01T00:00:00Z",
            "proof_mechanism": "MERKLE_LOG",
            "chain_id": "8275868384",
            "public": False,
            "tenant_identity": "tenant/0684984b-654d-4301-ad10-a508126e187d",
        }


def events(seed: str, blobs: list[Blob]) -> Iterator[dict[str, Any]]:
    """An event a blob, newest first."""
    known = [asset["identity"] for asset in assets(seed, blobs, on_assets=False)]
    for number in reversed(range(len(blobs))):
        yield _event(seed, known[number // PER_ASSET], number, blobs[number])


def _event(seed: str, asset: str, number: int, blob: Blob) -> dict[str, Any]:
    stamp = datetime.fromtimestamp(_FIRST + number, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "identity": f"{asset}/events/{some_uuid(random.Random(f'{seed} event {number}'))}",
        "asset_identity": asset,
        "event_attributes": {"arc_display_type": "Report", "report": blob.attribute},
        "asset_attributes": {},
        "operation": "Record",
        "behaviour": "RecordEvidence",
        "timestamp_declared": stamp,
        "timestamp_accepted": stamp,
        "timestamp_committed": stamp.replace("Z", ".826Z"),
        "principal_declared": _PRINCIPAL | _NOBODY,
        "principal_accepted": _PRINCIPAL | _NOBODY,
        "confirmation_status": "CONFIRMED",
        "transaction_id": "",
        "block_number": number,
        "transaction_index": 0,
        "from": "",
        "tenant_identity": "tenant/0684984b-654d-4301-ad10-a508126e187d",
        "merklelog_entry": {"commit": {"index": str(number), "idtimestamp": f"{number:018x}"}, "confirm": None},
    }

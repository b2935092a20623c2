"""Writes assets, events and blobs as the service's JSON (specs/datatrails.md 1.3, 1.4, 1.6, 1.10)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from attachsync.sandbox.ledger_records import Asset, Blob, Event, Text, Value
from attachsync.sandbox.stamps import NEVER, precise, whole

ISSUER = "https://app.datatrails.ai/appidpv1"
SUBJECT = "ffaa0f30-a503-4de7-b085-d857ed34a7cd"
NOBODY: Text = {"issuer": "", "subject": "", "display_name": "", "email": ""}


def principal(declared: Text | None) -> Text:
    """Return who did something; by default the app registration of the tenant."""
    usual = {"issuer": ISSUER, "subject": SUBJECT, "display_name": "my-integration", "email": ""}
    return usual if declared is None else {**NOBODY, **declared}


class Writer:
    """Writes the records of one response for one kind of reader."""

    def __init__(self, tenant: str, public: bool, public_identities: bool, order: int) -> None:
        """Write for the owner, or for everybody (`public`), with or without `publicassets/` identities.

        `order` numbers the response: map order is not stable (specs/datatrails.md 1.3).
        """
        self._tenant = tenant
        self._public = public
        self._prefix = "public" if public and public_identities else ""
        self._order = order

    def asset(self, asset: Asset, at: datetime | None = None) -> dict[str, Any]:
        """Return the JSON of an asset, now or as of a time."""
        pending = asset.confirmation_status == "PENDING"
        return {
            "identity": self._prefix + asset.identity,
            "behaviours": asset.behaviours,
            "attributes": self._shuffled(asset.readable() if at is None else asset.as_of(at)),
            "confirmation_status": asset.confirmation_status,
            "tracked": "TRACKED" if asset.tracked else "NOT_TRACKED",
            "owner": "",
            "at_time": whole(asset.events[-1].accepted if at is None else at),
            "proof_mechanism": asset.proof_mechanism,
            "chain_id": "8275868384",
            "public": asset.public,
            "tenant_identity": "" if pending else self._tenant,
        }

    def event(self, event: Event) -> dict[str, Any]:
        """Return the JSON of an event."""
        declared = NOBODY if self._public else principal(event.declared_by)
        return {
            "identity": self._prefix + event.identity,
            "asset_identity": self._prefix + event.asset.identity,
            "event_attributes": self._shuffled(event.event_attributes),
            "asset_attributes": self._shuffled(event.asset_attributes),
            "operation": event.operation,
            "behaviour": event.behaviour,
            "timestamp_declared": whole(event.declared),
            "timestamp_accepted": whole(event.accepted),
            "timestamp_committed": NEVER if event.committed is None else precise(event.committed),
            "principal_declared": declared,
            "principal_accepted": NOBODY if self._public else principal(None),
            "confirmation_status": event.confirmation_status,
            "transaction_id": "",
            "block_number": 7000 + event.number if event.committed else 0,
            "transaction_index": 0,
            "from": "",
            "tenant_identity": "" if event.confirmation_status == "PENDING" else self._tenant,
            "merklelog_entry": _log_entry(event),
        }

    def _shuffled(self, attributes: Mapping[str, Value]) -> dict[str, Any]:
        def place(key: str) -> bytes:
            return hashlib.sha256(f"{self._order}/{key}".encode()).digest()

        return {
            key: {part: value[part] for part in sorted(value, key=place)} if isinstance(value, dict) else value
            for key, value in sorted(attributes.items(), key=lambda item: place(item[0]))
        }


def _log_entry(event: Event) -> dict[str, Any]:
    """64-bit numbers are strings in here, though not outside (specs/datatrails.md 1.3)."""
    if event.committed is None:
        return {"commit": None, "confirm": None, "unequivocal": None}
    stamp = f"{int(event.committed.timestamp() * 1000):014x}e300"
    confirm = {
        "mmr_size": str(event.number + 1),
        "root": "SnBhDOt7lF/aTK48db1qk0/86dluDr+ypLqGWLy2/5g=",
        "timestamp": str(int(event.committed.timestamp() * 1000)),
        "idtimestamp": "",
        "signed_tree_head": "",
    }
    commit = {"index": str(event.number), "idtimestamp": stamp}
    confirmed = event.confirmation_status != "COMMITTED"
    return {"commit": commit, "confirm": confirm if confirmed else None, "unequivocal": None}


def blob_info(blob: Blob, tenant: str, prefix: str = "blobs") -> dict[str, Any]:
    """Return the JSON of /info and of an upload; the identity's prefix differs by endpoint (1.6)."""
    info: dict[str, Any] = {
        "hash": {"alg": "SHA256", "value": blob.recorded.sha256},
        "identity": f"{prefix}/{blob.uuid}",
        "mime_type": blob.media_type,
        "size": blob.recorded.size,
        "timestamp_accepted": whole(blob.accepted),
    }
    if blob.minimal:
        return info
    return info | {
        "issuer": "local",
        "subject": "user@example.com",
        "tenantid": tenant,
        "scanned_status": blob.scanned,
        "scanned_bad_reason": blob.bad_reason,
        "scanned_timestamp": "" if blob.scanned_at is None else whole(blob.scanned_at),
    }

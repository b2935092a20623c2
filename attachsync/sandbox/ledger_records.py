"""What a ledger holds: blobs, assets and events (specs/datatrails.md 0)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from attachsync.sandbox.content import Content

Text = dict[str, str]
# string, flat dict, or list of flat dicts: nothing else exists (specs/datatrails.md 1.3).
Value = str | Text | list[Text]
Attributes = dict[str, Value]
Scanned = Literal["NOT_SCANNED", "SCANNED_OK", "SCANNED_BAD"]

TERMINAL = ("COMMITTED", "CONFIRMED", "UNEQUIVOCAL", "FAILED")
STATUSES = ("CONFIRMATION_STATUS_UNSPECIFIED", "PENDING", "STORED", *TERMINAL)


@dataclass
class Blob:
    """Uploaded bytes; `recorded` is what the hash was taken of, `served` what a download gets."""

    uuid: str
    recorded: Content
    served: Content
    media_type: str
    accepted: datetime
    scanned: Scanned = "NOT_SCANNED"
    bad_reason: str = ""
    scanned_at: datetime | None = None
    minimal: bool = False

    @property
    def identity(self) -> str:
        """The reference that attributes hold."""
        return f"blobs/{self.uuid}"


@dataclass
class Asset:
    """An asset; its attributes are the merged view of its events, newest last in `events`."""

    uuid: str
    public: bool
    behaviours: list[str]
    created: datetime
    tracked: bool = True
    confirmation_status: str = "CONFIRMED"
    proof_mechanism: str = "MERKLE_LOG"
    attributes: Attributes = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    hidden: int = 0
    withheld: set[str] = field(default_factory=set)

    @property
    def identity(self) -> str:
        """The identity for its owner."""
        return f"assets/{self.uuid}"

    def readable(self) -> Attributes:
        """Return the attributes that the access policy shows."""
        return {key: value for key, value in self.attributes.items() if key not in self.withheld}

    def as_of(self, time: datetime) -> Attributes:
        """Return the attributes as they were then (specs/datatrails.md 1.3, at_time)."""
        merged: Attributes = {}
        for event in self.events:
            if event.accepted <= time and event.counts:
                merged.update(event.asset_attributes)
        return {key: value for key, value in merged.items() if key not in self.withheld}


@dataclass
class Event:
    """One event of an asset; its attributes never change, only its confirmation does."""

    uuid: str
    asset: Asset
    number: int
    event_attributes: Attributes
    asset_attributes: Attributes
    operation: str
    behaviour: str
    declared: datetime
    accepted: datetime
    committed: datetime | None
    confirmation_status: str
    declared_by: Text | None = None

    @property
    def identity(self) -> str:
        """The identity for its owner."""
        return f"{self.asset.identity}/events/{self.uuid}"

    @property
    def counts(self) -> bool:
        """Whether the asset shows this event's asset_attributes: it is stored, or it made the asset."""
        return self.operation == "NewAsset" or self.confirmation_status not in ("PENDING", "FAILED")


def refers(attributes: Mapping[str, Value], blob: str, bare: bool = False) -> bool:
    """Whether attributes refer to a blob, by its uuid (forms A to F; with `bare` also G and H)."""
    names = (f"blobs/{blob}", f"attachments/{blob}")
    for value in attributes.values():
        for entry in value if isinstance(value, list) else [value]:
            if isinstance(entry, str):
                if bare and entry in names:
                    return True
            elif entry.get("arc_blob_identity") in names or entry.get("arc_attachment_identity") in names:
                return True
    return False

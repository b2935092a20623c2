"""The state of one emulated ledger (DataTrails or RKVST), and the calls by which tests change it."""

from __future__ import annotations

from bisect import insort
from datetime import UTC, datetime, timedelta
from typing import cast

from attachsync.sandbox.content import Content, Grown, Held
from attachsync.sandbox.ids import Ids
from attachsync.sandbox.ledger_access import Access
from attachsync.sandbox.ledger_records import STATUSES, Asset, Attributes, Blob, Event, Scanned, Text
from attachsync.sandbox.rate import RateLimit
from attachsync.sandbox.stamps import as_time

START = datetime(2025, 1, 6, 9, 0, 0, tzinfo=UTC)
MEBIBYTE = 1 << 20


class Ledger:
    """Assets, events and blobs of one tenant, under a clock of their own that ticks once per event."""

    def __init__(self, name: str = "datatrails") -> None:
        """Start empty; identities follow from the name."""
        self.name = name
        self.ids = Ids(name)
        self.tenant = f"tenant/{self.ids.uuid('tenant')}"
        self.access = Access(self.ids)
        self.now = START
        self.blobs: dict[str, Blob] = {}
        self.assets: dict[str, Asset] = {}
        self.events: list[Event] = []
        self._by_uuid: dict[str, Event] = {}
        # What the documents leave open; each can be set the other way.
        self.page_limit = 100
        self.max_blob_size = 512 * MEBIBYTE
        self.auto_confirm = True
        self.pending_hides_attachments = True
        self.ranges = False
        self.event_path_serves_asset_attributes = True
        self.bare_references_count = False
        self.wildcard_untracked = True
        self.public_identities = True
        self.publicurl_has_version = False
        self.rate_limit: RateLimit | None = None
        self.rate_hint = "Archivist-Rate-Limit-Reset"

    # -- credentials -----------------------------------------------------------------------------------------------

    def add_token(self, token: str, sees: bool = True) -> str:
        """Accept a static bearer token; without `sees` no policy names it, so that lists are empty."""
        return self.access.add_token(token, sees)

    def add_client(self, client_id: str, secret: str, sees: bool = True) -> None:
        """Accept an app registration at the token endpoint."""
        self.access.add_client(client_id, secret, sees)

    def revoke_tokens(self) -> None:
        """Refuse every token known so far, static or issued."""
        self.access.revoke_tokens()

    # -- blobs -----------------------------------------------------------------------------------------------------

    def add_blob(
        self,
        data: bytes | Content,
        media_type: str = "application/octet-stream",
        scanned: Scanned = "NOT_SCANNED",
        uuid: str | None = None,
        *,
        reason: str = "",
        minimal: bool = False,
    ) -> Blob:
        """Add bytes; `minimal` gives the short /info of old records."""
        content = Held(data) if isinstance(data, bytes) else data
        blob = Blob(uuid or self.ids.uuid("blob"), content, content, media_type, self.now, minimal=minimal)
        self.blobs[blob.uuid] = blob
        self.set_scanned(blob, scanned, reason)
        return blob

    def grow_blob(self, size: int, seed: str = "", media_type: str = "application/octet-stream") -> Blob:
        """Add a blob of any size that takes no memory."""
        return self.add_blob(Grown(size, seed), media_type)

    def set_scanned(self, blob: Blob, scanned: Scanned, reason: str = "") -> None:
        """Let the virus scan come to a result."""
        blob.scanned, blob.bad_reason = scanned, reason if scanned == "SCANNED_BAD" else ""
        blob.scanned_at = None if scanned == "NOT_SCANNED" else self.now

    def tamper(self, blob: Blob, data: bytes | Content) -> None:
        """Serve other bytes than those whose hash is recorded."""
        blob.served = Held(data) if isinstance(data, bytes) else data

    def attach(self, blob: Blob, file_name: str | None = None, display_name: str | None = None, **more: str) -> Text:
        """Return the attribute value that references a blob (form A of specs/datatrails.md 1.9)."""
        value = {
            "arc_attribute_type": "arc_attachment",
            "arc_blob_identity": blob.identity,
            "arc_blob_hash_alg": "SHA256",
            "arc_blob_hash_value": blob.recorded.sha256,
        }
        if file_name is not None:
            value["arc_file_name"] = file_name
        if display_name is not None:
            value["arc_display_name"] = display_name
        return value | more

    # -- assets and events -----------------------------------------------------------------------------------------

    def add_asset(
        self,
        attributes: Attributes | None = None,
        uuid: str | None = None,
        public: bool = False,
        tracked: bool = True,
        *,
        confirmation_status: str = "CONFIRMED",
        behaviours: list[str] | None = None,
    ) -> Asset:
        """Create an asset, which records its NewAsset event; untracked if so wanted by a further event."""
        kinds = behaviours or ["RecordEvidence", "AssetCreator", "Builtin"]
        asset = Asset(uuid or self.ids.uuid("asset"), public, kinds, self.now)
        asset.confirmation_status = confirmation_status
        self.assets[asset.uuid] = asset
        self.add_event(
            asset,
            cast(Attributes, {"arc_access_policy_always_read": [{"tessera": "SmL4PHAH", "wallet": "0x5eC3"}]}),
            attributes,
            operation="NewAsset",
            behaviour="AssetCreator",
            confirmation_status=confirmation_status,
        )
        asset.created = asset.events[0].accepted
        if not tracked:
            self.track(asset, False)
        return asset

    def add_event(
        self,
        asset: Asset,
        event_attributes: Attributes | None = None,
        asset_attributes: Attributes | None = None,
        accepted: datetime | str | None = None,
        *,
        confirmation_status: str = "CONFIRMED",
        operation: str = "Record",
        behaviour: str = "RecordEvidence",
        declared: datetime | str | None = None,
        uuid: str | None = None,
        declared_by: Text | None = None,
    ) -> Event:
        """Record an event; without a time the clock ticks one second, and the event gets that."""
        if confirmation_status not in STATUSES:
            raise ValueError(f"no confirmation status {confirmation_status!r}")
        at = self._tick() if accepted is None else as_time(accepted).replace(microsecond=0)
        self.now = max(self.now, at)
        event = Event(
            uuid or self.ids.uuid("event"),
            asset,
            len(self.events),
            event_attributes or {},
            asset_attributes or {},
            operation,
            behaviour,
            at if declared is None else as_time(declared),
            at,
            None,
            confirmation_status,
            declared_by,
        )
        self._by_uuid[event.uuid] = event
        insort(self.events, event, key=_order)
        insort(asset.events, event, key=_order)
        self._settle(event)
        return event

    def event(self, uuid: str) -> Event | None:
        """Return the event with a uuid, if there is one."""
        return self._by_uuid.get(uuid)

    def confirm(self, event: Event, status: str = "CONFIRMED") -> None:
        """Move an event on to another confirmation status; its asset then shows what it set."""
        event.confirmation_status = status
        if event.operation == "NewAsset":
            event.asset.confirmation_status = status
        self._settle(event)

    def track(self, asset: Asset, tracked: bool) -> Event:
        """Record StartTracking or StopTracking (specs/datatrails.md 0)."""
        operation = "StartTracking" if tracked else "StopTracking"
        return self.add_event(asset, operation=operation, behaviour="Builtin")

    def hide(self, asset: Asset, status: int = 403) -> None:
        """Let the access policy no longer show an asset: absent from lists, this status by id; 0 shows it again."""
        asset.hidden = status

    def withhold(self, asset: Asset, key: str) -> None:
        """Let the access policy no longer show one attribute of an asset."""
        asset.withheld.add(key)

    def _tick(self) -> datetime:
        self.now = (self.now + timedelta(seconds=1)).replace(microsecond=0)
        return self.now

    def _settle(self, event: Event) -> None:
        done = event.confirmation_status in ("COMMITTED", "CONFIRMED", "UNEQUIVOCAL")
        event.committed = event.accepted + timedelta(milliseconds=1826) if done else None
        if event.counts and event is event.asset.events[-1]:
            _merge(event)
        elif event.counts:
            event.asset.attributes = {}
            for one in event.asset.events:
                _merge(one)


def _merge(event: Event) -> None:
    if not event.counts:
        return
    event.asset.attributes.update(event.asset_attributes)
    if event.operation in ("StopTracking", "StartTracking"):
        event.asset.tracked = event.operation == "StartTracking"


def _order(event: Event) -> tuple[datetime, int]:
    return event.accepted, event.number

"""Assets, events and `/info` as frozen values, and the attachments they name. Pure (specs/datatrails.md 1.3 to 1.6)."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from attachsync.errors import MalformedError
from attachsync.model import JSON, Attachment, Facts, Standing
from attachsync.retry import DAY
from attachsync.sources.datatrails.forms import Reference, references, stated
from attachsync.units import moment

T = TypeVar("T")

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_IDENTITY = re.compile(rf"(?:public)?assets/({_UUID})(?:/events/({_UUID}))?", re.IGNORECASE)
_TAKEN_AS = 2
"""To be counted up with every change in what is taken from an asset: all are looked at anew then."""
_PASSING = frozenset({"PENDING", "STORED", "CONFIRMATION_STATUS_UNSPECIFIED"})
"""Confirmation states in which an attachment that is not there may still come (specs/datatrails.md 3)."""
_EVENT_FACTS = (
    "identity",
    "operation",
    "behaviour",
    "timestamp_declared",
    "timestamp_accepted",
    "timestamp_committed",
    "principal_declared",
    "principal_accepted",
    "confirmation_status",
    "transaction_id",
    "block_number",
    "merklelog_entry",
    "tenant_identity",
)


@dataclass(frozen=True, slots=True)
class Asset:
    """One asset: its uuid, and its current attributes."""

    uuid: str
    display_name: str
    status: str
    attributes: Mapping[str, JSON]

    @property
    def found(self) -> list[Reference]:
        """What its attributes name. Takes some time."""
        return references({"attributes": self.attributes})

    @property
    def fingerprint(self) -> str:
        """What differs if anything else does that is taken from it; the service shuffles its keys (1.3)."""
        said = json.dumps([_TAKEN_AS, self.status, self.attributes], sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest()[:32]

    @property
    def terminal(self) -> bool:
        """Whether it is stored for good."""
        return self.status not in _PASSING


class Event(NamedTuple):
    """One event: its asset and uuid, when the service accepted it (Unix time), and what it names. There are many."""

    asset: str
    uuid: str
    accepted: float | None
    status: str
    found: tuple[Reference, ...]
    facts: Mapping[str, JSON]

    @property
    def terminal(self) -> bool:
        """Whether nothing about this event can change any more."""
        return self.status not in _PASSING


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of a list: sound records, how many were not, and the token of the next page (empty at the end)."""

    assets: tuple[Asset, ...] = ()
    events: tuple[Event, ...] = ()
    unsound: int = 0
    next_token: str = ""

    @property
    def uuids(self) -> Iterator[str]:
        """Of all that is in it."""
        yield from (one.uuid for one in self.assets)
        yield from (one.uuid for one in self.events)


def listing(body: JSON, kind: str) -> Listing:
    """Parse a page of `assets` or `events`; one that is null, or left out where nothing else is said, is empty (6).

    Raises MalformedError where it is no page at all.
    """
    if not isinstance(body, Mapping):
        raise MalformedError(f"no list of {kind} in it")
    rows = body.get(kind)
    if rows is None and (kind in body or body.keys() <= {"next_page_token"}):
        rows = []
    if not isinstance(rows, list):
        raise MalformedError(f"no list of {kind} in it")
    token = body.get("next_page_token")
    if token is not None and not isinstance(token, str):
        raise MalformedError("its next_page_token is no text")
    if kind == "assets":
        assets, unsound = _each(rows, asset)
        return Listing(assets=assets, unsound=unsound, next_token=token or "")
    events, unsound = _each(rows, event)
    return Listing(events=events, unsound=unsound, next_token=token or "")


def _each(rows: list[JSON], parse: Callable[[JSON], T]) -> tuple[tuple[T, ...], int]:
    parsed, unsound = [], 0
    for row in rows:
        try:
            parsed.append(parse(row))
        except MalformedError:
            unsound += 1
    return tuple(parsed), unsound


def asset(row: JSON) -> Asset:
    """Parse one asset. Raises MalformedError."""
    uuid, _, attributes = _identified(row, "attributes")
    assert isinstance(row, Mapping)
    shown, status = attributes.get("arc_display_name"), row.get("confirmation_status")
    return Asset(
        uuid=uuid,
        display_name=shown if isinstance(shown, str) else "",
        status=status if isinstance(status, str) else "",
        attributes=attributes,
    )


def event(row: JSON) -> Event:
    """Parse one event. Raises MalformedError."""
    asset_uuid, uuid, event_attributes = _identified(row, "event_attributes")
    assert isinstance(row, Mapping)
    if uuid is None:
        raise MalformedError("an event without an identity of its own")
    maps = {"event_attributes": event_attributes, "asset_attributes": _map(row, "asset_attributes")}
    status = row.get("confirmation_status")
    return Event(
        asset=asset_uuid,
        uuid=uuid,
        accepted=_time(row.get("timestamp_accepted")),
        status=status if isinstance(status, str) else "",
        found=tuple(references(maps)),
        facts={name: row[name] for name in _EVENT_FACTS if row.get(name)},
    )


def _map(row: Mapping[str, JSON], name: str) -> Mapping[str, JSON]:
    """An attribute map; absent and null are empty ones."""
    found = row.get(name)
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise MalformedError(f"{name} are no attributes")
    return found


def _identified(row: JSON, attributes: str) -> tuple[str, str | None, Mapping[str, JSON]]:
    identity = row.get("identity") if isinstance(row, Mapping) else None
    match = _IDENTITY.fullmatch(identity) if isinstance(identity, str) else None
    if match is None or not isinstance(row, Mapping):
        raise MalformedError("a record without an identity")
    return match[1].lower(), match[2].lower() if match[2] else None, _map(row, attributes)


def _time(value: JSON) -> float | None:
    try:
        found = moment(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return found if found else None  # 1970-01-01 stands for "not yet" (specs/datatrails.md 1.4)


def is_settled(attachment: Attachment) -> bool:
    """Whether what an attachment is on was terminal when it was listed (what says nothing of it counts so)."""
    event = attachment.meta.get("event")
    status = event.get("confirmation_status") if isinstance(event, Mapping) else attachment.meta.get("asset_status")
    return status not in _PASSING


def of_asset(track: str, found: Asset) -> list[Attachment]:
    """The attachments of an asset's current attributes."""
    identity = f"assets/{found.uuid}"
    meta: dict[str, JSON] = {"identity": identity, "asset": found.display_name, "asset_status": found.status}
    return [_attachment(track, identity, ("assets", found.uuid), reference, meta) for reference in found.found]


def of_event(track: str, found: Event) -> list[Attachment]:
    """The attachments of an event's own attributes, and of the attributes it gave its asset."""
    identity = f"assets/{found.asset}/events/{found.uuid}"
    folder = ("assets", found.asset, "events", found.uuid)
    meta: dict[str, JSON] = {"identity": identity, "event": found.facts}
    return [_attachment(track, identity, folder, reference, meta) for reference in found.found]


def _attachment(
    track: str, identity: str, folder: tuple[str, ...], found: Reference, meta: Mapping[str, JSON]
) -> Attachment:
    return Attachment(
        track=track,
        key=f"{identity}#{found.place}",
        version=f"{found.blob} {found.sha256 or ''}",
        path=(*folder, found.name),
        sha256=found.sha256,
        content=found.blob,
        meta={**meta, "attribute": found.attribute, "value": found.value},
    )


def facts(info: JSON, scan: str, rung: str) -> Facts:
    """What an `/info` answer says, under a track's `scan` rule (specs/datatrails.md 1.6, 3). Raises MalformedError."""
    if not isinstance(info, Mapping):
        raise MalformedError("it is no record")
    found = info.get("hash")
    digest = stated(found.get("alg"), found.get("value")) if isinstance(found, Mapping) else None
    size, media_type = info.get("size"), info.get("mime_type")
    status = info.get("scanned_status")
    standing, reason = Standing.GOOD, ""
    if status == "SCANNED_BAD" and scan != "any":
        standing, reason = (
            Standing.BAD,
            f"found infected by a scan: {info.get('scanned_bad_reason') or 'no reason given'}",
        )
    elif status not in ("SCANNED_OK", "SCANNED_BAD") and scan == "clean":
        standing, reason = Standing.NOT_YET, "not scanned yet, and the track wants only what is scanned and clean"
    return Facts(
        standing=standing,
        reason=reason[:500],
        again=None if status in ("SCANNED_OK", "SCANNED_BAD") else DAY,
        size=_whole(size),
        media_type=media_type if isinstance(media_type, str) and media_type else None,
        sha256=digest,
        record={"rung": rung, "info": info, "sha256": digest},
    )


def _whole(value: JSON) -> int | None:
    """A size, as a number or (64-bit integers of another marshaler) as its digits."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value[:18])
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 else None

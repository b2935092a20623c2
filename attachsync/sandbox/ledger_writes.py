"""Creates assets and events from requests, within the limits of specs/datatrails.md 1.3."""

from __future__ import annotations

import json
import re
from typing import Any, cast

from aiohttp import web

from attachsync.sandbox.ledger import Ledger
from attachsync.sandbox.ledger_errors import invalid
from attachsync.sandbox.ledger_records import Asset, Attributes, Text
from attachsync.sandbox.ledger_view import Writer
from attachsync.sandbox.stamps import parse_time

ASSET_FIELDS = {"behaviours", "attributes", "proof_mechanism", "chain_id", "public"}
EVENT_FIELDS = {
    "behaviour", "operation", "principal_declared", "timestamp_declared", "event_attributes", "asset_attributes"
}  # fmt: skip
OPERATIONS = {
    "RecordEvidence": ("Record",),
    "Attachments": ("Attach",),
    "Builtin": ("StartTracking", "StopTracking"),
}
MAX_VALUE = 4096
MAX_ATTRIBUTES = 51_200
# 1 to 1024 characters, no dot, no control character.
KEY = re.compile(r"[^.\x00-\x1f\x7f]{1,1024}")


async def record_asset(ledger: Ledger, writer: Writer, request: web.Request) -> dict[str, Any]:
    """Create the asset that a request describes; it is answered as pending, whatever it soon becomes."""
    body = await _object(request, ASSET_FIELDS)
    attributes = _attributes(body, "attributes")
    _check_total(attributes)
    public = body.get("public", False)
    if not isinstance(public, bool):
        raise invalid("public must be a boolean")
    behaviours = body.get("behaviours") or ["RecordEvidence", "AssetCreator", "Builtin"]
    if not isinstance(behaviours, list) or not all(isinstance(one, str) for one in behaviours):
        raise invalid("behaviours must be a list of strings")
    asset = ledger.add_asset(attributes, public=public, confirmation_status="PENDING", behaviours=behaviours)
    written = writer.asset(asset)
    if ledger.auto_confirm:
        ledger.confirm(asset.events[0], "COMMITTED")
    return written


async def record_event(ledger: Ledger, writer: Writer, asset: Asset, request: web.Request) -> dict[str, Any]:
    """Record the event that a request describes; it is answered as pending, whatever it soon becomes."""
    body = await _object(request, EVENT_FIELDS)
    event_attributes, asset_attributes = _attributes(body, "event_attributes"), _attributes(body, "asset_attributes")
    _check_total({"event": event_attributes, "asset": asset_attributes})
    behaviour, operation = body.get("behaviour", ""), body.get("operation", "")
    if operation not in OPERATIONS.get(behaviour, ()):
        raise invalid(f"behaviour {behaviour!r} has no operation {operation!r}")
    event = ledger.add_event(
        asset,
        event_attributes,
        asset_attributes,
        confirmation_status="PENDING",
        operation=operation,
        behaviour=behaviour,
        declared=_declared(body),
        declared_by=_principal(body),
    )
    written = writer.event(event)
    if ledger.auto_confirm:
        ledger.confirm(event, "COMMITTED")
    return written


async def _object(request: web.Request, fields: set[str]) -> dict[str, Any]:
    try:
        body = json.loads(await request.read())
    except ValueError as error:
        raise invalid(f"invalid JSON: {error}") from error
    if not isinstance(body, dict):
        raise invalid("a JSON object is expected")
    unknown = sorted(set(body) - fields)
    if unknown:
        raise invalid(f"unknown field {unknown[0]!r}")
    return body


def _attributes(body: dict[str, Any], name: str) -> Attributes:
    attributes = body.get(name) or {}
    if not isinstance(attributes, dict):
        raise invalid(f"{name} must be an object")
    for key, value in attributes.items():
        if not KEY.fullmatch(key):
            raise invalid(f"{name}: invalid key {key!r}")
        entries = value if isinstance(value, list) else [value]
        if not all(_is_text(entry) or _is_flat(entry) for entry in entries) or (
            isinstance(value, list) and any(isinstance(entry, str) for entry in value)
        ):
            raise invalid(f"{name}: the value of {key!r} must be a string, a flat object or a list of flat objects")
    return cast(Attributes, attributes)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MAX_VALUE


def _is_flat(value: object) -> bool:
    return isinstance(value, dict) and all(_is_text(text) for text in value.values())


def _check_total(attributes: object) -> None:
    if len(json.dumps(attributes, ensure_ascii=False).encode()) > MAX_ATTRIBUTES:
        raise invalid(f"attributes exceed {MAX_ATTRIBUTES} bytes")


def _declared(body: dict[str, Any]) -> str | None:
    declared = body.get("timestamp_declared")
    if not declared:
        return None
    try:
        parse_time(str(declared))
    except ValueError as error:
        raise invalid(f"invalid timestamp_declared: {error}") from error
    return str(declared)


def _principal(body: dict[str, Any]) -> Text | None:
    declared = body.get("principal_declared")
    if not declared:
        return None
    if not _is_flat(declared):
        raise invalid("invalid principal_declared")
    return cast(Text, declared)

"""Decides whether an asset or event answers a query. Pure (specs/datatrails.md 1.2, 1.4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from attachsync.sandbox.ledger_query import Condition, Query
from attachsync.sandbox.ledger_records import STATUSES, Asset, Event, Value
from attachsync.sandbox.ledger_view import principal
from attachsync.sandbox.stamps import parse_time

Test = Callable[[Event], bool]
EPOCH = datetime.fromtimestamp(0, UTC)
TRUSTED = ("STORED", "COMMITTED", "CONFIRMED", "UNEQUIVOCAL")


def holds(attributes: Mapping[str, Value], condition: Condition) -> bool:
    """Say whether attributes fulfil one filter; `*` means present and not empty, `key!=*` missing or empty."""
    keys, wanted = condition.keys, condition.value
    if wanted == "*" and keys[-1].endswith("!"):
        return not any(_values(attributes, (*keys[:-1], keys[-1][:-1])))
    values = _values(attributes, keys)
    return any(values) if wanted == "*" else wanted in values


def _values(attributes: Mapping[str, Value], keys: tuple[str, ...]) -> list[Value]:
    key, *inner = keys
    if not inner:
        return [attributes[key]] if key in attributes else []
    value = attributes.get(key.removesuffix("[]"))
    if len(inner) > 1 or isinstance(value, list) != key.endswith("[]"):
        return []
    entries = value if isinstance(value, list) else [value]
    return [entry[inner[0]] for entry in entries if isinstance(entry, dict) and inner[0] in entry]


def asset_matches(asset: Asset, query: Query) -> bool:
    """Say whether a list of assets shows this one."""
    plain = query.plain
    tracked = plain.get("tracked", "TRACKED_STATUS_UNSPECIFIED")
    if tracked != "ANY" and asset.tracked != (tracked != "NOT_TRACKED"):
        return False
    same = {
        "confirmation_status": asset.confirmation_status,
        "proof_mechanism": asset.proof_mechanism,
        "privacy": "PUBLIC" if asset.public else "RESTRICTED",
        "chain_id": "8275868384",
    }
    if any(plain.get(name, value) != value for name, value in same.items()):
        return False
    readable = asset.readable()
    return all(any(holds(readable, one) for one in group) for group in query.groups)


def event_filter(query: Query) -> Callable[[Event], bool]:
    """Return what decides whether a list of events shows one; only what the query names is looked at."""
    tests = [test for name, value in query.plain.items() for test in [_test(name, value)] if test is not None]
    tests += [_group_test(group) for group in query.groups]
    return lambda event: all(test(event) for test in tests)


def _group_test(group: tuple[Condition, ...]) -> Test:
    return lambda event: any(holds(_scope(event, one.scope), one) for one in group)


def _scope(event: Event, scope: str) -> Mapping[str, Value]:
    if scope == "asset.attributes":
        return event.asset.readable()
    return event.event_attributes if scope == "event_attributes" else event.asset_attributes


def _test(name: str, value: str) -> Test | None:
    if name.startswith("timestamp_"):
        _, kind, side = name.split("_")
        return _time_test(kind, side, value)
    if name.startswith("principal_"):
        kind, part = name.removeprefix("principal_").split(".")
        return _principal_test(kind, part, value)
    if name == "minimum_trust":
        enough = TRUSTED[TRUSTED.index(value) :] if value in TRUSTED else STATUSES
        return lambda event: event.confirmation_status in enough
    found = _PLAIN.get(name)
    return None if found is None else lambda event: found(event) == value


def _time_test(kind: str, side: str, text: str) -> Test:
    """Since is strictly later, before strictly earlier; not committed counts as 1970."""
    limit, read = parse_time(text), _TIMES[kind]
    if side == "since":
        return lambda event: read(event) > limit
    return lambda event: read(event) < limit


def _principal_test(kind: str, part: str, value: str) -> Test:
    return lambda event: principal(event.declared_by if kind == "declared" else None)[part] == value


_TIMES: dict[str, Callable[[Event], datetime]] = {
    "accepted": lambda event: event.accepted,
    "declared": lambda event: event.declared,
    "committed": lambda event: event.committed or EPOCH,
}
_PLAIN: dict[str, Callable[[Event], str]] = {
    "operation": lambda event: event.operation,
    "behaviour": lambda event: event.behaviour,
    "confirmation_status": lambda event: event.confirmation_status,
    "proof_mechanism": lambda event: event.asset.proof_mechanism,
    "from": lambda _event: "",
    "transaction_id": lambda _event: "",
    "mmr_index": lambda event: str(event.number),
}

"""Parses the query of a ledger's lists. Pure; every rule is from specs/datatrails.md 1.2, 1.4 and 1.5."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from attachsync.sandbox.ledger_records import STATUSES
from attachsync.sandbox.stamps import parse_time

Pairs = list[tuple[str, str]]
# First segments that pass the check of names even where they mean nothing, and are then ignored.
PASSING = ("attributes", "event_attributes", "asset_attributes", "asset", "filters")
ASSET_SCOPES = ("attributes",)
EVENT_SCOPES = ("event_attributes", "asset_attributes", "asset.attributes")
_OR = re.compile(r"\s+or\s+", re.IGNORECASE)
_TERM = re.compile(r"\s*(?P<name>[^=\s]+)\s*=\s*(?:'(?P<quoted>(?:[^'\\]|\\.)*)'|(?P<bare>[^\s']\S*))\s*")


@dataclass(frozen=True)
class Condition:
    """One attribute filter: which attributes, which key (and field of a dict), which text."""

    scope: str
    keys: tuple[str, ...]
    value: str


@dataclass(frozen=True)
class Query:
    """A checked query: plain parameters, and conditions of which one in each group must hold."""

    plain: Mapping[str, str]
    groups: tuple[tuple[Condition, ...], ...]


def _whole_number(text: str) -> None:
    if not re.fullmatch(r"\+?\d{1,10}", text):
        raise ValueError(f"not a number of zero or more: {text!r}")


def _time(text: str) -> None:
    parse_time(text)


def _address(text: str) -> None:
    if not re.fullmatch(r"0x[0-9A-Fa-f]+", text):
        raise ValueError(f"not a wallet address: {text!r}")


def _any(_text: str) -> None:
    return


def _one_of(*choices: str) -> Callable[[str], None]:
    def check(text: str) -> None:
        if text not in choices:
            raise ValueError(f"{text!r} is none of {', '.join(choices)}")

    return check


Checks = Mapping[str, Callable[[str], None]]
_COMMON: Checks = {
    "page_size": _whole_number,
    "page_token": _any,
    "order_by": _one_of("DEFAULT", "SIMPLEHASHV1", "SIMPLEHASHV2"),
    "confirmation_status": _one_of(*STATUSES),
    "proof_mechanism": _one_of("RESERVED1", "SIMPLE_HASH", "MERKLE_LOG"),
}
ASSET_PARAMETERS: Checks = {
    **_COMMON,
    "tracked": _one_of("TRACKED_STATUS_UNSPECIFIED", "TRACKED", "NOT_TRACKED", "ANY"),
    "privacy": _one_of("RESTRICTED", "PUBLIC"),
    "chain_id": _any,
}
EVENT_PARAMETERS: Checks = {
    **_COMMON,
    **{
        f"timestamp_{kind}_{side}": _time
        for kind in ("accepted", "committed", "declared")
        for side in ("since", "before")
    },
    **{
        f"principal_{kind}.{part}": _any
        for kind in ("declared", "accepted")
        for part in ("issuer", "subject", "display_name", "email")
    },
    "minimum_trust": _one_of(*STATUSES),
    "operation": _any,
    "behaviour": _any,
    "from": _address,
    "transaction_id": _any,
    "mmr_index": _whole_number,
}


def read_query(pairs: Iterable[tuple[str, str]], checks: Checks, scopes: tuple[str, ...]) -> Query:
    """Return the checked query; ValueError carries the message of the 400."""
    plain: dict[str, str] = {}
    groups: list[tuple[Condition, ...]] = []
    for name, value in pairs:
        _check_name(name, checks)
        if name == "filters":
            groups.append(tuple(_alternatives(value, scopes)))
        elif name in checks:
            _check_value(name, value, checks)
            plain[name] = value
        else:
            groups += [(found,) for found in [_condition(name, value, scopes)] if found is not None]
    return Query(plain, tuple(groups))


def _check_name(name: str, checks: Checks) -> None:
    segments = name.split(".")
    if "" in segments or (name not in checks and segments[0] not in PASSING):
        raise ValueError(f"invalid query parameter not in proto: {name}")


def _check_value(name: str, value: str, checks: Checks) -> None:
    try:
        checks[name](value)
    except ValueError as error:
        raise ValueError(f"invalid value of {name}: {error}") from error


def _condition(name: str, value: str, scopes: tuple[str, ...]) -> Condition | None:
    for scope in scopes:
        if name.startswith(f"{scope}."):
            return Condition(scope, tuple(name.removeprefix(f"{scope}.").split(".")), value)
    return None


def _alternatives(text: str, scopes: tuple[str, ...]) -> Iterable[Condition]:
    """Parse `a.b=c OR d.e='f g'`."""
    position = 0
    while True:
        term = _TERM.match(text, position)
        if term is None:
            raise ValueError(f"invalid filter: {text}")
        quoted = term["quoted"]
        value = term["bare"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        found = _condition(term["name"], value, scopes)
        if found is None:
            raise ValueError(f"invalid filter: {text}")
        yield found
        if term.end() == len(text):
            return
        # The term has eaten the blanks before OR; give one back.
        joint = _OR.match(text, term.end() - 1)
        if joint is None:
            raise ValueError(f"invalid filter: {text}")
        position = joint.end()

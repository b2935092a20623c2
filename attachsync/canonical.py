"""JSON as text that is equal if and only if the values are. Pure."""

import json

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def canonical(value: object) -> str:
    """The text of a value: services shuffle their keys (specs/datatrails.md 1.3)."""
    return _ENCODER.encode(value)

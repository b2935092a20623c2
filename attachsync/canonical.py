"""JSON as text that is equal if and only if the values are. Pure."""

import json

import orjson

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def canonical(value: object) -> str:
    """The text of a value: services shuffle their keys (specs/datatrails.md 1.3)."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError:  # numbers of more than 64 bits, text that is no Unicode
        return _ENCODER.encode(value)

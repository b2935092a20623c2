"""JSON as text that is equal if and only if the values are: services shuffle keys (specs/datatrails.md 1.3). Pure."""

import json

import orjson

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def canonical(value: object) -> str:
    """The text of a value, of ASCII only."""
    return _ENCODER.encode(value)


def compact(value: object) -> str:
    """The same in a fifth of the time, for what there is much of; most of it is another text than `canonical` makes."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError:  # numbers of more than 64 bits, text that is no Unicode
        return canonical(value)

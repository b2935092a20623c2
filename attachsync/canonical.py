"""JSON as text that is equal if and only if the values are: services shuffle keys (specs/datatrails.md 1.3). Pure."""

import json
from collections.abc import Iterable, Mapping

import orjson

from attachsync.errors import MalformedError

_DEEPEST = 500
"""What is nested deeper could perhaps be written, but not be read again wherever we are."""
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def canonical(value: object) -> str:
    """The text of a value, of ASCII only."""
    return _ENCODER.encode(value)


def compact(value: object) -> str:
    """The same in a fifth of the time, for what there is much of; most of it is another text than `canonical` makes.

    Raises MalformedError for what is nested too deep.
    """
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError:  # numbers of more than 64 bits, text that is no Unicode, what is nested deep
        if _is_deep(value):
            raise MalformedError("the answer is nested too deep to be kept") from None
        return canonical(value)


def _is_deep(value: object) -> bool:
    level: list[object] = [value]
    for _ in range(_DEEPEST):
        level = [inner for one in level for inner in _within(one)]
    return bool(level)


def _within(value: object) -> Iterable[object]:
    return value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()

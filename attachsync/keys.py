"""How config tables are declared and read: a frozen dataclass whose fields carry a parser and a line of help.

The tables of the config and each source's own keys are declared this way; `read` collects every fault of a table.
"""

import dataclasses
import difflib
import os
import re
import stat
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from attachsync import units
from attachsync.credentials import Secret, refusal

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")


class _Faulty:
    """Neither true nor equal nor unequal to anything: what depends on such a value is not said to be wrong, too."""

    def __bool__(self) -> bool:
        return False

    def __eq__(self, _other: object) -> bool:
        return False

    def __ne__(self, _other: object) -> bool:
        return False

    __hash__ = object.__hash__


FAULTY: Any = _Faulty()
"""Stands for the value of a key that is wrong, or lacks though it is required."""
_LONGEST = 36500 * 86400.0
_LONGEST_NAME = 255


@dataclass(frozen=True, slots=True)
class Place:
    """Where a config file stands: what relative paths and credentials are looked up against."""

    folder: Path
    credentials: Path | None = None


Parser = Callable[[object, Place], object]
Report = Callable[[str, str], None]
"""Told of each fault: key, and what would be right."""


def key(parse: Parser, text: str, default: object = dataclasses.MISSING) -> Any:
    """A field of a table: its parser, its line of help, and its default (none: the key is required)."""
    if default is dataclasses.MISSING:
        return dataclasses.field(metadata={"parse": parse, "help": text})
    return dataclasses.field(default=default, metadata={"parse": parse, "help": text})


def names(table: type[Any]) -> list[str]:
    """The keys that a table declares."""
    return [name_of(field) for field in dataclasses.fields(table)]


def name_of(field: dataclasses.Field[Any]) -> str:
    """The TOML key of a field; a trailing underscore only keeps Python's own words apart (`for_`)."""
    return field.name.rstrip("_")


def read(table: type[T], values: Mapping[str, object], place: Place, report: Report) -> T:
    """Parse `values` into `table`, telling `report(key, what would be right)` of every fault; its value is FAULTY.

    Keys that the table does not declare are left to the caller (`unknown`).
    """
    found: dict[str, object] = {}
    for field in dataclasses.fields(table):
        name = name_of(field)
        if name in values:
            found[field.name] = _parsed(field, values[name], place, report)
        elif field.default is dataclasses.MISSING:
            report(name, f"is required: {field.metadata['help']}")
            found[field.name] = FAULTY
    return table(**found)


def check(tables: Iterable[type[Any]], values: Mapping[str, object], place: Place, report: Report) -> None:
    """Parse what there is of the keys of any of some tables, telling `report` of every fault."""
    fields = {name_of(field): field for table in tables for field in dataclasses.fields(table)}
    for name in values:
        if name in fields:
            _parsed(fields[name], values[name], place, report)


def _parsed(field: dataclasses.Field[Any], value: object, place: Place, report: Report) -> object:
    try:
        return field.metadata["parse"](value, place)
    except ValueError as error:
        report(name_of(field), str(error))
        return FAULTY


def given(value: object) -> bool:
    """Whether a key was given something, be it wrong."""
    return value is FAULTY or bool(value)


def unknown(
    values: Iterable[str], allowed: Iterable[str], elsewhere: Callable[[], Mapping[str, str]]
) -> Iterable[tuple[str, str]]:
    """(key, message) for each key that is not allowed; `elsewhere` tells of keys that belong to other services."""
    allowed = list(allowed)
    for name in values:
        if name in allowed:
            continue
        if owner := elsewhere().get(name):
            yield name, f"is a key of {owner}"
        else:
            yield name, f"is not a known key{nearest(name, allowed)}"


def nearest(word: str, known: Iterable[str]) -> str:
    """'; did you mean …?' for the nearest known word, or the list of them when none is near; case is ignored."""
    folded: dict[str, str] = {}
    for one in known:
        folded.setdefault(one.lower(), one)
    if close := difflib.get_close_matches(word.lower(), folded, n=1, cutoff=0.6):
        return f"; did you mean {folded[close[0]]!r}?"
    return f" (known: {', '.join(sorted(folded.values()))})" if folded else ""


# --- parsers: value, place -> parsed, or ValueError with what would be right ---------------------------------------


def text(value: object, _place: Place) -> str:
    """A non-empty string."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"must be a non-empty string, not {value!r}")
    return value


def flag(value: object, _place: Place) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false, not {value!r}")
    return value


def texts(value: object, place: Place) -> tuple[str, ...]:
    """A list of strings."""
    if not isinstance(value, list):
        raise ValueError(f"must be a list of strings, not {value!r}")
    return tuple(text(item, place) for item in value)


def count(value: object, _place: Place) -> int:
    """A whole number, at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1024:
        raise ValueError(f"must be a whole number from 1 to 1024, not {value!r}")
    return value


def positive(value: object, _place: Place) -> float:
    """A number above 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise ValueError(f"must be a number above 0, not {value!r}")
    return float(value)


def duration(minimum: float = 0.0, *, word: str | None = None) -> Parser:
    """A duration of at least `minimum` seconds; `word` ("off", "forever") is accepted too and gives None."""

    def parse(value: object, _place: Place) -> float | None:
        if word is not None and value == word:
            return None
        try:
            span = units.seconds(value)
        except ValueError as error:
            wanted, _, found = str(error).partition(", not ")
            raise ValueError(f'{wanted}, or "{word}", not {found}' if word else str(error)) from None
        if span < minimum:
            raise ValueError(f"must be at least {minimum:g}s, not {value!r}")
        if span > _LONGEST:
            raise ValueError(f"must be at most {_LONGEST / 86400:g}d, not {value!r}")
        return span

    return parse


def byte_size(value: object, _place: Place) -> int:
    """A size in bytes."""
    return units.size(value)


def choice(*allowed: str) -> Parser:
    """One of a few words."""

    def parse(value: object, _place: Place) -> str:
        if value not in allowed:
            hint = nearest(value, allowed) if isinstance(value, str) else ""
            raise ValueError(
                f"must be {' or '.join(map(repr, allowed))}, not {value!r}{hint if 'mean' in hint else ''}"
            )
        return str(value)

    return parse


def file_mode(value: object, _place: Place) -> int:
    """Permission bits of what is mirrored, as an octal string: its owner reads it, no other writes, nobody runs it."""
    bits = _mode(value)
    if bits & 0o133 or not bits & 0o400:
        raise ValueError(f"must let the owner read, no other write, nobody execute, as 0440 and 0444 do; not {value!r}")
    return bits


def folder_mode(value: object, _place: Place) -> int:
    """Permission bits of a folder, as an octal string: its owner works in it."""
    bits = _mode(value)
    if bits & 0o700 != 0o700:
        raise ValueError(f"must let the owner read, write and enter, as 0700 and 0755 do; not {value!r}")
    return bits


def _mode(value: object) -> int:
    if not isinstance(value, str) or not re.fullmatch(r"0?[0-7]{3}", value):
        raise ValueError(f'must be octal permission bits in quotes, such as "0440", not {value!r}')
    return int(value, 8)


def path(value: object, place: Place) -> Path:
    """A path, without `..`; relative ones are relative to the config's folder."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError(f"must be a path, not {value!r}")
    found = place.folder / os.path.expanduser(value)
    if any(len(os.fsencode(part)) > _LONGEST_NAME for part in found.parts):
        raise ValueError(f"must have no part of more than {_LONGEST_NAME} bytes")
    if ".." not in found.parts:
        return found
    last = len(found.parts) - found.parts[::-1].index("..")
    return Path(os.path.realpath(Path(*found.parts[:last])), *found.parts[last:])


def readable(value: object, place: Place) -> Path:
    """A path to a file that can be read."""
    found = path(value, place)
    if not os.path.isfile(found) or not os.access(found, os.R_OK):
        raise ValueError(f"{found} is not a readable file")
    return found


def certificates(value: object, place: Place) -> Path:
    """A path to a file of certificates that can be read."""
    import ssl  # slow, and few configs need it

    found = readable(value, place)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(found)
    except (ssl.SSLError, OSError) as error:
        raise ValueError(f"{found} holds no certificates in PEM form: {error.strerror or error}") from None
    return found


def secret(value: object, place: Place) -> Secret:
    """A secret file that exists and that only its owner can read, or one of systemd's credentials (contract 2)."""
    found = path(value, place)
    if place.credentials is not None and not os.path.isabs(str(value)):
        candidate = place.credentials / found.name
        if os.path.isfile(candidate):
            return Secret(candidate, trusted=True)
    fault = refusal(found)
    if not fault and os.path.getsize(found) == 0:
        fault = f"secret file {found} is empty"
    if fault:
        raise ValueError(fault)
    return Secret(found)


def identifier(value: object, _place: Place) -> str:
    """An upstream id used in URLs and folder names: no separators, no spaces, at most 128 characters."""
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_.~@+-]{1,128}", value) or not value.strip("."):
        raise ValueError(f"must be an id of letters, digits and . _ ~ @ + -, not {value!r}")
    return value


def uuid_text(value: object, _place: Place) -> str:
    """A UUID, in its usual lower-case form."""
    try:
        if not isinstance(value, str):
            raise ValueError
        parsed = uuid.UUID(value)
        if str(parsed) != value.lower():
            raise ValueError
    except ValueError:
        raise ValueError(f"must be a UUID such as c04d5ecf-02e0-4be2-a014-ffbbf0e8ddeb, not {value!r}") from None
    return str(parsed)


def writable_folder(folder: Path) -> str | None:
    """Why `folder` (or, where it is yet to be made, its nearest existing parent) cannot be written; None if it can."""
    if os.path.lexists(folder) and not os.path.isdir(folder):
        return f"{folder} is not a folder"
    nearest_parent = folder
    while not os.path.lexists(nearest_parent) and nearest_parent != nearest_parent.parent:
        nearest_parent = nearest_parent.parent
    if not os.path.isdir(nearest_parent):
        return f"{nearest_parent} is not a folder"
    if not os.access(nearest_parent, os.W_OK | os.X_OK):
        if os.statvfs(nearest_parent).f_flag & os.ST_RDONLY:
            return f"{nearest_parent} is on a disk that is mounted read-only: mount it for writing"
        bits = stat.filemode(nearest_parent.stat().st_mode)
        return f"{nearest_parent} cannot be written by this user ({bits}): chown or chmod it"
    return None

"""Finding and reading the config (contract 2)."""

import codecs
import os
import re
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from attachsync import keys
from attachsync.errors import ConfigError
from attachsync.reader import Config, Reader
from attachsync.units import printable

__all__ = ["Config", "files", "load", "search", "user_file"]

_DEEPEST = 20
_TOO_DEEP = "tables or lists are nested too deep"
_LONG = re.compile("[0-9][0-9_]{4299}")
"""So many digits Python reads into no number."""


def search(given: Path | None, environment: Mapping[str, str]) -> Path:
    """The config file to read: given, $ATTACHSYNC_CONFIG, the user's, the system's. Raises ConfigError."""
    if given is not None:
        return given
    if environment.get("ATTACHSYNC_CONFIG"):
        return Path(environment["ATTACHSYNC_CONFIG"])
    places = [user_file(environment), Path("/etc/attachsync/config.toml")]
    for place in places:
        if os.path.isfile(place):
            return place
    looked = " nor ".join(map(str, places))
    raise ConfigError([f"no config file: neither {looked} exists; write one with: attachsync init"])


def user_file(environment: Mapping[str, str]) -> Path:
    """The user's own config file, whether it exists or not."""
    home = environment.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return Path(home) / "attachsync" / "config.toml"


def files(path: Path) -> list[Path]:
    """A config file, and those in the config.d beside it, in the order in which they are read."""
    path = Path(os.path.abspath(path))
    beside = path.parent / "config.d"
    names: list[str] = []
    with suppress(FileNotFoundError, NotADirectoryError):
        names = os.listdir(beside)
    return [path, *(beside / name for name in sorted(names) if name.endswith(".toml") and not name.startswith("."))]


def load(path: Path, environment: Mapping[str, str], extra: Mapping[Path, Mapping[str, object]] = {}) -> Config:
    """Read a config file and the config.d beside it. Raises ConfigError with every fault.

    `extra`: further documents, by the file that they would be.
    """
    path, faults = Path(os.path.abspath(path)), list[str]()
    try:
        found = files(path)
    except OSError as error:
        found = [path]
        faults.append(f"{error.filename}: cannot be read: {error.strerror}")
    documents = [*((file, _parse(file, faults)) for file in found), *extra.items()]
    credentials = environment.get("CREDENTIALS_DIRECTORY")
    place = keys.Place(path.parent, Path(credentials) if credentials else None)
    config = Reader(documents, place, faults).config()
    if faults or config is None:
        raise ConfigError([printable(line) for line in faults])
    return config


def _parse(file: Path, faults: list[str]) -> Mapping[str, object] | None:
    data, text = b"", ""
    try:
        data = file.read_bytes()
        if data.startswith(codecs.BOM_UTF8):
            faults.append(f"{file}: not TOML: it begins with a byte order mark{_at('')}: save it as UTF-8 without BOM")
            return None
        text = data.decode()
        odd: list[str] = []
        document = {key: value for key, value in tomllib.loads(text).items() if _is_plain(key, value, 1, odd)}
        faults += [f"{file}: {fault}" for fault in odd]
        return document
    except tomllib.TOMLDecodeError as error:
        lines = text.split("\n")
        end = f"at the end of the file: line {len(lines)}, column {len(lines[-1]) + 1}"
        faults.append(f"{file}: not TOML: {str(error).replace('at end of document', end)}")
    except UnicodeDecodeError as error:
        faults.append(f"{file}: not TOML: not UTF-8 text{_at(data[: error.start].decode())}")
    except RecursionError:  # what Python's reader of TOML cannot read, but does not say so
        faults.append(f"{file}: not TOML that can be read: {_TOO_DEEP}")
    except ValueError:  # the same
        long = _LONG.search(text)
        where = _at(text[: long.start()]) if long else ""
        faults.append(f"{file}: not TOML that can be read: a number has too many digits{where}")
    except OSError as error:
        faults.append(f"{file}: cannot be read: {error.strerror}")
    return None


def _at(before: str) -> str:
    """Where a file goes on after this part of it."""
    *lines, last = before.split("\n")
    return f" (at line {len(lines) + 1}, column {len(last) + 1})"


def _is_plain(where: str, value: object, depth: int, faults: list[str]) -> bool:
    """Whether a value is one that a config may hold and that can be shown; if it is not, there is a fault.

    Numbers beyond TOML's own, and deep nests, are not; what holds one does without it.
    """
    if depth > _DEEPEST:
        faults.append(f"{where}: {_TOO_DEEP}")
        return False
    if isinstance(value, dict):
        odd = [key for key, inner in value.items() if not _is_plain(f"{where}.{key}", inner, depth + 1, faults)]
        for key in odd:
            del value[key]
    elif isinstance(value, list):
        value[:] = [
            inner for number, inner in enumerate(value, 1) if _is_plain(f"{where}[{number}]", inner, depth + 1, faults)
        ]
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        faults.append(f"{where}: must be a number of at most 64 bits")
        return False
    return True

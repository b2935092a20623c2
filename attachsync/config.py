"""Finding and reading the config (contract 2)."""

import codecs
import os
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from attachsync import keys
from attachsync.errors import ConfigError
from attachsync.reader import Config, Reader
from attachsync.units import printable

__all__ = ["Config", "files", "load", "search", "user_file"]

_DEEPEST = 20
_TOO_DEEP = "tables or lists are nested too deep"


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
            faults.append(f"{file}: not TOML: it begins with a byte order mark: save it as UTF-8 without BOM")
            return None
        text = data.decode()
        document = tomllib.loads(text)
        odd = [f"{file}: {fault}" for fault in _odd(document)]
        faults += odd
        return None if odd else document
    except tomllib.TOMLDecodeError as error:
        lines = text.split("\n")
        end = f"at the end of the file: line {len(lines)}, column {len(lines[-1]) + 1}"
        faults.append(f"{file}: not TOML: {str(error).replace('at end of document', end)}")
    except UnicodeDecodeError as error:
        *lines, last = data[: error.start].decode().split("\n")
        faults.append(f"{file}: not TOML: not UTF-8 text (at line {len(lines) + 1}, column {len(last) + 1})")
    except (ValueError, RecursionError) as error:  # what Python's reader of TOML cannot read, but does not say so
        trouble = "a number has too many digits" if isinstance(error, ValueError) else _TOO_DEEP
        faults.append(f"{file}: not TOML that can be read: {trouble}")
    except OSError as error:
        faults.append(f"{file}: cannot be read: {error.strerror}")
    return None


def _odd(document: Mapping[str, object]) -> Iterator[str]:
    """Where a document holds what no config does, and what cannot even be shown: numbers beyond TOML's, deep nests."""
    waiting: list[tuple[str, object, int]] = [("", document, 0)]
    while waiting:
        where, value, depth = waiting.pop()
        if depth > _DEEPEST:
            yield f"{where}: {_TOO_DEEP}"
        elif isinstance(value, Mapping):
            waiting += [(f"{where}.{key}".lstrip("."), inner, depth + 1) for key, inner in value.items()]
        elif isinstance(value, list):
            waiting += [(f"{where}[{number}]", inner, depth + 1) for number, inner in enumerate(value, 1)]
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            yield f"{where}: must be a number of at most 64 bits"

"""Finding and reading the config (contract 2)."""

import os
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from attachsync import keys
from attachsync.errors import ConfigError
from attachsync.reader import Config, Reader
from attachsync.units import printable

__all__ = ["Config", "files", "load", "search", "user_file"]


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
        text = data.decode()
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        lines = text.split("\n")
        end = f"at the end of the file: line {len(lines)}, column {len(lines[-1]) + 1}"
        faults.append(f"{file}: not TOML: {str(error).replace('at end of document', end)}")
    except UnicodeDecodeError as error:
        *lines, last = data[: error.start].decode().split("\n")
        faults.append(f"{file}: not TOML: not UTF-8 text (at line {len(lines) + 1}, column {len(last) + 1})")
    except OSError as error:
        faults.append(f"{file}: cannot be read: {error.strerror}")
    return None

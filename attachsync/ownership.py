"""Whose a mirror is: nobody works on another user's, and what is in it is its user's own (contract 4)."""

import os
import pwd
import shlex
import sys
from contextlib import suppress

from attachsync.errors import ConfigError
from attachsync.reader import Config


def check_mirror(config: Config) -> None:
    """Root must not write into a mirror of another user. Raises ConfigError with the line to use."""
    directory = config.mirror.directory
    if os.geteuid() == 0 and directory.exists() and directory.stat().st_uid != 0:
        name = _user(directory.stat().st_uid)
        program, *rest = sys.argv
        command = [sys.executable, "-m", "attachsync"] if os.path.basename(program) == "__main__.py" else [program]
        named = ["--config", os.path.abspath(config.path)] if "--config" not in " ".join(rest) else []
        line = f"sudo -u {shlex.quote(name)} {shlex.join([*command, *named, *rest])}"
        raise ConfigError([f"{directory} belongs to {name}; run this as that user: {line}"])


def check_parts(config: Config) -> None:
    """What attachsync made in a mirror must be its user's. Raises ConfigError with the chown to use for each part."""
    check_mirror(config)
    user, faults = os.geteuid(), []
    places = [os.fspath(config.mirror.directory / name) for name in (".attachsync", "sha256", "files")]
    with suppress(OSError):
        places += sorted(entry.path for entry in os.scandir(config.state_directory))
    for place in places if user != 0 else ():
        with suppress(FileNotFoundError):
            owner = os.lstat(place).st_uid
            if owner != user:
                mend = shlex.join(["chown", "-R", _user(user), place])
                faults.append(f"{place} belongs to another user, {_user(owner)}; run as root: {mend}")
    if faults:
        raise ConfigError(faults)


def _user(number: int) -> str:
    """A user's name, or what `sudo` and `chown` take for one without."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"#{number}" if number != os.geteuid() else str(number)

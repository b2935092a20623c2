"""Noticing that files have changed, by what the system says of them."""

import os
from collections.abc import Iterable
from pathlib import Path

Stamp = tuple[int, int, int, int]


def stamps(files: Iterable[Path]) -> list[Stamp]:
    """What differs when one of the files, or who may read it, has changed, or it has come or gone."""
    found = []
    for file in files:
        try:
            one = os.stat(file)
        except OSError:
            found.append((0, 0, 0, 0))
        else:
            found.append((one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns))
    return found

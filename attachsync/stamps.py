"""Noticing that files have changed, by what the system says of them."""

import os
from collections.abc import Iterable
from pathlib import Path


def stamps(files: Iterable[Path]) -> list[tuple[int, int, int]]:
    """What differs when one of the files has changed, come or gone."""
    found = []
    for file in files:
        try:
            one = os.stat(file)
        except OSError:
            found.append((0, 0, 0))
        else:
            found.append((one.st_ino, one.st_size, one.st_mtime_ns))
    return found

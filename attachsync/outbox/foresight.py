"""What the service would surely refuse: known before anything is sent."""

import os
from typing import BinaryIO

from attachsync.model import Outbox, Sender
from attachsync.spool import Spool
from attachsync.store import storage_errors

_HEAD = 512
"""So many bytes of a file's beginning tell what it is."""


def refusal(sender: Sender, name: str, size: int, file: BinaryIO) -> tuple[str, str] | None:
    """(code, reason) when a file of this name (within its outbox) and size is not even sent. Blocking."""
    if size == 0:
        return "empty", "the file is empty"
    return sender.refusal(name.rpartition("/")[2], size, os.pread(file.fileno(), _HEAD, 0))


def foreseen(config: Outbox, sender: Sender, name: str) -> str:
    """Why a file that waits in an outbox would be refused, as it is now; empty if it would not. StorageError."""
    with storage_errors(config.directory):
        spool = Spool.open(config.directory, config.ignore, lock=False)
        try:
            file = spool.open_file(name)
            if file is None:
                return ""
            with file:
                found = refusal(sender, name, os.fstat(file.fileno()).st_size, file)
        finally:
            spool.close()
    return found[1] if found else ""

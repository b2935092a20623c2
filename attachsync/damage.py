"""What becomes of stored bytes that are damaged or gone: evidence aside, then mended, or work again (contract 4)."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

from attachsync.errors import MismatchError, NoRoomError, RefusedError, StorageError
from attachsync.hashing import BLOCK, hashed
from attachsync.incoming import Expected
from attachsync.keeping import Keeping
from attachsync.linking import Placing
from attachsync.model import Digest
from attachsync.pins import Pin
from attachsync.store import item_error, storage_errors
from attachsync.threads import in_thread


async def lost(keep: Keeping, digest: str, *, corrupt: bool) -> list[int]:
    """Give up the stored bytes of a digest: `corrupt` ones go to quarantine. Raises StorageError.

    Where an entry of `files/` still has the right bytes, they are stored again. Else nothing shows them any more, and
    the attachments that did are work: their ids. An older version cannot be fetched again by anybody.
    """
    if corrupt:
        await keep.store.quarantine(digest)
    if await _mended(keep, Digest(digest)):
        return []
    with keep.manifest.outdated():
        for path in keep.index.upkeep.entries(digest):
            await keep.store.run(keep.views.hide, path)
        reason = f"its bytes were {'damaged' if corrupt else 'lost'} on the disk; to be fetched again"
        return keep.index.upkeep.lost(digest, reason)


async def _mended(keep: Keeping, digest: Digest) -> bool:
    """Store the bytes again that an entry of `files/` still has; whether one had them."""
    paths = keep.index.upkeep.entries(digest)
    for path in paths:
        if await _stored_from(keep, keep.store.mirror / path, digest):
            placings = [Placing(path, digest) for path in paths]
            for error in filter(None, await keep.store.run(keep.views.show_all, placings)):
                befell = item_error(error, keep.store.mirror)
                if isinstance(befell, StorageError):  # else something is in the way of this one only
                    raise befell
            return True
    return False


async def _stored_from(keep: Keeping, file: Path, digest: Digest) -> bool:
    try:
        found, size = await in_thread(hashed, file)
        if found != digest:
            return False
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False  # not there, a link, or as damaged: then it is of no help
    try:
        with storage_errors(file):
            await keep.store.add(_chunks(descriptor), Expected(frozenset({digest}), size), size, Pin())
    except (MismatchError, NoRoomError, RefusedError):
        return False
    finally:
        os.close(descriptor)
    return True


async def _chunks(descriptor: int) -> AsyncIterator[bytes]:
    at = 0
    while block := await in_thread(os.pread, descriptor, BLOCK, at):
        yield block
        at += len(block)

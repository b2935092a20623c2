"""When a service last refused, in memory that processes share: none of them waits until another tells it."""

import mmap
import os
import struct
import time
import zlib

from attachsync.line import Direct

_SIZE = mmap.PAGESIZE
_MOMENT = struct.Struct("d")


def shared() -> int:
    """A descriptor of such memory, for processes that are begun with it. Raises OSError."""
    descriptor = os.memfd_create("attachsync-refusals")
    os.ftruncate(descriptor, _SIZE)
    return descriptor


class Refusals:
    """The moments of refusals, by whom they were met with; -1: in memory of this process alone."""

    def __init__(self, descriptor: int = -1) -> None:
        self._memory = mmap.mmap(descriptor, _SIZE)

    def note(self, to: Direct) -> None:
        """A request was refused now."""
        _MOMENT.pack_into(self._memory, _place(to), time.monotonic())

    def is_refused_since(self, to: Direct, moment: float) -> bool:
        """Whether one was after a moment (time.monotonic); where two fall together, perhaps another's."""
        (refused_at,) = _MOMENT.unpack_from(self._memory, _place(to))
        return bool(refused_at > moment)


def _place(to: Direct) -> int:
    """Requests there are signed alike, or to another host."""
    return zlib.crc32(to.headers) % (_SIZE // _MOMENT.size) * _MOMENT.size

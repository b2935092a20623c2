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

    def at(self, to: Direct) -> "RefusedAt":
        """When requests to this origin, signed like this, were refused."""
        return RefusedAt(self._memory, _place(to))


class RefusedAt:
    """When requests of one kind were last refused; two kinds that have the same place in memory are taken for one."""

    def __init__(self, memory: mmap.mmap, place: int) -> None:
        self._memory = memory
        self._place = place

    def note(self) -> None:
        """A request was refused now."""
        _MOMENT.pack_into(self._memory, self._place, time.monotonic())

    def is_since(self, moment: float) -> bool:
        """Whether it is after a moment (time.monotonic)."""
        (refused_at,) = _MOMENT.unpack_from(self._memory, self._place)
        return bool(refused_at > moment)


def _place(to: Direct) -> int:
    """Requests there are signed alike, or to another host."""
    return zlib.crc32(to.headers) % (_SIZE // _MOMENT.size) * _MOMENT.size

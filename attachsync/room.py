"""Room on a disk that is promised to bodies: nobody else is to have it while they are asked for, and come."""

from attachsync.incoming import Incoming


class Room:
    """Room for one body of `size` more bytes, as far as that is known. One that can be had `only_once` is not given up
    once it has begun."""

    def __init__(self, size: int, *, only_once: bool = False) -> None:
        self.size = size
        self.only_once = only_once
        self._incoming: Incoming | None = None
        self._began_at = 0

    def takes(self, incoming: Incoming) -> None:
        """The body begins to come."""
        self._incoming, self._began_at = incoming, incoming.size

    @property
    def coming(self) -> int:
        """How many bytes are still to come."""
        return max(self.size - (self._incoming.size - self._began_at if self._incoming else 0), 0)

    @property
    def taken(self) -> int:
        """How many bytes of it take room already: so much is free again if it is given up."""
        return self._incoming.written if self._incoming else 0

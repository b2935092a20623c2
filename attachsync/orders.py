"""What is ordered of a process that does errands, and what it tells of them: sent from one to the other."""

import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from attachsync.model import JSON, Digest, Facts

if TYPE_CHECKING:
    from attachsync.line import Direct
    from attachsync.linking import Linker

LARGEST = 2 * 1024 * 1024
"""Larger bodies (bytes) are no errands."""
STOP = signal.SIGUSR1
"""Sent to the process, it breaks off what was ordered before."""
PATIENCE = 3
"""As `Order` has it."""


class Errand(NamedTuple):
    """One attachment that two GETs of the account's own origin should bring: its record, then its bytes.

    Tuples are sent from process to process in a third of the time.
    """

    record: str
    """Path and query of its record, below the account's base URL,"""
    content: str
    """and of its bytes."""
    facts: Callable[[JSON], Facts]
    """Reads the record; raises MalformedError. It is sent to the other process: a function of a module."""
    digest: Digest
    """What the listing states, and the record and the bytes have to agree with."""
    path: str
    """What is to show it, relative to the mirror."""


@dataclass(frozen=True, slots=True)
class Order:
    """Errands to one origin, `width` at a time. What is larger than `max_size` (bytes) is left.

    After `span` seconds nothing more is begun; after `PATIENCE` times as many, what has been begun is broken off.
    """

    to: "Direct"
    errands: Sequence[Errand]
    linker: "Linker"
    width: int
    max_size: int
    span: float
    made_at: float = field(default_factory=time.monotonic)
    """By the clock that processes share: a STOP is for what was made before it."""


class Had(NamedTuple):
    """An attachment whose bytes are stored and shown, durably, and what its record said."""

    size: int
    media_type: str
    record: str
    """What is to be kept of the record, as JSON,"""
    again: float | None
    """and after how many seconds to ask for it again; None: never."""
    is_fetched: bool
    """Whether its bytes were not in the store already."""


@dataclass(slots=True)
class Done:
    """What became of an order's errands."""

    had: dict[int, Had] = field(default_factory=dict)
    """Number of an errand that was done -> what came of it."""
    is_broken: bool = False
    """It was broken off: by a refusal of the service or the disk, a failed connection, STOP, or the end of the time."""
    is_torn: bool = False
    """Something may be stored or shown of what was left."""
    fell_back: dict[str, str] = field(default_factory=dict)
    """As `Shown` has it."""

"""What all of one mirror's accounts share."""

import asyncio
from dataclasses import dataclass

from attachsync.clock import Clock
from attachsync.courier import Couriers
from attachsync.index import Index
from attachsync.manifest import Manifest
from attachsync.observer import Observer
from attachsync.rebuilding import Salvage
from attachsync.showing import Showing
from attachsync.store import Store
from attachsync.views import Views


@dataclass(frozen=True, slots=True)
class Keeping:
    """Where attachments are kept, and by which rules. `gate` bounds downloads in flight, all accounts together."""

    index: Index
    store: Store
    views: Views
    clock: Clock
    observer: Observer
    manifest: Manifest
    showing: Showing
    gate: asyncio.Semaphore
    max_size: int
    couriers: Couriers
    salvage: Salvage | None = None
    """What `files/` showed before a lost index was made anew."""

"""One outbox kept empty: settle, journal, upload, receipt, move (contract 3, architecture 5)."""

from attachsync.outbox.foresight import foreseen
from attachsync.outbox.journey import Ending, Notice
from attachsync.outbox.listing import confirm, key, retry, waiting
from attachsync.outbox.outcome import Outcome
from attachsync.outbox.outgoing import Outgoing

__all__ = ["Ending", "Notice", "Outcome", "Outgoing", "confirm", "foreseen", "key", "retry", "waiting"]

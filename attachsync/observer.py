"""What happens while mirroring and sending, told to whoever shows it: a log, a progress bar, lines of JSON."""

from dataclasses import dataclass
from typing import NamedTuple

from attachsync.model import Digest, State


class Outcome(NamedTuple):
    """What became of one attachment in a pass. `fetched` is False where its bytes were in the store already."""

    account: str
    track: str
    key: str
    state: State
    reason: str = ""
    path: str | None = None
    digest: Digest | None = None
    size: int | None = None
    media_type: str | None = None
    changed: bool = False
    fetched: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """One attachment's bytes on their way: `size` in all, where that is known, of which `start` were here already."""

    account: str
    track: str
    key: str
    name: str
    size: int | None
    start: int = 0


@dataclass(frozen=True, slots=True)
class Filed:
    """What became of one dropped file: `event` is `sent` or `failed`; `filed_as` is its path within the outbox now."""

    event: str
    account: str
    outbox: str
    file: str
    filed_as: str
    reason: str = ""
    size: int = 0


class Observer:
    """Hears of everything; does nothing. Subclasses show what they are interested in."""

    def outstanding(self, account: str, track: str, count: int) -> None:
        """A pass begins, and so many attachments of a track are known and not mirrored."""

    def listed(self, account: str, track: str, listed: int, new: int) -> None:
        """A page of a track was taken: so many attachments, so many of them new or changed."""

    def received(self, reading: Reading, count: int) -> None:
        """So many more bytes of an attachment came."""

    def ended(self, reading: Reading) -> None:
        """No more of it comes: it is all here, or broke off."""

    def settled(self, outcome: Outcome) -> None:
        """An attachment was stored, or was not, and why."""

    def queued(self, account: str, outbox: str, count: int) -> None:
        """So many files of an outbox are being sent, or wait for their turn."""

    def filed(self, filed: Filed) -> None:
        """A dropped file was sent, or refused for good."""

    def track_ended(self, account: str, track: str, error: str) -> None:
        """A pass over a track ended; `error` is empty when its listing was whole."""

    def account_down(self, account: str, error: str) -> None:
        """Nothing more can be done for an account now."""

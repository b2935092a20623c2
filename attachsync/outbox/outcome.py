"""What a look at an outbox came to."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from attachsync.outbox.journey import Ending


@dataclass(slots=True)
class Outcome:
    """Counts since it was made; `waiting`, `busy`, `later`, `odd`, `held` and `trouble` are of the latest look only."""

    sent: int = 0
    failed: int = 0
    deleted: int = 0
    held: int = 0
    """Files that wait for a person (`outbox retry`)."""
    held_deletions: int = 0
    """Deletions that wait for a person (`outbox confirm`)."""
    waiting: set[str] = field(default_factory=set)
    """Files that have not settled yet: no failure."""
    busy: set[str] = field(default_factory=set)
    """Files that somebody is writing, or that changed under our hands: no failure."""
    later: set[str] = field(default_factory=set)
    """Files that were tried, or could not be, and are left for the next pass."""
    odd: Mapping[str, str] = field(default_factory=dict)
    """Name -> why it is never touched."""
    trouble: str = ""
    """What keeps the whole outbox from going on: an account that is refused, a disk that is full."""

    @property
    def complete(self) -> bool:
        """Whether all that could be sent was: what `sync` needs for exit 0 (contract 4)."""
        short = self.failed or self.held or self.held_deletions or self.later or self.odd
        return not (short or self.trouble)

    def begin(self) -> None:
        """A new look."""
        self.waiting, self.busy, self.later, self.odd, self.trouble = set(), set(), set(), {}, ""

    def note(self, name: str, ending: Ending) -> None:
        """Count how one file's try ended."""
        self.sent += ending is Ending.SENT
        self.failed += ending is Ending.FAILED
        if ending is Ending.LATER:
            self.later.add(name)
        elif ending is Ending.BUSY:
            self.busy.add(name)

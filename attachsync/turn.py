"""What one pass over some tracks of an account comes to."""

from dataclasses import dataclass, field

from attachsync import retry
from attachsync.errors import AccountError, StorageError
from attachsync.index import Taken


@dataclass(slots=True)
class Turn:
    """One pass over some tracks of an account. `errors`: track -> why its listing was not whole."""

    number: int = 0
    listed: bool = False
    """Whether all listings of this pass have ended."""
    errors: dict[str, str] = field(default_factory=dict)
    began: dict[str, float] = field(default_factory=dict)
    """Track -> when its listing began (Unix time)."""
    seen: dict[str, Taken] = field(default_factory=dict)
    """Track -> what its listing brought so far."""
    account_error: AccountError | None = None
    storage_error: StorageError | None = None

    def rest(self, failures: int) -> float:
        """How long the account is left alone (seconds) after so many in a row that broke off."""
        asked = self.account_error.retry_after if self.account_error else None
        cap = 60.0 if self.storage_error else 600.0  # a person makes room, and waits for it to be seen
        return asked or retry.delay(failures, base=10.0, cap=cap)

"""What can go wrong. The class of an error says how far the reaction reaches: process, account, item or page.

Messages are for people: what happened, to which account, track or file, and what to do. They never hold a secret or
a signed link.
"""

from collections.abc import Sequence
from typing import TypeVar

E = TypeVar("E", bound=BaseException)


class AttachsyncError(Exception):
    """Root of all errors of this package."""


# --- the process ------------------------------------------------------------------------------------------------


class ConfigError(AttachsyncError):
    """The config is wrong; exit 78. `faults` holds one line for each fault."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


class MirrorHeldError(AttachsyncError):
    """Another process holds the mirror or an outbox; exit 75. The message says who."""


class StorageError(AttachsyncError):
    """The mirror's own disk refused (full, read-only, gone): the pass ends, nothing is lost."""


class CursorError(AttachsyncError):
    """A cursor of the change feed that this mirror's index did not give."""


class IndexDamagedError(StorageError):
    """The index is no database, or a damaged one: the next start sets it aside and makes a new one."""


# --- the account ------------------------------------------------------------------------------------------------


class AccountError(AttachsyncError):
    """Nothing more can be done for this account now; the others go on. `retry_after` is in seconds, if known."""

    def __init__(self, message: str, *, retry_after: float | None = None, status: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.status = status


class AuthFailedError(AccountError):
    """The service does not accept the account's credentials (401 after renewing them), or none could be read."""


class RateLimitedError(AccountError):
    """The service asked the whole account to wait (429)."""


# --- one request, attachment or file ----------------------------------------------------------------------------


class UnavailableError(AttachsyncError):
    """Network trouble or a 5xx: try again later. `sent` is false when not a byte can have reached the service.

    `begun`: the answer broke off after it had begun.
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        status: int | None = None,
        sent: bool = True,
        begun: bool = False,
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.status = status
        self.sent = sent
        self.begun = begun


class RejectedError(AttachsyncError):
    """The service refused this one request (4xx). `code` is the service's word for it, if it gave one."""

    def __init__(self, message: str, *, status: int, code: str = "", detail: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.detail = detail


class EndedError(RejectedError):
    """What was listed ended with nothing to mirror, and that is final: told once, nobody's failure."""

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message, status=0, code=code)


class NotReadyError(AttachsyncError):
    """The service does not have this attachment ready yet; no failure. `after` is in seconds, if the service said."""

    def __init__(self, message: str, *, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


class NotModifiedError(AttachsyncError):
    """The content is still what it was when it was read last."""


class GoneError(AttachsyncError):
    """The service has no such attachment, on any path that leads to it."""


class NoRoomError(AttachsyncError):
    """There is no place for this one on the disk, though there may be for others."""


class RefusedError(AttachsyncError):
    """Our own rules keep this out: `code` is `too_large`, `scan`, `address`, …"""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class UnsupportedError(AttachsyncError):
    """It is there, in a form that we cannot read (encrypted for somebody else, say)."""


class MismatchError(AttachsyncError):
    """The bytes are not what the service states; they are in quarantine."""


# --- one page ---------------------------------------------------------------------------------------------------


class MalformedError(AttachsyncError):
    """An answer that is not what the service documents: its page is not taken and the cursor stays."""


class TooLongError(MalformedError):
    """A page that is longer than is read: it may be had in smaller ones."""


LISTING_ERRORS = (GoneError, MalformedError, RefusedError, RejectedError, UnavailableError)
"""Errors that end with the listing of a track."""
ITEM_ERRORS = (
    *LISTING_ERRORS,
    MismatchError,
    NoRoomError,
    NotModifiedError,
    NotReadyError,
    UnsupportedError,
)
"""Errors that end with the attachment they happened to."""


def first_of(errors: BaseExceptionGroup[E]) -> E:
    """The first error of a group, and of the groups in it."""
    error = errors.exceptions[0]
    return first_of(error) if isinstance(error, BaseExceptionGroup) else error

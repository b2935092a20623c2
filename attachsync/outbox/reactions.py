"""How far a failed request reaches: the file, the whole outbox, or nobody knows (specs/sunshine.md 8). Pure."""

import enum

from attachsync.errors import (
    AccountError,
    AttachsyncError,
    GoneError,
    NotReadyError,
    RateLimitedError,
    RefusedError,
    RejectedError,
    UnavailableError,
)

_ACCOUNT_CODES = frozenset({"app_not_found", "payment_required", "unauthorized", "forbidden"})
_CODES = {413: "too_large", 415: "type_not_allowed"}
"""What a refusal means whose body gives no code: it may be a proxy's (specs/sunshine.md 3.1)."""


class Reaction(enum.Enum):
    """What to do about a request that failed."""

    FAIL = "fail"
    """The service refused this file for good: to failed/ with it."""
    UNKNOWN = "unknown"
    """It may or may not have been done: `on_unknown` decides."""
    PAUSE = "pause"
    """The next file would fare no better: the whole outbox waits, all files stay. Nothing was done, unless the answer
    is a redirect that may follow what was (`redirects.may_be_done`)."""


class PausedError(AttachsyncError):
    """The outbox is to wait. `passing`: it will be over by itself; else a person is needed. Spans are in seconds."""

    def __init__(self, message: str, *, passing: bool, retry_after: float | None) -> None:
        super().__init__(message)
        self.passing = passing
        self.retry_after = retry_after


def reaction(error: AttachsyncError) -> Reaction:
    """What an upload or a post that raised `error` calls for."""
    if isinstance(error, RejectedError):
        return Reaction.PAUSE if _about_account(error) else Reaction.FAIL
    if isinstance(error, AccountError | RefusedError | NotReadyError):
        return Reaction.PAUSE
    if isinstance(error, UnavailableError) and not error.sent:
        return Reaction.PAUSE
    return Reaction.FAIL if isinstance(error, GoneError) else Reaction.UNKNOWN


def _about_account(error: RejectedError) -> bool:
    """402, 403: do not burn files. A redirect (wrong base_url, captive portal) or a wrong app is no file's fault."""
    if error.code == "too_large":
        return False
    return error.status in (401, 402, 403) or error.status < 400 or error.code in _ACCOUNT_CODES


def pause(error: AttachsyncError) -> PausedError:
    """The pause that an error calls for."""
    passing = isinstance(error, RateLimitedError | UnavailableError | NotReadyError)
    return PausedError(str(error), passing=passing, retry_after=asked(error))


def asked(error: AttachsyncError) -> float | None:
    """The seconds that a service asked us to wait."""
    if isinstance(error, AccountError | UnavailableError):
        return error.retry_after
    return error.after if isinstance(error, NotReadyError) else None


def code_of(error: AttachsyncError) -> tuple[str, int | None]:
    """(code, HTTP status) for a failure record."""
    if isinstance(error, RejectedError):
        return error.code or _CODES.get(error.status) or f"http_{error.status}", error.status
    return ("gone" if isinstance(error, GoneError) else "refused"), None

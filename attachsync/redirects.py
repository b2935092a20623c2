"""Where redirects lead, and what is said of it. Pure."""

from string import punctuation
from urllib.parse import quote

from yarl import URL

from attachsync.errors import AttachsyncError, MalformedError, RejectedError
from attachsync.origins import origin, sound

STATUSES = (301, 302, 303, 307, 308)
_AFTERWARDS = (301, 302, 303)
_MOST = 5


def next_hop(where: str, method: str, hops: int, *, url: URL, status: int, location: str) -> URL:
    """The address that the answer of `url` names, as the `hops`th in a row. Raises RejectedError, MalformedError."""
    if method != "GET":
        raise RejectedError(f"{where}: redirected (HTTP {status}); not followed", status=status)
    if hops > _MOST:
        raise RejectedError(f"{where}: more than {_MOST} redirects (HTTP {status})", status=status)
    try:
        # What no request line may hold is written as clients do, byte by byte; all else is as it was signed.
        plain = quote(location.encode(errors="surrogateescape"), safe=punctuation)
        return sound(url.join(URL(plain, encoded=True)).with_fragment(None))
    except ValueError:
        raise MalformedError(f"{where}: redirected (HTTP {status}) to what is no URL") from None


def may_be_done(error: AttachsyncError) -> bool:
    """Whether it stands for a redirect that may be the answer to a POST that was carried out (307, 308 never are)."""
    return isinstance(error, RejectedError) and error.status in _AFTERWARDS


def elsewhere(url: URL, target: URL, *, signed: bool) -> str:
    """What is to be said of another origin that answered in the end: its host only, the rest may be a signature."""
    if origin(target) == origin(url):
        return ""
    return f", redirected to {target.host}{'' if signed else ' without credentials'}"

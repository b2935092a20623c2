"""The ways to a mediaUrl: the account's credentials, a media cookie, nobody's (specs/sunshine.md 4).

Which of them private files accept is nowhere stated: the way that worked last at a host is tried first. On hosts that
are not the account's own, and that it does not name in `media_hosts`, there is only the last.
"""

from contextlib import AsyncExitStack

from yarl import URL

from attachsync.errors import AuthFailedError, GoneError, RefusedError, RejectedError
from attachsync.http import Http
from attachsync.model import Body, Held
from attachsync.origins import origin, sound
from attachsync.sources.sunshine.cookies import CookieBox

_SIGNED, _COOKIE, _ANONYMOUS = "signed", "cookie", "anonymous"
_REFUSALS = {_SIGNED: (400, 401, 403), _COOKIE: (401, 403), _ANONYMOUS: (401, 403)}
"""What says that another way is worth trying. Storage that takes no such credentials calls them a bad request."""


class Media:
    """Reads the files of one app's messages."""

    def __init__(self, http: Http, app_id: str) -> None:
        self._http = http
        self._app_id = app_id
        self._cookies = CookieBox(http, app_id)
        self._worked: dict[tuple[str, str, int | None], str] = {}

    async def opened(self, stack: AsyncExitStack, link: str, held: Held | None = None) -> Body:
        """An open file. GoneError: 404 or 410; RejectedError: with 401 or 403, credentials are what is missing."""
        url = _parsed(link)
        refused: AuthFailedError | RejectedError | None = None
        for way in self._ways(url):
            try:
                body = await self._open(stack, url, way, held)
            except AuthFailedError as error:
                if error.status is None:
                    raise  # there are no credentials to be had, for this file or any other
                refused = refused or error
            except RejectedError as error:
                if error.status in (404, 410):
                    raise GoneError(str(error)) from None
                if error.status not in _REFUSALS[way]:
                    raise
                refused = refused or error
            else:
                if body is not None:
                    self._worked[origin(url)] = way
                    return body
        assert refused is not None
        raise RejectedError(f"{refused}; {self._advice(url)}", status=refused.status or 401, code="credentials")

    def _ways(self, url: URL) -> list[str]:
        """The ways to try, in turn."""
        if not self._http.boundary.may_carry_credentials(url):
            return [_ANONYMOUS]
        legacy = f"/apps/{self._app_id}/" in url.raw_path
        ways = [_SIGNED, *([_COOKIE] if legacy else []), _ANONYMOUS]
        return sorted(ways, key=lambda way: way != self._worked.get(origin(url)))

    async def _open(self, stack: AsyncExitStack, url: URL, way: str, held: Held | None) -> Body | None:
        """None if this way cannot be gone at all."""
        if way != _COOKIE:
            return await stack.enter_async_context(self._http.stream(url, signed=way == _SIGNED, held=held))
        cookie = await self._cookies.header(url)
        if cookie is None:
            return None
        try:
            return await stack.enter_async_context(self._http.stream(url, signature={"Cookie": cookie}, held=held))
        except RejectedError as error:
            if error.status in (401, 403):
                self._cookies.forget()
            raise

    def _advice(self, url: URL) -> str:
        if self._http.boundary.may_carry_credentials(url):
            return "the account's credentials are not accepted for this file: check its key, and what it may read"
        return f"it needs credentials, and got none: if {url.host} is the service's, add it to media_hosts"


def _parsed(link: str) -> URL:
    """The address, byte for byte where it is sound."""
    try:
        return sound(URL(link, encoded=link.isascii() and link.isprintable() and " " not in link).with_fragment(None))
    except ValueError:
        raise RefusedError("its mediaUrl is no address", code="address") from None

"""The way to one account's service: the only user of aiohttp's client.

Signs in, keeps to the account's rate, waits when told to, repeats what is safe to repeat, follows redirects no further
than `origins` allows, bounds what it reads, and turns whatever happens into the errors of `errors`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

from multidict import CIMultiDict
from yarl import URL

from attachsync import __version__, discretion, ranges
from attachsync.answers import Reply, fault, skew, wait_asked
from attachsync.client import aiohttp
from attachsync.clock import Clock
from attachsync.deadlines import Deadlines
from attachsync.errors import (
    AccountError,
    MalformedError,
    NotReadyError,
    RateLimitedError,
    RefusedError,
    RejectedError,
    UnavailableError,
)
from attachsync.line import Direct, Refusal
from attachsync.model import Account, Body, Held
from attachsync.origins import Boundary, origin
from attachsync.pace import Limited, Pace
from attachsync.patience import Patience
from attachsync.reading import Answers, is_encoded, reason
from attachsync.redirects import STATUSES, elsewhere, next_hop
from attachsync.repeating import again_soon, repeated
from attachsync.resolving import GuardedResolver
from attachsync.trust import Trust

_BLOCK = 1024 * 1024
_PATIENCE = Patience()

Query = Sequence[tuple[str, str]]
Content = Callable[[], Mapping[str, Any]]
"""What a POST carries, as aiohttp's keyword arguments; made anew for each try."""

_NOTHING: Mapping[str, str] = {}
_ALWAYS = {"User-Agent": f"attachsync/{__version__}", "Accept-Encoding": "identity"}


def _wants_json() -> Mapping[str, Any]:
    return {"headers": {"Accept": "application/json"}}


class Credentials(Protocol):
    """How an account signs its requests."""

    async def headers(self, http: "Http") -> Mapping[str, str]:
        """Headers for a request to the account's own origin. Raises AuthFailedError."""

    async def renew(self, used: Mapping[str, str]) -> bool:
        """After a 401 to a request with the headers `used`: whether another try, with new ones, makes sense."""


class Http:
    """One account's client. Made and closed inside a running event loop."""

    def __init__(
        self,
        account: Account,
        credentials: Credentials,
        clock: Clock,
        *,
        patience: Patience = _PATIENCE,
        limited: Limited | None = None,
    ) -> None:
        self.account = account
        self.boundary = Boundary(account.base_url, account.media_hosts, account.proxy)
        self.clock = clock
        self._credentials = credentials
        self._patience = patience
        self._limits = Deadlines(patience.glance)
        self._answers = Answers(patience, self._limits)
        self._pace = Pace(account.name, account.rate, clock, limited or Limited())
        self.skew: float | None = None
        """By how much our clock was ahead of the service's (seconds) when it answered last; None: it did not say."""
        self._date: str | None = None
        self._trust = Trust(account.ca_file)
        self._unhurried = aiohttp.ClientTimeout(total=None, sock_connect=patience.connect)
        """For what is watched here: timers of its own cost as much as sending a request does."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, resolver=GuardedResolver(self.boundary), keepalive_timeout=4),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=patience.connect, sock_read=patience.quiet),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=_ALWAYS,
            read_bufsize=_BLOCK,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    def url(self, path: str, query: Query = ()) -> URL:
        """`path` (already percent-encoded) below the account's base URL."""
        url = URL(self.account.base_url.rstrip("/") + path, encoded=True)
        return url.with_query(list(query)) if query else url

    async def get(self, url: URL, *, signed: bool = True, signature: Mapping[str, str] | None = None) -> Reply:
        """GET a small answer; repeated while the trouble looks passing. `signed`: with credentials, if they may go.

        `signature`: headers that sign it instead of the account's credentials; they go to the origin of `url` only.
        """

        async def once() -> Reply:
            response = await self._send("GET", url, _wants_json, signed=signed, own=signature)
            return await self._answers.whole(response, self._where("GET", url))

        return await repeated(once, self._patience.pause)

    async def post(
        self, url: URL, content: Content = dict, *, signed: bool = True, repeat: bool = False, link: bool = False
    ) -> Reply:
        """POST once (twice after a 401, which did nothing), or as GET, if to `repeat` it does no harm. No redirects."""

        async def once() -> Reply:
            response = await self._send("POST", url, content, signed=signed, patient=repeat, link=link)
            return await self._answers.whole(response, self._where("POST", url))

        return await (repeated(once, self._patience.pause) if repeat else once())

    @asynccontextmanager
    async def stream(
        self,
        url: URL,
        *,
        signed: bool = True,
        signature: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        held: Held | None = None,
    ) -> AsyncIterator[Body]:
        """GET what a link leads to. Trouble before the first byte is repeated here; later trouble is the caller's.

        `headers` go with it wherever it leads. Raises NotModifiedError where `If-None-Match` among them was met. The
        body is the rest of what is `held` if its `start` says so.
        """
        body = await self.open(url, signed=signed, signature=signature, headers=headers, held=held, link=True)
        try:
            yield body
        finally:
            body.close()

    async def open(
        self,
        url: URL,
        *,
        signed: bool = True,
        signature: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        held: Held | None = None,
        link: bool = False,
    ) -> Body:
        """The same, to be closed by the caller; `link`: of what came as one, the query is a secret."""

        async def once(more: Mapping[str, str] = _NOTHING) -> aiohttp.ClientResponse:
            content = {"headers": {**(headers or {}), **more}}
            return await self._send("GET", url, lambda: content, signed=signed, own=signature, link=link)

        response = await self._continued(once, held) if held else None
        start = held.size if held and response and response.status == 206 else 0
        if response is None:
            response = await repeated(once, self._patience.pause)
        where = self._where("GET", url)
        if not start and response.status != 200:
            response.close()
            raise MalformedError(f"{where}: HTTP {response.status}, but no attachment")
        try:
            await self._answers.arrived(response)
        except BaseException:
            response.close()
            raise
        return self._answers.body(response, where, start)

    async def _continued(
        self, once: Callable[[Mapping[str, str]], Awaitable[aiohttp.ClientResponse]], held: Held
    ) -> aiohttp.ClientResponse | None:
        """An answer with exactly the rest of what is held (206), or with all (200); None if it is to be asked anew."""
        try:
            response = await repeated(lambda: once(ranges.asked(held)), self._patience.pause)
        except RejectedError as error:
            if error.status != 416:
                raise
            return None
        if response.status == 200 or ranges.continues(response.status, response.headers, held):
            return response
        response.close()
        return None

    @asynccontextmanager
    async def post_stream(self, url: URL, content: Content, *, repeat: bool = False) -> AsyncIterator[Body]:
        """POST for an attachment's bytes. Raises NotReadyError on a 202; redirects are refused.

        `repeat`: trouble before the first byte is repeated here, as that harms nothing; but not a 503, which may say
        that what is asked for is not ready yet (specs/trinsic.md 1.1).
        """

        async def once() -> aiohttp.ClientResponse:
            return await self._send("POST", url, content)

        where = self._where("POST", url)
        response = await (repeated(once, self._patience.pause, again_soon) if repeat else once())
        try:
            if response.status == 202:
                asked = wait_asked(response.headers, self.clock.now())
                raise NotReadyError(f"{where}: not ready yet (HTTP 202)", after=asked)
            yield self._answers.body(response, where)
        finally:
            response.close()

    # --- for many small answers in a row ------------------------------------------------------------------------

    @asynccontextmanager
    async def direct(self, stop: Callable[[], object]) -> AsyncIterator[Direct | None]:
        """How to reach the account's own origin without us, signed; None where that takes more than a connection.

        `stop` is called when meanwhile the service refuses, or asks everybody to wait.
        """
        if self.account.proxy or not self._pace.free():
            yield None
            return
        headers = {**_ALWAYS, "Accept": "*/*", **await self._signature()}
        with self._pace.watched(stop):
            to = Direct.to(self.boundary.base, self.account.ca_file, headers)
            yield to if self._pace.free() else None  # signing in may have taken a while

    def answered(self) -> None:
        """What was asked for directly was answered."""
        self._pace.answered()

    def refused(self, refusal: Refusal) -> None:
        """It was refused: a 429 pauses everybody. Raises RateLimitedError when patience is at its end."""
        error = fault(refusal[0], CIMultiDict(refusal[1]), b"", f"{self.account.name}: GET", self.clock.now())
        if not isinstance(error, RateLimitedError):
            return self._pace.break_off()
        return self._pace.limited(error, self.clock.monotonic())

    # --- one request --------------------------------------------------------------------------------------------

    async def _send(
        self,
        method: str,
        url: URL,
        content: Content = dict,
        *,
        signed: bool = True,
        patient: bool = True,
        own: Mapping[str, str] | None = None,
        link: bool = False,
    ) -> aiohttp.ClientResponse:
        """One request with its redirects and, once, credentials renewed: an open answer of a 2xx status.

        `patient`: a 429 is waited out here; else it is the caller's. `own`: what signs it instead of the credentials.
        `link`: `url` is not of our own making, and may be signed, as a redirect may.
        """
        target, renewed, hops = url, False, 0
        while True:
            began = self._pace.free() or await self._pace.turn()
            trusted = signed and self.boundary.may_carry_credentials(target)
            carried = trusted and own is None
            signature = await self._signature() if carried else _NOTHING
            if own is not None and trusted and origin(target) == origin(url):
                signature = own
            response = await self._once(method, target, content, signature)
            self._note_date(response.headers.get("Date"))
            if 200 <= response.status < 300:
                self._pace.answered()
                return response
            async with response:
                if response.status == 401 and carried and not renewed and await self._credentials.renew(signature):
                    renewed = True
                elif response.status in STATUSES and (to := response.headers.get("Location")) is not None:
                    hops, where = hops + 1, self._where(method, url)
                    target = next_hop(where, method, hops, url=response.url, status=response.status, location=to)
                else:
                    where = self._where(method, url) + elsewhere(url, target, signed=carried)
                    error = await self._fault(response, where, carried, link or hops > 0)
                    if not isinstance(error, RateLimitedError):
                        raise error
                    self._pace.limited(error, began)
                    if not patient:
                        raise error

    def _note_date(self, date: str | None) -> None:
        """Compare the clocks; a date that was seen already says nothing new."""
        if date is None or date != self._date:
            self._date, self.skew = date, skew(date, self.clock.now())

    async def _signature(self) -> Mapping[str, str]:
        """Headers that sign a request. Trouble with having them is the account's, and has been repeated already."""
        try:
            return await self._credentials.headers(self)
        except UnavailableError as error:
            raise AccountError(f"{error}: cannot sign in", retry_after=error.retry_after) from None

    async def _once(
        self, method: str, target: URL, content: Content, signature: Mapping[str, str]
    ) -> aiohttp.ClientResponse:
        extra = {"headers": _NOTHING, **content()}
        if signature:
            extra["headers"] = {**extra["headers"], **signature}
        patience, carried, span = self._patience, extra.get("data"), self._patience.whole
        if target.scheme == "https" or self.account.proxy:
            extra["ssl"] = self._trust.context
        if isinstance(carried, aiohttp.payload.Payload):  # an upload; it watches itself that it moves
            span, quiet = span + (carried.size or 0) / patience.floor, patience.answer(carried.size or 0)
            extra["timeout"] = aiohttp.ClientTimeout(total=None, sock_connect=patience.connect, sock_read=quiet)
        elif method == "GET":
            span, extra["timeout"] = min(span, patience.connect + patience.quiet), self._unhurried
        try:
            self.boundary.check(target)
            with self._limits.within(span):
                return await self._session.request(
                    method, target, allow_redirects=False, proxy=self.account.proxy, **extra
                )
        except RefusedError as error:
            raise RefusedError(f"{self._where(method, target)}: {error}", code=error.code) from None
        except aiohttp.ClientConnectorCertificateError as error:
            said, home = f"{self._where(method, target)}: {reason(error)}", self.boundary.is_home(target)
            raise (AccountError(said) if home else RefusedError(said, code="certificate")) from None
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            said = f"{self._where(method, target)}: cannot connect ({reason(error)})"
            raise UnavailableError(said, sent=False) from None
        except (aiohttp.InvalidURL, ValueError):
            raise RefusedError(f"{self._where(method, target)}: not a URL that can be asked", code="address") from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            said = f"{self._where(method, target)}: {reason(error)}"
            raise (MalformedError(said) if is_encoded(error) else UnavailableError(said)) from error

    async def _fault(self, response: aiohttp.ClientResponse, where: str, carried: bool, link: bool) -> Exception:
        said, asked = await self._answers.beginning(response, where), response.request_info
        secrets = list(discretion.carried(asked.headers))
        if link or not self.boundary.is_home(asked.url):
            secrets += discretion.signatures(asked.url)
        error = fault(response.status, response.headers, said, where, self.clock.now(), secrets)
        return RejectedError(str(error), status=401) if response.status == 401 and not carried else error

    def _where(self, method: str, url: URL) -> str:
        """Account, method and path: never the query, which may be a signature."""
        place = url.raw_path if self.boundary.is_home(url) else f"{url.host or url.scheme + ':'}/…"
        return f"{self.account.name}: {method} {place}"

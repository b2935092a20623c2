"""Requests that do something once, and may still be doing it when nobody waits for their answer any more."""

import contextlib
from collections.abc import Iterator

from attachsync.clock import Clock
from attachsync.errors import AccountError, RejectedError, UnavailableError
from attachsync.redirects import may_be_done


class UnderWay:
    """Those of one sender, by ticket. What they do shows `span` seconds after they ended, at the latest."""

    def __init__(self, clock: Clock, span: float) -> None:
        self._clock = clock
        self._span = span
        self._began = clock.monotonic()
        self._ended: dict[str, float | None] = {}
        """Ticket -> when its latest request broke off (monotonic); None: it did nothing for certain."""

    @contextlib.contextmanager
    def asking(self, ticket: str) -> Iterator[None]:
        """Around such a request: a refusal does nothing, and neither does what is never sent."""
        self._ended[ticket] = None
        try:
            yield
        except BaseException as error:
            if not _did_nothing(error):
                self._ended[ticket] = self._clock.monotonic()
            raise
        del self._ended[ticket]

    async def may_have_come(self, ticket: str) -> bool:
        """Whether an earlier request of a ticket may have had its effect; if so, that shows when this returns.

        One of which nothing is known was answered, or ended with an earlier process.
        """
        ended = self._ended.get(ticket, self._began)
        if ended is not None:
            await self._clock.sleep(max(ended + self._span - self._clock.monotonic(), 0.0))
        self._ended.pop(ticket, None)
        return ended is not None


def _did_nothing(error: BaseException) -> bool:
    if isinstance(error, UnavailableError):
        return not error.sent
    return isinstance(error, AccountError | RejectedError) and not may_be_done(error)

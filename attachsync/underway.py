"""Requests that do something once, and may still be doing it when nobody waits for their answer any more."""

import contextlib
from collections.abc import Iterator

from attachsync.clock import Clock
from attachsync.errors import AccountError, RejectedError, UnavailableError


class UnderWay:
    """Those of one sender, by ticket. What they do shows `span` seconds after they ended, at the latest."""

    def __init__(self, clock: Clock, span: float) -> None:
        self._clock = clock
        self._span = span
        self._began = clock.monotonic()
        self._ended: dict[str, float | None] = {}
        """Ticket -> when its latest request ended (monotonic); None: it did nothing for certain."""

    @contextlib.contextmanager
    def asking(self, ticket: str) -> Iterator[None]:
        """Around such a request: a refusal does nothing, and neither does what is never sent."""
        did_nothing = False
        try:
            yield
        except (AccountError, RejectedError):
            did_nothing = True
            raise
        except UnavailableError as error:
            did_nothing = not error.sent
            raise
        finally:
            self._ended[ticket] = None if did_nothing else self._clock.monotonic()

    async def may_have_come(self, ticket: str) -> bool:
        """Whether an earlier request of a ticket may have had its effect; if so, that shows when this returns.

        One of an earlier process, of which nothing is known, ended before this one began.
        """
        ended = self._ended.pop(ticket, self._began)
        if ended is None:
            return False
        await self._clock.sleep(max(ended + self._span - self._clock.monotonic(), 0.0))
        return True

"""Requests that do something once, and may still be doing it when nobody waits for their answer any more."""

from attachsync.clock import Clock
from attachsync.errors import AttachsyncError, UnavailableError


class UnderWay:
    """Those of one sender, by ticket. What they do shows after `span` seconds at most."""

    def __init__(self, clock: Clock, span: float) -> None:
        self._clock = clock
        self._span = span
        self._did_nothing: set[str] = set()

    def failed(self, ticket: str, error: AttachsyncError) -> None:
        """The latest request of a ticket failed so: a refusal did nothing, and neither did what was never sent."""
        if not isinstance(error, UnavailableError) or not error.sent:
            self._did_nothing.add(ticket)

    async def may_have_come(self, ticket: str, since: float | None) -> bool:
        """Whether an earlier request, begun at `since` (Unix time; None: there was none), may have had its effect.

        If so, that is to be seen when this returns.
        """
        did_nothing = ticket in self._did_nothing
        self._did_nothing.discard(ticket)
        if since is None or did_nothing:
            return False
        await self._clock.sleep(min(max(since + self._span - self._clock.now(), 0.0), self._span))
        return True

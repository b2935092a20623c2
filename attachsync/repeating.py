"""Trying again at once what looks like passing trouble of one request."""

import functools
from collections.abc import AsyncIterable, Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from attachsync.errors import UnavailableError
from attachsync.pace import LONGEST_WAIT

if TYPE_CHECKING:
    import stamina

T = TypeVar("T")

_ATTEMPTS = 5
Again = Callable[[Exception], bool | float]
"""Whether what failed so may be repeated at once: False, True (back off), or the seconds that the service asked for."""


def again(error: Exception) -> bool | float:
    """Network trouble and 5xx, but for what ran out of time: that would only take as long again."""
    if not isinstance(error, UnavailableError) or isinstance(error.__cause__, TimeoutError):
        return False
    if error.retry_after is None:
        return True
    return max(error.retry_after, 0.01) if error.retry_after <= LONGEST_WAIT else False


def again_soon(error: Exception) -> bool | float:
    """The same, without a 503: it may say that what is asked for is not ready yet (specs/trinsic.md 1.1)."""
    return not (isinstance(error, UnavailableError) and error.status == 503) and again(error)


async def repeated(once: Callable[[], Awaitable[T]], pause: float, on: Again = again) -> T:
    """What `once` returns, or the error of its last try. `pause`: before the second try, in seconds."""
    try:
        return await once()  # mostly that is all: the machinery of repeating costs as much as a request
    except Exception as error:
        if not on(error):
            raise
        first: Exception | None = error
    async for attempt in attempts(on, _ATTEMPTS, wait_initial=pause, wait_max=50 * pause, wait_jitter=1.5 * pause):
        with attempt:
            if first is not None:  # the first of the attempts was made above
                failed, first = first, None
                raise failed
            return await once()
    raise AssertionError("the last attempt returns or raises")


def attempts(on: Again | type[Exception], number: int, **spans: float) -> "AsyncIterable[stamina.Attempt]":
    """So many at most, with pauses between them: their `spans` (seconds) are stamina's."""
    found: AsyncIterable[stamina.Attempt] = _stamina().retry_context(on=on, attempts=number, timeout=None, **spans)
    return found


@functools.cache
def _stamina() -> Any:
    """It is loaded when something is first tried again: most processes never do."""
    import stamina

    stamina.instrumentation.set_on_retry_hooks([])  # its own lines would repeat whole errors, once for each worker
    return stamina

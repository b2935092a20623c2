"""When to ask again for what is not ready yet (specs/trinsic.md 2). Pure, but for the jitter."""

import random

_WAITS = (2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
LONGEST = 300.0
_LATE = 3600.0
DAY = 86400.0


def wait(asked: int, age: float = 0.0, *, spread: float | None = None) -> float:
    """Seconds until it is worth asking again, when it was not ready `asked` times already.

    After the first waits every five minutes, with jitter; of what has been pending for more than a day, once an hour.
    `spread` (0 to 1) takes the place of the random number.
    """
    if age > DAY:
        return _LATE
    if asked < len(_WAITS):
        return _WAITS[asked]
    return LONGEST * (0.9 + 0.2 * (random.random() if spread is None else spread))

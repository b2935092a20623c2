"""structlog, loaded without rich: where that is there, structlog loads all of it, for tracebacks in colour.

Those are not drawn here, and would take every command longer than the rest of structlog. All of attachsync imports it
from here.
"""

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def _without(name: str) -> Iterator[None]:
    """Inside, that module is not found, unless it is loaded already."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]  # the language's own word for "there is none"
    try:
        yield
    finally:
        del sys.modules[name]


with _without("rich"):
    import structlog
    from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

__all__ = ["EventDict", "FilteringBoundLogger", "Processor", "WrappedLogger", "structlog"]

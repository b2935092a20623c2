"""What no document foresees in an answer ends with the attachment or page that it came with (architecture 1.6)."""

import contextlib
from collections.abc import Iterator

from attachsync.errors import MalformedError


@contextlib.contextmanager
def malformed() -> Iterator[None]:
    """Raises MalformedError for a number, a text or a depth beyond what can be reckoned with, kept or sent."""
    try:
        yield
    except (OverflowError, UnicodeError, RecursionError) as error:
        raise MalformedError(f"the answer has something in it that cannot be kept ({type(error).__name__})") from error

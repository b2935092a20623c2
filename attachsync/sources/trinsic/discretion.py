"""What may be said of trouble with a request that carried a secret: services echo what they were sent. Pure."""

import json
from collections.abc import Collection
from typing import TypeVar

from attachsync.errors import AttachsyncError

E = TypeVar("E", bound=AttachsyncError)

_TOLD = "(a key)"
_SHORTEST = 4
"""So many characters of a secret at the end of a text that was cut short are taken for the secret."""


def without(text: str, secrets: Collection[str]) -> str:
    """`text` with every secret taken out, as it is and as JSON writes it, also one that the text's end cuts off."""
    for secret in filter(None, secrets):
        for form in {secret, json.dumps(secret)[1:-1]}:
            text = text.replace(form, _TOLD)
            for length in range(min(len(form) - 1, len(text)), _SHORTEST - 1, -1):
                if text.endswith(form[:length]):
                    text = text[:-length] + _TOLD
                    break
    return text


def discreet(error: E, secrets: Collection[str]) -> E:
    """The same error, saying nothing of the secrets."""
    error.args = tuple(without(part, secrets) if isinstance(part, str) else part for part in error.args)
    for name in ("code", "detail"):
        said = getattr(error, name, None)
        if isinstance(said, str):
            setattr(error, name, without(said, secrets))
    return error

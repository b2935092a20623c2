"""What may be said of trouble with a request that carried a secret: services echo what they were sent. Pure.

A link that is signed is a secret: whoever has its query has the file.
"""

import base64
import binascii
import json
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar
from urllib.parse import unquote_plus

from yarl import URL

from attachsync.errors import AttachsyncError

E = TypeVar("E", bound=AttachsyncError)

LONGEST = 200
"""Words of whoever are told so far (characters): they may end with the beginning of a secret then."""
_TOLD = "(a key)"
_SHORTEST = 4
"""So many characters of a secret at the end of a text that was cut short are taken for the secret."""
_SIGNATURE = 8
"""A value in a query that is shorter signs nothing."""
_QUERY = re.compile(r"\?[^\s\"'<>]+")


def carried(headers: Mapping[str, str]) -> Iterator[str]:
    """The secrets in the headers of a request: keys, tokens, what Basic stands for, and cookies."""
    for value in headers.get("Authorization", "").split(None, 1):
        if value.lower() not in ("basic", "bearer"):
            yield value
            try:
                yield base64.b64decode(value, validate=True).decode().partition(":")[2]
            except (binascii.Error, UnicodeDecodeError):
                continue
    for pair in headers.get("Cookie", "").split(";"):
        yield pair.partition("=")[2].strip()


def signatures(url: URL) -> Iterator[str]:
    """What may sign a link: its query, and the values in it, as they are written and as they are meant."""
    yield url.raw_query_string
    for pair in url.raw_query_string.split("&"):
        value = pair.partition("=")[2]
        yield from (one for one in (value, unquote_plus(value)) if len(one) >= _SIGNATURE)


def bare(words: str) -> str:
    """Words of whoever, without the query of any address in them."""
    return _QUERY.sub("?…", words)


def without(text: str, secrets: Collection[str], *, is_cut: bool = True) -> str:
    """`text` with every secret taken out, as it is and as JSON writes it; `is_cut`: also one that its end cuts off."""
    for secret in filter(None, secrets):
        for form in {secret, json.dumps(secret)[1:-1]}:
            text = text.replace(form, _TOLD)
            for length in range(min(len(form) - 1, len(text)), _SHORTEST - 1, -1) if is_cut else ():
                if text.endswith(form[:length]):
                    text = text[:-length] + _TOLD
                    break
    return text


def discreet(error: E, secrets: Collection[str]) -> E:
    """The same error, saying nothing of the secrets."""
    error.args = tuple(_told(part, secrets) if isinstance(part, str) else part for part in error.args)
    for name in ("code", "detail"):
        said = getattr(error, name, None)
        if isinstance(said, str):
            setattr(error, name, _told(said, secrets))
    return error


def _told(text: str, secrets: Collection[str]) -> str:
    """The same text: where there is as much of it as is told of others' words, they were cut off."""
    return without(text, secrets, is_cut=len(text) >= LONGEST)


@contextmanager
def keeping(secret: str) -> Iterator[None]:
    """Whatever goes wrong inside, nothing that is said of it holds the secret."""
    try:
        yield
    except AttachsyncError as error:
        discreet(error, [secret])
        raise

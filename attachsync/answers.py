"""What a service's answer means: (status, headers, body) -> what it said, or the error of the right reach. Pure."""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from attachsync import retry
from attachsync.discretion import LONGEST, bare, without
from attachsync.errors import (
    AttachsyncError,
    AuthFailedError,
    MalformedError,
    NotModifiedError,
    RateLimitedError,
    RejectedError,
    UnavailableError,
)
from attachsync.model import JSON
from attachsync.units import http_moment


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer of a 2xx status. `where` names account, method and path, for messages."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    where: str

    def json(self) -> JSON:
        """The body as JSON, text that is no Unicode made so; raises MalformedError."""
        try:
            text, is_sound = self._text()
            parsed: JSON = _DECODER.decode(text)
            if not is_sound or "\\u" in text:
                parsed = _storable(parsed)
        except (ValueError, RecursionError) as error:
            raise MalformedError(f"{self.where}: HTTP {self.status}, but no JSON ({type(error).__name__})") from None
        return parsed

    def _text(self) -> tuple[str, bool]:
        """The body's text, and whether it has no lone surrogates but those that are escaped."""
        encoding = json.detect_encoding(self.body)
        try:
            return self.body.decode(encoding), True
        except UnicodeDecodeError:
            return self.body.decode(encoding, "surrogatepass"), False

    def object(self) -> Mapping[str, JSON]:
        """The body as a JSON object; raises MalformedError."""
        parsed = self.json()
        if not isinstance(parsed, Mapping):
            raise MalformedError(f"{self.where}: HTTP {self.status}, but no JSON object")
        return parsed


def storable(text: str) -> str:
    """Text without lone surrogates, which could be neither stored nor shown, and without NUL, where SQLite stops."""
    return text.encode(errors="replace").decode().replace("\0", "\ufffd")


def _storable(value: JSON) -> JSON:
    """The same of all text in a value."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, list):
        return [_storable(one) for one in value]
    if isinstance(value, Mapping):
        return {storable(name): _storable(one) for name, one in value.items()}
    return value


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise ValueError("a number without bounds")
    return number


_DECODER = json.JSONDecoder(parse_constant=_no_number, parse_float=_finite)


def explain(body: bytes, secrets: Collection[str] = ()) -> tuple[str, str]:
    """(code, message) of an error body, in any of the services' shapes; empty where it says nothing we can read.

    The `secrets` are taken out, and what is left is cut to a reasonable length.

    `{"code", "message"}` (specs/datatrails.md 3), `{"errors": [{"code", "title"}]}` and `{"error": {"code",
    "description"}}` (specs/sunshine.md 3.4), `{"error", "error_description"}` (OAuth), `{"title", "detail", "errors":
    {property: [text]}}`, `[{"errorMessage"}]` and a bare text (specs/trinsic.md 1.1, 1.7).
    """
    code, message = (without(words, secrets, is_cut=False) for words in _explained(body))
    return code[:LONGEST], message[:LONGEST]


def _explained(body: bytes) -> tuple[str, str]:
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return "", ""
    if isinstance(parsed, list) and parsed:
        parsed = parsed[0]
    if not isinstance(parsed, dict):
        return "", _text(parsed) if isinstance(parsed, str) else ""
    errors = parsed.get("errors")
    if isinstance(errors, dict):
        parsed = {**parsed, "message": next(_leaves(errors), "")}
    if isinstance(errors, list) and errors:
        said = [_said(one, {}) for one in errors]
        return said[0][0], "; ".join(dict.fromkeys(message for _, message in said if message))
    return _said(parsed.get("error", parsed), parsed)


def _said(found: object, around: Mapping[str, object]) -> tuple[str, str]:
    """(code, message) of one error, and of what is around it where it is only a word."""
    if isinstance(found, str):
        return _text(found), _text(around.get("error_description", ""))
    if not isinstance(found, dict):
        return "", ""
    message = (
        found.get("message")
        or found.get("errorMessage")
        or found.get("detail")
        or found.get("title")
        or found.get("description")
        or ""
    )
    return _text(found.get("code", "")), _text(message)


def _leaves(errors: Mapping[str, object]) -> Iterator[object]:
    for texts in errors.values():
        yield from texts if isinstance(texts, list) else [texts]


def skew(date: str | None, now: float) -> float | None:
    """By how many seconds `now` (Unix time) is ahead of a `Date` header; None where there is no sound one."""
    try:
        return now - http_moment(date) if date else None
    except ValueError:
        return None


def wait_asked(headers: Mapping[str, str], now: float) -> float | None:
    """How many seconds an answer asks to be left alone; None if it does not. `now` is Unix time.

    A date that it names is by the clock of its own `Date`, which may be another one than ours.
    """
    now -= skew(headers.get("Date"), now) or 0.0
    asked = retry.wait_asked(headers.get("Archivist-Rate-Limit-Reset"), now)
    return asked or retry.wait_asked(headers.get("Retry-After"), now)


def _text(value: object) -> str:
    text = bare(str(value)) if isinstance(value, str | int) else ""
    return "".join(char if char.isprintable() else " " for char in text)


def is_about_more(status: int) -> bool:
    """Whether an answer is about more than what was asked for: the account, or the service."""
    return status in (401, 429) or _is_passing(status)


def _is_passing(status: int) -> bool:
    return status in (408, 425) or status >= 500


def fault(
    status: int, headers: Mapping[str, str], body: bytes, where: str, now: float, secrets: Collection[str] = ()
) -> AttachsyncError:
    """The error that an answer of a status other than 2xx stands for. `now` is Unix time, for dates in headers.

    `secrets`: what the request carried, and nobody is told.
    """
    code, detail = explain(body, secrets)
    said = f": {detail or code}" if detail or code else ""
    message = f"{where}: HTTP {status}{said}"
    asked = wait_asked(headers, now)
    if status == 304:
        return NotModifiedError(message)
    if status == 429:
        return RateLimitedError(message, retry_after=asked, status=status)
    if status == 401:
        return AuthFailedError(message, status=status)
    if _is_passing(status):
        return UnavailableError(message, retry_after=asked, status=status)
    if 400 <= status < 500:
        return RejectedError(message, status=status, code=code, detail=detail)
    return MalformedError(f"{message}: not an answer that makes sense here")

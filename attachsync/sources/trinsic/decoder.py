"""base64 inside JSON, decoded as it streams: `{"content": base64, "contentType": mime}` (specs/trinsic.md 1.5). Pure.

Memory is bounded by the pieces that come in, whatever the size of the content and of all other fields. Base64 is read
in all the forms that leave no doubt: a key that was good for one exchange is used up by then.
"""

import binascii
import re
from collections.abc import Generator

from attachsync.errors import MalformedError

_SPACE = re.compile(rb"[ \t\r\n]*")
_STOP = re.compile(rb'["\\\x00-\x1f]')
_BRACKET = re.compile(rb'["\[\]{}]')
_SCALAR = re.compile(rb"[-+.0-9A-Za-z]*")
_UNICODE = re.compile(rb"\\u([0-9A-Fa-f]{4})")
_NUMBER = re.compile(rb"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_WORDS = (b"null", b"true", b"false")
_ESCAPES = dict(zip(b'"\\/bfnrt', b'"\\/\b\f\n\r\t', strict=True))
_CLOSERS = {ord("{"): ord("}"), ord("["): ord("]")}
_BOM = b"\xef\xbb\xbf"
_BREAK = re.compile(rb"\\[nrt]")
_BLANK = b" \t\r\n"
_STANDARD = bytes.maketrans(b"-_", b"+/")
_DEEPEST = 512
_LONGEST_TEXT = 1024
"""Of keys and texts other than the content no more than this is kept."""

_Steps = Generator[None, None, None]


class ContentDecoder:
    """Feed it the pieces of an answer; it gives the content's bytes. Raises MalformedError.

    `media_type` is known as soon as it was read, `encrypted` says that the content is there in a form that only the
    holder of an HPKE key can open. `is_odd`: base64 is not in its usual form, and might be a text in words.
    """

    def __init__(self) -> None:
        self.media_type: str | None = None
        self.encrypted = False
        self.has_content = False
        self.is_odd = False
        self.ended = False
        self._buffer = b""
        self._at = 0
        self._base64 = b""
        self._padded = False
        self._out = bytearray()
        self._parser = self._document()
        next(self._parser)

    def feed(self, piece: bytes) -> bytes:
        """Take the next piece; what of the content can be said now."""
        self._buffer = self._buffer[self._at :] + piece
        self._at = 0
        next(self._parser)
        decoded = bytes(self._out)
        self._out.clear()
        return decoded

    def close(self) -> None:
        """All pieces have come: raises unless they are a whole JSON object with content, plain or encrypted."""
        if not self.ended:
            raise MalformedError("the JSON ends early")
        if not self.has_content and not self.encrypted:
            raise MalformedError("there is no content in the answer")

    # --- JSON: each step yields when it needs more input ----------------------------------------------------------

    def _document(self) -> _Steps:
        yield from self._have(1)
        if self._buffer.startswith(_BOM[:1]):
            yield from self._have(len(_BOM))
            self._at += len(_BOM) if self._buffer.startswith(_BOM) else 0
        yield from self._expect(b"{")
        separator = yield from self._next()
        if separator == ord("}"):
            self._at += 1
        while separator != ord("}"):
            yield from self._member()
            separator = yield from self._next()
            if separator not in b",}":
                raise MalformedError("the JSON is not sound: neither , nor } after a value")
            self._at += 1
        self.ended = True
        while True:
            yield from self._next()
            raise MalformedError("something follows the JSON")

    def _member(self) -> _Steps:
        yield from self._expect(b'"')
        name = yield from self._string()
        yield from self._expect(b":")
        first = yield from self._next()
        if name == b"content":
            yield from self._content(first)
        elif name == b"contentType" and first == ord('"'):
            self._at += 1
            self.media_type = _printable((yield from self._string()))
        elif name == b"encryptedContent":
            self.encrypted = (yield from self._skipped(first)) not in (b"null", b"false")
        else:
            yield from self._skipped(first)

    def _content(self, first: int) -> _Steps:
        if self.has_content:
            raise MalformedError("there are two contents in one answer")
        if first == ord('"'):
            self.has_content = True
            self._at += 1
            yield from self._base64_text()
        elif (yield from self._skipped(first)) != b"null":
            raise MalformedError("the content is not a text")
        self.has_content = True

    def _skipped(self, first: int) -> Generator[None, None, bytes]:
        """Pass over a value; of a number or a word, what it was."""
        if first == ord('"'):
            self._at += 1
            yield from self._string()
            return b""
        if first in _CLOSERS:
            yield from self._nested()
            return b""
        word = b""
        while True:
            match = _SCALAR.match(self._buffer, self._at)
            assert match is not None
            word = (word + match[0])[:_LONGEST_TEXT]
            self._at = match.end()
            if self._at < len(self._buffer):
                break
            yield
        if word not in _WORDS and not _NUMBER.fullmatch(word):
            raise MalformedError("the JSON is not sound: no value where one should be")
        return word

    def _nested(self) -> _Steps:
        """Pass over a list or an object."""
        closers: list[int] = []
        while True:
            match = _BRACKET.search(self._buffer, self._at)
            self._at = match.end() if match else len(self._buffer)
            if match is None:
                yield
                continue
            sign = match[0][0]
            if sign == ord('"'):
                yield from self._string()
            elif sign in _CLOSERS:
                closers.append(_CLOSERS[sign])
            elif closers.pop() != sign:
                raise MalformedError("the JSON is not sound: brackets do not match")
            if len(closers) > _DEEPEST:
                raise MalformedError("the JSON is nested too deeply")
            if not closers:
                return

    def _string(self) -> Generator[None, None, bytes]:
        """The text up to the closing quote, escapes undone; its beginning only, if it is long."""
        found = bytearray()
        while True:
            match = _STOP.search(self._buffer, self._at)
            end = match.start() if match else len(self._buffer)
            room = max(_LONGEST_TEXT - len(found), 0)
            found += self._buffer[self._at : min(end, self._at + room)]
            self._at = end
            if match is None:
                yield
            elif match[0] == b'"':
                self._at += 1
                return bytes(found)
            elif match[0] == b"\\":
                piece = yield from self._escape()
                found += piece if room else b""
            else:
                raise MalformedError("the JSON is not sound: a control character in a text")

    def _escape(self) -> Generator[None, None, bytes]:
        yield from self._have(2)
        kind = self._buffer[self._at + 1]
        if kind != ord("u"):
            self._at += 2
            if kind not in _ESCAPES:
                raise MalformedError("the JSON is not sound: no such escape")
            return bytes([_ESCAPES[kind]])
        yield from self._have(6)
        match = _UNICODE.match(self._buffer, self._at)
        if match is None:
            raise MalformedError("the JSON is not sound: no such escape")
        self._at += 6
        return chr(int(match[1], 16)).encode(errors="replace")

    def _have(self, count: int) -> _Steps:
        while len(self._buffer) - self._at < count:
            yield

    def _next(self) -> Generator[None, None, int]:
        """The next byte that is no white space; it is not consumed."""
        while True:
            match = _SPACE.match(self._buffer, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._buffer):
                return self._buffer[self._at]
            yield

    def _expect(self, sign: bytes) -> _Steps:
        if (yield from self._next()) != sign[0]:
            raise MalformedError(f"the JSON is not sound: no {sign.decode()} where one should be")
        self._at += 1

    # --- base64 -----------------------------------------------------------------------------------------------------

    def _base64_text(self) -> _Steps:
        """Whole spans at a time: no text in base64 holds a quote, so the next one is its end."""
        while True:
            end = self._buffer.find(b'"', self._at)
            ready = end if end >= 0 else len(self._buffer) - _unfinished(self._buffer, self._at)
            plain = _plain(self._buffer[self._at : ready])
            usual = plain.translate(_STANDARD, _BLANK)
            self.is_odd = self.is_odd or usual != plain
            self._decode(usual)
            self._at = ready
            if end >= 0:
                break
            yield
        self._at += 1
        if self._base64:
            self._unpadded()

    def _unpadded(self) -> None:
        """The end, without all of its padding."""
        rest, self._base64, self.is_odd = self._base64.rstrip(b"="), b"", True
        if len(rest) < 2:
            raise MalformedError("the content is not base64: it ends early")
        self._decode(rest.ljust(4, b"="))

    def _decode(self, text: bytes) -> None:
        text = self._base64 + text
        whole = len(text) - len(text) % 4
        self._base64 = text[whole:]
        if not text:
            return
        if self._padded:
            raise MalformedError("the content is not base64: something follows its end")
        try:
            self._out += binascii.a2b_base64(text[:whole], strict_mode=True)
        except binascii.Error:
            raise MalformedError("the content is not base64") from None
        self._padded = text[:whole].endswith(b"=")
        if self._padded and self._base64:
            raise MalformedError("the content is not base64: something follows its end")


def _unfinished(buffer: bytes, start: int) -> int:
    """How many bytes at the end of a buffer begin an escape that is not whole yet."""
    at = buffer.rfind(b"\\", max(len(buffer) - 5, start))
    if at < 0:
        return 0
    begun = buffer[at:]
    return len(begun) if begun == b"\\" or begun.startswith(b"\\u") else 0


def _plain(text: bytes) -> bytes:
    """A span of a JSON text with its escapes undone: `\\/` and `\\u002B` are what encoders make of base64's signs."""
    if b"\\" not in text:
        return text
    text = _BREAK.sub(b"\n", text.replace(b"\\/", b"/"))
    text = _UNICODE.sub(lambda match: chr(int(match[1], 16)).encode(errors="replace"), text)
    if b"\\" in text:
        raise MalformedError("the content is not base64")
    return text


def _printable(text: bytes) -> str | None:
    shown = "".join(char for char in text.decode(errors="replace") if char.isprintable()).strip()
    return shown[:255] or None

"""The shape of an answer on the wire: which bytes, with which length, at which pace, ended how. Pure."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, repeat
from typing import Literal

from attachsync.sandbox.answer import Answer
from attachsync.sandbox.content import BLOCK, Held
from attachsync.sandbox.faults import Fault

HTML = "<!DOCTYPE html><html><head><title>Service Unavailable</title></head><body><h1>Sorry</h1></body></html>"


@dataclass(frozen=True)
class Shape:
    """How an answer goes over the wire; a length of None means chunked."""

    status: int
    length: int | None
    chunks: Iterator[bytes]
    headers: Mapping[str, str] = field(default_factory=dict)
    end: Literal["eof", "close", "reset", "hang"] = "eof"
    pause: float = 0.0


def plain(answer: Answer) -> Shape:
    """Return the shape of an answer without a fault."""
    return Shape(answer.status, answer.content.size, answer.content.chunks(), answer.headers)


def stand_in(fault: Fault, failure: Callable[[int], Answer]) -> Answer | None:
    """Return the answer that a fault gives instead of the service's, if it does so."""
    if fault.kind == "status":
        usual = failure(fault.status or 500)
        content = usual.content if fault.body is None else Held(_bytes(fault.body))
        return replace(usual, content=content, headers={**usual.headers, **fault.headers})
    if fault.kind == "html":
        body = HTML if fault.body is None else fault.body
        return Answer(fault.status or 200, Held(_bytes(body)), {"Content-Type": "text/html", **fault.headers})
    if fault.kind == "json":
        text = "[" * fault.depth + "]" * fault.depth if fault.depth else json.dumps(fault.value)
        return Answer(fault.status or 200, Held(text.encode()), {"Content-Type": "application/json", **fault.headers})
    if fault.kind == "redirect":
        return Answer(fault.status or 302, Held(b""), {"Location": fault.location, **fault.headers})
    return None


def misshapen(answer: Answer, fault: Fault) -> Shape:
    """Return the shape of a true answer under a fault that damages its way over the wire."""
    shape = plain(replace(answer, headers={**answer.headers, **fault.headers}))
    damage = _DAMAGES.get(fault.kind)
    return damage(shape, fault) if damage else shape


def _truncate(shape: Shape, fault: Fault) -> Shape:
    return replace(shape, chunks=cut(shape.chunks, fault.after), end="close")


def _stall(shape: Shape, fault: Fault) -> Shape:
    return replace(shape, chunks=cut(shape.chunks, fault.after), end="hang")


def _reset(shape: Shape, fault: Fault) -> Shape:
    return replace(shape, chunks=cut(shape.chunks, fault.after), end="reset")


def _endless(shape: Shape, _fault: Fault) -> Shape:
    return replace(shape, length=None, chunks=chain(shape.chunks, repeat(b" " * BLOCK)))


def _drip(shape: Shape, fault: Fault) -> Shape:
    return replace(shape, chunks=crumbs(shape.chunks, fault.size), pause=fault.every)


def _gzip(shape: Shape, _fault: Fault) -> Shape:
    headers = {**shape.headers, "Content-Encoding": "gzip"}
    return replace(shape, length=None, chunks=_deflated(shape.chunks), headers=headers)


def _no_length(shape: Shape, _fault: Fault) -> Shape:
    return replace(shape, length=None)


def _wrong_length(shape: Shape, fault: Fault) -> Shape:
    length = max(0, (shape.length or 0) + fault.extra)
    return replace(shape, length=length, chunks=cut(shape.chunks, length), end="close")


def _tamper(shape: Shape, fault: Fault) -> Shape:
    return replace(shape, chunks=_flipped(shape.chunks, fault.after))


_DAMAGES: dict[str, Callable[[Shape, Fault], Shape]] = {
    "truncate": _truncate,
    "stall": _stall,
    "reset": _reset,
    "endless": _endless,
    "drip": _drip,
    "gzip": _gzip,
    "no_length": _no_length,
    "wrong_length": _wrong_length,
    "tamper": _tamper,
}


def cut(chunks: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Yield the first `size` bytes."""
    left = size
    for chunk in chunks:
        if left <= 0:
            return
        yield chunk[:left]
        left -= len(chunk)


def crumbs(chunks: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Yield the same bytes in small pieces."""
    for chunk in chunks:
        for start in range(0, len(chunk), size):
            yield chunk[start : start + size]


def _deflated(chunks: Iterator[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(wbits=31)
    for chunk in chunks:
        yield packer.compress(chunk)
    yield packer.flush()


def _flipped(chunks: Iterator[bytes], position: int) -> Iterator[bytes]:
    start = 0
    for chunk in chunks:
        at = position - start
        inside = 0 <= at < len(chunk)
        yield chunk[:at] + bytes([chunk[at] ^ 0xFF]) + chunk[at + 1 :] if inside else chunk
        start += len(chunk)


def _bytes(body: str | bytes) -> bytes:
    return body.encode() if isinstance(body, str) else body

"""What a route answers, before faults and the wire: status, headers and content."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from aiohttp import web

from attachsync.sandbox.content import Content, Held

JSON_TYPE = "application/json; charset=utf-8"


@dataclass(frozen=True)
class Answer:
    """A complete answer of an emulated service."""

    status: int
    content: Content = field(default_factory=lambda: Held(b""))
    headers: Mapping[str, str] = field(default_factory=dict)


class Refusal(Exception):
    """Raised inside a route when the service refuses; carries the answer."""

    def __init__(self, answer: Answer) -> None:
        """Keep the answer that tells the client why."""
        super().__init__(answer.status)
        self.answer = answer


Handler = Callable[[web.Request], Awaitable[Answer]]


@dataclass(frozen=True)
class Route:
    """One method and path pattern (aiohttp's) below a service's prefix."""

    method: str
    path: str
    handler: Handler


class Service(Protocol):
    """What the sandbox needs of an emulated service."""

    prefix: str

    def routes(self) -> list[Route]:
        """Return all routes, more specific ones first."""

    def failure(self, status: int) -> Answer:
        """Return this service's usual error answer for a status."""

    def recognises(self, request: web.Request) -> bool:
        """Say whether the request carries credentials that are valid now."""


def json_answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """Return an answer with a JSON body."""
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    return Answer(status, Held(body), {"Content-Type": JSON_TYPE, **(headers or {})})


def origin(request: web.Request, prefix: str) -> str:
    """Return the base URL under which the client sees a service."""
    return f"{request.scheme}://{request.host}{prefix}"

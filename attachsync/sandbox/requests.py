"""The log of requests that tests read."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from aiohttp import web

KEPT = 20_000


@dataclass(frozen=True)
class Request:
    """One finished request; status 0 means that no answer was begun."""

    time: float
    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: dict[str, str]
    status: int
    body_bytes_sent: int


class RequestLog:
    """The latest requests, finished ones in the order in which they ended."""

    def __init__(self, kept: int = KEPT) -> None:
        """Keep at most so many requests."""
        self._finished: deque[Request] = deque(maxlen=kept)
        self._arrived: Counter[tuple[str, str]] = Counter()
        self._news = asyncio.Event()
        self.open = 0
        self.most_open = 0

    def __iter__(self) -> Iterator[Request]:
        """Iterate over the finished requests, oldest first."""
        return iter(tuple(self._finished))

    def __len__(self) -> int:
        """Return how many finished requests are kept."""
        return len(self._finished)

    def __getitem__(self, index: int) -> Request:
        """Return one finished request; -1 is the latest."""
        return self._finished[index]

    def begin(self, request: web.Request) -> None:
        """Note that a request came in."""
        self._arrived[request.method, request.path] += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        self._wake()

    def finish(self, request: web.Request, began: float, recognised: bool, status: int, sent: int) -> None:
        """Note how a request ended."""
        self.open -= 1
        query = tuple(request.query.items())
        headers = _headers(request, recognised)
        entry = Request(began, request.method, request.path, query, headers, status, sent)
        self._finished.append(entry)
        self._wake()

    def arrived(self, method: str = "*", path: str = "*") -> int:
        """Count requests that came in, answered or not."""
        found = self._arrived.items()
        return sum(n for (verb, where), n in found if fnmatchcase(verb, method) and fnmatchcase(where, path))

    def count(self, method: str = "*", path: str = "*") -> int:
        """Count finished requests."""
        return sum(fnmatchcase(one.method, method) and fnmatchcase(one.path, path) for one in self._finished)

    def clear(self) -> None:
        """Forget all requests, and the highest number open at once."""
        self._finished.clear()
        self._arrived.clear()
        self.most_open = self.open

    async def until(self, count: int = 1, method: str = "*", path: str = "*") -> None:
        """Wait until so many requests came in (same event loop only)."""
        while self.arrived(method, path) < count:
            await self._news.wait()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


def now() -> float:
    """Return the wall clock, for the times in the log."""
    return time.time()


def _headers(request: web.Request, recognised: bool) -> dict[str, str]:
    headers = dict(request.headers)
    for name, value in list(headers.items()):
        if name.lower() == "authorization":
            scheme = value.partition(" ")[0] if " " in value else "key"  # a bare key has no scheme to show
            headers[name] = f"{scheme} ({'valid' if recognised else 'not valid'})"
    return headers

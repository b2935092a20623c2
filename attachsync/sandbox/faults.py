"""Faults on demand: what a fault is, and which one meets a request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from types import NoneType
from typing import Any, Literal, get_args

Kind = Literal[
    "status",
    "reset",
    "truncate",
    "stall",
    "endless",
    "drip",
    "hang",
    "gzip",
    "no_length",
    "wrong_length",
    "tamper",
    "headers",
    "html",
    "json",
    "redirect",
    "lost",
]
KINDS: tuple[str, ...] = get_args(Kind)

_TYPES: Mapping[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("path", "kind", "method", "query", "location"), str),
    **dict.fromkeys(("depth", "after", "extra", "size", "skip"), int),
    "status": (int, NoneType),
    "times": (int, NoneType),
    "every": (int, float),
    "headers": Mapping,
    "body": (str, bytes, NoneType),
    "carry_out": bool,
}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One misbehaviour of a service.

    `path` (with the service's prefix), `method` and `query` are globs in which `*` also matches `/`.
    `after`: bytes sent before `reset`, `truncate` or `stall` (which then says nothing more), and the position of the
    byte that `tamper` flips.
    `extra`: how many bytes `wrong_length` claims too many (negative: too few).
    `size`, `every`: `drip` sends that many bytes, then waits that many seconds.
    `value`: the JSON of `json`; or `depth` lists, one inside the other.
    `headers` join those of the answer, and are all that is wrong with it for `headers`.
    `carry_out`: for kinds that answer instead of the service, let the service do its work first.
    """

    path: str
    kind: Kind
    method: str = "*"
    query: str = "*"
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | bytes | None = None
    value: Any = None
    depth: int = 0
    location: str = ""
    after: int = 0
    extra: int = 1
    size: int = 1
    every: float = 0.01
    times: int | None = None
    skip: int = 0
    carry_out: bool = False

    def __post_init__(self) -> None:
        """Refuse a kind that does not exist, and what no answer can have. Raises ValueError."""
        for name, kind in _TYPES.items():
            value = getattr(self, name)
            if not isinstance(value, kind) or (isinstance(value, bool) and name != "carry_out"):
                raise ValueError(f"{name}: cannot be {value!r}")
        if self.kind not in KINDS:
            raise ValueError(f"no fault of kind {self.kind!r}; there are {', '.join(KINDS)}")
        if self.status is not None and not 200 <= self.status <= 599:
            raise ValueError(f"no answer ends with status {self.status}")
        if min(self.after, self.size - 1, self.every, self.depth, self.skip) < 0:
            raise ValueError("after, every, depth and skip are not below 0, and size is not below 1")
        if not all(isinstance(one, str) and one.isprintable() for pair in self.headers.items() for one in pair):
            raise ValueError("names and values of headers are printable text")

    @property
    def works_first(self) -> bool:
        """Whether the service carries the request out before the fault shows."""
        shapes = (
            "truncate",
            "stall",
            "endless",
            "drip",
            "gzip",
            "no_length",
            "wrong_length",
            "tamper",
            "headers",
            "lost",
        )
        return self.carry_out or self.kind in shapes or (self.kind == "reset" and self.after > 0)

    def meets(self, method: str, path: str, query: str) -> bool:
        """Say whether this fault is about such a request."""
        return fnmatchcase(method, self.method) and fnmatchcase(path, self.path) and fnmatchcase(query, self.query)


@dataclass
class _Armed:
    fault: Fault
    seen: int = 0
    used: int = 0

    def take(self) -> bool:
        if self.fault.times is not None and self.used >= self.fault.times:
            return False
        self.seen += 1
        if self.seen <= self.fault.skip:
            return False
        self.used += 1
        return True


class Faults:
    """The faults in force, the earliest added first."""

    def __init__(self) -> None:
        """Start without faults."""
        self._armed: list[_Armed] = []

    def __iter__(self) -> Iterator[Fault]:
        """Iterate over the faults in force, used up or not."""
        return (armed.fault for armed in self._armed)

    def add(self, *faults: Fault) -> None:
        """Put faults in force."""
        self._armed.extend(_Armed(fault) for fault in faults)

    def clear(self) -> None:
        """Behave from now on."""
        self._armed.clear()

    def take(self, method: str, path: str, query: str) -> Fault | None:
        """Return the fault that this request meets, and count it."""
        for armed in self._armed:
            if armed.fault.meets(method, path, query) and armed.take():
                return armed.fault
        return None


def fault_from_json(value: object) -> Fault:
    """Return the fault that a JSON object describes; ValueError says what is wrong with it."""
    if not isinstance(value, dict):
        raise ValueError("a fault is a JSON object")
    unknown = sorted(set(value) - {one.name for one in fields(Fault)})
    if unknown:
        raise ValueError(f"a fault has no {', '.join(unknown)}")
    if not {"path", "kind"} <= set(value):
        raise ValueError("a fault needs path and kind")
    return Fault(**value)

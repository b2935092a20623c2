"""Logs by structlog: one event a line, on standard error; never a secret, never a signed link.

Names of events are stable: `mirrored`, `not_mirrored`, `track_failed`, `track_recovered`, `account_down`,
`account_up`, `sent`, `send_failed`, `link_fallback`, `config_reloaded`, `config_refused`, `repeated`, and so on.
"""

import logging
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TextIO

from attachsync.logger import EventDict, Processor, WrappedLogger, structlog
from attachsync.model import State
from attachsync.observer import Observer, Outcome
from attachsync.repeats import Repeats
from attachsync.units import printable

_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
_FIRST = ("event", "account", "track", "outbox")
_MOST_REASONS = 10_000


def is_journal(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether a stream is the one that systemd connected to its journal: by device and inode, as it says itself."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environment.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def set_up(form: str, *, daemon: bool, level: int = logging.INFO, without: frozenset[str] = frozenset()) -> None:
    """Send events to standard error as `console`, as `json`, or (`auto`) as suits whoever is there.

    The journal takes a line's priority from its beginning. `without`: events that are told in other ways.
    """
    journal = is_journal(sys.stderr, os.environ)
    if form == "auto":
        form = "journal" if journal else "console" if sys.stderr.isatty() or not daemon else "json"
    processors: list[Processor] = [
        _without(without),
        *([Repeats()] if daemon else []),
        structlog.processors.add_log_level,
    ]
    if form != "json":
        processors.append(_printable)
    processors.append(structlog.processors.format_exc_info)
    if form == "json":
        processors += [structlog.processors.TimeStamper("iso"), structlog.processors.JSONRenderer()]
    elif form == "journal":
        processors += [structlog.processors.LogfmtRenderer(key_order=_FIRST, drop_missing=True, bool_as_flag=False)]
    else:
        colours = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
        processors.append(structlog.dev.ConsoleRenderer(colors=colours, pad_event_to=0))
    if journal:
        processors.append(_prioritised)
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: structlog.WriteLogger(sys.stderr),  # as it is then: a live view stands before it
        cache_logger_on_first_use=False,
    )


def quietly() -> None:
    """For commands that print their results: only what needs attention is logged, and is not printed anyway."""
    set_up("console", daemon=False, level=logging.WARNING, without=frozenset({"send_failed"}))


def _without(names: frozenset[str]) -> Processor:
    def sift(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        if event.get("event") in names:
            raise structlog.DropEvent
        return event

    return sift


def _printable(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {key: printable(value) if isinstance(value, str) else value for key, value in event.items()}


def _prioritised(_logger: WrappedLogger, method: str, text: str | EventDict) -> str:
    """Each line with its priority (sd-daemon(3)): a traceback has many."""
    mark = f"<{_PRIORITIES.get(method, 6)}>"
    return "\n".join(mark + line for line in str(text).split("\n"))


@dataclass(slots=True)
class _Down:
    """Something that does not go: why, since when (monotonic), how often it was tried, and whether that was logged."""

    error: str
    since: float
    times: int = 0
    told: bool = False

    def news(self, error: str) -> bool:
        """It failed (again): whether that is to be logged. A reason counts as another one but for its numbers."""
        self.times += 1
        before, self.error = self.error, error
        return not self.told or re.sub(r"\d+", "#", error) != re.sub(r"\d+", "#", before)


class LogObserver(Observer):
    """Logs what matters: each attachment mirrored or not, and accounts and tracks that go down or come back, once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = structlog.get_logger()
        self._clock = clock
        self._down: dict[str, _Down] = {}
        self._failing: dict[str, _Down] = {}
        self._reasons: dict[tuple[str, str], str] = {}

    def settled(self, outcome: Outcome) -> None:
        """`mirrored`; or `not_mirrored`, once for the same reason."""
        where = {"account": outcome.account, "track": outcome.track, "key": outcome.key}
        known = (outcome.track, outcome.key)
        if outcome.state is State.STORED:
            self._reasons.pop(known, None)
            self._log.info("mirrored", **where, path=outcome.path, sha256=outcome.digest, size=outcome.size)
        elif self._reasons.get(known) != outcome.reason:
            if len(self._reasons) < _MOST_REASONS:
                self._reasons[known] = outcome.reason
            say = self._log.info if outcome.state is State.WAITING else self._log.warning
            say("not_mirrored", **where, state=outcome.state.value, reason=outcome.reason)

    def track_ended(self, account: str, track: str, error: str) -> None:
        """`track_failed` on the way down, and for another reason; `track_recovered` on the way up."""
        if error:
            known = self._failing.setdefault(track, _Down(error, self._clock()))
            if known.news(error) and account not in self._down:
                known.told = True
                self._log.error("track_failed", account=account, track=track, error=error)
            return
        if (down := self._failing.pop(track, None)) and down.told:
            self._log.info("track_recovered", account=account, track=track, **self._over(down))
        if down := self._down.pop(account, None):
            self._log.info("account_up", account=account, **self._over(down))

    def account_down(self, account: str, error: str) -> None:
        """`account_down`, once, and for another reason."""
        known = self._down.setdefault(account, _Down(error, self._clock()))
        if known.news(error):
            known.told = True
            self._log.error("account_down", account=account, error=error)

    def _over(self, down: _Down) -> dict[str, object]:
        return {"failures": down.times, "down_for": round(self._clock() - down.since, 1)}

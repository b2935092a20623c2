"""Logs by structlog: one event a line, on standard error; never a secret, never a signed link.

Names of events are stable: `mirrored`, `not_mirrored`, `track_failed`, `track_recovered`, `account_down`,
`account_up`, `sent`, `send_failed`, `link_fallback`, `config_reloaded`, `config_refused`, and so on.
"""

import logging
import sys

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from attachsync.model import State
from attachsync.observer import Observer, Outcome
from attachsync.units import printable

_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}


def set_up(form: str, *, daemon: bool, journal: bool, level: int = logging.INFO) -> None:
    """Send events to standard error as `console`, as `json`, or (`auto`) as suits whoever is there.

    `journal`: standard error is systemd's journal, which takes a line's priority from its beginning.
    """
    if form == "auto":
        form = "console" if sys.stderr.isatty() or not daemon else "journal" if journal else "json"
    processors: list[Processor] = [structlog.processors.add_log_level]
    if form != "json":
        processors.append(_printable)
    processors.append(structlog.processors.format_exc_info)
    if form == "json":
        processors += [structlog.processors.TimeStamper("iso"), structlog.processors.JSONRenderer()]
    elif form == "journal":
        processors += [structlog.processors.LogfmtRenderer(key_order=["event"], bool_as_flag=False), _prioritised]
    else:
        processors.append(structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0))
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def _printable(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {key: printable(value) if isinstance(value, str) else value for key, value in event.items()}


def quietly() -> None:
    """For commands that print their results: only what needs attention is logged."""
    set_up("console", daemon=False, journal=False, level=logging.WARNING)


def _prioritised(_logger: WrappedLogger, method: str, event: str | EventDict) -> str:
    return f"<{_PRIORITIES.get(method, 6)}>{event}"


class LogObserver(Observer):
    """Logs what matters: each attachment mirrored or not, and accounts and tracks that go down or come back, once."""

    def __init__(self) -> None:
        self._log = structlog.get_logger()
        self._down: dict[str, str] = {}
        self._failing: dict[tuple[str, str], str] = {}

    def settled(self, outcome: Outcome) -> None:
        """`mirrored`; or `not_mirrored`, once for the same reason."""
        where = {"account": outcome.account, "track": outcome.track, "key": outcome.key}
        known = (outcome.track, outcome.key)
        if outcome.state is State.STORED:
            self._failing.pop(known, None)
            self._log.info("mirrored", **where, path=outcome.path, sha256=outcome.digest, size=outcome.size)
        elif self._failing.get(known) != outcome.reason:
            if len(self._failing) < 10_000:
                self._failing[known] = outcome.reason
            say = self._log.info if outcome.state is State.WAITING else self._log.warning
            say("not_mirrored", **where, state=outcome.state.value, reason=outcome.reason)

    def track_ended(self, account: str, track: str, error: str) -> None:
        """`track_failed` on the way down, `track_recovered` on the way up."""
        known = (track, "")
        if error:
            if self._failing.get(known) != error and account not in self._down:
                self._log.error("track_failed", account=account, track=track, error=error)
            self._failing[known] = error
            return
        if self._failing.pop(known, None):
            self._log.info("track_recovered", account=account, track=track)
        if self._down.pop(account, None):
            self._log.info("account_up", account=account)

    def account_down(self, account: str, error: str) -> None:
        """`account_down`, once."""
        if account not in self._down:
            self._log.error("account_down", account=account, error=error)
        self._down[account] = error

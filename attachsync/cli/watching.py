"""Telling of a pass as it goes: plain lines where there is no terminal, JSON lines on request."""

import dataclasses
import time
from collections import defaultdict
from types import TracebackType
from typing import Self

import click

from attachsync.cli.session import json_line, printable, say
from attachsync.model import State
from attachsync.observer import Filed, Observer, Outcome
from attachsync.units import human_size


class Tally(Observer):
    """Counts what happens, by track. A context manager: subclasses draw while it is open."""

    def __init__(self) -> None:
        self.tallies: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._began = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since the pass began."""
        return time.monotonic() - self._began

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def listed(self, account: str, track: str, listed: int, new: int) -> None:
        """Count what was listed, and what of it was new or changed."""
        self.tallies[track]["listed"] += listed
        self.tallies[track]["new"] += new

    def filed(self, filed: Filed) -> None:
        """Count files sent and refused, by outbox."""
        self.tallies[filed.outbox][filed.event] += 1

    def settled(self, outcome: Outcome) -> None:
        """Count what became of an attachment."""
        tally = self.tallies[outcome.track]
        if outcome.state is State.STORED:
            tally["mirrored"] += 1
            tally["fetched"] += outcome.fetched
            tally["bytes"] += (outcome.size or 0) if outcome.fetched else 0
        else:
            tally[outcome.state.value] += 1


class Lines(Tally):
    """A plain line for each attachment, greppable."""

    def settled(self, outcome: Outcome) -> None:
        """`STATE  SIZE  PATH`, or the reason why there is none."""
        super().settled(outcome)
        say(line(outcome))

    def filed(self, filed: Filed) -> None:
        """`sent` or `failed`, and where the file is now."""
        super().filed(filed)
        say(filed_line(filed))

    def account_down(self, account: str, error: str) -> None:
        """Errors go to standard error."""
        click.echo(printable(down(account, error)), err=True)


def down(account: str, error: str) -> str:
    """An account's trouble for people, the account named once."""
    return error if error.startswith(f"{account}:") else f"{account}: {error}"


def filed_line(filed: Filed) -> str:
    """One dropped file's outcome for people."""
    return printable(f"{filed.event}  {filed.outbox}/{filed.filed_as}" + (f": {filed.reason}" if filed.reason else ""))


def line(outcome: Outcome) -> str:
    """One attachment's outcome for people."""
    if outcome.state is State.STORED:
        word = "changed" if outcome.changed else "mirrored"
        return printable(f"{word}  {human_size(outcome.size or 0):>10}  {outcome.path}")
    reason = outcome.reason.removeprefix(f"{outcome.account}: ")
    return printable(f"{outcome.state.value}  {outcome.account}: {outcome.key}: {reason}")


class JsonLines(Tally):
    """One JSON object for each attachment."""

    def settled(self, outcome: Outcome) -> None:
        """The outcome, with `event` = `attachment`."""
        super().settled(outcome)
        told = {
            "event": "attachment",
            "account": outcome.account,
            "track": outcome.track,
            "key": outcome.key,
            "path": outcome.path,
            "sha256": outcome.digest,
            "size": outcome.size,
            "media_type": outcome.media_type,
            "state": outcome.state.value,
            "reason": outcome.reason or None,
            "changed": outcome.changed,
            "fetched": outcome.fetched,
        }
        say(json_line(told))

    def filed(self, filed: Filed) -> None:
        """The outcome, with `event` = `sent` or `failed`."""
        super().filed(filed)
        told = {name: value for name, value in dataclasses.asdict(filed).items() if name != "size"}
        say(json_line({**told, "reason": filed.reason or None}))

    def account_down(self, account: str, error: str) -> None:
        """Errors go to standard error."""
        click.echo(printable(down(account, error)), err=True)

"""Showing a pass as it goes: a progress bar on terminals, plain lines elsewhere, JSON lines on request."""

import dataclasses
import sys
from collections import defaultdict
from types import TracebackType
from typing import Self

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from attachsync.cli.session import print_json, printable
from attachsync.model import State
from attachsync.observer import Filed, Observer, Outcome
from attachsync.units import human_size


class Tally(Observer):
    """Counts what happens, by track. A context manager: subclasses draw while it is open."""

    def __init__(self) -> None:
        self.tallies: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))

    def __enter__(self) -> Self:
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
        click.echo(line(outcome))

    def filed(self, filed: Filed) -> None:
        """`sent` or `failed`, and where the file is now."""
        super().filed(filed)
        click.echo(filed_line(filed))

    def account_down(self, account: str, error: str) -> None:
        """Errors go to standard error."""
        click.echo(printable(_down(account, error)), err=True)


def _down(account: str, error: str) -> str:
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
    return printable(f"{outcome.state.value}  {outcome.account}: {outcome.key}: {outcome.reason}")


class JsonLines(Tally):
    """One JSON object for each attachment."""

    def settled(self, outcome: Outcome) -> None:
        """The outcome, with `event` = `attachment`."""
        super().settled(outcome)
        print_json(
            {
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
        )

    def filed(self, filed: Filed) -> None:
        """The outcome, with `event` = `sent` or `failed`."""
        super().filed(filed)
        print_json({**dataclasses.asdict(filed), "reason": filed.reason or None})

    def account_down(self, account: str, error: str) -> None:
        """Errors go to standard error."""
        click.echo(printable(_down(account, error)), err=True)


class Progress(Tally):
    """A progress bar: attachments settled of those found new, and bytes."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[received]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task("mirroring", total=0, received="")
        self._console = console
        self._received = 0

    @classmethod
    def here(cls) -> "Progress | None":
        """A bar on standard output, if that is a terminal that can show one."""
        console = Console()
        return cls(console) if sys.stdout.isatty() and console.is_terminal and not console.is_dumb_terminal else None

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def listed(self, account: str, track: str, listed: int, new: int) -> None:
        """More to do."""
        super().listed(account, track, listed, new)
        self._bar.update(self._task, total=(self._bar.tasks[0].total or 0) + new, description=track[:40])

    def received(self, count: int) -> None:
        """More bytes."""
        self._received += count
        self._bar.update(self._task, received=human_size(self._received))

    def settled(self, outcome: Outcome) -> None:
        """One less to do; what could not be mirrored is printed above the bar."""
        super().settled(outcome)
        done = self._bar.tasks[0].completed + 1
        self._bar.update(self._task, completed=done, total=max(done, self._bar.tasks[0].total or 0))
        if outcome.state not in (State.STORED, State.WAITING):
            self._bar.console.print(line(outcome), markup=False, highlight=False)

    def filed(self, filed: Filed) -> None:
        """Printed above the bar."""
        super().filed(filed)
        self._bar.console.print(filed_line(filed), markup=False, highlight=False)

    def account_down(self, account: str, error: str) -> None:
        """Printed above the bar."""
        self._bar.console.print(printable(_down(account, error)), markup=False, highlight=False)

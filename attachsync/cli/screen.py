"""What `status` shows to people: is it working, since when, how far, what is wrong, what do I do."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from attachsync import units
from attachsync.cli.columns import Cell, table, terminal_width
from attachsync.cli.session import counted
from attachsync.completeness import PLACES
from attachsync.model import JSON
from attachsync.status import Status
from attachsync.units import printable

if TYPE_CHECKING:
    from attachsync.needs import Need

Row = Mapping[str, JSON]
_ALWAYS = ("stored",)
_LONGEST = 240
"""So much is shown of what a track waits for (characters)."""
_COLOURS = {"ok": "green", "failing": "red", "stale": "yellow", "suspicious": "yellow"}
_WORST = ("gone", "failed", "refused")


def lines(found: Status, now: float, width: int | None = None, *, needs_first: bool = False) -> Iterator[str]:
    """One screen, a line each; tables keep to `width`. `needs_first`: where the end of it may not be seen."""
    for name, text in _head(found, now):
        yield f"{name:<8}  {text if name == 'state' else printable(text)}"
    if needs_first:
        yield from _needs(found, width)
    yield from _accounts(found, width)
    yield from _tracks(found, now, width)
    yield from _outboxes(found, width)
    if not needs_first:
        yield from _needs(found, width)


def show(found: Status, now: float) -> None:
    """Print that screen."""
    for line in lines(found, now, terminal_width()):
        click.echo(line)


# --- how it stands ------------------------------------------------------------------------------------------------


def _head(found: Status, now: float) -> Iterator[tuple[str, str]]:
    yield "state", _state(found)
    yield "daemon", _daemon(found, now)
    yield "passes", _passes(found, now)
    store = found.store
    count, size, free = (int(str(store[key])) for key in ("objects", "bytes", "free"))
    has = f"{counted(count, 'file')}, {units.human_size(size)}"
    yield "mirror", f"{store['directory']}: {has}; {units.human_size(free)} free"
    if found.tracks:
        yield "complete", found.completeness.sentence()
    if store["last_scrub"]:
        yield "scrub", f"last slice re-hashed {ago(store['last_scrub'], now)}"
    if store["link_fallback"]:
        yield "links", str(store["link_fallback"])
    if isinstance(anew := store["index_made_anew"], Mapping):
        yield "index", f"made anew at {anew['at']}: {anew['why']}; set aside: {anew['set_aside'] or 'nothing'}"


def _state(found: Status) -> str:
    """The one line for who has time for one."""
    if found.needs:
        need = "needs" if len(found.needs) == 1 else "need"
        return click.style(f"{counted(len(found.needs), 'thing')} {need} a person, see below", fg="red", bold=True)
    if any(track["state"] == "never listed" for track in found.tracks):
        return click.style("not everything was listed yet", fg="yellow", bold=True)
    return click.style("all is well", fg="green", bold=True)


def _daemon(found: Status, now: float) -> str:
    holder = found.holder
    if holder is None:
        return "not running"
    if not found.running:
        return f"not running; the mirror is held by {holder}"
    due = min((str(track["next_pass"]) for track in found.tracks if track["next_pass"]), default=None)
    since = f" for {units.human_duration(now - units.moment(holder.since))}" if holder.since else ""
    return f"running{since} (process {holder.pid} on {holder.host}); next pass {ago(due, now) if due else 'unknown'}"


def _passes(found: Status, now: float) -> str:
    """The oldest of the last whole passes over the tracks."""
    if not found.tracks:
        return "there are no tracks"
    never = sum(1 for track in found.tracks if not track["last_complete"])
    if never:
        return f"{never} of {counted(len(found.tracks), 'track')} never listed whole"
    oldest = min(str(track["last_complete"]) for track in found.tracks)
    span = units.human_duration(now - units.moment(oldest))
    return f"{counted(len(found.tracks), 'track')}, each listed whole in the last {span}"


# --- tables -------------------------------------------------------------------------------------------------------


def _accounts(found: Status, width: int | None) -> Iterator[str]:
    rows = [
        (
            account["name"],
            account["service"],
            _coloured("failing" if account["last_error"] else "ok"),
            account["base_url"],
        )
        for account in found.accounts
    ]
    yield from _spaced(("account", "service", "state", "address"), rows, width)


def _tracks(found: Status, now: float, width: int | None) -> Iterator[str]:
    """A row a track, with those places of attachments that any track has some in."""
    shown = [place for place in PLACES if place in _ALWAYS or found.completeness.places()[place]]
    rows = [
        (
            track["name"],
            _coloured(str(track["state"])),
            *(_counts(track, ["listed", *shown])),
            ago(track["last_complete"], now),
            *([ago(track["next_pass"], now)] if found.running else []),
        )
        for track in found.tracks
    ]
    numbers = ("listed", *shown)
    headings = ("track", "state", *numbers, "whole pass", *(["next"] if found.running else []))
    yield from _spaced(headings, rows, width, numbers, "track")
    for track in found.tracks:
        if track["awaited"]:
            yield from _folded(textwrap.shorten(f"{track['name']}: {track['awaited']}", _LONGEST), "  ", width)


def _counts(track: Row, places: Sequence[str]) -> Iterator[Cell]:
    complete = track["completeness"]
    assert isinstance(complete, Mapping)
    for place in places:
        count = complete[place.replace(" ", "_")]
        yield Cell(f"{count:,}" if count else "-", "red" if count and place in _WORST else None)


def _outboxes(found: Status, width: int | None) -> Iterator[str]:
    numbers = ("waiting", "sent", "failed", "held", "odd")
    rows = [(box["directory"], box["account"], *(box[number] or "-" for number in numbers)) for box in found.outboxes]
    yield from _spaced(("outbox", "account", *numbers), rows, width, numbers, "outbox")


def _spaced(
    headings: Sequence[str],
    rows: Sequence[Sequence[object]],
    width: int | None,
    right: Sequence[str] = (),
    elastic: str | None = None,
) -> Iterator[str]:
    """A table after an empty line; nothing where there are no rows."""
    if rows:
        yield ""
        yield from table(headings, rows, right=right, elastic=elastic, width=width)


def _coloured(state: str) -> Cell:
    return Cell(state, _COLOURS.get(state))


# --- what is wrong ------------------------------------------------------------------------------------------------


def _needs(found: Status, width: int | None) -> Iterator[str]:
    yield ""
    yield "needs a person:" if found.needs else "nothing needs a person"
    for need in found.needs:
        yield from _need(need, width)


def _need(need: "Need", width: int | None) -> Iterator[str]:
    """What is wrong, and below it what to do."""
    for text, indent in ((need.what, "  "), (need.do, "    > ")):
        yield from _folded(text, indent, width)


def _folded(text: str, indent: str, width: int | None) -> Iterator[str]:
    """A text in lines: on terminals, and there only."""
    if width is None:
        yield printable(indent + text)
    else:
        hanging = " " * len(indent)
        yield from textwrap.wrap(
            printable(text),
            width,
            initial_indent=indent,
            subsequent_indent=hanging,
            break_long_words=False,
            break_on_hyphens=False,
        )


def ago(moment: JSON, now: float) -> str:
    """'3m ago', 'in 2m'."""
    if not isinstance(moment, str):
        return "-"
    span = now - units.moment(moment)
    return f"{units.human_duration(span)} ago" if span >= 0 else f"in {units.human_duration(-span)}"

"""What a pass came to: a table on a terminal, a line a track elsewhere, JSON lines on request."""

from collections.abc import Iterator, Mapping

import click

from attachsync.cli.columns import Cell, table, terminal_width
from attachsync.cli.rates import clock
from attachsync.cli.session import print_json, printable
from attachsync.cli.watching import Tally
from attachsync.completeness import PLACES, Completeness, together
from attachsync.daemon import Summary
from attachsync.outbox import Outcome as Sent
from attachsync.units import human_size

_WORST = ("refused", "gone", "failed")
_NEWS = ("listed", "new", "fetched")


def report(summary: Summary, tally: Tally, *, as_json: bool) -> None:
    """What was sent, then what became of each track; what went wrong goes to standard error."""
    for outbox, sent in summary.sent.items():
        _print_sent(outbox, sent, as_json=as_json)
    if as_json:
        for name in summary.tracks:
            _print_track(summary, name, _of(tally, name))
        return
    width = terminal_width()
    for line in _lines(summary, tally) if width is None else screen(summary, tally, width):
        click.echo(line)
    for name in summary.tracks:
        if name in summary.errors:
            click.echo(printable(f"{name}: {summary.errors[name]}"), err=True)


def _of(tally: Tally, name: str) -> Mapping[str, int]:
    return tally.tallies.get(name, {})


def _print_track(summary: Summary, name: str, mine: Mapping[str, int]) -> None:
    told = {key: mine.get(key, 0) for key in ("listed", "new", "mirrored", "fetched", "bytes")}
    counts, error = dict(summary.counts[name]), summary.errors.get(name)
    print_json({"event": "track", "track": name, **told, **mine, "counts": counts, "error": error or None})


def _print_sent(outbox: str, sent: Sent, *, as_json: bool) -> None:
    """What keeps an outbox from being empty; each file sent was told as it happened."""
    for name, reason in sent.odd.items():
        click.echo(printable(f"{outbox}/{name}: left where it is: {reason}"), err=True)
    if sent.trouble:
        click.echo(printable(f"{outbox}: {sent.trouble}"), err=True)
    left = {"waiting": len(sent.waiting | sent.busy), "later": len(sent.later), "held": sent.held}
    left |= {"deleted": sent.deleted, "held_deletions": sent.held_deletions}
    if as_json:
        told = {"event": "outbox", "outbox": outbox, "sent": sent.sent, "failed": sent.failed}
        print_json({**told, **left, "error": sent.trouble or None})
    elif sent.sent or sent.failed or any(left.values()):
        parts = [f"{sent.sent} sent", f"{sent.failed} failed"]
        parts += [f"{count} {what.replace('_', ' ')}" for what, count in left.items() if count]
        click.echo(f"{outbox}: {', '.join(parts)}")


# --- where there is no terminal -----------------------------------------------------------------------------------


def _lines(summary: Summary, tally: Tally) -> Iterator[str]:
    """A line a track, then the sum."""
    for name in summary.tracks:
        mine = _of(tally, name)
        states = ", ".join(f"{count} {state}" for state, count in sorted(summary.counts[name].items()))
        rules = ", ".join(summary.completeness[name].refused)
        news = (
            f"{mine.get('new', 0)} new, {mine.get('mirrored', 0)} mirrored, {human_size(mine.get('bytes', 0))} fetched"
        )
        gone = f", {mine['gone']} gone" if mine.get("gone") else ""
        yield f"{name}: {news}{gone}; now {states or 'no attachments'}" + (f" (refused by {rules})" if rules else "")
    if len(summary.tracks) > 1:
        yield f"all: {together(summary.completeness.values()).sentence()}"


# --- on a terminal ------------------------------------------------------------------------------------------------


def screen(summary: Summary, tally: Tally, width: int) -> Iterator[str]:
    """A row a track, with those places of attachments that any track has some in; then the sum, in words."""
    whole = together(summary.completeness.values())
    shown = [place for place in PLACES if place == "stored" or whole.places()[place]]
    rows = [
        _row(Cell(name, "red" if name in summary.errors else None), summary.completeness[name], _of(tally, name), shown)
        for name in summary.tracks
    ]
    numbers = (*_NEWS, *shown)
    if rows:
        yield from table(("track", *numbers), rows, right=numbers, elastic="track", width=width)
        yield ""
        yield whole.sentence()
    yield _speed(summary, tally)
    if summary.incomplete:
        yield click.style("not all is well: attachsync status says what to do", fg="red")


def _speed(summary: Summary, tally: Tally) -> str:
    fetched, size = (sum(_of(tally, name).get(what, 0) for name in summary.tracks) for what in ("fetched", "bytes"))
    span = max(tally.elapsed, 0.001)
    rates = f" ({fetched / span:,.0f} files/s, {human_size(size / span)}/s)" if fetched else ""
    return f"{fetched:,} fetched, {human_size(size)} in {clock(span)}{rates}"


def _row(name: Cell, one: Completeness, mine: Mapping[str, int], shown: list[str]) -> tuple[Cell, ...]:
    news = (one.listed, mine.get("new", 0), mine.get("fetched", 0))
    places = one.places()
    counts = [Cell(f"{places[place]:,}", "red" if place in _WORST else None) for place in shown]
    cells = [*(Cell(f"{count:,}") for count in news), *counts]
    return (name, *(Cell("-") if cell.text == "0" else cell for cell in cells))

"""What `status` shows to people."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import click

from attachsync import units
from attachsync.cli.session import counted, print_table, printable
from attachsync.model import JSON
from attachsync.status import Status

Row = Sequence[object]
_BOX = ("directory", "account", "waiting", "sent", "failed", "held", "odd")


def show(found: Status, now: float) -> None:
    """One screen: how it stands, then accounts, tracks and outboxes, then what needs a person."""
    for name, text in _head(found):
        click.echo(printable(f"{name:<7} {text}"))
    _table(("account", "service", "address", "state"), map(_account, found.accounts))
    headings = ("track", "state", "attachments", "last whole pass", "next pass")
    _table(headings, (_track(track, now) for track in found.tracks))
    _table(("outbox", *_BOX[1:]), ([box[key] for key in _BOX] for box in found.outboxes))
    click.echo("\nneeds a person:" if found.needs_a_person else "\nnothing needs a person")
    for line in found.needs_a_person:
        click.echo(printable(f"  {line}"))


def _head(found: Status) -> Iterator[tuple[str, str]]:
    store = found.store
    holds = f"; the mirror is held by {found.holder}" if found.holder else ""
    yield "daemon", f"running: {found.holder}" if found.running else f"not running{holds}"
    count, size, free = (int(str(store[key])) for key in ("objects", "bytes", "free"))
    has = f"{counted(count, 'file')}, {units.human_size(size)}"
    yield "mirror", f"{store['directory']}: {has}; {units.human_size(free)} free"
    if store["link_fallback"]:
        yield "links", str(store["link_fallback"])
    if isinstance(anew := store["index_made_anew"], Mapping):
        yield "index", f"made anew at {anew['at']}: {anew['why']}; set aside: {anew['set_aside'] or 'nothing'}"


def _table(headings: Row, rows: Iterable[Row]) -> None:
    """A table after an empty line; nothing where there are no rows."""
    lines = list(rows)
    if lines:
        click.echo()
        print_table(map(str, headings), lines)


def _account(account: Mapping[str, JSON]) -> Row:
    return account["name"], account["service"], account["base_url"], "failing" if account["last_error"] else "ok"


def _track(track: Mapping[str, JSON], now: float) -> Row:
    counts = track["counts"]
    has = ", ".join(f"{count} {state}" for state, count in counts.items()) if isinstance(counts, Mapping) else ""
    return (
        track["name"],
        track["state"],
        (has or "none") + (f", {track['removed']} removed on purpose" if track["removed"] else ""),
        _ago(track["last_complete"], now),
        _ago(track["next_pass"], now),
    )


def _ago(moment: JSON, now: float) -> str:
    """'3m ago', 'in 2m'."""
    if not isinstance(moment, str):
        return "-"
    span = now - units.moment(moment)
    return f"{units.human_duration(span)} ago" if span >= 0 else f"in {units.human_duration(-span)}"

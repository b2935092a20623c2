"""What the index answers: rows of `attachment` as values, and what is asked for."""

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from attachsync.canonical import compact
from attachsync.model import JSON, Attachment, Digest, State

LISTED = "coalesce((SELECT meta FROM listing WHERE listing.attachment = attachment.id), attachment.meta) AS listed"
"""What the listing said of a row of `attachment`."""
_parsed = json.JSONDecoder().decode
_STATES = {state.value: state for state in State}


class Entry(NamedTuple):
    """One row: an attachment as listed, and how far it has come."""

    id: int
    account: str
    attachment: Attachment
    record: Mapping[str, JSON]
    state: State
    reason: str
    digest: Digest | None
    path: str | None
    shown: Digest | None
    withdrawn: bool
    failures: int
    check_at: float | None
    listed_at: float
    mirrored_at: float | None


class Stored(NamedTuple):
    """An entry whose bytes are stored, and shown at `path`."""

    entry: Entry
    digest: Digest
    size: int
    media_type: str | None
    path: str
    said: tuple[str, float | None] | None = None
    """What its record says (JSON), and when to ask for it again; None: as the entry has it."""

    def row(self, now: float) -> Sequence[object]:
        """What is to be written, and to which row."""
        entry = self.entry
        said = self.said or (compact(entry.record), entry.check_at)
        shown = self.digest, self.size, self.media_type, self.path
        return *shown, now, entry.id, entry.attachment.version, *said

    @property
    def is_newer(self) -> bool:
        """Whether it takes the place of other bytes."""
        return self.entry.shown is not None and self.entry.shown != self.digest

    def past(self, now: float) -> Sequence[object]:
        """What it shows no longer."""
        return self.entry.id, self.entry.shown, self.entry.path, self.entry.mirrored_at, now


class _Said(Mapping[str, JSON]):
    """JSON that is parsed when it is looked at: of most rows it never is."""

    __slots__ = ("_parsed", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._parsed: Mapping[str, JSON] | None = None

    @property
    def _value(self) -> Mapping[str, JSON]:
        if self._parsed is None:
            self._parsed = _parsed(self._text)
        return self._parsed

    def __getitem__(self, name: str) -> JSON:
        return self._value[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._value)

    def __len__(self) -> int:
        return len(self._value)


@dataclass(frozen=True, slots=True)
class Taken:
    """What a page brought: attachments listed, new ones, and known ones whose version changed."""

    listed: int = 0
    new: int = 0
    changed: int = 0
    again: int = 0
    """Of those that are the same, so many are to be looked at again."""

    @property
    def has_news(self) -> bool:
        """Whether anything was not known so."""
        return self.new + self.changed > 0

    def plus(self, other: "Taken") -> "Taken":
        """What both pages brought."""
        return Taken(
            self.listed + other.listed,
            self.new + other.new,
            self.changed + other.changed,
            self.again + other.again,
        )


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows are asked for. `turn` is the number of the pass, with which those that it took up are stamped."""

    tracks: Sequence[str]
    turn: int
    once: bool
    """Only rows that this pass has not taken up yet."""
    now: float | None
    """Only rows whose time has come (Unix time); None: whatever their time."""
    busy: Collection[int]
    """Rows that are being worked on."""
    limit: int


def _path(wanted: str) -> tuple[str, ...]:
    """The path that a JSON list of its parts tells; most have nothing in them that is written in another way."""
    if "\\" in wanted or wanted.count('"') != 2 * wanted.count('","') + 2:
        return tuple(_parsed(wanted))
    return tuple(wanted[2:-2].split('","'))


def entry_of(row: sqlite3.Row) -> Entry:
    """A row of `attachment` and what is LISTED of it, parsed. By position, which takes a third of the time."""
    (
        number,
        account,
        track,
        key,
        version,
        wanted,
        media_type,
        size,
        stated,
        content,
        _meta,
        record,
        state,
        reason,
        digest,
        path,
        shown,
        _kept,
        withdrawn,
        failures,
        _retry_at,
        check_at,
        _attempted,
        listed_at,
        mirrored_at,
        listed,
    ) = row
    said = _Said(listed)
    attachment = Attachment(track, key, version, _path(wanted), media_type, size, stated, content, said)
    return Entry(
        number,
        account,
        attachment,
        {} if record == "{}" else _parsed(record),
        _STATES[state],
        reason,
        digest,
        path,
        shown,
        bool(withdrawn),
        failures,
        check_at,
        listed_at,
        mirrored_at,
    )

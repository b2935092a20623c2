"""Files of equal labels, told apart and kept apart. Pure (specs/auco.md 1.2, 2)."""

import itertools
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from attachsync.model import JSON
from attachsync.sources.auco.records import File, Slot

Places: TypeAlias = Mapping[str, Sequence[str | None]]
"""Label -> places of the files that have it, by their numbers."""


def numbered(files: Sequence[File], known: Places) -> dict[Slot, File]:
    """The uploaded files, each in its slot.

    The order of a reply is not promised. A file that was seen before keeps its number by the object its link leads to;
    a new one takes the lowest number that is free, and so that of a file which it replaces.
    """
    found: dict[Slot, File] = {}
    uploaded = [file for file in files if file.link is not None]
    for label in dict.fromkeys(file.label for file in uploaded):
        found |= _apart(label, [file for file in uploaded if file.label == label], known.get(label, ()))
    return found


def _apart(label: str, same: Sequence[File], held: Sequence[str | None]) -> dict[Slot, File]:
    taken: dict[int, File] = {}
    late: list[File] = []
    for file in same:
        number = next((n for n, place in enumerate(held, 1) if place == file.place and n not in taken), None)
        if number is None:
            late.append(file)
        else:
            taken[number] = file
    free = (number for number in itertools.count(1) if number not in taken)
    taken |= dict(zip([next(free) for _ in late], late, strict=True))
    return {Slot(label, number): file for number, file in sorted(taken.items())}


def places(known: Places, found: Mapping[Slot, File]) -> Places:
    """What is known of places after a reply; one that is missing from it keeps its number."""
    after = {label: list(held) for label, held in known.items()}
    for slot, file in found.items():
        held = after.setdefault(slot.label, [])
        held += [None] * (slot.number - len(held))
        held[slot.number - 1] = file.place
    return after


def missing(known: Places, found: Mapping[Slot, File]) -> list[Slot]:
    """Files that were seen before, and are not uploaded now."""
    held = (Slot(label, n) for label, places in known.items() for n, place in enumerate(places, 1) if place is not None)
    return [slot for slot in held if slot not in found]


def is_told(slot: Slot, file: File, known: Places) -> bool:
    """Whether a file is told from others of its label although some of a reply cannot be read."""
    held = known.get(slot.label, ())
    return not held or file.place in held


def cursor(known: Places) -> JSON:
    """The places as a cursor keeps them."""
    return {"places": {label: list(held) for label, held in known.items()}}


def from_cursor(value: JSON) -> Places:
    """The places that a cursor holds."""
    kept = value.get("places") if isinstance(value, Mapping) else None
    if not isinstance(kept, Mapping):
        return {}
    return {
        label: [place if isinstance(place, str) else None for place in held]
        for label, held in kept.items()
        if isinstance(held, list)
    }


def only(slot: Slot, place: JSON) -> Places:
    """What one attachment alone knows: the place of its own file."""
    return {slot.label: [*([None] * (slot.number - 1)), place if isinstance(place, str) else None]}


def is_certain(slot: Slot, files: Sequence[File], place: JSON) -> bool:
    """Whether `only` is enough to tell a slot's file: its place is met, or there is nothing to mix it up with."""
    same = [file for file in files if file.label == slot.label]
    uploaded = [file.place for file in same if file.link is not None]
    return not uploaded or place in uploaded or (slot.number == len(same) == 1)

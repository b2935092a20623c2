"""One table of one config file: where it stands, what its keys hold, and where its faults go. Pure, but for links."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any

from attachsync import keys
from attachsync.services import SERVICES
from attachsync.sources.service import Faults, Service


@dataclass(frozen=True, slots=True)
class Section:
    """One table of one document, and where its faults go."""

    file: Path
    where: str
    values: Mapping[str, object]
    place: keys.Place
    faults: list[str]

    def fault(self, key: str, text: str) -> None:
        """Note what is wrong with a key."""
        self.faults.append(f"{self.file}: {self.where}.{key}: {text}")

    def read(self, table: type[keys.T]) -> keys.T:
        """All keys are this table's own. What is wrong has the value FAULTY."""
        return self.pair(table, None, dict, lambda _: ())[0]

    def pair(
        self,
        common: type[keys.T],
        own: type[Any] | None,
        elsewhere: Callable[[], Mapping[str, str]],
        check: Callable[[object], Faults],
    ) -> tuple[keys.T, object]:
        """The keys that all services share, and the service's own. What is wrong has the value FAULTY."""
        known = [*keys.names(common), *(keys.names(own) if own else ())]
        for key, text in keys.unknown(self.values, known, elsewhere):
            self.fault(key, text)
        shared = keys.read(common, self.values, self.place, self.fault)
        options = keys.read(own, self.values, self.place, self.fault) if own else None
        for key, text in check(options):
            self.fault(key, text)
        return shared, options

    def examine(self, common: type[Any], own: Iterable[type[Any]], said: str) -> None:
        """What is wrong whichever service this is of, where that is not known; of the key `said` all is said."""
        tables = [common, *own]
        rest = {key: value for key, value in self.values.items() if key != said}
        for key, text in keys.unknown(rest, (name for table in tables for name in keys.names(table)), dict):
            self.fault(key, text)
        keys.check(tables, rest, self.place, self.fault)


def directory_of(section: Section) -> Path | None:
    """An outbox's folder, whatever else is wrong with its table."""
    try:
        return keys.path(section.values.get("directory"), section.place)
    except ValueError:
        return None


def files_of(options: object) -> list[Path]:
    """The files that a table's own keys name, which hold secrets: as `Secret`, or as lists of keys."""
    values = (getattr(options, name, None) for name in keys.names(type(options))) if is_dataclass(options) else ()
    paths = (getattr(value, "path", None) for value in values)
    return [path for path in paths if isinstance(path, Path)]


def keys_of_others(service: Service, table: Callable[[Service], type[Any] | None]) -> dict[str, str]:
    """Key -> the other services that have it."""
    found: dict[str, list[str]] = {}
    for other in SERVICES.values():
        declared = table(other)
        if other is not service and declared is not None:
            for name in keys.names(declared):
                found.setdefault(name, []).append(other.name)
    return {name: f"{' and '.join(services)}, not of {service.name}" for name, services in found.items()}


def overlap(folder: Path, other: Path) -> str | None:
    """How two folders overlap, after resolving links."""
    one, two = (Path(os.path.realpath(path)) for path in (folder, other))  # a loop of links is told elsewhere
    if one == two:
        return "is"
    if one in two.parents:
        return "contains"
    return "lies inside" if two in one.parents else None

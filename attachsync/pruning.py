"""`prune`: what is named, old or untracked leaves the mirror (contract 4). Marked first, then taken away."""

import contextlib
import os
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from attachsync import retention
from attachsync.errors import AttachsyncError, StorageError
from attachsync.index import Index, Kept
from attachsync.keeping import Keeping
from attachsync.manifest import in_the_way
from attachsync.model import is_digest
from attachsync.store import Store

WEEK = 7 * 86400.0
"""What is untracked is removed as such when it has been so for this long (seconds)."""
REASON = "removed by `prune`"
_QUARANTINE = ".attachsync/quarantine"


class UnknownError(AttachsyncError):
    """Nothing is known by what was named."""


class AmbiguousError(AttachsyncError):
    """What was named may be several things. `found` says which."""

    def __init__(self, message: str, found: Sequence[str]) -> None:
        super().__init__(message)
        self.found = tuple(found)


@dataclass(frozen=True, slots=True)
class Stray:
    """A file in the mirror that no attachment accounts for; `path` is relative to the mirror."""

    path: str
    size: int
    digest: str | None = None
    """Of one in the store."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to go. `digests`: bytes that nothing else shows, and their sizes. `young`: not untracked long enough."""

    items: tuple[Kept, ...]
    strays: tuple[Stray, ...]
    digests: Mapping[str, int]
    young: int = 0
    unlisted: tuple[str, ...] = ()
    """Tracks that were never listed whole: before that, nobody knows which files are strays."""

    @property
    def bytes(self) -> int:
        """How much of the disk becomes free (the store's files; entries of files/ that are copies are not counted)."""
        return sum(self.digests.values()) + sum(stray.size for stray in self.strays)


# --- what is to go --------------------------------------------------------------------------------------------------


def named(store: Store, index: Index, names: Iterable[Sequence[str]]) -> Plan:
    """What people name: digests (or unique prefixes), paths in the mirror, upstream identities.

    Each name may have several spellings, the first that something is known by counts. Raises UnknownError, also
    where nothing is here any more of what is known, and AmbiguousError.
    """
    items: dict[tuple[int, bool, str | None], Kept] = {}
    strays: dict[str, Stray] = {}
    for spellings in names:
        found, files = _first(store, index, spellings)
        items |= {(item.row, item.past, item.digest): item for item in found}
        strays |= {stray.path: stray for stray in files}
    return _plan(store, index, items.values(), strays.values())


def _first(store: Store, index: Index, spellings: Sequence[str]) -> tuple[list[Kept], list[Stray]]:
    for name in spellings:
        with contextlib.suppress(UnknownError):
            return _one(store, index, name)
    for name in spellings:
        for about in map(index.reports.describe, index.reports.find(name)):
            why = f", {about['reason']}" if about["reason"] else ""
            raise UnknownError(f"nothing is here of {name!r} that could be removed: it is {about['state']}{why}")
    raise UnknownError(f"nothing is known by {spellings[0]!r}: it is no digest, path or identity of an attachment here")


def _one(store: Store, index: Index, name: str) -> tuple[list[Kept], list[Stray]]:
    rows = index.upkeep.at_path(name)
    if not rows:
        rows = index.upkeep.identified(name)
        contents = {item.digest for item in index.upkeep.of_rows(rows) if not item.past}
        if len(contents) > 1:
            _ambiguous(name, [str(item.path or item.key) for item in index.upkeep.of_rows(rows) if not item.past])
    if rows:
        return index.upkeep.of_rows(rows), []
    if name.startswith(("files/", _QUARANTINE + "/")) and (stray := _file(store.mirror, name)):
        return [], [stray]
    digest = _digest(store, index, name)
    items = index.upkeep.of_digest(digest)
    return items, [] if items else _stray_files(store, index, [digest])


def _digest(store: Store, index: Index, prefix: str) -> str:
    """The one digest that a prefix stands for."""
    low = prefix.lower()
    found: set[str] = set()
    if len(low) >= 4 and not set(low) - set("0123456789abcdef"):
        found = index.upkeep.digests_like(low, low + "g")
        with contextlib.suppress(FileNotFoundError):
            found |= {
                one for one in os.listdir(f"{store.objects.folder}/{low[:2]}") if one.startswith(low) and is_digest(one)
            }
    if not found:
        raise UnknownError(f"nothing is known by {prefix!r}")
    if len(found) > 1:
        _ambiguous(prefix, sorted(found))
    return found.pop()


def _ambiguous(name: str, found: Sequence[str]) -> None:
    raise AmbiguousError(f"{name!r} is ambiguous: it names {len(found)} attachments, of different content", found)


def older(store: Store, index: Index, before: float, tracks: Collection[str], *, tracked: bool) -> Plan:
    """What was mirrored before a moment (Unix time): older versions, and what no track shows; `tracked`: that too."""
    return _plan(store, index, index.upkeep.older(before, [] if tracked else tracks), ())


def untracked(store: Store, index: Index, tracks: Collection[str], now: float) -> Plan:
    """What no track of the config shows, and no attachment accounts for, and what has been so for a week.

    Only what was noticed (`notice`) can have been so for long.
    """
    since = index.upkeep.untracked("track")
    old = [track for track, at in since.items() if at <= now - WEEK and track not in tracks]
    young = [track for track in since if track not in tracks and track not in old]
    unlisted = index.upkeep.never_listed(tracks)
    known_since = {} if unlisted else index.upkeep.untracked("file")
    strays = {stray.path: stray for stray in (() if unlisted else strays_of(store, index))}
    due = [stray for path, stray in strays.items() if known_since.get(path, now) <= now - WEEK]
    digests = [stray.digest for stray in due if stray.digest]
    files = [*(stray for stray in due if not stray.digest), *_stray_files(store, index, digests)]
    kept_back = len(strays) - len(due) + len(index.upkeep.of_tracks(young))
    return _plan(store, index, index.upkeep.of_tracks(old), files, young=kept_back, unlisted=tuple(unlisted))


def notice(store: Store, index: Index, tracks: Collection[str], now: float) -> None:
    """Take note of what is untracked now. Blocking."""
    index.upkeep.notice_tracks(tracks, now)
    if not index.upkeep.never_listed(tracks):
        index.upkeep.notice("file", [stray.path for stray in strays_of(store, index)], now)


def _plan(
    store: Store,
    index: Index,
    items: Iterable[Kept],
    strays: Iterable[Stray],
    *,
    young: int = 0,
    unlisted: tuple[str, ...] = (),
) -> Plan:
    """With the bytes that nothing but what is to go needs."""
    chosen = tuple(items)
    going: dict[str, set[tuple[int, bool]]] = {}
    for item in chosen:
        if item.digest:
            going.setdefault(item.digest, set()).add((item.row, item.past))
    free = [digest for digest, holders in going.items() if index.upkeep.holders(digest) <= holders]
    return Plan(chosen, tuple(strays), {digest: _size(store.path(digest)) for digest in free}, young, unlisted)


# --- strays ---------------------------------------------------------------------------------------------------------


def strays_of(store: Store, index: Index) -> Iterator[Stray]:
    """Files of the store and of quarantine that nothing accounts for. What is in `files/` may be somebody's."""
    if not os.path.isdir(store.objects.folder):
        return  # there is no mirror yet
    fetched = index.upkeep.just_fetched()
    for path in store.digests():
        is_object = is_digest(path.name) and path.parent.name == path.name[:2]
        if is_object and path.name not in fetched and not index.upkeep.is_known(path.name):
            stray = _file(store.mirror, str(path.relative_to(store.mirror)))
            if stray:
                yield Stray(stray.path, stray.size, path.name)
    evidence = index.upkeep.evidence()
    for name in sorted(os.listdir(store.quarantined)):
        if name not in evidence and (stray := _file(store.mirror, f"{_QUARANTINE}/{name}")):
            yield stray


def _stray_files(store: Store, index: Index, digests: Collection[str]) -> list[Stray]:
    """Stray objects, after the entries of `files/` that are these very files (left when an index was lost)."""
    objects = [Stray(str(store.path(one).relative_to(store.mirror)), _size(store.path(one)), one) for one in digests]
    inodes = set()
    for one in digests:
        with contextlib.suppress(FileNotFoundError):
            inodes.add(store.path(one).stat().st_ino)
    entries = []
    for folder, _, names in os.walk(store.mirror / "files") if inodes else ():
        for name in names:
            path = os.path.join(folder, name)
            with contextlib.suppress(OSError, UnicodeEncodeError):
                relative = os.path.relpath(path, store.mirror)
                if os.stat(path).st_ino in inodes and index.reports.showing(relative) is None:
                    entries.append(Stray(relative, 0))
    return [*entries, *objects]


def _file(mirror: Path, path: str) -> Stray | None:
    """A file that is no folder, by its path in the mirror; nothing outside of it."""
    if ".." in path.split("/"):
        return None
    try:
        found = os.lstat(mirror / path)
    except OSError:
        return None
    return None if stat.S_ISDIR(found.st_mode) else Stray(path, found.st_size)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


# --- and away -------------------------------------------------------------------------------------------------------


async def remove(keep: Keeping, plan: Plan) -> None:
    """Take away what a plan names; a kill at any moment leaves what the next start finishes. Raises StorageError."""
    stored = [stray.digest for stray in plan.strays if stray.digest]
    entries = [stray.path for stray in plan.strays if not stray.digest]
    with keep.manifest.outdated():
        keep.index.removals.remove(plan.items, [*plan.digests, *stored], REASON)
        for path in entries:
            remover = keep.views.hide if path.startswith("files/") else keep.store.discard
            await keep.store.run(remover, path)
        await retention.finish(keep)
    await keep.manifest.publish()
    if hindrance := in_the_way(keep.store.mirror):
        raise StorageError(hindrance)

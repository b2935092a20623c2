"""Bytes are stored, get their readable names, and then their rows: in groups, and in this order (architecture 4)."""

from collections.abc import Sequence
from dataclasses import dataclass

from attachsync.clock import Clock
from attachsync.groups import Groups
from attachsync.incoming import Bytes
from attachsync.index import Entry, Index
from attachsync.linking import Placing
from attachsync.manifest import Change, Manifest
from attachsync.store import Store, storage_error, storage_errors
from attachsync.views import Views

_GROUP = 256


@dataclass(slots=True)
class _Showing:
    """One attachment about to be shown. `is_last`: its row is written as soon as it is; `recorded`: it was."""

    entry: Entry
    found: Bytes
    path: str
    change: Change
    is_last: bool
    recorded: bool = False


class Showing:
    """The last steps of an attachment on its way: its bytes, its entry under `files/`, durable, then its row."""

    def __init__(self, index: Index, store: Store, views: Views, manifest: Manifest, clock: Clock) -> None:
        self._index = index
        self._store = store
        self._views = views
        self._manifest = manifest
        self._clock = clock
        self._groups = Groups(self._show, store.threads, most=_GROUP, after=self._record)

    async def show(self, entry: Entry, found: Bytes) -> str | None:
        """Store, show and record: the path; None if another version was listed meanwhile. Raises StorageError."""
        with self._store.landing(found.incoming):
            path = self._index.attachments.claim(entry.account, entry.attachment, found.media_type)
            with self._manifest.outdated() as change:
                return await self._shown(entry, found, path, change)

    async def _shown(self, entry: Entry, found: Bytes, path: str, change: Change) -> str | None:
        attachments, moves = self._index.attachments, entry.path is not None and entry.path != path
        showing = _Showing(entry, found, path, change, is_last=not moves)
        await self._groups.add(showing)
        if moves:
            if entry.path and entry.shown and not attachments.shows(entry.path, entry.shown, entry.id)[0]:
                await self._store.run(self._views.hide, entry.path)
            showing.recorded = self._recorded(showing)
        if not showing.recorded and path != entry.path:
            await self._store.run(self._views.hide, path)  # its version changed meanwhile, and its name
        return path if showing.recorded else None

    def _show(self, group: Sequence[_Showing]) -> list[Exception | None]:
        with storage_errors(self._store.mirror):
            errors = self._views.show_all([_placing(one.path, one.found) for one in group])
        return [error and storage_error(error, self._store.mirror) for error in errors]

    def _record(self, group: Sequence[_Showing]) -> None:
        with self._index.database.transaction():
            for one in group:
                one.recorded = one.is_last and self._recorded(one)

    def _recorded(self, one: _Showing) -> bool:
        return self.record(one.entry, one.found, one.path, one.change if one.is_last else None)

    def record(self, entry: Entry, found: Bytes, path: str, change: Change | None) -> bool:
        """Write the row of what is shown, and tell of the change, if that is all of it. False as `stored` has it."""
        before = self._index.reports.showing(path)
        recorded = self._index.attachments.stored(
            entry, found.digest, found.size, found.media_type, path, self._clock.now()
        )
        if recorded and change:
            change.shows(path, found.digest, before)
        return recorded


def _placing(path: str, found: Bytes) -> Placing:
    return Placing(path, found.digest, None if found.incoming is None else found.incoming.landing())

"""Bytes are stored, get their readable names, and then their rows: in groups, and in this order (architecture 4)."""

from collections.abc import Sequence
from dataclasses import dataclass

from attachsync.clock import Clock
from attachsync.groups import Groups
from attachsync.incoming import Bytes
from attachsync.index import Entry, Index, Stored
from attachsync.linking import Placing
from attachsync.manifest import Change, Manifest
from attachsync.store import Store, item_error, storage_errors
from attachsync.views import Views

_GROUP = 256


@dataclass(slots=True)
class Shown:
    """One attachment that is shown, or about to be; its row says so once `is_recorded`."""

    entry: Entry
    found: Bytes
    path: str
    change: Change | None
    """What hears of it, if that is all that happens to entries. None: its row is written later."""
    said: tuple[str, float | None] | None = None
    """As `Stored` has it."""
    is_only_name: bool = False
    """Whether it is known to have had no other name than that of `path`."""
    is_recorded: bool = False

    @property
    def stored(self) -> Stored:
        """What its row is to say."""
        found = self.found
        return Stored(self.entry, found.digest, found.size, found.media_type, self.path, self.said)


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
            path = self._index.naming.claim(entry.account, entry.attachment, found.media_type)
            with self._manifest.outdated() as change:
                return await self._shown(entry, found, path, change)

    async def _shown(self, entry: Entry, found: Bytes, path: str, change: Change) -> str | None:
        attachments, moves = self._index.attachments, entry.path is not None and entry.path != path
        showing = Shown(entry, found, path, None if moves else change)
        await self._groups.add(showing)
        if moves:
            if entry.path and entry.shown and not attachments.shows(entry.path, entry.shown, entry.id)[0]:
                await self._store.run(self._views.hide, entry.path)
            self.record([showing])
        if not showing.is_recorded and path != entry.path:
            await self._store.run(self._views.hide, path)  # its version changed meanwhile, and its name
        return path if showing.is_recorded else None

    def _show(self, group: Sequence[Shown]) -> list[Exception | None]:
        with storage_errors(self._store.mirror):
            errors = self._views.show_all([_placing(one.path, one.found) for one in group])
        return [error and item_error(error, self._store.mirror) for error in errors]

    def _record(self, group: Sequence[Shown]) -> None:
        self.record([one for one in group if one.change])

    def record(self, many: Sequence[Shown]) -> None:
        """Write the rows of what is shown, all or none, and tell of the changes."""
        attachments, now = self._index.attachments, self._clock.now()
        with self._index.database.transaction():
            before = self._index.reports.showing_of([one.path for one in many])
            written = attachments.stored([one.stored for one in many], now)
            for one, is_written in zip(many, written, strict=True):
                one.is_recorded = is_written
            recorded = [one for one in many if one.is_recorded]
            self._index.naming.release([(one.entry, one.path) for one in recorded if not one.is_only_name])
        for one in recorded:
            if one.change:
                one.change.shows(one.path, one.found.digest, before.get(one.path))
            before[one.path] = one.found.digest


def _placing(path: str, found: Bytes) -> Placing:
    return Placing(path, found.digest, None if found.incoming is None else found.incoming.landing())

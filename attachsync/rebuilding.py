"""A lost or damaged index is set aside and made anew, from the store and from upstream (contract 3, 4).

What is stored already is not downloaded again: the service's own record states its digest, or `files/` shows it under
the very name that the attachment has. Names are told apart as they were: an attachment that had to give way to another
one of the same name has its own digits in its name.
"""

import contextlib
import json
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from attachsync import lock, names, receipts, spool
from attachsync.durable import fsync_folder, synced
from attachsync.errors import IndexDamagedError
from attachsync.filing import SENT, Filing
from attachsync.hashing import hashed
from attachsync.http import Http
from attachsync.incoming import Expected
from attachsync.index import Entry, Index
from attachsync.index.database import FILE
from attachsync.index.upkeep import REBUILT
from attachsync.index.uploads import Uploads
from attachsync.logger import structlog
from attachsync.model import Account, Digest, Draft, Outbox
from attachsync.services import SERVICES
from attachsync.spool import Spool
from attachsync.store import Store, storage_errors

log = structlog.get_logger()

_TO_SURVEY = "to_survey"
_JOURNAL_LOST = "journal_lost"
_CLOSED = "index.closed"
_SURELY_KEPT = 230
"""So many bytes of a long name are there whatever extension it got."""


# --- at the start ---------------------------------------------------------------------------------------------------


def opened(mirror: Path, state: Path, now: float) -> Index:
    """Open the index; one that is lost or damaged is set aside, and a new one made. Raises StorageError. Blocking."""
    path = state / FILE
    try:
        empty = not path.exists() or path.stat().st_size == 0
        if not empty or not _was_used(mirror):
            index = Index.open(state, check=not _is_as_it_was_closed(state))
            if index.database.noted(lock.MARK) or not _was_used(mirror):
                return index
            index.close()  # somebody made a new one who does not hold the mirror
            empty = True
        why = "it was missing" if not path.exists() else "it was empty"
    except IndexDamagedError as error:
        why = str(error).partition(":")[0]
    aside = _set_aside(state, now)
    index = Index.open(state)
    about = {"at": now, "why": why, "set_aside": aside}
    with index.database.transaction(durable=True):
        for key in (REBUILT, _TO_SURVEY, _JOURNAL_LOST):
            index.database.note(key, json.dumps(about))
    log.error("index_made_anew", why=why, set_aside=aside, note="listing begins anew; what is stored is not fetched")
    return index


def closed(state: Path) -> None:
    """The index was closed tidily: what it looks like now is kept, and as long as it does it need not be read whole.

    Of an index of gigabytes that would take longer than all else at a start.
    """
    with contextlib.suppress(OSError):
        (state / _CLOSED).write_text(_look(state))


def _is_as_it_was_closed(state: Path) -> bool:
    """Whether nobody has touched the index since. Asked once: from here on it is in use."""
    stamp = state / _CLOSED
    try:
        said = stamp.read_text()
        stamp.unlink()
        return said == _look(state)
    except (OSError, UnicodeDecodeError):
        return False


def _look(state: Path) -> str:
    """What differs when something was written to the index."""
    found = (state / FILE).stat()
    log = state / f"{FILE}-wal"
    return f"{found.st_ino} {found.st_size} {found.st_mtime_ns} {log.stat().st_size if log.exists() else 0}\n"


def _was_used(mirror: Path) -> bool:
    """Whether this folder has been a mirror before."""
    if (mirror / ".attachsync" / lock.MARKER).exists():
        return True
    with contextlib.suppress(OSError), os.scandir(mirror / "sha256") as entries:
        return any(True for _ in entries)
    return False


def _set_aside(state: Path, now: float) -> str | None:
    """Rename the index's files; the new name, None where there was none."""
    found = None
    with storage_errors(state):
        for suffix in ("", "-wal", "-shm"):
            old = state / (FILE + suffix)
            if old.exists():
                aside = f"{FILE}.broken-{int(now)}{suffix}"
                os.rename(old, state / aside)
                found = found or aside
        fsync_folder(state)
    return found


# --- what files/ showed before --------------------------------------------------------------------------------------


class Salvage:
    """Finds the bytes of an attachment that was shown before the index was lost."""

    def __init__(self, store: Store, index: Index) -> None:
        self._store = store
        self._index = index

    async def find(self, entry: Entry, expected: Expected) -> tuple[Digest, int, str | None] | None:
        """(digest, size, media type) of what this attachment showed, hashed again; None if there is nothing sound.

        What was found is given away once: no other attachment gets it.
        """
        if entry.path is not None:
            return None
        for path in self._paths(entry):
            there, known = self._index.upkeep.take_found(path)
            found = await self._store.run(self._sound, path, known) if there else None
            if found is not None and expected.fault(*found) is None:
                return *found, _media_type(entry, path)
        return None

    def _paths(self, entry: Entry) -> Iterator[str]:
        """Where it was shown: under its own name with its own digits, else under the plain one."""
        item = entry.attachment
        folder, leaf = names.place(entry.account, item.path)
        owner = f"{entry.account}\0{item.key}"
        for base in (*(names.distinct(leaf, owner, attempt) for attempt in range(3)), leaf):
            if self._index.upkeep.was_found(f"{folder}/{base}"):
                yield f"{folder}/{base}"
            elif not names.split(base)[1]:
                yield from self._extended(folder, base)

    def _extended(self, folder: str, base: str) -> Iterator[str]:
        """The one name that is `base` with some media type's extension, cut to make room for it if need be."""
        stem = base.encode()[:_SURELY_KEPT].decode(errors="ignore")
        found = []
        for path in self._index.upkeep.found_below(f"{folder}/{stem}", whole=stem == base):
            known, suffix = names.split(path.removeprefix(folder + "/"))
            if suffix and "/" not in known and (known == base or (stem != base and base.startswith(known))):
                found.append(path)
        if len(found) == 1:
            yield found[0]

    def _sound(self, path: str, known: Digest | None) -> tuple[Digest, int] | None:
        """What an entry showed, if these bytes are stored and still what their name says (blocking)."""
        with contextlib.suppress(OSError):
            digest = known or hashed(self._store.mirror / path)[0]
            found = hashed(self._store.path(digest))
            return found if found[0] == digest else None
        return None


def _media_type(entry: Entry, path: str) -> str | None:
    """The media type that gives an attachment's name the extension it had, where the listing states none."""
    if entry.attachment.media_type:
        return entry.attachment.media_type
    leaf = path.rpartition("/")[2]
    return names.media_type_of(leaf) if names.split(leaf)[1] else None


async def salvage(store: Store, index: Index, state: Path, tracks: list[str]) -> Salvage | None:
    """What helps while an index is made anew; None when it is not, or all was listed since. Raises StorageError."""
    if index.database.noted(_TO_SURVEY):
        await store.run(_survey, store, state)
        index.database.note(_TO_SURVEY, "")
    if not index.upkeep.has_found():
        return None
    if not index.upkeep.never_listed(tracks) and not index.upkeep.is_catching_up():
        index.upkeep.drop_found()
        return None
    return Salvage(store, index)


def _survey(store: Store, state: Path) -> None:
    """Take down what files/ shows (blocking)."""
    index = Index.open(state)  # a connection of this thread's own
    try:
        objects = ((path.stat().st_ino, path.name) for path in store.digests() if path.is_file())
        index.upkeep.survey(objects, _entries(store))
    finally:
        index.close()


def _entries(store: Store) -> Iterator[tuple[str, int | None, str | None]]:
    """(path, inode, digest if a link names it) of each entry of files/."""
    for folder, _, files in os.walk(store.mirror / "files"):
        for name in files:
            place = Path(folder, name)
            path = str(place.relative_to(store.mirror))
            found = place.lstat()
            if stat.S_ISLNK(found.st_mode):
                target = Path(os.path.normpath(place.parent / os.readlink(place)))
                if target == store.path(target.name):
                    yield path, None, target.name
            elif stat.S_ISREG(found.st_mode) and _is_text(path):
                yield path, found.st_ino, None


def _is_text(path: str) -> bool:
    return os.fsencode(path).decode(errors="replace") == path


# --- the outboxes' journal ------------------------------------------------------------------------------------------


def suspect(account: Account, boxes: Sequence[Outbox], http: Http, index: Index, now: float) -> None:
    """Where the journal was lost, take what is in an account's outboxes for files that may have been sent before.

    Blocking. Raises StorageError.
    """
    push = SERVICES[account.service].push
    for box in boxes if push and index.database.noted(_JOURNAL_LOST) else ():
        if push and box.account == account.name:
            with storage_errors(box.directory):
                _suspect(box, index.uploads, now, posts=push.sender(http, box.options).posts())


def _suspect(box: Outbox, uploads: Uploads, now: float, *, posts: bool) -> None:
    """Take what is in an outbox for files that may have been sent before: the journal that knew is lost.

    One whose receipt is there already is filed. Where a file is also posted as a message, which is to happen once
    at most, it is held for a person.
    """
    opened = Spool.open(box.directory, box.ignore, lock=False, make=True)
    try:
        filing = Filing(opened.descriptor)
        receipts_left = {
            (said.get("file_name"), said.get("sha256")): name
            for name, present, text in filing.documents(SENT)
            if not present and (said := receipts.parsed(text))
        }
        for name, stamp in opened.scan().files.items():
            file = opened.open_seen(name, stamp)
            if file is None:
                continue
            with file:
                digest = spool.digest(file.fileno())
                place = receipts_left.get((name, digest))
                if place is not None:
                    synced(filing.moving(name, f"{SENT}/{place}", file))
                    continue
            draft = Draft(os.urandom(16).hex(), name.rpartition("/")[2], names.media_type_of(name), stamp.size, digest)
            upload = uploads.begin(str(box.directory), name, draft, now)
            if posts:
                why = "the index was lost: whether this was posted before is not known; `outbox retry` posts it"
                uploads.postpone(upload, why, 0, now, state="held", unknown=True)
    finally:
        opened.close()


def journal_is_made_good(index: Index) -> None:
    """All outboxes were looked through."""
    index.database.note(_JOURNAL_LOST, "")

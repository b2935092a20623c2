"""What the command line does with an outbox beside a daemon: list, and try again. Without the lock."""

import contextlib
import os
from collections.abc import Iterator
from datetime import datetime

from attachsync import receipts, units
from attachsync.errors import RefusedError, StorageError
from attachsync.filing import FAILED, Filing
from attachsync.index.uploads import Upload, Uploads
from attachsync.model import Outbox
from attachsync.spool import Spool

_STATES = {"retry": "retry", "held": "held"}
"""Journal state -> what `outbox ls` calls it; all others are `sending`."""


def key(config: Outbox) -> str:
    """By what the index knows an outbox."""
    return str(config.directory)


def waiting(config: Outbox, uploads: Uploads, *, running: bool = True) -> list[dict[str, object]]:
    """What waits, failed or is held (`outbox ls`): name, state, size, attempts, error, since (RFC 3339).

    States: `waiting`, `sending`, `retry`, `held`, `odd`, `failed`, `held deletion`. `running`: somebody holds the
    mirror; else nothing is being sent, whatever the journal says. Raises StorageError.
    """
    with _opened(config) as spool:
        if spool is None:
            return []
        found = spool.scan()
        rows = {row.name: row for row in uploads.unfinished(key(config))}
        present = [
            _present(name, stamp.size, max(stamp.mtime_ns, stamp.ctime_ns) / 1e9, rows.pop(name, None), running)
            for name, stamp in sorted(found.files.items())
        ]
        rest = [_present(name, row.draft.size, row.attempted_at, row, running) for name, row in sorted(rows.items())]
        odd = [_entry(name, "odd", error=why) for name, why in sorted(found.odd.items())]
        held = [_entry(name, "held deletion") for name in uploads.held(key(config))]
        return present + rest + odd + list(_failed(Filing(spool.descriptor))) + held


def _entry(
    name: str,
    state: str,
    *,
    size: int | None = None,
    attempts: object = 0,
    error: object = "",
    since: str | None = None,
) -> dict[str, object]:
    return {"name": name, "state": state, "size": size, "attempts": attempts, "error": error, "since": since}


def _present(name: str, size: int, since: float | None, row: Upload | None, running: bool) -> dict[str, object]:
    if row is None:
        return _entry(name, "waiting", size=size, since=units.rfc3339(since))
    state = _STATES.get(row.state, "sending")
    error, since = row.error or _unfinished(row, running), row.attempted_at or since
    return _entry(name, state, size=size, attempts=row.attempts, error=error, since=units.rfc3339(since))


def _unfinished(row: Upload, running: bool) -> str:
    """What remains to be done of a file that is not being uploaded; empty if it is."""
    match row.state:
        case "sending" if not running:
            return "it was interrupted; the next pass takes it up"
        case "uploaded" | "posting":
            return "it is uploaded; its message or its receipt is still to come"
        case "filing" if receipts.is_failure(row):
            return "it is refused; its record is still to be written"
        case "filing":
            return "it is sent; its receipt is still to be written"
    return ""


def _failed(filing: Filing) -> Iterator[dict[str, object]]:
    for name, present, text in filing.documents(FAILED):
        said = receipts.parsed(text)
        if not present or said is None or "error" not in said:
            continue
        at = said.get("failed_at")
        since = units.rfc3339(at.timestamp()) if isinstance(at, datetime) else None
        size = filing.size(f"{FAILED}/{name}")
        yield _entry(name, "failed", size=size, attempts=said.get("attempts", 0), error=said["error"], since=since)


def retry(config: Outbox, uploads: Uploads, name: str, now: float) -> bool:
    """`outbox retry`: bring failed/NAME back into the outbox, or let a held or waiting file go on; False: no such file.

    It comes back by the name it had there, if that is free, else by the one in failed/. RefusedError (`exists`) when
    the outbox has another file of that name; StorageError.
    """
    if not name or name.startswith("/") or any(part in ("", ".", "..") for part in name.split("/")):
        return False
    bare = name.removeprefix(FAILED + "/")
    with _opened(config) as spool:
        if spool is None:
            return False
        if uploads.release(key(config), name, now):
            _wake(config)
            return True
        filing = Filing(spool.descriptor)
        bare = filing.failed(bare)
        for to in (uploads.dropped_as(key(config), f"{FAILED}/{bare}") or bare, bare):
            with contextlib.suppress(FileExistsError):
                return filing.bring_back(bare, to)
        raise RefusedError(f"{config.directory} already has another {bare}: rename it first", code="exists")


def confirm(config: Outbox, uploads: Uploads) -> int:
    """`outbox confirm`: let the deletions that wait go; how many."""
    count = uploads.confirm(key(config))
    if count:
        _wake(config)
    return count


def _wake(config: Outbox) -> None:
    """A daemon's watcher sees its outbox change, and looks at once, not only when it would anyway."""
    with contextlib.suppress(OSError):
        os.utime(config.directory)


@contextlib.contextmanager
def _opened(config: Outbox) -> Iterator[Spool | None]:
    """The outbox, without its lock; None where it is not there yet."""
    try:
        spool = Spool.open(config.directory, config.ignore, lock=False)
    except FileNotFoundError:
        yield None
        return
    except OSError as error:
        raise StorageError(f"{config.directory}: {error.strerror}") from error
    try:
        yield spool
    except FileExistsError:
        raise
    except OSError as error:
        raise StorageError(f"{config.directory}: {os.strerror(error.errno or 0)}") from error
    finally:
        spool.close()

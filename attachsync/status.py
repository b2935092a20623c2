"""What `status` answers: is it working, since when, how far, what is wrong."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from attachsync import lock
from attachsync.completeness import Completeness, together
from attachsync.errors import StorageError
from attachsync.index import Index
from attachsync.index.health import damage_found, progress
from attachsync.index.upkeep import REBUILT
from attachsync.manifest import in_the_way
from attachsync.model import JSON, Account, Outbox, State, Track
from attachsync.needs import Need, needs
from attachsync.outbox import key, waiting
from attachsync.reader import Config
from attachsync.units import human_size, rfc3339

_INDEX_NEEDS = 64 * 1024
"""With less room than this (bytes) the index cannot be written."""


@dataclass(frozen=True, slots=True)
class Status:
    """A moment's state of everything a config names."""

    holder: lock.Holder | None
    """Who holds the mirror: the daemon, or a pass under way."""
    accounts: list[dict[str, JSON]]
    tracks: list[dict[str, JSON]]
    outboxes: list[dict[str, JSON]]
    store: dict[str, JSON]
    completeness: Completeness
    """Of all tracks together."""
    needs: list[Need]

    @property
    def running(self) -> bool:
        """Whether it is a daemon that holds the mirror."""
        return _is_daemon(self.holder)

    @property
    def needs_a_person(self) -> list[str]:
        """What is wrong, without what to do about it."""
        return [need.what for need in self.needs]

    def document(self) -> dict[str, JSON]:
        """As `status --json` prints it."""
        holder = self.holder
        return {
            "daemon": {
                "running": self.running,
                "holder": None if holder is None else str(holder),
                "pid": holder.pid if holder else None,
                "since": holder.since if holder else None,
            },
            "accounts": list(self.accounts),
            "tracks": list(self.tracks),
            "outboxes": list(self.outboxes),
            "store": self.store,
            "completeness": self.completeness.document(),
            "needs_a_person": list(self.needs_a_person),
            "what_to_do": [{"what": need.what, "do": need.do} for need in self.needs],
        }


def gathered(config: Config, index: Index, holder: lock.Holder | None, now: float) -> Status:
    """Read the state of everything from the index and the folders; `now` is Unix time."""
    names = [track.name for track in config.tracks]
    counts, complete = index.tracks.counts(names), index.tracks.completeness(names)
    running, unread = _is_daemon(holder), index.tracks.unread(names)
    tracks = [
        {
            **_track(config, index, track, counts[track.name], now, running=running, unread=unread.get(track.name)),
            "removed": complete[track.name].removed,
            "completeness": complete[track.name].document(),
        }
        for track in config.tracks
    ]
    outboxes = [_outbox(box, index) for box in config.outboxes]
    accounts = [_account(account, tracks, outboxes) for account in config.accounts.values()]
    disks = list(_wrong_with_disks(config, index))
    found = needs(config.accounts, tracks, outboxes, damage_found(index), running=running, disks=disks)
    whole = together(complete.values())
    return Status(holder, accounts, tracks, outboxes, _store(config, index), whole, found)


def _account(
    account: Account, tracks: Sequence[Mapping[str, JSON]], outboxes: Sequence[Mapping[str, JSON]]
) -> dict[str, JSON]:
    mine = [track for track in tracks if track["account"] == account.name]
    boxes = [box for box in outboxes if box["account"] == account.name]
    failing = [track["error_since"] for track in mine]
    return {
        "name": account.name,
        "service": account.service,
        "base_url": account.base_url,
        "last_error": next((one["last_error"] for one in (*mine, *boxes) if one["last_error"]), None),
        "error_since": min((since for since in failing if isinstance(since, str)), default=None),
    }


def _track(
    config: Config,
    index: Index,
    track: Track,
    counts: Mapping[str, int],
    now: float,
    *,
    running: bool,
    unread: str | None,
) -> dict[str, JSON]:
    """One track; there is a next pass only while a daemon is `running`. `unread`: what could not be read again."""
    known = index.tracks.status(track.name)
    ended, complete, error, since = (known.get(key) for key in ("ended_at", "complete_at", "error", "error_since"))
    error = error or unread
    interval = track.interval or config.daemon.interval
    started = known.get("started_at")
    due = max(started + interval, now) if running and isinstance(started, float) else None
    state = "never listed" if ended is None else "failing" if error else "ok"
    if state == "ok" and isinstance(complete, float) and now - complete > max(config.daemon.stale_after, interval):
        state = "stale"
    doubts = list(index.tracks.doubts(track.name).told(counts.get(State.STORED, 0)))
    if state == "ok" and doubts:
        state = "suspicious"
    return {
        "name": track.name,
        "account": track.account,
        "state": state,
        "counts": dict(counts),
        "last_pass": rfc3339(ended if isinstance(ended, float) else None),
        "last_complete": rfc3339(complete if isinstance(complete, float) else None),
        "next_pass": rfc3339(due),
        "awaited": index.tracks.awaited(track.name) or None,
        "last_error": str(error) if error else None,
        "error_since": rfc3339(since if isinstance(since, float) else None),
        "suspicious": [{"what": what, "since": rfc3339(moment)} for what, moment in doubts],
    }


def _made_anew(index: Index) -> JSON:
    """When and why the index was made anew, and where the old one is; None if it never was."""
    about = json.loads(index.database.noted(REBUILT) or "{}")
    return {**about, "at": rfc3339(about["at"])} if about else None


def _is_daemon(holder: lock.Holder | None) -> bool:
    return holder is not None and holder.command == "run"


def _outbox(box: Outbox, index: Index) -> dict[str, JSON]:
    rows = waiting(box, index.uploads)
    states = [str(row["state"]) for row in rows]
    return {
        "directory": str(box.directory),
        "account": box.account,
        "waiting": sum(state in ("waiting", "sending", "retry") for state in states),
        "sent": index.uploads.counts(key(box)).get("sent", 0),
        "failed": states.count("failed"),
        "held": states.count("held") + states.count("held deletion"),
        "odd": states.count("odd"),
        # What is held says nothing of the account, and is told as such.
        "last_error": next((str(row["error"]) for row in rows if row["state"] == "retry" and row["error"]), None),
        "trouble": list(index.uploads.troubles(key(box))),
    }


def _wrong_with_disks(config: Config, index: Index) -> Iterator[str]:
    """What keeps passes from noting even that they fail, or would if there was anything new."""
    directory, state, least = config.mirror.directory, config.state_directory, config.mirror.min_free
    try:
        lock.recognised(directory, index.database.noted(lock.MARK))
    except StorageError as error:
        yield str(error)
        return
    if (free := _free(directory)) < max(least, 1):
        yield f"{directory}: the disk is full: {human_size(free)} are free; min_free is {human_size(least)}"
    elif _free(state) < _INDEX_NEEDS:
        yield f"{state}: the disk is full: nothing can be noted"
    if hindrance := in_the_way(directory):
        yield hindrance


def _free(directory: Path) -> int:
    """Bytes free for this user where a folder is, or would be."""
    while not directory.exists() and directory != directory.parent:
        directory = directory.parent
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize


def _store(config: Config, index: Index) -> dict[str, JSON]:
    objects, total = index.reports.totals()
    return {
        "directory": str(config.mirror.directory),
        "objects": objects,
        "bytes": total,
        "free": _free(config.mirror.directory),
        "link": config.mirror.link,
        "link_fallback": index.database.noted("link_fallback"),
        "last_scrub": rfc3339(progress(index)[0] or None),
        "index_made_anew": _made_anew(index),
    }

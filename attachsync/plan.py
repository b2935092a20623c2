"""What a pass would do, without doing it (`sync --dry-run`): nothing is written, no key is used up."""

import dataclasses
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from attachsync import names
from attachsync.clock import Clock
from attachsync.errors import AttachsyncError, NotReadyError
from attachsync.http import Http
from attachsync.index import Index
from attachsync.model import JSON, Cursors, Outbox, Track
from attachsync.outbox import foreseen, waiting
from attachsync.reader import Config
from attachsync.services import SERVICES

_TOO_LARGE = "larger than max_size"


@dataclass(frozen=True, slots=True)
class Planned:
    """One thing that a pass would do: `action` is `fetch`, `send` or `refuse`; or `error`: a track cannot be listed.

    `reason` says why; of what is to be fetched, why it was not the last time.
    """

    action: str
    account: str
    track: str
    key: str
    path: str = ""
    size: int | None = None
    media_type: str | None = None
    reason: str = ""


class _Ahead:
    """Cursors as they would be if the pages so far had been committed. `known`: None for a track listed anew."""

    thorough = False

    def __init__(self, known: Cursors | None) -> None:
        self._known = known
        self.marks: dict[str, JSON] = {}

    def get(self, feed: str) -> JSON:
        if feed in self.marks:
            return self.marks[feed]
        return self._known.get(feed) if self._known else None


async def planned(config: Config, index: Index, tracks: list[Track], *, outboxes: bool) -> AsyncIterator[Planned]:
    """List every track and outbox, and tell what is not mirrored or sent yet."""
    for track in tracks:
        account = config.accounts[track.account]
        http = Http(account, SERVICES[account.service].credentials(account), Clock())
        try:
            async for one in _of_track(http, index, track):
                too_large = one.size is not None and one.size > config.mirror.max_size
                yield dataclasses.replace(one, action="refuse", reason=_TOO_LARGE) if too_large else one
        except NotReadyError:
            pass  # what is pending is no failure
        except AttachsyncError as error:
            yield Planned("error", track.account, track.name, "", reason=str(error))
        finally:
            await http.close()
    for outbox in config.outboxes if outboxes else ():
        account = config.accounts[outbox.account]
        http = Http(account, SERVICES[account.service].credentials(account), Clock())
        try:
            for one in _of_outbox(http, index, outbox):
                yield one
        finally:
            await http.close()


async def _of_track(http: Http, index: Index, track: Track) -> AsyncIterator[Planned]:
    pull = SERVICES[http.account.service].pull
    assert pull is not None
    same = index.tracks.same(track.name, pull.identity(track.options))
    cursors = _Ahead(index.attachments.cursors(track.name) if same else None)
    told: set[str] = set()
    for key, path, size, media_type, reason in index.reports.outstanding(track.name):
        told.add(key)
        yield Planned("fetch", track.account, track.name, key, path, size, media_type, reason)
    async for page in pull.source(http).pages(track, cursors):
        cursors.marks.update(page.marks)
        for item in index.attachments.unknown(track.account, track.name, page):
            if item.key not in told:
                told.add(item.key)
                path = "/".join(names.place(track.account, item.path))
                yield Planned("fetch", track.account, track.name, item.key, path, item.size, item.media_type)


def _of_outbox(http: Http, index: Index, outbox: Outbox) -> Iterator[Planned]:
    push = SERVICES[http.account.service].push
    assert push is not None
    sender = push.sender(http, outbox.options)
    for row in waiting(outbox, index.uploads):
        if row["state"] in ("waiting", "sending", "retry"):
            name = str(row["name"])
            reason = "" if row["state"] == "sending" else foreseen(outbox, sender, name)
            action = "refuse" if reason else "send"
            yield Planned(action, outbox.account, "", name, str(outbox.directory), _size(row["size"]), reason=reason)


def _size(value: object) -> int | None:
    return value if isinstance(value, int) else None

"""A mirror that knows very much already, without the hours of fetching it.

`python -m tests.benchmarks.known UPSTREAM CONFIG COUNT assets|events|tracks` writes the lists and fills the index, in
a process of its own, so that its memory is not counted with anybody else's.
"""

import hashlib
import itertools
import json
import os
import random
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from attachsync import config as configs
from attachsync.index import Index
from attachsync.model import JSON, Attachment, Page
from attachsync.sources.datatrails import records
from tests.benchmarks import corpus
from tests.benchmarks.corpus import Blob

_TRACK, _SEED = "all", "known"
_CONTENT = b"the same in every file"
_DIGEST = hashlib.sha256(_CONTENT).hexdigest()
_TAKEN = 20_000
"""On events, what is more than this is made of copies in the index alone: nobody upstream names them any more."""
_STILL_LISTED = 1000
"""Events that are served still: older ones are never asked for again."""
_HASH = "printf('%08x%056x', ({0} * 2654435761) % 4294967296, {0})"  # of its own for each row, and in no order
_STORED = f"""UPDATE attachment SET state = 'stored', digest = {_HASH.format("id")}, shown = {_HASH.format("id")},
              size = :size, record = :record, media_type = 'application/pdf', mirrored_at = :now, attempted = 1,
              path = (SELECT path FROM name WHERE owner = account || char(0) || key AND wanted = attachment.wanted)
              WHERE digest IS NULL"""
_COLUMNS = (
    "account, track, version, wanted, media_type, size, stated, content, meta, record, state, listed_at, mirrored_at"
)
_OTHER = _HASH.format("(:copy * 10000000 + id)")
_MORE = (
    f"""INSERT INTO attachment ({_COLUMNS}, attempted, key, path, digest, shown)
        SELECT {_COLUMNS}, 1, key || '~' || :copy, path || '~' || :copy, {_OTHER}, {_OTHER} FROM attachment
        WHERE id <= :first""",
    """INSERT INTO name SELECT fold || '~' || :copy, path || '~' || :copy, owner || '~' || :copy, wanted FROM name
       WHERE path IN (SELECT path FROM attachment WHERE id <= :first)""",
)


def upstream(folder: Path, blobs: list[Blob], *, on_assets: bool) -> None:
    """Write the lists: every asset, and its attachments or the newest events."""
    corpus.write_lists(folder, _SEED, blobs if on_assets else [], on_assets=True)
    if not on_assets:
        lines = (f"{json.dumps(asset)}\n" for asset in corpus.assets(_SEED, blobs, on_assets=False))
        (folder / "assets.jsonl").write_text("".join(lines))
        newest = itertools.islice(corpus.events(_SEED, blobs), _STILL_LISTED)
        (folder / "events.jsonl").write_text("".join(f"{json.dumps(event)}\n" for event in newest))


def fill(config: Path, blobs: list[Blob], *, on_assets: bool) -> None:
    """Take it all into the index, as if it had been mirrored, and remember how far was listed."""
    state = configs.load(config, os.environ).state_directory
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    index, now = Index.open(state), time.time()
    found = _on_assets(blobs) if on_assets else itertools.islice(_on_events(blobs), _TAKEN)
    taken = 0
    while page := tuple(itertools.islice(found, 1000)):
        index.attachments.take("ledger", _TRACK, Page(page), now)
        taken += len(page)
    marks: dict[str, JSON] = {
        f"asset/{asset['identity'].partition('/')[2]}": True for asset in corpus.assets(_SEED, blobs, on_assets=False)
    }
    newest = records.event(next(corpus.events(_SEED, blobs)))
    marks["events"] = {"accepted": newest.accepted, "reached": now, "swept": True}
    index.attachments.take("ledger", _TRACK, Page((), marks), now)
    index.close()
    _as_stored(state / "index.sqlite3", taken, len(blobs) // taken, now)


def _on_assets(blobs: list[Blob]) -> Iterator[Attachment]:
    for asset in corpus.assets(_SEED, blobs, on_assets=True):
        yield from records.of_asset(_TRACK, records.asset(asset))


def _on_events(blobs: list[Blob]) -> Iterator[Attachment]:
    for event in corpus.events(_SEED, blobs):
        yield from records.of_event(_TRACK, records.event(event))


def _as_stored(file: Path, count: int, copies: int, now: float) -> None:
    """Mark all rows as mirrored, and add copies of them, whose keys nobody upstream will ever name again."""
    info = Blob("00000000-0000-4000-8000-000000000000", len(_CONTENT), _DIGEST).info()
    record = json.dumps({"info": info, "rung": "event", "sha256": _DIGEST}, sort_keys=True)
    with sqlite3.connect(file) as database:
        database.execute("PRAGMA cache_size = -500000")  # keys come in no order: on the disk each would be looked for
        database.execute(_STORED, {"size": len(_CONTENT), "record": record, "now": now})
        for number in range(1, copies):
            for statement in _MORE:
                database.execute(statement, {"copy": number, "first": count})
    database.close()


def split(config: Path) -> None:
    """Give each asset's attachments to a track of its own."""
    with sqlite3.connect(configs.load(config, os.environ).state_directory / "index.sqlite3") as database:
        database.execute(f"UPDATE attachment SET track = 'ledger/' || substr(key, 1, {len('assets/') + 36})")
    database.close()


def _main(folder: Path, config: Path, count: int, where: str) -> None:
    source = random.Random(_SEED)
    blobs = [Blob(corpus.some_uuid(source), len(_CONTENT), _DIGEST) for _ in range(count)]
    upstream(folder, blobs, on_assets=where == "assets")
    fill(config, blobs, on_assets=where == "assets")
    if where == "tracks":
        split(config)


if __name__ == "__main__":
    _main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4])

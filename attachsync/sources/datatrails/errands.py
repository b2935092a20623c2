"""What it takes to have an attachment where nothing is out of the ordinary (specs/datatrails.md 1.6). Pure."""

import functools
from collections.abc import Callable

from attachsync.model import JSON, Attachment, Digest, Facts
from attachsync.orders import Errand
from attachsync.sources.datatrails import records
from attachsync.sources.datatrails.rungs import download_query, rungs, subject
from attachsync.sources.datatrails.source import Target


def errand(target: Target, attachment: Attachment, path: str) -> Errand | None:
    """`/info` and the bytes by the best way; only where the listing states the hash, and credentials are asked for."""
    if target.public or attachment.sha256 is None:
        return None
    rung = next(rungs(subject(attachment), public=False))
    content = rung.path + download_query(target.scan)
    return Errand(f"{rung.path}/info", content, _facts(target.scan, rung.name), Digest(attachment.sha256), path)


@functools.lru_cache
def _facts(scan: str, rung: str) -> Callable[[JSON], Facts]:
    """The same for all of an order: it is sent once."""
    return functools.partial(records.facts, scan=scan, rung=rung)

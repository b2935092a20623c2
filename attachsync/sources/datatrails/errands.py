"""What it takes to have an attachment where nothing is out of the ordinary (specs/datatrails.md 1.6). Pure."""

import functools

from attachsync.errands import Errand
from attachsync.model import Attachment, Digest
from attachsync.sources.datatrails import records
from attachsync.sources.datatrails.rungs import download_query, rungs, subject
from attachsync.sources.datatrails.source import Target


def errand(target: Target, attachment: Attachment, path: str) -> Errand | None:
    """`/info` and the bytes by the best way; only where the listing states the hash, and credentials are asked for."""
    if target.public or attachment.sha256 is None:
        return None
    rung = next(rungs(subject(attachment), public=False))
    facts = functools.partial(records.facts, scan=target.scan, rung=rung.name)
    content = rung.path + download_query(target.scan)
    return Errand(f"{rung.path}/info", content, facts, Digest(attachment.sha256), path)

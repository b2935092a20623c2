"""Making damage work again: what `verify --repair` does before a pass fetches what is missing (contract 4)."""

from collections.abc import Sequence

from attachsync import damage, manifest
from attachsync.clock import Clock
from attachsync.daemon import equipped, holding
from attachsync.errors import StorageError
from attachsync.model import Digest
from attachsync.observer import Observer
from attachsync.reader import Config
from attachsync.verifying import Finding


async def prepare(config: Config, findings: Sequence[Finding]) -> list[str]:
    """Set damaged objects aside in quarantine, and show again what is stored but not shown rightly.

    Attachments whose bytes are lost become work, so that the next pass fetches them. What the service contradicts is
    asked about in that pass, and SHA256SUMS is written anew by it. Strays stay: they harm nothing, and may be
    somebody's; so does what is in the way of an entry: it is told what that is. Raises MirrorHeldError, StorageError.
    """
    clock, hindrances = Clock(), list[str]()
    async with (
        holding(config, "verify --repair", clock) as index,
        equipped(config, index, clock, Observer(), outboxes=False) as plant,
    ):
        for finding in findings:
            digest = finding.digest
            if finding.path == manifest.NAME:
                manifest.doubt(index)
            if digest is None:
                continue
            if finding.kind in ("corrupt", "missing"):
                await damage.lost(plant.keeping, digest, corrupt=finding.kind == "corrupt")
            elif finding.kind == "contradicted":
                index.upkeep.doubt(digest)
            elif plant.store.has(digest) and index.upkeep.is_shown(finding.path, digest):  # absent or edited
                try:
                    await plant.store.run(plant.views.show, finding.path, Digest(digest))
                except StorageError as error:
                    hindrances.append(str(error))
    return hindrances

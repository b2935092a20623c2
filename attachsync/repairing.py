"""Making damage work again: what `verify --repair` does before a pass fetches what is missing (contract 4)."""

from collections.abc import Iterator, Mapping, Sequence

from attachsync import damage
from attachsync.clock import Clock
from attachsync.daemon import equipped, holding
from attachsync.index import Index
from attachsync.model import Digest
from attachsync.observer import Observer
from attachsync.reader import Config
from attachsync.verifying import Finding


async def prepare(config: Config, findings: Sequence[Finding]) -> dict[int, str]:
    """Set damaged objects aside in quarantine, and show again what is stored but not shown rightly.

    Attachments whose bytes are lost become work, so that the next pass fetches them: (row, digest) of each. What the
    service contradicts is asked about in that pass. Strays stay: they harm nothing, and may be somebody's. Raises
    MirrorHeldError, StorageError.
    """
    clock, lost = Clock(), dict[int, str]()
    async with (
        holding(config, "verify --repair", clock) as index,
        equipped(config, index, clock, Observer(), outboxes=False) as plant,
    ):
        for finding in findings:
            digest = finding.digest
            if digest is None:
                continue
            if finding.kind in ("corrupt", "missing"):
                rows = await damage.lost(plant.keeping, digest, corrupt=finding.kind == "corrupt")
                lost |= dict.fromkeys(rows, digest)
            elif finding.kind == "contradicted":
                index.upkeep.doubt(digest)
            elif plant.store.has(digest) and index.upkeep.is_shown(finding.path, digest):  # absent or edited
                await plant.store.run(plant.views.show, finding.path, Digest(digest))
    return lost


def unmended(index: Index, lost: Mapping[int, str]) -> Iterator[Finding]:
    """Attachments whose bytes were lost, and which could not be fetched again."""
    for row, digest in lost.items():
        about = index.reports.describe(row)
        if about["sha256"] is None:
            where = f"{about['account']}: {about['key']}"
            yield Finding("missing", where, digest, f"could not be fetched again: {about['state']}, {about['reason']}")

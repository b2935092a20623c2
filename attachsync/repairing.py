"""Making damage work again: what `verify --repair` does before a pass fetches what is missing (contract 4)."""

from collections.abc import Sequence

from attachsync.clock import Clock
from attachsync.daemon import equipped, holding
from attachsync.observer import Observer
from attachsync.reader import Config
from attachsync.verifying import Finding


async def prepare(config: Config, findings: Sequence[Finding]) -> None:
    """Set damaged objects aside in quarantine, and show again what is stored but not shown rightly.

    Their rows become work, so that the next pass fetches them. Strays stay: they harm nothing, and may be somebody's.
    Raises MirrorHeldError, StorageError.
    """
    clock = Clock()
    async with (
        holding(config, "verify --repair", clock) as index,
        equipped(config, index, clock, Observer(), outboxes=False) as plant,
    ):
        for finding in findings:
            digest = finding.digest
            if digest is None:
                continue
            if finding.kind == "corrupt":
                await plant.store.run(plant.store.quarantine, digest)
            if finding.kind in ("corrupt", "missing"):
                index.attachments.forget(digest)
            elif finding.kind in ("absent", "edited") and plant.store.has(digest):
                await plant.store.run(plant.views.show, finding.path, digest)

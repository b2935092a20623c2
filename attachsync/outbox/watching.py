"""Hints that an outbox changed. Never more than hints: watchfiles loses events in silence (field/anchors.md B3)."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from attachsync import retry
from attachsync.clock import Clock
from attachsync.spool import RESERVED

if TYPE_CHECKING:
    import watchfiles
    from structlog.typing import FilteringBoundLogger


class Watch:
    """Watches a directory for as long as `run` runs, whatever becomes of a watcher."""

    def __init__(
        self,
        directory: Path,
        hint: Callable[[], None],
        clock: Clock,
        log: "FilteringBoundLogger",
        *,
        also_filed: bool,
    ) -> None:
        self._directory = directory
        self._hint = hint
        self._clock = clock
        self._log = log
        self._also_filed = also_filed
        self._again = asyncio.Event()

    def renew(self) -> None:
        """The path leads to another directory now: watch that one. The old watcher would stay silent for ever."""
        self._again.set()

    async def run(self) -> None:
        """Call `hint` on each change, and whenever a watcher was not there to see one."""
        import watchfiles

        failures = 0
        while True:
            self._again = asyncio.Event()
            try:
                async for _ in watchfiles.awatch(
                    self._directory, watch_filter=self._concerns, stop_event=self._again, debounce=400
                ):
                    failures = 0
                    self._hint()
            except Exception as error:  # whatever ends a watcher (a watch limit, a name that is not UTF-8) ends only it
                failures += 1
                if failures == 1:
                    self._log.warning("watch_failed", error=str(error), hint="the outbox is looked at every 30 s")
                await self._clock.sleep(retry.delay(failures, base=1.0, cap=60.0))
            self._hint()

    def _concerns(self, _change: "watchfiles.Change", path: str) -> bool:
        """Our own moves into sent/ and failed/ are no news; deletions there may be."""
        try:
            top = Path(path).relative_to(self._directory).parts[:1]
        except ValueError:
            return True
        return self._also_filed or not top or top[0] not in RESERVED

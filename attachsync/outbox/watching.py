"""Hints that an outbox changed. Never more than hints: watchfiles loses events in silence (field/anchors.md B3)."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from attachsync import folders, retry
from attachsync.clock import Clock
from attachsync.filing import SENT
from attachsync.folders import Identity
from attachsync.spool import RESERVED

if TYPE_CHECKING:
    import watchfiles

    from attachsync.logger import FilteringBoundLogger

_MOST = 4096
"""So many sub-folders are watched at most; what is in others is found by the looks that are made anyway."""


class Watch:
    """Watches a directory for as long as `run` runs, whatever becomes of a watcher.

    Folders are watched one by one, those that scans saw: a watcher that finds its own way would follow links out of
    the outbox, would watch sent/ and all that we move there, and could not say which folders it has no room for.
    """

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
        self._folders: Mapping[str, Identity] = {}
        self._too_many: Mapping[str, Identity] | None = None
        self._again = asyncio.Event()

    def renew(self) -> None:
        """The path leads to another directory now: watch that one. The old watcher would stay silent for ever."""
        self._again.set()

    def follow(self, found: Mapping[str, Identity]) -> None:
        """Watch these sub-folders too. One that came in place of another of its name is another."""
        wanted = dict(sorted(found.items())[:_MOST])
        if self._also_filed:
            try:
                wanted[SENT] = folders.identity((self._directory / SENT).lstat())
            except OSError:
                wanted.pop(SENT, None)
        if wanted != self._folders:
            self._folders = wanted
            self._again.set()

    async def run(self) -> None:
        """Call `hint` on each change, and whenever a watcher was not there to see one."""
        import watchfiles

        failures = 0
        while True:
            self._again = asyncio.Event()
            inner = self._folders if self._folders != self._too_many else {}
            try:
                # Made before this task first waits: the look that the last hint asked for comes after.
                async for _ in watchfiles.awatch(
                    self._directory,
                    *(self._directory / name for name in inner),
                    watch_filter=self._concerns,
                    stop_event=self._again,
                    debounce=400,
                    recursive=False,
                ):
                    failures = 0
                    self._hint()
            except Exception as error:  # whatever ends a watcher (a watch limit, a name that is not UTF-8) ends only it
                if inner and isinstance(error, OSError):
                    self._give_up(inner, error)
                else:
                    failures += 1
                    if failures == 1:
                        self._log.warning("watch_failed", error=str(error), hint="the outbox is looked at every 30 s")
                    await self._clock.sleep(retry.delay(failures, base=1.0, cap=60.0))
            self._hint()

    def _give_up(self, inner: Mapping[str, Identity], error: OSError) -> None:
        """Watch the outbox itself only, until its folders are others."""
        self._too_many = inner
        if not isinstance(error, FileNotFoundError):  # a folder that left is no news
            self._log.warning("watch_failed", error=str(error), hint="sub-folders are looked at every 30 s")

    def _concerns(self, change: "watchfiles.Change", path: str) -> bool:
        """Our own moves into sent/ and failed/ are no news, nor is what left; deletions in sent/ may be."""
        try:
            top = Path(path).relative_to(self._directory).parts[:1]
        except ValueError:
            return True
        if top and top[0] in RESERVED:
            return self._also_filed
        return not top or change.name != "deleted"

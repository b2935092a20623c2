"""What keeps an outbox from going on: logged once until it is well again, and kept for `status`."""

import contextlib
import os
from typing import TYPE_CHECKING

from attachsync.errors import StorageError
from attachsync.index.uploads import Uploads

if TYPE_CHECKING:
    from attachsync.logger import FilteringBoundLogger


class Telling:
    """The troubles of one outbox, by what cannot go on: its `files`, or its `deletions`."""

    def __init__(self, outbox: str, uploads: Uploads, log: "FilteringBoundLogger") -> None:
        self._outbox = outbox
        self._uploads = uploads
        self._log = log
        self._told: dict[str, str] = {}
        """What was refused -> that, with the file that it befell first."""

    @property
    def told(self) -> bool:
        """Whether there is trouble with files that has not been said to be over."""
        return bool(self._told)

    def begin(self, *, deletes: bool) -> None:
        """A pass, or a daemon, begins: nothing is known of the files. Deletions come later, or not at all."""
        self._keep("files", "")
        if not deletes:
            self.deletions("")

    def disk(self, error: Exception, file: str) -> str:
        """Say what the disk refused, once; its words."""
        refused, place = _words(error)
        is_new = refused not in self._told
        said = self._told.setdefault(refused, refused if place or not file else f"{file}: {refused}")
        self._keep("files", said)
        if is_new:
            self._log.error("outbox_trouble", error=refused, **({"file": file} if file else {}))
        return said

    def well(self) -> None:
        """The disk refuses nothing any more."""
        if self._told:
            self._log.info("outbox_well")
            self._keep("files", "")
        self._told.clear()

    def deletions(self, error: str) -> None:
        """What the last deletions came to."""
        self._keep("deletions", error)

    def _keep(self, of: str, error: str) -> None:
        with contextlib.suppress(StorageError):  # it is the index that cannot be written
            self._uploads.note_trouble(self._outbox, of, error)


def _words(error: Exception) -> tuple[str, bool]:
    """What was refused, and whether that names a place."""
    if isinstance(error, OSError) and error.strerror:
        if error.filename is None:
            return error.strerror, False
        return f"{os.fsdecode(error.filename)}: {error.strerror}", True
    return str(error), True

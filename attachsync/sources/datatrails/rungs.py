"""The ways to an attachment's bytes, best first: event, asset, blob, public view (specs/datatrails.md 1.6, 8). Pure."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass

from attachsync.errors import RejectedError
from attachsync.model import Attachment

_PUBLIC = ("publicevent", "publicasset")
_ALL = ("event", "asset", "blob", *_PUBLIC)


@dataclass(frozen=True, slots=True)
class Rung:
    """One way: its name, kept so that the next request starts with the one that worked, and its path."""

    name: str
    path: str

    @property
    def public(self) -> bool:
        """Whether it is a public view, which is asked without credentials (specs/datatrails.md 1.10)."""
        return self.name.startswith("public")

    def means_elsewhere(self, error: RejectedError) -> bool:
        """Whether a refusal only says that the attachment is not to be had this way.

        No 404 is documented for blobs (1.1), and a private asset has no public view.
        """
        if error.status == 400 and self.name == "blob":
            return "not safe" not in error.detail
        return error.status in (403, 404) or (error.status == 401 and self.public)


@dataclass(frozen=True, slots=True)
class Subject:
    """What an attachment belongs to."""

    asset: str
    event: str | None
    blob: str


def subject(attachment: Attachment) -> Subject:
    """Read an attachment's key back."""
    identity = attachment.key.partition("#")[0].split("/")
    assert attachment.content is not None
    return Subject(identity[1], identity[3] if len(identity) > 3 else None, attachment.content)


def rungs(of: Subject, *, public: bool, first: str | None = None) -> Iterator[Rung]:
    """All ways, the one named `first` before the others."""
    for name in _order(first, _PUBLIC if public else _ALL):
        view = "public" if name.startswith("public") else ""
        root = f"/archivist/v2/attachments/{view}assets/{of.asset}"
        if name == "blob":
            yield Rung(name, f"/archivist/v1/blobs/{of.blob}")
        elif name.endswith("asset"):
            yield Rung(name, f"{root}/{of.blob}")
        elif of.event:
            yield Rung(name, f"{root}/events/{of.event}/{of.blob}")


def download_query(scan: str) -> str:
    """What a download says of a track's `scan` rule (specs/datatrails.md 1.7)."""
    return {"any": "?allow_insecure=true", "clean": "?strict=true"}.get(scan, "")


@functools.lru_cache
def _order(first: str | None, names: tuple[str, ...]) -> list[str]:
    return sorted(names, key=lambda name: name != first)

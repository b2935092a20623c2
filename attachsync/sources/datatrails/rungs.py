"""The ways to an attachment's bytes, best first: event, asset, blob, public view (specs/datatrails.md 1.6, 8). Pure."""

from dataclasses import dataclass

from attachsync.errors import RejectedError
from attachsync.model import Attachment


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


def rungs(of: Subject, *, public: bool, first: str | None = None) -> list[Rung]:
    """All ways, the one named `first` before the others."""
    found = []
    for view in ["public"] if public else ["", "public"]:
        root = f"/archivist/v2/attachments/{view}assets/{of.asset}"
        if of.event:
            found.append(Rung(f"{view}event", f"{root}/events/{of.event}/{of.blob}"))
        found.append(Rung(f"{view}asset", f"{root}/{of.blob}"))
        if not view:
            found.append(Rung("blob", f"/archivist/v1/blobs/{of.blob}"))
    return sorted(found, key=lambda rung: rung.name != first)

"""What a source module declares of its service, so that adding one touches no other file but the table of services."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attachsync.model import Account, Attachment, Sender, Source

if TYPE_CHECKING:
    from attachsync.http import Credentials, Http  # slow to import, and reading a config makes no request
    from attachsync.orders import Errand

Faults = Iterable[tuple[str, str]]
"""(key, what would be right), for each fault. What is wrong by itself is said already; its value is `keys.FAULTY`."""


def no_errand(_options: object, _attachment: Attachment, _path: str) -> None:
    """It takes more than an errand."""


@dataclass(frozen=True, slots=True)
class Pull:
    """How a service is mirrored from. `keys` is the dataclass that declares the keys of its tracks."""

    keys: type[Any]
    faults: Callable[[object, Account], Faults]
    """Faults of a track's keys taken together, and with its account's."""
    folder: Callable[[object], str]
    """Where a track shows its attachments below `files/ACCOUNT`; also its default name."""
    identity: Callable[[object], Mapping[str, object]]
    """The keys that decide what is listed: when they change, listing begins anew."""
    rules: Callable[[object], Mapping[str, object]]
    """The keys that decide what of it may be shown: when they change, all of it is looked at again."""
    source: "Callable[[Http], Source]"
    errand: "Callable[[object, Attachment, str], Errand | None]" = no_errand
    """What it takes to have an attachment of a track (its keys) at a path; None where it takes more than an errand."""
    watched: Callable[[object], tuple[Path, ...]] = lambda _options: ()
    """Files of a track (lists of sessions or keys) whose change calls for a look."""


@dataclass(frozen=True, slots=True)
class Push:
    """How files are sent to a service. `keys` is the dataclass that declares the keys of its outboxes."""

    keys: type[Any]
    faults: Callable[[object, Account], Faults]
    sender: "Callable[[Http, object], Sender]"
    mirrored: Callable[[object, object], bool] = lambda _outbox, _track: False
    """Whether a track (its keys) of the same account lists what an outbox (its keys) sends, by a SHA-256 stated."""
    deletes: bool = False
    """Whether the service can delete what was sent (`propagate_deletes`)."""


@dataclass(frozen=True, slots=True)
class Service:
    """One service: its name in configs, where it is by default, what accounts hold, and what can be done with it."""

    name: str
    base_url: str
    keys: type[Any]
    faults: Callable[[object], Faults]
    credentials: "Callable[[Account], Credentials]"
    pull: Pull | None = None
    push: Push | None = None
    dir_mode: int | None = field(default=None)

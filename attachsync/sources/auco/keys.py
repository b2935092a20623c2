"""The config keys of Auco accounts and tracks, and what the service can do (contract 2)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attachsync import keys
from attachsync.credentials import Secret
from attachsync.model import Account, Source
from attachsync.sources.auco.records import Target
from attachsync.sources.service import Faults, Pull, Service

if TYPE_CHECKING:
    from attachsync.http import Credentials, Http


@dataclass(frozen=True, slots=True)
class AccountKeys:
    """Keys of `[accounts.NAME]`."""

    key_file: Secret = keys.key(keys.secret, "file with the organisation's public key (puk_…)")


def _users(value: object, place: keys.Place) -> tuple[str, ...]:
    """Ids of signers: texts, in which leading zeros matter (specs/auco.md 5)."""
    found = keys.texts(value, place)
    if not found:
        raise ValueError('must name at least one signer, such as "01"; leave it out for every signer')
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class TrackKeys:
    """Keys of `[[track]]`. An empty id would turn into another call (specs/auco.md 2): `identifier` refuses it."""

    package: str | None = keys.key(keys.identifier, "id of a process", None)
    code: str | None = keys.key(keys.identifier, "code of a document, instead of its process's id", None)
    users: tuple[str, ...] = keys.key(_users, 'only these signers of it, by id, such as ["01", "G8"]', ())


def _track_faults(options: object, _account: Account) -> Faults:
    assert isinstance(options, TrackKeys)
    if options.package is None and options.code is None:
        yield "package", "or code is required: which process"
    if options.package is not None and options.code is not None:
        yield "code", "and package exclude each other: name the process one way"


def _target(options: object) -> Target:
    assert isinstance(options, TrackKeys)
    kind = "code" if options.package is None else "package"
    return Target(kind=kind, id=options.package or options.code or "", users=options.users)


def _identity(options: object) -> Mapping[str, object]:
    assert isinstance(options, TrackKeys)
    return {"package": options.package, "code": options.code, "users": list(options.users)}


def _source(http: "Http") -> Source:
    from attachsync.sources.auco.source import AucoSource

    return AucoSource(http, lambda track: _target(track.options))


def _credentials(account: Account) -> "Credentials":
    from attachsync.sources.auco.credentials import KeyFile

    assert isinstance(account.options, AccountKeys)
    return KeyFile(account.options.key_file)


SERVICE = Service(
    name="auco",
    base_url="https://api.auco.ai/v1.5/ext",
    keys=AccountKeys,
    faults=lambda _options: (),
    credentials=_credentials,
    pull=Pull(
        keys=TrackKeys,
        faults=_track_faults,
        folder=lambda options: "/".join(_target(options).folder),
        identity=_identity,
        rules=lambda _options: {},
        source=_source,
    ),
    dir_mode=0o700,
)

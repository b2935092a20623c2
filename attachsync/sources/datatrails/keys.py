"""The config keys of DataTrails accounts, tracks and outboxes, and what the service can do (contract 2)."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attachsync import keys
from attachsync.credentials import Secret
from attachsync.model import Account, Attachment, Sender, Source
from attachsync.sources.service import Faults, Pull, Push, Service

if TYPE_CHECKING:
    from attachsync.http import Credentials, Http
    from attachsync.orders import Errand
    from attachsync.sources.datatrails.source import Target

EVERY = "*"


@dataclass(frozen=True, slots=True)
class AccountKeys:
    """Keys of `[accounts.NAME]`."""

    token_file: Secret | None = keys.key(
        keys.secret, "file with a token: bare, 'Bearer …', or a whole 'Authorization: Bearer …' line", None
    )
    client_id: str | None = keys.key(keys.identifier, "client id of a Custom Integration", None)
    client_secret_file: Secret | None = keys.key(keys.secret, "file with that integration's secret", None)


def _asset(value: object, place: keys.Place) -> str:
    return EVERY if value == EVERY else keys.uuid_text(value, place)


def _attributes(value: object, _place: keys.Place) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, Mapping) or not all(isinstance(text, str) for text in value.values()):
        raise ValueError('must be a table of texts such as { arc_display_type = "Traffic light" }')
    return tuple(sorted(value.items()))


@dataclass(frozen=True, slots=True)
class TrackKeys:
    """Keys of `[[track]]`."""

    asset: str = keys.key(_asset, 'an asset\'s UUID, or "*": every asset this account can see')
    events: bool = keys.key(keys.flag, "also the attachments of the asset's events", True)
    attributes: tuple[tuple[str, str], ...] = keys.key(_attributes, 'with "*": only assets with these attributes', ())
    public: bool = keys.key(keys.flag, "a public asset, read without a token", False)
    scan: str = keys.key(keys.choice("not-bad", "any", "clean"), "which malware scan results may be shown", "not-bad")


@dataclass(frozen=True, slots=True)
class OutboxKeys:
    """Keys of `[[outbox]]`."""

    asset: str = keys.key(keys.uuid_text, "UUID of the asset: each file becomes a blob, and an event on it")


def _account_faults(options: object) -> Faults:
    assert isinstance(options, AccountKeys)
    token, client, secret = map(keys.given, (options.token_file, options.client_id, options.client_secret_file))
    if client and not secret:
        yield "client_secret_file", "is required with client_id"
    if secret and not client:
        yield "client_id", "is required with client_secret_file"
    if token and (client or secret):
        yield "token_file", "and client_id exclude each other: keep one way to sign in"


def _track_faults(options: object, account: Account) -> Faults:
    assert isinstance(options, TrackKeys)
    if options.asset == EVERY and options.public:
        yield "public", 'is for one asset; there is no list of public assets (asset = "*")'
    if options.asset != EVERY and options.attributes:
        yield "attributes", 'is for asset = "*"'
    if _signs_nothing(account) and not keys.given(options.public):
        yield (
            "public",
            "must be true: the account has neither token_file nor client_id, and can read public assets only",
        )


def _outbox_faults(_options: object, account: Account) -> Faults:
    if _signs_nothing(account):
        yield "account", "has neither token_file nor client_id: without them nothing can be sent"


def _signs_nothing(account: Account) -> bool:
    held = account.options
    assert isinstance(held, AccountKeys)
    return not any(map(keys.given, (held.token_file, held.client_id, held.client_secret_file)))


def _source(http: "Http") -> Source:
    from attachsync.sources.datatrails.source import TrailSource

    return TrailSource(http, lambda track: _target(track.options))


@functools.lru_cache
def _target(options: object) -> "Target":
    from attachsync.sources.datatrails.source import Target

    assert isinstance(options, TrackKeys)
    return Target(
        asset=None if options.asset == EVERY else options.asset,
        events=options.events,
        attributes=options.attributes,
        public=options.public,
        scan=options.scan,
    )


def _errand(options: object, attachment: Attachment, path: str) -> "Errand | None":
    from attachsync.sources.datatrails.errands import errand

    return errand(_target(options), attachment, path)


def _identity(options: object) -> Mapping[str, object]:
    assert isinstance(options, TrackKeys)
    return {
        "asset": options.asset,
        "events": options.events,
        "attributes": dict(options.attributes),
        "public": options.public,
    }


def _rules(options: object) -> Mapping[str, object]:
    assert isinstance(options, TrackKeys)
    return {"scan": options.scan}


def _folder(options: object) -> str:
    assert isinstance(options, TrackKeys)
    return f"assets/{options.asset}"


def _credentials(account: Account) -> "Credentials":
    from attachsync.sources.datatrails.credentials import Anonymous, ClientCredentials, TokenFile

    options = account.options
    assert isinstance(options, AccountKeys)
    if options.token_file:
        return TokenFile(options.token_file)
    if options.client_id and options.client_secret_file:
        return ClientCredentials(options.client_id, options.client_secret_file)
    return Anonymous()


def _sender(http: "Http", options: object) -> Sender:
    from attachsync.sources.datatrails.sender import TrailSender

    assert isinstance(options, OutboxKeys)
    return TrailSender(http, options.asset)


def _mirrored(outbox: object, track: object) -> bool:
    """Whether a track lists what an outbox sends. With `attributes` nobody knows before the asset is listed."""
    assert isinstance(outbox, OutboxKeys)
    assert isinstance(track, TrackKeys)
    return track.events and (track.asset == outbox.asset or (track.asset == EVERY and not track.attributes))


SERVICE = Service(
    name="datatrails",
    base_url="https://app.datatrails.ai",
    keys=AccountKeys,
    faults=_account_faults,
    credentials=_credentials,
    pull=Pull(
        keys=TrackKeys,
        faults=_track_faults,
        folder=_folder,
        identity=_identity,
        rules=_rules,
        source=_source,
        errand=_errand,
    ),
    push=Push(keys=OutboxKeys, faults=_outbox_faults, sender=_sender, mirrored=_mirrored),
)

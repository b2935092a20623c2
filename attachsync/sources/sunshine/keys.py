"""The config keys of Sunshine accounts and outboxes, and what the service can do (contract 2)."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from attachsync import keys
from attachsync.credentials import Secret
from attachsync.model import Account, Sender, Source
from attachsync.sources.service import Faults, Pull, Push, Service

if TYPE_CHECKING:
    from attachsync.http import Credentials, Http
    from attachsync.sources.sunshine.source import Target


@dataclass(frozen=True, slots=True)
class AccountKeys:
    """Keys of `[accounts.NAME]`."""

    app_id: str = keys.key(keys.identifier, "id of the Sunshine Conversations app")
    key_id: str = keys.key(keys.identifier, "id of its API key (app_…, int_… or act_…)")
    secret_file: Secret = keys.key(keys.secret, "file with that key's secret")
    auth: str = keys.key(keys.choice("basic", "jwt"), "how requests are signed", "basic")


@dataclass(frozen=True, slots=True)
class OutboxKeys:
    """Keys of `[[outbox]]`."""

    access: str = keys.key(keys.choice("public", "private"), "who may read the uploads", "public")
    for_: str | None = keys.key(
        keys.choice("message"), '"message": the upload goes when its message, conversation or user is deleted', None
    )
    conversation: str | None = keys.key(keys.identifier, "conversation that the uploads belong to", None)
    send: bool = keys.key(keys.flag, "also post each file once as a message of the conversation", False)


def _external(value: object, place: keys.Place) -> str:
    found = keys.text(value, place)
    if not found.isprintable() or len(found) > 512:
        raise ValueError("must be one line of at most 512 characters")
    return found


@dataclass(frozen=True, slots=True)
class TrackKeys:
    """Keys of `[[track]]`."""

    conversation: str | None = keys.key(keys.identifier, "id of a conversation", None)
    user: str | None = keys.key(keys.identifier, "id of a user: all conversations of theirs", None)
    external_user: str | None = keys.key(_external, "your own id of a user: all conversations of theirs", None)


def _account_faults(options: object) -> Faults:
    assert isinstance(options, AccountKeys)
    if options.auth == "jwt" and str(options.key_id).startswith("svc_"):
        yield "auth", 'must be "basic" for this key: which scope a svc_ key would sign for is not established'


def _outbox_faults(options: object, _account: Account) -> Faults:
    assert isinstance(options, OutboxKeys)
    if options.send and options.conversation is None:
        yield "send", "needs conversation: where the messages are posted"


def _track_faults(options: object, _account: Account) -> Faults:
    assert isinstance(options, TrackKeys)
    said = [name for name, value in asdict(options).items() if value is not None]
    if not said:
        yield "conversation", "is required, or user, or external_user: there is no list of all conversations of an app"
    for name in said[1:]:
        yield name, f"and {said[0]} exclude each other: keep one of conversation, user and external_user"


def _identity(options: object) -> Mapping[str, object]:
    assert isinstance(options, TrackKeys)
    return asdict(options)


def _folder(options: object) -> str:
    assert isinstance(options, TrackKeys)
    if options.conversation is not None:
        return f"conversations/{options.conversation}"
    return f"users/{options.user}" if options.user is not None else f"external-users/{options.external_user}"


def _target(options: object) -> "Target":
    from attachsync.sources.sunshine.source import Target

    assert isinstance(options, TrackKeys)
    if options.conversation is not None:
        return Target(options.conversation, None)
    if options.user is not None:
        return Target(None, ("userId", options.user))
    return Target(None, ("userExternalId", str(options.external_user)))


def _source(http: "Http") -> Source:
    from attachsync.sources.sunshine.source import MessageSource

    account = http.account.options
    assert isinstance(account, AccountKeys)
    return MessageSource(http, account.app_id, lambda track: _target(track.options))


def _credentials(account: Account) -> "Credentials":
    options = account.options
    assert isinstance(options, AccountKeys)
    if options.auth == "jwt":
        from attachsync.sources.sunshine.tokens import SignedTokens

        return SignedTokens(options.key_id, options.secret_file)
    from attachsync.sources.sunshine.credentials import BasicKey

    return BasicKey(options.key_id, options.secret_file)


def _sender(http: "Http", options: object) -> Sender:
    from attachsync.sources.sunshine.sender import Destination, SunshineSender

    account = http.account.options
    assert isinstance(account, AccountKeys)
    assert isinstance(options, OutboxKeys)
    return SunshineSender(
        http, Destination(account.app_id, options.access, options.for_, options.conversation, options.send)
    )


SERVICE = Service(
    name="sunshine",
    base_url="https://api.smooch.io",
    keys=AccountKeys,
    faults=_account_faults,
    credentials=_credentials,
    pull=Pull(
        keys=TrackKeys,
        faults=_track_faults,
        folder=_folder,
        identity=_identity,
        rules=lambda _options: {},
        source=_source,
    ),
    push=Push(keys=OutboxKeys, faults=_outbox_faults, sender=_sender, deletes=True),
)

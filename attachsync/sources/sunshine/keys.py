"""The config keys of Sunshine accounts and outboxes, and what the service can do (contract 2)."""

from dataclasses import dataclass

from attachsync import keys
from attachsync.credentials import Secret
from attachsync.http import Credentials, Http
from attachsync.model import Account
from attachsync.sources.service import Faults, Push, Service
from attachsync.sources.sunshine.credentials import BasicKey, SignedTokens
from attachsync.sources.sunshine.sender import Destination, SunshineSender


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


def _account_faults(options: object) -> Faults:
    assert isinstance(options, AccountKeys)
    if options.auth == "jwt" and options.key_id.startswith("svc_"):
        yield "auth", 'must be "basic" for this key: which scope a svc_ key would sign for is not established'


def _outbox_faults(options: object, _account: Account | None) -> Faults:
    assert isinstance(options, OutboxKeys)
    if options.send and options.conversation is None:
        yield "send", "needs conversation: where the messages are posted"


def _credentials(account: Account) -> Credentials:
    options = account.options
    assert isinstance(options, AccountKeys)
    kind = SignedTokens if options.auth == "jwt" else BasicKey
    return kind(options.key_id, options.secret_file)


def _sender(http: Http, options: object) -> SunshineSender:
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
    push=Push(keys=OutboxKeys, faults=_outbox_faults, sender=_sender),
)

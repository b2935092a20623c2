"""The config keys of Trinsic accounts and tracks, and what the service can do (contract 2)."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from attachsync import keys
from attachsync.credentials import Secret
from attachsync.model import Account, Source
from attachsync.sources.service import Faults, Pull, Service
from attachsync.sources.trinsic.lists import ListFile, Watched, key_line, list_file, session_line
from attachsync.sources.trinsic.tracks import Target

if TYPE_CHECKING:
    from attachsync.http import Credentials, Http


@dataclass(frozen=True, slots=True)
class AccountKeys:
    """Keys of `[accounts.NAME]`."""

    token_file: Secret = keys.key(
        keys.secret, "file with a token: bare, 'Bearer …', or a whole 'Authorization: Bearer …' line"
    )
    attachments_api: str = keys.key(
        keys.choice("exchange", "attachment"), 'how access keys are exchanged; "attachment" for later SDKs', "exchange"
    )


@dataclass(frozen=True, slots=True)
class TrackKeys:
    """Keys of `[[track]]`."""

    session: str | None = keys.key(keys.uuid_text, "a session's UUID", None)
    results_key_file: Secret | None = keys.key(keys.secret, "file with that session's results access key", None)
    sessions_file: ListFile | None = keys.key(
        list_file, "watched list of sessions, a line each: SESSION RESULTS_KEY [NAME]", None
    )
    access_keys_file: ListFile | None = keys.key(
        list_file, "watched list of access keys, a line each: KEY [NAME] [session=UUID]", None
    )


def _track_faults(options: object, _account: Account) -> Faults:
    assert isinstance(options, TrackKeys)
    ways = ("session", "sessions_file", "access_keys_file")
    given = [name for name in ways if getattr(options, name) is not None]
    if not given:
        yield "session", "is required, with results_key_file; or else sessions_file or access_keys_file"
    for name in given[1:]:
        yield name, f"and {given[0]} exclude each other: a track has one of {', '.join(ways)}"
    if options.session is not None and options.results_key_file is None:
        yield "results_key_file", "is required with session"
    if options.results_key_file is not None and options.session is None:
        yield "results_key_file", "is for a session: name it with session"


def _folder(options: object) -> str:
    assert isinstance(options, TrackKeys)
    if options.access_keys_file:
        return "access-keys/*"
    return f"sessions/{options.session or '*'}"


def _identity(options: object) -> Mapping[str, object]:
    assert isinstance(options, TrackKeys)
    files = {"sessions_file": options.sessions_file, "access_keys_file": options.access_keys_file}
    return {"session": options.session, **{name: file and str(file.path) for name, file in files.items()}}


def _watched(options: object) -> tuple[Path, ...]:
    assert isinstance(options, TrackKeys)
    return tuple(file.path for file in (options.sessions_file, options.access_keys_file) if file)


def _target(options: object) -> Target:
    assert isinstance(options, TrackKeys)
    sessions, access = options.sessions_file, options.access_keys_file
    return Target(
        options.session,
        options.results_key_file,
        Watched(sessions, session_line, lambda line: line.identity) if sessions else None,
        Watched(access, key_line, lambda line: line.identity) if access else None,
    )


def _source(http: "Http") -> Source:
    from attachsync.sources.trinsic.source import TrinsicSource

    options = http.account.options
    assert isinstance(options, AccountKeys)
    targets: dict[object, Target] = {}

    def target(of: object) -> Target:
        """Made once for each track, as it remembers what its file said."""
        if of not in targets:
            targets[of] = _target(of)
        return targets[of]

    return TrinsicSource(http, options.attachments_api, lambda track: target(track.options))


def _credentials(account: Account) -> "Credentials":
    from attachsync.sources.trinsic.credentials import TokenFile

    options = account.options
    assert isinstance(options, AccountKeys)
    return TokenFile(options.token_file)


SERVICE = Service(
    name="trinsic",
    base_url="https://api.trinsic.id",
    keys=AccountKeys,
    faults=lambda _options: (),
    credentials=_credentials,
    pull=Pull(
        keys=TrackKeys,
        faults=_track_faults,
        folder=_folder,
        identity=_identity,
        rules=lambda _options: {},
        source=_source,
        watched=_watched,
    ),
    dir_mode=0o700,
)

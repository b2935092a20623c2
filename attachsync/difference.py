"""What differs between two configs, in words: a saved one that is taken over is logged so. Never a secret. Pure."""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from yarl import URL

from attachsync import keys, tables
from attachsync.credentials import Secret
from attachsync.model import Account, Outbox, Track
from attachsync.reader import Config
from attachsync.units import exact_duration, exact_size

_FIELDS = {Account: tables.Account, Track: tables.Track, Outbox: tables.Outbox}
"""The tables that declare what the values of a config hold, where they do not themselves."""
_SELF = frozenset({"name", "account", "directory", "options"})
_PRIVATE = frozenset({"command", "url"})
"""Keys of a hook: words of a command, and the path of an address, may be secrets."""


@dataclass(frozen=True, slots=True)
class Change:
    """One difference: whose, by the keys that log lines have, and what."""

    whose: Mapping[str, str]
    what: str


def differences(old: Config, new: Config) -> Iterator[Change]:
    """Tables, accounts, tracks, outboxes and hooks that were added, removed or changed, key by key."""
    for table in ("mirror", "daemon"):
        for text in _keys(getattr(old, table), getattr(new, table)):
            yield Change({}, f"{table}.{text}")
    yield from _things(_accounts(old), _accounts(new))
    yield from _things(_tracks(old), _tracks(new))
    yield from _things(_outboxes(old), _outboxes(new))
    yield from _things(_hooks(old), _hooks(new))


Things = Mapping[tuple[tuple[str, str], ...], Any]
"""By whose they are, as pairs."""


def _accounts(config: Config) -> Things:
    return {(("account", name),): account for name, account in config.accounts.items()}


def _tracks(config: Config) -> Things:
    return {(("account", track.account), ("track", track.name)): track for track in config.tracks}


def _outboxes(config: Config) -> Things:
    return {(("account", box.account), ("outbox", str(box.directory))): box for box in config.outboxes}


def _hooks(config: Config) -> Things:
    """Those that run the same, or post to the same host, are told apart by their number."""
    found: dict[tuple[tuple[str, str], ...], tables.Hook] = {}
    for hook in config.hooks:
        name = str(URL(hook.url).origin()) if hook.url else hook.command[0]
        number = 1 + sum(1 for ((_, other),) in found if other.partition(" #")[0] == name)
        found[(("hook", name if number == 1 else f"{name} #{number}"),)] = hook
    return found


def _things(old: Things, new: Things) -> Iterator[Change]:
    for whose in [*old, *(one for one in new if one not in old)]:
        if whose not in new:
            yield Change(dict(whose), "removed")
        elif whose not in old:
            yield Change(dict(whose), "added")
        else:
            for text in _keys(old[whose], new[whose]):
                yield Change(dict(whose), text)


def _keys(old: Any, new: Any) -> Iterator[str]:
    """`key: before -> after` for each key that differs; a service's own keys are among them."""
    declared = {field.name: field for field in dataclasses.fields(_FIELDS.get(type(new), type(new)))}
    for field in dataclasses.fields(new):
        before, after = getattr(old, field.name), getattr(new, field.name)
        if field.name == "options" and type(before) is type(after):
            yield from _keys(before, after)
        elif before != after and field.name not in _SELF:
            said = declared.get(field.name, field)
            name = keys.name_of(field)
            private = type(new) is tables.Hook and name in _PRIVATE
            shown = [] if private else [_shown(said, value) for value in (before, after)]
            yield f"{name}: {' -> '.join(shown) if len(set(shown)) == 2 else 'changed'}"


def _shown(field: "dataclasses.Field[Any]", value: object) -> str:
    """A value as it would be written; a secret's is the file that it is in."""
    parse = field.metadata.get("parse")
    if isinstance(value, float) and parse is not keys.positive:
        return exact_duration(value)
    if isinstance(value, int) and parse is keys.byte_size:
        return exact_size(value)
    if isinstance(value, int) and parse in (keys.file_mode, keys.folder_mode):
        return f"{value:04o}"
    return _plain(value)


def _plain(value: object) -> str:
    match value:
        case None:
            return "unset"
        case bool():
            return str(value).lower()
        case Secret():
            return str(value.path)
        case str():
            return value
        case tuple():
            return f"[{', '.join(map(_plain, value))}]"
    return str(value)

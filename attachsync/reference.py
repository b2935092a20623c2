"""Every key of the config in words: from the declared tables, and from the example that `init` writes.

The declared keys say which there are and what they are for; the example says what a default looks like. A test holds
the example to the declared defaults.
"""

import dataclasses
import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from attachsync import keys, tables
from attachsync.services import SERVICES

_KEY = re.compile(r"^(# )?([a-z_]+) = (.*)$")
_MORE = re.compile(r"^#\s{9,}# (.*)$")
_DEFAULT = re.compile(r"(?:[;.] )?[Dd]efault:? (.+?)(\. |$)")
_EXAMPLE_ONLY = {"default: unset. ": "", "; or:": "", "files/ledger": "files/NAME"}
"""What a comment says of the example rather than of its key, and what it is here."""
_TOGETHER = {
    ("[accounts.NAME]", "datatrails"): "`token_file`, or `client_id` with `client_secret_file`, or none of them.",
    ("[[track]]", "sunshine"): "Exactly one of `conversation`, `user` and `external_user`.",
    ("[[track]]", "auco"): "Exactly one of `package` and `code`.",
    (
        "[[track]]",
        "trinsic",
    ): "Exactly one of `session` with `results_key_file`, `sessions_file` and `access_keys_file`.",
    ("[[outbox]]", "sunshine"): "`send` needs `conversation`.",
    ("[[hook]]", ""): "Exactly one of `command` and `url`; `secret_file` goes with `url`, which needs it.",
}
"""What the keys of a table have to do with each other."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a table: `default` and `example` are TOML, as a config would have them; None where there is none.

    `unset`: what holds where it is unset, in words.
    """

    name: str
    text: str
    required: bool
    default: str | None
    example: str | None
    unset: str = ""

    @property
    def otherwise(self) -> str:
        """What holds where a config does not have the key."""
        return "required" if self.required else f"default {self.default}" if self.default else self.unset or "unset"


@dataclass(frozen=True, slots=True)
class Table:
    """The keys of one table of the config; `of` names the services that it is for, or nobody: it is for all."""

    title: str
    of: tuple[str, ...]
    keys: tuple[Key, ...]

    @property
    def note(self) -> str:
        """Which keys go together; empty where each is for itself."""
        return _TOGETHER.get((self.title, self.of[0] if self.of else ""), "")


@dataclass(frozen=True, slots=True)
class _Shown:
    """A key as the example shows it."""

    table: str
    service: str
    name: str
    value: str
    comment: str


def reference(example: str) -> Iterator[Table]:
    """All tables, in the order of the example, whose text is given."""
    shown = list(_shown(example))
    yield _table("[mirror]", (), tables.Mirror, shown)
    yield _table("[daemon]", (), tables.Daemon, shown)
    for title, common, declared in (
        ("[accounts.NAME]", tables.Account, {name: service.keys for name, service in SERVICES.items()}),
        ("[[track]]", tables.Track, {name: one.pull.keys for name, one in SERVICES.items() if one.pull}),
        ("[[outbox]]", tables.Outbox, {name: one.push.keys for name, one in SERVICES.items() if one.push}),
    ):
        yield _table(title, (), common, shown)
        groups: dict[type[Any], list[str]] = {}
        for name, own in declared.items():
            groups.setdefault(own, []).append(name)
        for own, services in groups.items():
            yield _table(title, tuple(services), own, shown)
    yield _table("[[hook]]", (), tables.Hook, shown)


def _table(title: str, services: tuple[str, ...], declared: type[Any], shown: Iterable[_Shown]) -> Table:
    mine = [one for one in shown if one.table == title and (not services or one.service in services)]
    found = []
    for field in dataclasses.fields(declared):
        name = keys.name_of(field)
        first = next((one for one in mine if one.name == name), None)
        found.append(_key(name, field, first))
    return Table(title, services, tuple(found))


def _key(name: str, field: "dataclasses.Field[Any]", shown: _Shown | None) -> Key:
    said = field.metadata["help"]
    required = field.default is dataclasses.MISSING
    if shown is None:
        return Key(name, said, required, None, None)
    comment, unset = "" if "…" in (shown.comment[:1], shown.comment[-1:]) else shown.comment, ""
    is_default = not required and _means(field.default, tomllib.loads(f"v = {shown.value}")["v"])
    if not (required or is_default) and (holds := _DEFAULT.search(comment)):
        comment, unset = _DEFAULT.sub(r"\2", comment), holds[1]
    if comment and not comment.startswith("or ") and _says_the_same(said, comment):
        said = max(comment, said, key=lambda text: len(_words(text)))
    elif comment:
        said = f"{said}; {comment}"
    return Key(name, said, required, shown.value if is_default else None, None if is_default else shown.value, unset)


def _says_the_same(one: str, other: str) -> bool:
    words = _words(one), _words(other)
    return 2 * len(words[0] & words[1]) >= min(map(len, words))


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def _means(default: object, value: object) -> bool:
    """Whether a TOML value is how a default is written."""
    if default is None:
        return value == "forever"  # the one word for nothing
    if isinstance(value, list):
        return default == tuple(value)
    if isinstance(value, str) and isinstance(default, int | float):
        return True  # a mode, a size, a duration: the example shows the default where there is one
    return type(default) is type(value) and default == value


def _shown(example: str) -> Iterator[_Shown]:
    """The keys of the example, in order, each with the table and the service that it is shown for."""
    table, account, service = "", "", ""
    services: dict[str, str] = {}
    last: _Shown | None = None
    for line in example.splitlines():
        bare = line.removeprefix("# ")
        if header := re.match(r"\[+[a-z]+(\.([a-z]+))?\]+$", bare):
            account = header[2] or ""
            table, service = ("[accounts.NAME]", "") if account else (bare, "")
        elif (found := _KEY.match(line)) and table:
            value, comment = _split(found[3])
            if found[2] == "service":
                services[account] = service = tomllib.loads(f"v = {value}")["v"]
            if found[2] == "account":
                service = services[tomllib.loads(f"v = {value}")["v"]]
            if last:
                yield last
            last = _Shown(table, service, found[2], value, comment)
        elif last and (more := _MORE.match(line)):
            last = dataclasses.replace(last, comment=f"{last.comment} {more[1]}")
    if last:
        yield last


def _split(text: str) -> tuple[str, str]:
    """A TOML value and the comment after it."""
    value, _, comment = text.partition("  #") if "  #" in text else text.partition(" #")
    for wrong, right in _EXAMPLE_ONLY.items():
        comment = comment.replace(wrong, right)
    return value.strip(), comment.strip()

"""Parsed TOML documents -> one config, collecting every fault on the way (contract 2)."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from attachsync import keys, tables
from attachsync.model import Account, Outbox, Track
from attachsync.sections import Section, directory_of, files_of, keys_of_others, overlap
from attachsync.services import SERVICES
from attachsync.sources.service import Service

_ACCOUNT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_BESIDE = ("accounts", "track", "outbox", "hook")
"""What files in config.d may add."""
_TOP = ("mirror", "daemon", *_BESIDE)


@dataclass(frozen=True, slots=True)
class Config:
    """A whole config. `path` is the file it was read from, `files` all that took part."""

    path: Path
    files: tuple[Path, ...]
    mirror: tables.Mirror
    daemon: tables.Daemon
    accounts: Mapping[str, Account]
    tracks: tuple[Track, ...]
    outboxes: tuple[Outbox, ...]
    hooks: tuple[tables.Hook, ...]

    @property
    def state_directory(self) -> Path:
        """Where index and lock are."""
        return self.mirror.state_directory or self.mirror.directory / ".attachsync"


@dataclass(frozen=True, slots=True)
class _Owner:
    """What a track or outbox is for. Where the account has faults, it has FAULTY values: the rest can be read still."""

    service: Service
    account: Account


class Reader:
    """Reads all documents into one config. A document is None where its file could not be parsed."""

    def __init__(
        self, documents: Sequence[tuple[Path, Mapping[str, object] | None]], place: keys.Place, faults: list[str]
    ) -> None:
        self._documents = documents
        self._main, self._top = documents[0]
        self._place = place
        self._faults = faults

    def config(self) -> Config | None:
        """The config; None where there were faults, which are then in the list."""
        for number, (file, document) in enumerate(self._documents):
            allowed, elsewhere = (_BESIDE, self._of_main) if number else (_TOP, dict[str, str])
            for key, text in keys.unknown(document or {}, allowed, elsewhere):
                self._faults.append(f"{file}: {key}: {text}")
        mirror = self._section("mirror", tables.Mirror)
        daemon = self._section("daemon", tables.Daemon)
        accounts = self._accounts()
        tracks = self._tracks(accounts)
        outboxes = tuple(self._outboxes(accounts))
        hooks = tuple(map(_hook, self._entries("hook")))
        of_accounts = (owner.account.options for owner in accounts.values() if owner)
        holders: list[object] = [*of_accounts, *(track.options for track in tracks), *hooks]
        secrets = list(dict.fromkeys(path for holder in holders for path in files_of(holder)))
        self._check_folders(mirror, secrets)
        self._check_trees(mirror, daemon)
        if daemon is not None and isinstance(daemon.metrics_textfile, Path):
            self._check_textfile(daemon.metrics_textfile, mirror, secrets)
        if mirror is None or daemon is None or self._faults:
            return None
        return Config(
            path=self._main,
            files=tuple(file for file, _ in self._documents),
            mirror=mirror,
            daemon=daemon,
            accounts={name: owner.account for name, owner in accounts.items() if owner},
            tracks=tuple(tracks),
            outboxes=outboxes,
            hooks=hooks,
        )

    def _table(self, file: Path, where: str, values: object, form: str) -> Section | None:
        if isinstance(values, Mapping):
            return Section(file, where, values, self._place, self._faults)
        self._faults.append(f"{file}: {where}: must be a table: {form}")
        return None

    def _of_main(self) -> Mapping[str, str]:
        return dict.fromkeys(_TOP, f"{self._main.name}, not of what is beside it")

    def _section(self, name: str, table: type[keys.T]) -> keys.T | None:
        if self._top is None:
            return None  # the file could not be parsed: what it lacks is no further fault
        found = self._table(self._main, name, self._top.get(name, {}), f"[{name}]")
        return found.read(table) if found else None

    def _entries(self, name: str, *, report: bool = True) -> Iterator[Section]:
        """Each `[[name]]` of all documents; `report` what is none, which is to be done once."""
        for file, document in self._documents:
            entries = (document or {}).get(name, [])
            if not isinstance(entries, list):
                if report:
                    self._faults.append(f"{file}: {name}: must be an array of tables: [[{name}]]")
                continue
            for number, values in enumerate(entries, 1):
                if isinstance(values, Mapping):
                    yield Section(file, f"{name}[{number}]", values, self._place, self._faults)
                elif report:
                    self._faults.append(f"{file}: {name}[{number}]: must be a table: [[{name}]]")

    # --- accounts -----------------------------------------------------------------------------------------------

    def _accounts(self) -> dict[str, _Owner | None]:
        """Name -> account; None for one of no known service, so that its tracks are not said to lack it."""
        found: dict[str, _Owner | None] = {}
        folded: dict[str, str] = {}
        for file, document in self._documents:
            tables_of_file = self._table(file, "accounts", (document or {}).get("accounts", {}), "[accounts.NAME]")
            for name, values in (tables_of_file.values if tables_of_file else {}).items():
                table = self._table(file, f"accounts.{name}", values, f"[accounts.{name}]")
                if not _ACCOUNT_NAME.fullmatch(name):
                    self._faults.append(
                        f"{file}: accounts.{name}: a name is 1 to 64 letters, digits, - and _, not starting with - or _"
                    )
                if name.casefold() in folded:
                    twin = folded[name.casefold()]
                    self._faults.append(f"{file}: accounts.{name}: named twice, case ignored: also accounts.{twin}")
                folded[name.casefold()] = name
                found[name] = self._account(name, table) if table else None
        return found

    def _account(self, name: str, table: Section) -> _Owner | None:
        service = self._service(table)
        if service is None:
            table.examine(tables.Account, (one.keys for one in SERVICES.values()), "service")
            return None
        others = partial(keys_of_others, service, lambda other: other.keys)
        common, options = table.pair(tables.Account, service.keys, others, service.faults)
        account = Account(
            name=name,
            service=service.name,
            base_url=(common.base_url or service.base_url).rstrip("/"),
            options=options,
            ca_file=common.ca_file,
            proxy=common.proxy,
            concurrency=common.concurrency,
            rate=common.rate,
            media_hosts=common.media_hosts,
            dir_mode=common.dir_mode if common.dir_mode is not None else service.dir_mode,
        )
        return _Owner(service, account)

    def _service(self, table: Section) -> Service | None:
        name = table.values.get("service")
        if name is None:
            table.fault("service", f"is required: one of {', '.join(sorted(SERVICES))}")
        elif not isinstance(name, str) or name not in SERVICES:
            table.fault("service", f"{name!r} is not a known service{keys.nearest(str(name), SERVICES)}")
        else:
            return SERVICES[name]
        return None

    # --- tracks, outboxes, hooks --------------------------------------------------------------------------------

    def _owner(self, table: Section, accounts: Mapping[str, _Owner | None]) -> _Owner | None:
        """What a track or outbox is for, where that is known."""
        name = table.values.get("account")
        if name is None:
            table.fault("account", "is required: the name of an [accounts.NAME] table")
        elif isinstance(name, str) and name in accounts:
            return accounts[name]
        elif all(document is not None for _, document in self._documents):  # else it may be in what cannot be read
            table.fault("account", f"{name!r} is not an account{keys.nearest(str(name), accounts)}")
        return None

    def _tracks(self, accounts: Mapping[str, _Owner | None]) -> list[Track]:
        found: list[Track] = []
        names: set[str] = set()
        for table in self._entries("track"):
            owner = self._owner(table, accounts)
            if owner is None:
                table.examine(tables.Track, (one.pull.keys for one in SERVICES.values() if one.pull), "account")
            track = _track(table, owner) if owner else None
            name = track.name if track else table.values.get("name")
            if isinstance(name, str):
                if name in names:
                    table.fault("name", f"{name!r} is another track's name too: give one of them its own")
                names.add(name)
            found += [track] if track else []
        return found

    def _outboxes(self, accounts: Mapping[str, _Owner | None]) -> Iterator[Outbox]:
        for table in self._entries("outbox"):
            owner = self._owner(table, accounts)
            if owner is None:
                table.examine(tables.Outbox, (one.push.keys for one in SERVICES.values() if one.push), "account")
            outbox = _outbox(table, owner) if owner else None
            if outbox is not None:
                yield outbox

    def _check_folders(self, mirror: tables.Mirror | None, secrets: Sequence[Path]) -> None:
        taken = [("the config's folder", self._place.folder)]
        named = {"directory": "the mirror", "state_directory": "mirror.state_directory"}
        for key, what in named.items():
            folder = getattr(mirror, key, None)
            if folder:
                fault = keys.writable_folder(folder)
                if fault:
                    self._faults.append(f"{self._main}: mirror.{key}: {fault}")
                taken.append((what, folder))
        for table in self._entries("outbox", report=False):
            directory = directory_of(table)
            if directory is None:
                continue
            fault = keys.writable_folder(directory)
            if fault:
                table.fault("directory", fault)
            for what, folder in taken:
                relation = overlap(directory, folder)
                if relation:
                    table.fault("directory", f"{directory} {relation} {what} ({folder}): an outbox needs its own place")
            taken.append((f"another outbox, {table.where} of {table.file.name}", directory))
            for secret in secrets:
                if overlap(directory, secret) == "contains":
                    table.fault("directory", f"{directory} contains the secret file {secret}, which would be sent")

    def _check_trees(self, mirror: tables.Mirror | None, daemon: tables.Daemon | None) -> None:
        """Nothing but what is mirrored is in files/ and sha256/."""
        others = {
            "mirror.state_directory": getattr(mirror, "state_directory", None),
            "daemon.metrics_textfile": getattr(daemon, "metrics_textfile", None),
        }
        directory = getattr(mirror, "directory", None)
        trees = [directory / name for name in ("files", "sha256")] if directory else []
        for key, path in others.items():
            for tree in trees:
                if path and overlap(path, tree) not in (None, "contains"):
                    self._faults.append(f"{self._main}: {key}: {path} is in {tree}, where only what is mirrored may be")

    def _check_textfile(self, file: Path, mirror: tables.Mirror | None, secrets: Sequence[Path]) -> None:
        """Metrics overwrite nothing of ours, and are not sent."""
        directory = getattr(mirror, "directory", None)
        state = getattr(mirror, "state_directory", None)
        taken = [("the config", path) for path, _ in self._documents] + [("a secret file", path) for path in secrets]
        taken.append(("the config's folder config.d", self._place.folder / "config.d"))
        if directory:
            taken += [("the mirror's own", directory / name) for name in (".attachsync", "SHA256SUMS")]
        if state:
            taken.append(("mirror.state_directory", state))
        outboxes = map(directory_of, self._entries("outbox", report=False))
        taken += [("an outbox", outbox) for outbox in outboxes if outbox]
        for what, path in taken:
            relation = overlap(file, path)
            if relation in ("is", "lies inside"):
                self._faults.append(f"{self._main}: daemon.metrics_textfile: {file} {relation} {what} ({path})")


def _track(table: Section, owner: _Owner) -> Track | None:
    pull = owner.service.pull
    if pull is None:
        table.fault("account", f"nothing of {owner.service.name} can be tracked by this version")
        return None
    others = partial(keys_of_others, owner.service, lambda other: other.pull.keys if other.pull else None)
    before = len(table.faults)
    common, options = table.pair(tables.Track, pull.keys, others, lambda options: pull.faults(options, owner.account))
    if len(table.faults) > before:
        return None
    name = common.name or f"{owner.account.name}/{pull.folder(options)}"
    return Track(name, owner.account.name, options, common.interval, common.retain, common.on_gone)


def _outbox(table: Section, owner: _Owner) -> Outbox | None:
    push = owner.service.push
    if push is None:
        table.fault("account", f"nothing can be sent to {owner.service.name} by this version")
        return None
    others = partial(keys_of_others, owner.service, lambda other: other.push.keys if other.push else None)
    common, options = table.pair(tables.Outbox, push.keys, others, lambda options: push.faults(options, owner.account))
    if common.propagate_deletes and not push.deletes:
        table.fault("propagate_deletes", f"must be false: what was sent to {owner.service.name} cannot be deleted")
    shared = {name: getattr(common, name) for name in keys.names(tables.Outbox) if name != "account"}
    return Outbox(account=owner.account.name, options=options, **shared)


def _hook(table: Section) -> tables.Hook:
    hook = table.read(tables.Hook)
    if keys.given(hook.command) == keys.given(hook.url):
        table.fault("command", "one of command and url is required, not both")
    elif keys.given(hook.url) and not keys.given(hook.secret_file):
        table.fault("secret_file", "is required with url: it signs what is posted")
    return hook

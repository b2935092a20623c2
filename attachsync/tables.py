"""The config's tables that are the same for every service: key, parser, help, default (contract 2)."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from attachsync import keys
from attachsync.credentials import Secret
from attachsync.origins import base_url_fault, hook_url_fault, is_host, proxy_fault
from attachsync.units import size

EVENTS = ("mirrored", "changed", "quarantined", "gone", "sent", "failed")


def _url(fault_of: Callable[[str], str | None]) -> keys.Parser:
    def parse(value: object, place: keys.Place) -> str:
        url = keys.text(value, place)
        fault = fault_of(url)
        if fault:
            raise ValueError(fault)
        return url

    return parse


def _hosts(value: object, place: keys.Place) -> tuple[str, ...]:
    hosts = keys.texts(value, place)
    for host in hosts:
        if not is_host(host):
            raise ValueError(f"must be host names such as media.example.org, with or without a port, not {host!r}")
    return hosts


def _textfile(value: object, place: keys.Place) -> Path:
    path = keys.path(value, place)
    fault = keys.writable_folder(path.parent)
    if os.path.exists(path) and not os.path.isfile(path):  # all else would be replaced by the file, or could not be
        fault = f"{path} is there already, and is no file"
    if fault:
        raise ValueError(fault)
    return path


def _metrics(value: object, place: keys.Place) -> str:
    where = keys.text(value, place)
    host, _, port = where.rpartition(":")
    is_port = re.fullmatch("[0-9]{1,5}", port) and 0 < int(port) < 65536
    if not where.startswith("unix:/") and not (is_port and re.fullmatch(r"[^/\s]+", host)):
        raise ValueError(f'must be "HOST:PORT" or "unix:/PATH", not {where!r}')
    return where


def _events(value: object, place: keys.Place) -> tuple[str, ...]:
    events = keys.texts(value, place)
    for event in events:
        if event not in EVENTS:
            raise ValueError(f"{event!r} is not an event{keys.nearest(event, EVENTS)}")
    if not events:
        raise ValueError(f"must name at least one of {', '.join(EVENTS)}")
    return events


def _command(value: object, _place: keys.Place) -> tuple[str, ...]:
    """What is run, and its arguments: any of these may be empty."""
    if not isinstance(value, list) or not all(isinstance(part, str) and "\0" not in part for part in value):
        raise ValueError(f"must be a list of strings without NUL, not {value!r}")
    if value and not value[0]:
        raise ValueError("must begin with a program")
    return tuple(value)


@dataclass(frozen=True, slots=True)
class Mirror:
    """`[mirror]`."""

    directory: Path = keys.key(keys.path, "where everything is kept")
    state_directory: Path | None = keys.key(
        keys.path, "index and lock; a local disk, when the mirror is not on one", None
    )
    link: str = keys.key(
        keys.choice("hardlink", "symlink", "reflink", "copy"), "how files/ shows what is in sha256/", "hardlink"
    )
    file_mode: int = keys.key(keys.file_mode, "permissions of files", 0o440)
    dir_mode: int = keys.key(keys.folder_mode, "permissions of files/ and its folders", 0o750)
    store_mode: int = keys.key(keys.folder_mode, "permissions of sha256/ and its folders", 0o700)
    max_size: int = keys.key(keys.byte_size, "larger attachments are refused", size("2GiB"))
    min_free: int = keys.key(keys.byte_size, "room that is always left on the disk", size("512MiB"))
    scrub: float | None = keys.key(
        keys.duration(1, word="off"), "everything is re-hashed once in this time", 30 * 86400.0
    )


@dataclass(frozen=True, slots=True)
class Daemon:
    """`[daemon]`."""

    interval: float = keys.key(
        keys.duration(1), "between two passes over a track, at most: less after something new", 300.0
    )
    concurrency: int = keys.key(keys.count, "downloads in flight, all accounts together", 16)
    log_format: str = keys.key(keys.choice("auto", "console", "json"), "how log lines look", "auto")
    metrics: str | None = keys.key(_metrics, "where metrics and /healthz are served", None)
    metrics_textfile: Path | None = keys.key(_textfile, "file that metrics are written to", None)
    stale_after: float = keys.key(keys.duration(1), "a track without a whole pass for this long is stale", 3600.0)


@dataclass(frozen=True, slots=True)
class Account:
    """`[accounts.NAME]`, what all services have."""

    service: str = keys.key(keys.text, "which service")
    base_url: str | None = keys.key(_url(base_url_fault), "where the service is", None)
    ca_file: Path | None = keys.key(keys.certificates, "certificates to trust instead of the system's", None)
    proxy: str | None = keys.key(_url(proxy_fault), "HTTP proxy", None)
    concurrency: int = keys.key(keys.count, "downloads in flight for this account, and uploads of an outbox", 8)
    rate: float | None = keys.key(keys.positive, "requests a second, at most", None)
    media_hosts: tuple[str, ...] = keys.key(_hosts, "further hosts that may get this account's credentials", ())
    dir_mode: int | None = keys.key(keys.folder_mode, "permissions of files/NAME and its folders", None)


@dataclass(frozen=True, slots=True)
class Track:
    """`[[track]]`, what all services have."""

    account: str = keys.key(keys.text, "which account")
    name: str | None = keys.key(keys.text, "unique name", None)
    interval: float | None = keys.key(keys.duration(1), "between two passes, at most", None)
    retain: float | None = keys.key(keys.duration(1, word="forever"), "how long a file is kept, from mirroring", None)
    on_gone: str = keys.key(keys.choice("keep", "delete"), "when the service says for certain that it is gone", "keep")


@dataclass(frozen=True, slots=True)
class Outbox:
    """`[[outbox]]`, what all services have."""

    directory: Path = keys.key(keys.path, "the watched folder")
    account: str = keys.key(keys.text, "which account")
    settle: float = keys.key(keys.duration(), "a file is taken when it has been still for this long", 1.0)
    ignore: tuple[str, ...] = keys.key(
        keys.texts, "patterns of names that are left alone", ("*~", "*.part", "*.tmp", "*.crdownload")
    )
    on_unknown: str = keys.key(keys.choice("retry", "hold"), "after an upload of unknown outcome", "retry")
    propagate_deletes: bool = keys.key(keys.flag, "delete upstream what is deleted from sent/", False)


@dataclass(frozen=True, slots=True)
class Hook:
    """`[[hook]]`."""

    on: tuple[str, ...] = keys.key(_events, "which events")
    command: tuple[str, ...] = keys.key(_command, "run with the event on standard input", ())
    url: str | None = keys.key(_url(hook_url_fault), "post the event here", None)
    secret_file: Secret | None = keys.key(keys.secret, "signs what is posted", None)
    timeout: float = keys.key(keys.duration(0.001), "how long it may take", 60.0)

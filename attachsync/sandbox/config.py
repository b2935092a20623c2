"""Writes one complete attachsync config that uses every emulated service."""

from __future__ import annotations

import json
import os
from pathlib import Path

from attachsync.sandbox.sample_chat import CONVERSATION
from attachsync.sandbox.sample_forms import LIGHT, MARK
from attachsync.sandbox.sample_history import ARCHIVED, PUBLIC
from attachsync.sandbox.sample_ids import IDS_BEARER, access_keys_text, later_keys_text, sessions_text
from attachsync.sandbox.sample_signing import DEMO_CODES, DEMO_PACKAGES, SIGNING_KEY
from attachsync.sandbox.samples import ARCHIVE_CLIENT, LEDGER_BEARER, admit
from attachsync.sandbox.service import Sandbox
from attachsync.sandbox.sunshine import KEY_ID

Table = tuple[str, dict[str, object]]


def write_config(box: Sandbox, base: str, directory: Path, outbox: Path | None = None) -> str:
    """Write the secret files below a directory, create the outbox, and return the config's TOML text.

    An outbox must not lie inside the folder that the config is saved in (contract 2): name another place for it where
    that may be `directory` or a parent of it.
    """
    admit(box)
    home = directory.resolve()
    secrets = _secrets(box, home / "secrets")
    outbox = outbox or home / "outbox"
    outbox.mkdir(mode=0o700, parents=True, exist_ok=True)
    tables: list[Table] = [
        ("[mirror]", {"directory": home / "mirror"}),
        *_accounts(box, base.rstrip("/"), secrets),
        *_tracks(secrets),
        ("[[outbox]]", {"directory": outbox, "account": "support"}),
    ]
    return "\n".join(_table(head, keys) for head, keys in tables)


def _secrets(box: Sandbox, folder: Path) -> dict[str, Path]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    contents = {
        "ledger": f"Authorization: Bearer {LEDGER_BEARER}\n",
        "archive": ARCHIVE_CLIENT[1] + "\n",
        "support": box.sunshine.access.keys[KEY_ID] + "\n",
        "ids": IDS_BEARER + "\n",
        "sessions": sessions_text(),
        "keys": access_keys_text(),
        "later": later_keys_text(),
        "signing": SIGNING_KEY + "\n",
    }
    paths = {name: folder / f"{name}.secret" for name in contents}
    for name, text in contents.items():
        write_secret(paths[name], text)
    return paths


def _accounts(box: Sandbox, base: str, secrets: dict[str, Path]) -> list[Table]:
    ledger = {"service": "datatrails", "base_url": base}
    archive = {"service": "rkvst", "base_url": f"{base}/rkvst", "client_id": ARCHIVE_CLIENT[0]}
    support = {"service": "sunshine", "base_url": f"{base}/sunshine", "app_id": box.sunshine.app_id, "key_id": KEY_ID}
    ids = {"service": "trinsic", "base_url": f"{base}/trinsic", "token_file": secrets["ids"]}
    return [
        ("[accounts.ledger]", {**ledger, "token_file": secrets["ledger"]}),
        ("[accounts.archive]", {**archive, "client_secret_file": secrets["archive"]}),
        ("[accounts.public]", {**ledger}),
        ("[accounts.support]", {**support, "secret_file": secrets["support"]}),
        ("[accounts.ids]", {**ids}),
        ("[accounts.ids-later]", {**ids, "attachments_api": "attachment"}),
        ("[accounts.signing]", {"service": "auco", "base_url": f"{base}/auco", "key_file": secrets["signing"]}),
    ]


def _tracks(secrets: dict[str, Path]) -> list[Table]:
    # The light is tracked twice on purpose: two tracks may show the same asset.
    tracks: list[dict[str, object]] = [
        {"account": "ledger", "asset": "*", "attributes": dict(MARK)},
        {"account": "ledger", "asset": LIGHT},
        {"account": "archive", "asset": ARCHIVED},
        {"account": "public", "asset": PUBLIC, "public": True},
        {"account": "support", "conversation": CONVERSATION},
        {"account": "ids", "sessions_file": secrets["sessions"]},
        {"account": "ids", "access_keys_file": secrets["keys"]},
        {"account": "ids-later", "access_keys_file": secrets["later"]},
    ]
    tracks += [{"account": "signing", "package": package} for package in DEMO_PACKAGES]
    tracks += [{"account": "signing", "code": code} for code in DEMO_CODES]
    return [("[[track]]", keys) for keys in tracks]


def write_secret(path: Path, text: str) -> None:
    """Put a secret in place: mode 0600 from its first moment, never through a link, an older one replaced whole."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    fresh.replace(path)


def _table(head: str, keys: dict[str, object]) -> str:
    return "\n".join([head, *(f"{name} = {_value(value)}" for name, value in keys.items())]) + "\n"


def _value(value: object) -> str:
    """Write a TOML value; a JSON string without escaped surrogates is also a TOML one."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(inner)}" for key, inner in value.items()) + " }"
    return json.dumps(str(value), ensure_ascii=False)

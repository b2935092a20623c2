"""Commands start at once: what is slow to import is imported where it is used."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from attachsync.cli import COMMANDS, imported

SLOW = {"aiohttp", "aiofiles", "jwt", "rich", "stamina", "structlog", "watchfiles", "hypothesis"}
CONFIG = """
[mirror]
directory = "mirror"

[accounts.ledger]
service = "datatrails"

[[track]]
account = "ledger"
asset = "c04d5ecf-02e0-4be2-a014-ffbbf0e8ddeb"
public = true
"""


def packages(*words: str) -> set[str]:
    """The top-level packages that a command imports."""
    command = [sys.executable, "-X", "importtime", "-m", "attachsync", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines() if "|" in line}


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_version_and_help_import_nothing_slow(option: str) -> None:
    found = packages(option)
    assert "attachsync" in found
    assert not found & (SLOW | {"asyncio", "sqlite3"})


def test_status_imports_what_it_shows_and_no_client(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(CONFIG)
    found = packages("--config", str(config), "status")
    assert "sqlite3" in found
    assert not found & (SLOW - {"rich"})


def test_logs_need_no_rich_which_is_there_all_the_same() -> None:
    script = "import sys, attachsync.log; print('rich' in sys.modules); import rich.traceback; print(rich.__name__)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "rich"]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_says_what_the_command_says(name: str) -> None:
    command = imported(name)
    assert command.name == name
    assert (command.help or "").startswith(COMMANDS[name][1])


def test_names_are_utf8_whatever_the_locale(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[mirror]\ndirectory = "naïve"\nmin_free = 0\n', "utf-8")
    plain = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "attachsync", "--config", config, "sync"]
    subprocess.run(command, env=plain, check=True)
    assert (tmp_path / "naïve/.attachsync").is_dir()

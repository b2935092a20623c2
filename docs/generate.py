"""Writes docs/config.md anew, from the declared keys and config.example.toml: `python docs/generate.py`."""

from collections.abc import Iterator
from pathlib import Path

from attachsync.cli.check import example
from attachsync.reference import Key, reference
from attachsync.services import SERVICES

PAGE = Path(__file__).with_name("config.md")
_INTRODUCTION = """\
# Every key of the config

Made by `docs/generate.py` from what the code declares and from [config.example.toml](../config.example.toml). The same
text is the manual page: `attachsync man attachsync-config | man -l -`.

The file is TOML. It is searched in this order: `--config FILE`, `$ATTACHSYNC_CONFIG`,
`~/.config/attachsync/config.toml` (`$XDG_CONFIG_HOME` is respected), `/etc/attachsync/config.toml`. Relative paths are
relative to its folder. Every `config.d/*.toml` beside it is read after it, in name order, and may add accounts, tracks,
outboxes and hooks.

- Durations: a decimal number and `ms`, `s`, `m`, `h` or `d`. Sizes: a decimal number and `B`, `kB` to `GB`, or `KiB` to
  `GiB`. A plain number is seconds or bytes.
- Keys that end in `_file` and name a secret want a file of its own, `chmod 600`. In `$CREDENTIALS_DIRECTORY`
  (systemd's) the last part of a relative path is looked up first.
- `attachsync check` names every fault at once, with file and key. The daemon takes over a saved config within a second;
  a wrong one is reported, and the old one stays in force. `[mirror] directory` and `state_directory`, and `[daemon]
  metrics`, want a restart.
"""


def page() -> str:
    """The whole of docs/config.md."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield _INTRODUCTION
    for table in reference(example()):
        yield f"## `{table.title}`" + (f" for {' and '.join(table.of)}" if table.of else "")
        yield ""
        if table.title == "[accounts.NAME]":
            for name in table.of:
                yield f"`base_url` of {name} is `{SERVICES[name].base_url}` by default."
            yield from [""] * bool(table.of)
        yield from [table.note, ""] if table.note else []
        yield "| key | without it | what it does |"
        yield "|---|---|---|"
        yield from map(_row, table.keys)
        yield ""


def _row(key: Key) -> str:
    otherwise = key.otherwise if key.default is None else f"`{key.default}`"
    shown = f". Example: `{key.example}`" if key.example else ""
    return f"| `{key.name}` | {otherwise} | {key.text.rstrip('.')}{shown} |".replace("<directory>", "`directory`")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

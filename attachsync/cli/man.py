"""`man`: the manual pages, made from what `--help` and the example config say."""

from collections.abc import Iterator

import click

from attachsync import __version__
from attachsync.cli import COMMANDS, cli, imported
from attachsync.cli.check import example
from attachsync.reference import Key, reference

_CODES = {
    0: "All done. What the service does not have ready yet is no failure.",
    1: "Something could not be mirrored, sent or verified; all the rest was done.",
    2: "Wrong usage.",
    70: "Internal error.",
    75: "Another process holds the mirror.",
    78: "The config is wrong; every fault is named.",
    130: "Interrupted (SIGINT).",
    143: "Terminated (SIGTERM). The daemon exits 0 for both signals.",
}
_FILES = {
    "~/.config/attachsync/config.toml, /etc/attachsync/config.toml": "The config; see attachsync-config(5).",
    "config.d/*.toml": "Beside the config: read after it, in name order.",
}
_VARIABLES = {
    "ATTACHSYNC_CONFIG": "Config file to use.",
    "XDG_CONFIG_HOME": "Where the user's own config is looked for.",
    "CREDENTIALS_DIRECTORY": "systemd's: secret files are looked up here first.",
    "NOTIFY_SOCKET, WATCHDOG_USEC, JOURNAL_STREAM": "systemd's: used by `attachsync run`.",
}
_SIGNS = {
    "\n": " ", "\\": r"\e", "-": r"\-", '"': r"\(dq", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti",
}  # fmt: skip


@click.command()
@click.argument("page", type=click.Choice(["attachsync", "attachsync-config"]), default="attachsync")
def man(page: str) -> None:
    """Print a manual page, for `man -l`.

    attachsync(1) has every command, attachsync-config(5) every key of the config. To read one:
    `attachsync man | man -l -`. To install it: `attachsync man > /usr/local/share/man/man1/attachsync.1`.
    """
    lines = _commands() if page == "attachsync" else _config()
    click.echo("\n".join(lines))


def _commands() -> Iterator[str]:
    yield from _head("attachsync", 1, "mirrors attachments of other people's services, and sends files")
    yield from _section("SYNOPSIS")
    yield r".B attachsync"
    yield _text("[--config FILE] COMMAND [ARGUMENT...]")
    yield from _section("DESCRIPTION")
    yield from _paragraphs(cli.help or "")
    yield from _section("OPTIONS")
    with click.Context(cli, info_name="attachsync", **cli.context_settings) as whole:
        yield from _options(whole)
        yield from _section("COMMANDS")
        for name in sorted(COMMANDS):
            yield from _command(click.Context(imported(name), whole, name))
    for title, said in (("EXIT STATUS", _CODES), ("FILES", _FILES), ("ENVIRONMENT", _VARIABLES)):
        yield from _section(title)
        for term, words in said.items():
            yield from _entry(str(term), words)
    yield from _section("SEE ALSO")
    yield r".BR attachsync\-config (5)"


def _command(context: click.Context) -> Iterator[str]:
    command = context.command
    yield f'.SS "{_text(" ".join((context.command_path, *command.collect_usage_pieces(context))))}"'
    yield from _paragraphs(command.help or "")
    yield from _options(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _command(click.Context(inner, context, name))


def _options(context: click.Context) -> Iterator[str]:
    for parameter in context.command.params:
        record = parameter.get_help_record(context)
        if record is not None and isinstance(parameter, click.Option):
            yield from _entry(*record)


def _config() -> Iterator[str]:
    yield from _head("attachsync-config", 5, "the config of attachsync")
    yield from _section("DESCRIPTION")
    yield from _paragraphs(
        "A TOML file. It is searched in this order: --config FILE, $ATTACHSYNC_CONFIG, "
        "~/.config/attachsync/config.toml, /etc/attachsync/config.toml. Relative paths are relative to its folder. "
        "Every config.d/*.toml beside it is read after it, and may add accounts, tracks, outboxes and hooks.\n\n"
        "Durations: a decimal number and ms, s, m, h or d. Sizes: a decimal number and B, kB to GB, or KiB to GiB. A "
        "plain number is seconds or bytes. Secrets are in files of their own (chmod 600), never in the config.\n\n"
        "`attachsync init` writes an example with comments; `attachsync check` names every fault."
    )
    for table in reference(example()):
        services = f" for {' and '.join(table.of)}" if table.of else ""
        yield from _section(f"{table.title}{services}")
        yield from _paragraphs(table.note) if table.note else ()
        for key in table.keys:
            yield from _key(key)
    yield from _section("SEE ALSO")
    yield ".BR attachsync (1)"


def _key(key: Key) -> Iterator[str]:
    shown = f" Example: {key.example}" if key.example else ""
    yield from _entry(f"{key.name} ({key.otherwise})", f"{key.text.rstrip('.')}.{shown}")


# --- roff ---------------------------------------------------------------------------------------------------------


def _head(name: str, section: int, said: str) -> Iterator[str]:
    yield f'.TH "{_text(name.upper())}" {section} "" "attachsync {_text(__version__)}"'
    yield from _section("NAME")
    yield rf"{_text(name)} \- {_text(said)}"


def _section(title: str) -> Iterator[str]:
    yield f'.SH "{_text(title)}"'


def _entry(term: str, said: str) -> Iterator[str]:
    yield ".TP"
    yield rf"\fB{_text(term)}\fR"
    yield _text(said)


def _paragraphs(text: str) -> Iterator[str]:
    """Help as click has it: paragraphs, of which one that begins with \\b keeps its lines."""
    for paragraph in text.strip().split("\n\n"):
        lines = paragraph.strip().splitlines()
        if lines[0] == "\b":
            yield from (".PP", ".nf", *map(_text, lines[1:]), ".fi")
        else:
            yield from (".PP", _text(" ".join(line.strip() for line in lines)))


def _text(text: str) -> str:
    """Text that roff prints as it is, on one line; what is not ASCII by its number, as not every roff reads UTF-8."""
    flat = "".join(_SIGNS.get(sign) or (sign if sign.isascii() else rf"\[u{ord(sign):04X}]") for sign in text)
    return rf"\&{flat}" if flat.startswith(".") else flat

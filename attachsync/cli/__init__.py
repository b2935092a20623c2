"""The command line: one module a group of commands; errors become words and exit codes here (contract 4).

A command's module is imported when the command is used: `--version` and `--help` import none of them.
"""

import contextlib
import errno
import gc
import importlib
import io
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn, TextIO

import click

from attachsync import __version__
from attachsync.errors import AttachsyncError, ConfigError, MirrorHeldError
from attachsync.units import printable

INTERNAL, HELD, CONFIG, INTERRUPTED, TERMINATED = 70, 75, 78, 130, 143
_GARBAGE = (20_000, 20, 20)
"""What is made for a request goes without the collector: it need not look so often."""

COMMANDS = {
    "check": ("check", "Check the config, and name every fault at once."),
    "completion": ("completion", "Print what makes a shell complete attachsync's commands and options."),
    "demo": ("demo", "See the main job done, without any account."),
    "explain": ("explain", "Say why an attachment or a dropped file is, or is not, where you expect it."),
    "follow": ("follow", "Show what changes, as it happens: the change feed."),
    "init": ("check", "Write a commented config."),
    "ls": ("report", "List attachments: what is mirrored, and what is not."),
    "man": ("man", "Print a manual page, for `man -l`."),
    "outbox": ("outbox", "See what waits in the outboxes, and try again."),
    "prune": ("prune", "Delete what you name from the mirror, after asking."),
    "run": ("run", "Run the daemon: mirror and send until told to stop."),
    "sandbox": ("sandbox", "Serve the services, emulated, on loopback."),
    "show": ("report", "Show all that is known of one attachment."),
    "status": ("report", "Show whether all is well: tracks, outboxes, store, daemon."),
    "sunshine": ("sunshine", "Use the Attachments API of Sunshine Conversations by hand."),
    "sync": ("sync", "Make one pass over all tracks and outboxes, then exit."),
    "track": ("track", "Track something more: look it up, then add it to config.d/."),
    "untrack": ("track", "Stop tracking something that `track` added."),
    "verify": ("verify", "Check that all that was mirrored is there, and unchanged."),
}
"""Command -> (the module of this package that has it, under its own name; the first sentence of its help)."""


def imported(name: str) -> click.Command:
    """A command of the table itself."""
    module = importlib.import_module(f"attachsync.cli.{COMMANDS[name][0]}")
    command: click.Command = getattr(module, name)
    _want_text(command)
    return command


class _Text(click.types.StringParamType):
    """An argument that is no path: text. The system's encoding may be another; one that is no UTF-8 is wrong usage."""

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        try:
            return text if text.isascii() else os.fsencode(text).decode()
        except UnicodeError:
            self.fail(f"{text!r} is not UTF-8: nothing has such a name", param, ctx)


def _want_text(command: click.Command) -> None:
    for param in command.params:
        if param.type is click.STRING:
            param.type = _Text()
    for inner in command.commands.values() if isinstance(command, click.Group) else ():
        _want_text(inner)


_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""What befalls whoever writes. Where no file is named, it is standard output as a rule."""


class Commands(click.Group):
    """The commands. A reader that goes away (`ls | head -1`) is no error, and nothing to speak of."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Import the command that is meant; until then there are only stand-ins, for `--help`."""
        name, command, rest = super().resolve_command(ctx, args)
        if name == "run":
            _may_be_stopped()
        command = command if command is None else imported(str(command.name))
        gc.freeze()  # garbage is looked for from now on, but not in what has been imported
        gc.set_threshold(*_GARBAGE)
        gc.enable()
        return name, command, rest

    def invoke(self, ctx: click.Context) -> object:
        """Run one; what is left to write when nobody reads it any more goes nowhere."""
        try:
            result: object = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            nobody_reads(sys.stdout)
            return 0
        return result


def nobody_reads(stream: TextIO) -> None:
    """What is left to write on a stream goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


class _Errors(io.TextIOWrapper):
    """Standard error: that it cannot be written breaks nothing off. Some is kept until it can."""

    def write(self, text: str, /) -> int:
        with self._trouble():
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with self._trouble():
            super().flush()

    @contextlib.contextmanager
    def _trouble(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            nobody_reads(self)
        except OSError:
            pass


@click.group(
    cls=Commands,
    commands=[click.Command(name, short_help=said) for name, (_, said) in COMMANDS.items()],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="attachsync")
@click.option(
    "--config",
    type=click.Path(path_type=Path, readable=False),  # one that cannot be read is a wrong config, not wrong usage
    metavar="FILE",
    help="Config file. Default: $ATTACHSYNC_CONFIG, the user's, then /etc/attachsync/config.toml.",
)
@click.pass_context
def cli(context: click.Context, config: Path | None) -> None:
    """Mirror attachments of other people's services onto your own disk, provably intact, and send files back.

    To begin: `attachsync demo` shows it at work without any account; `attachsync init` writes a config to edit.
    """
    context.obj = config
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        context.color = False  # no-color.org


def main() -> int:
    """Run a command: the exit code that the contract says, and never a traceback for somebody's mistake."""
    _have_streams()
    if isinstance(sys.stderr, io.TextIOWrapper):
        encoding = sys.stderr.encoding
        sys.stderr = _Errors(sys.stderr.detach(), encoding, errors="backslashreplace", line_buffering=True)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may be no text, or not of this terminal's
    signal.signal(signal.SIGTERM, _terminate)
    return _guarded()


def _have_streams() -> None:
    """Where one was closed (`>&-`), what is written goes nowhere, and no file of the mirror gets its number."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            nothing = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(nothing, True)
            setattr(sys, name, os.fdopen(nothing, "r" if name == "stdin" else "w"))


def _terminate(_number: int, _frame: object) -> NoReturn:
    """What SIGTERM does where a command has not said otherwise: end at once; an exception might be lost on its way."""
    os._exit(TERMINATED)


def _may_be_stopped() -> None:
    """A daemon that is told to stop does as it is told (exit 0), also while it is about to start."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: os._exit(0))


def _guarded() -> int:
    try:
        code = cli.main(prog_name="attachsync", standalone_mode=False)
    except (Exception, KeyboardInterrupt, BaseExceptionGroup) as error:
        return _told(_leaf(error))
    return code if isinstance(code, int) else 0


def _told(error: BaseException) -> int:
    """Say what went wrong; the exit code that goes with it."""
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    if isinstance(error, click.Abort | KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    if isinstance(error, AttachsyncError):
        faults = error.faults if isinstance(error, ConfigError) else [f"attachsync: {error}"]
        for fault in faults:
            click.echo(printable(fault), err=True)
        return CONFIG if isinstance(error, ConfigError) else HELD if isinstance(error, MirrorHeldError) else 1
    if isinstance(error, OSError) and error.filename is None and error.errno in _NO_ROOM:
        nobody_reads(sys.stdout)
        click.echo(f"attachsync: cannot write: {error.strerror}", err=True)
        return 1
    if isinstance(error, OSError) and error.filename is not None:
        click.echo(printable(f"attachsync: {error.filename}: {error.strerror}"), err=True)
        return 1
    traceback.print_exception(error)
    click.echo("attachsync: internal error; please report the lines above", err=True)
    return INTERNAL


def _leaf(error: BaseException) -> BaseException:
    """What a group of errors is about: its first, but an unexpected one before those we have words for."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    leaves = [_leaf(inner) for inner in error.exceptions]
    return next((leaf for leaf in leaves if not isinstance(leaf, AttachsyncError)), leaves[0])

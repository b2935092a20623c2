"""The command line: one module a group of commands; errors become words and exit codes here (contract 4)."""

import os
import sys
import traceback
from pathlib import Path

import click

from attachsync import __version__
from attachsync.cli import check, demo, outbox, report, run, sandbox, sunshine, sync, verify
from attachsync.errors import AttachsyncError, ConfigError, MirrorHeldError

USAGE, INTERNAL, HELD, CONFIG, INTERRUPTED = 2, 70, 75, 78, 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="attachsync")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Config file. Default: $ATTACHSYNC_CONFIG, the user's, then /etc/attachsync/config.toml.",
)
@click.pass_context
def cli(context: click.Context, config: Path | None) -> None:
    """Mirror attachments of other people's services onto your own disk, provably intact, and send files back."""
    context.obj = config


for command in (
    check.init,
    check.check,
    sync.sync,
    run.run,
    report.status,
    report.ls,
    report.show,
    verify.verify,
    outbox.outbox,
    sunshine.sunshine,
    sandbox.sandbox,
    demo.demo,
):
    cli.add_command(command)


def main() -> None:
    """Run a command; exit as the contract says, never with a traceback for somebody's mistake."""
    sys.exit(_guarded())


def _guarded() -> int:
    try:
        code = cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except ConfigError as error:
        for fault in error.faults:
            click.echo(fault, err=True)
        return CONFIG
    except MirrorHeldError as error:
        click.echo(f"attachsync: {error}", err=True)
        return HELD
    except AttachsyncError as error:
        click.echo(f"attachsync: {error}", err=True)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left to write has no reader
        return 0
    except Exception:
        traceback.print_exc()
        click.echo("attachsync: internal error; please report the lines above", err=True)
        return INTERNAL
    return code if isinstance(code, int) else 0

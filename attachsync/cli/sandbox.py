"""`sandbox`: the services, emulated, to try a config without an account."""

import asyncio
import hashlib
import os
import signal
import stat
import sys
import tempfile
from pathlib import Path

import click

from attachsync.sandbox import Sandbox, sample, serve, write_config


@click.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, show_default="any free one", help="Port on 127.0.0.1."
)
@click.option(
    "--directory",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="For secret files and the mirror. Default: a new one.",
)
def sandbox(port: int, directory: Path | None) -> None:
    """Serve the services, emulated, on loopback.

    They hold sample data. Prints one complete config that uses them, then serves until SIGINT or SIGTERM:

    \b
        attachsync sandbox > sandbox.toml &
        attachsync --config sandbox.toml sync
    """
    home = directory or Path(tempfile.mkdtemp(prefix="attachsync-sandbox-"))
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        asyncio.run(_serve(port, home.resolve()))
    except OSError as error:
        raise click.ClickException(f"{error.filename or f'port {port}'}: {error.strerror or error}") from None


async def _serve(port: int, home: Path) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    box = Sandbox()
    sample(box)
    runner, actual = await serve(box, port)
    try:
        click.echo(write_config(box, f"http://127.0.0.1:{actual}", home, _outbox_for(home)))
        sys.stdout.flush()
        await ended.wait()
    finally:
        await runner.cleanup()


def _outbox_for(home: Path) -> Path:
    """An outbox of the sandbox in `home`, at the same place each time.

    It is not below `home`: whoever saves the printed config there, or beside it, would find it refused (contract 2).
    """
    name = f"attachsync-outbox-{os.getuid()}-{hashlib.sha256(os.fsencode(home)).hexdigest()[:12]}"
    parent = Path(tempfile.gettempdir()) / name
    parent.mkdir(mode=0o700, exist_ok=True)
    found = parent.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise click.ClickException(f"{parent} is not a folder of this user: remove it")
    return parent / "outbox"

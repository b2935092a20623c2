"""`sandbox`: the services, emulated, to try a config without an account."""

import asyncio
import contextlib
import hashlib
import itertools
import os
import signal
import stat
import sys
import tempfile
from pathlib import Path

import click

from attachsync.sandbox import Sandbox, sample, serve, write_config

_LASTING = "/var/tmp"  # noqa: S108  what is made there is looked at before it is used
"""Where temporary files outlive a restart, and hardly a config is saved."""


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
        raise click.ClickException(f"{error.filename or home}: {error.strerror or error}") from None


async def _serve(port: int, home: Path) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    box = Sandbox()
    sample(box)
    box.auco.run()
    try:
        runner, actual = await serve(box, port)
    except OSError as error:
        raise click.ClickException(f"port {port}: {error.strerror or error}") from None
    try:
        click.echo(write_config(box, f"http://127.0.0.1:{actual}", home, _outbox_for(home)))
        sys.stdout.flush()
        await ended.wait()
    finally:
        await runner.cleanup()


def _outbox_for(home: Path) -> Path:
    """An outbox of the sandbox in `home`: the same at each start, with nothing in it where `home` is new.

    It is not below `home`, which only has a link to it: whoever saves the printed config there, or beside it, would
    find it refused (contract 2).
    """
    link = home / "outbox"
    if link.is_symlink() and _is_ours(link.resolve().parent):
        return link.resolve()
    name = f"attachsync-outbox-{os.getuid()}-{hashlib.sha256(os.fsencode(home)).hexdigest()[:12]}"
    for number in itertools.count(1):
        parent = _elsewhere(home) / (name if number == 1 else f"{name}-{number}")
        with contextlib.suppress(FileExistsError):
            parent.mkdir(mode=0o700)
        outbox = parent / "outbox"
        if _is_ours(parent) and not (outbox.is_dir() and any(outbox.iterdir())):
            with contextlib.suppress(FileExistsError):  # `demo` has a folder of that name
                link.symlink_to(outbox)
            return outbox
    raise AssertionError("there is always a further number")


def _is_ours(folder: Path) -> bool:
    """Whether it is a folder of this user, to which nobody else could have given files or links."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()


def _elsewhere(home: Path) -> Path:
    """A folder for temporary files that is not, and is not below, one in which the config may be saved."""
    places = [Path(place) for place in (os.environ.get("TMPDIR"), _LASTING, tempfile.gettempdir()) if place]
    saved = {home, home.parent, Path.cwd()}
    if stat.S_ISREG(os.fstat(1).st_mode):
        saved.add(Path("/proc/self/fd/1").resolve().parent)
    usable = [place.resolve() for place in places if os.access(place, os.W_OK | os.X_OK)]
    return next((place for place in usable if not any(map(place.is_relative_to, saved))), usable[0])

"""`sandbox`: the services, emulated, to try a config without an account."""

import asyncio
import itertools
import os
import signal
import stat
import sys
import tempfile
from collections.abc import Iterator
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
    link = next(one for one in map(home.joinpath, _links()) if _leads_to_one(one) or not os.path.lexists(one))
    if not link.is_symlink():
        parent = Path(tempfile.mkdtemp(prefix=f"{_prefix()}-", dir=_elsewhere(home)))
        link.symlink_to(parent / "outbox")
    return link.resolve()


def _links() -> Iterator[str]:
    """Names of the link to it; `demo` has a folder of the first name, and so may others."""
    return itertools.chain(["outbox"], (f"outbox-{number}" for number in itertools.count(2)))


def _leads_to_one(link: Path) -> bool:
    """Whether it is a link to an outbox of a sandbox of this user; one that was swept away leaves none."""
    parent = link.resolve().parent
    if not link.is_symlink() or not parent.name.startswith(f"{_prefix()}-"):
        return False
    if os.path.lexists(parent):
        return _is_ours(parent)
    link.unlink()
    return False


def _prefix() -> str:
    return f"attachsync-outbox-{os.getuid()}"


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

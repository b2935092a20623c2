"""`demo`: the main job, end to end, on the embedded sandbox."""

import os
import shlex
from collections.abc import Callable
from pathlib import Path

import click

from attachsync import config as configs
from attachsync import log
from attachsync.cli.live import LiveView
from attachsync.cli.session import json_option, print_json, run
from attachsync.cli.summary import report
from attachsync.cli.sync import synced
from attachsync.cli.watching import Tally
from attachsync.daemon import Summary
from attachsync.sandbox import Sandbox, sample, sample_later, serve, write_config

_CONFIG = Path("config", "config.toml")
_NOTE = (
    "Dropped into the outbox by `attachsync demo`, sent to Sunshine Conversations, and moved here with its receipt.\n"
)


@click.command()
@click.argument(
    "directory", metavar="[DIR]", type=click.Path(path_type=Path, file_okay=False), default=Path("attachsync-demo")
)
@json_option
@click.pass_context
def demo(context: click.Context, directory: Path, as_json: bool) -> None:
    """See the main job done, without any account.

    In DIR (default: ./attachsync-demo), mirrors the sandbox's attachments, sends a file, lets something happen
    upstream, mirrors that, and shows what became of it all. Run it again: nothing is new.
    """
    home = directory.resolve()
    log.quietly()
    try:
        home.mkdir(mode=0o755, parents=True, exist_ok=True)
        summary, news = run(_demonstrate(home, aloud=not as_json))
    except OSError as error:
        raise click.ClickException(f"{error.filename or home}: {error.strerror or error}") from None
    if as_json:
        counts = {name: dict(states) for name, states in summary.counts.items()}
        print_json({"directory": str(home), "config": str(home / _CONFIG), "new": news, "tracks": counts})
        context.exit(1 if summary.incomplete else 0)
    click.echo(f"\n{home}")
    for text in _tree(home, ""):
        click.echo(text)
    click.echo(f"\nLook around: attachsync --config {shlex.quote(str(home / _CONFIG))} status (or ls, show, verify)")
    click.echo(
        "Run it again: nothing will be new." if news else "Nothing was new: all had been mirrored and sent before."
    )
    context.exit(1 if summary.incomplete else 0)


async def _demonstrate(home: Path, *, aloud: bool) -> tuple[Summary, int]:
    """One pass, and, the first time, another one after something happened upstream: summary, and how much was new."""
    news = 0
    if not (home / "mirror").exists():
        _, news = await _pass(home, sample, aloud=aloud)
        if aloud:
            click.echo("\nMeanwhile, each service got something new:\n")
    summary, more = await _pass(home, sample_later, aloud=aloud)
    return summary, news + more


async def _pass(home: Path, fill: Callable[[Sandbox], None], *, aloud: bool) -> tuple[Summary, int]:
    """Serve, configure, drop a file unless it was sent before, make one pass: its summary, and how much was new."""
    box = Sandbox()
    fill(box)
    runner, port = await serve(box)
    try:
        path = _configured(box, port, home)
        config = configs.load(path, os.environ)
        outbox = config.outboxes[0].directory
        if not (outbox / "sent" / "hello.txt").exists():
            (outbox / "hello.txt").write_text(_NOTE)
        with (aloud and LiveView.here()) or Tally() as observer:
            summary = await synced(config, None, observer)
        if aloud:
            report(summary, observer, as_json=False)
    finally:
        await runner.cleanup()
    mirrored = sum(tally["mirrored"] for tally in observer.tallies.values())
    return summary, mirrored + sum(sent.sent for sent in summary.sent.values())


def _configured(box: Sandbox, port: int, home: Path) -> Path:
    """Write the config; the outbox may not lie inside the config's folder, so that has a folder of its own."""
    path = home / _CONFIG
    folder = path.parent
    folder.mkdir(mode=0o700, exist_ok=True)
    text = write_config(box, f"http://127.0.0.1:{port}", folder, home / "outbox")
    text = text.replace(str(folder / "mirror"), str(home / "mirror"))
    path.write_text(text)
    return path


def _tree(folder: Path, indent: str) -> list[str]:
    """The tree that was made; what is attachsync's own is left out, and of the store only the number is told."""
    shown = sorted(entry for entry in folder.iterdir() if entry.name not in (".attachsync", "config"))
    lines = []
    for number, entry in enumerate(shown, 1):
        last = number == len(shown)
        is_store = entry.name == "sha256"
        told = f"  ({len(list(entry.glob('*/*')))} files, each by its SHA-256)" if is_store else ""
        lines.append(f"{indent}{'└── ' if last else '├── '}{entry.name}{'/' if entry.is_dir() else ''}{told}")
        if entry.is_dir() and not is_store:
            lines += _tree(entry, indent + ("    " if last else "│   "))
    return lines

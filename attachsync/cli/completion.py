"""`completion`: what makes a shell complete commands and options."""

import click
from click.shell_completion import get_completion_class

from attachsync.cli import cli

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print what makes a shell complete attachsync's commands and options.

    \b
    bash:  attachsync completion bash > ~/.local/share/bash-completion/completions/attachsync
    zsh:   attachsync completion zsh > ~/.zfunc/_attachsync   (a folder of $fpath, before compinit)
    fish:  attachsync completion fish > ~/.config/fish/completions/attachsync.fish
    """
    made = get_completion_class(shell)
    assert made is not None
    script = made(cli, {}, "attachsync", "_ATTACHSYNC_COMPLETE").source()
    # click's script for fish ends an explanation at its first comma.
    click.echo(script.replace('string split "," $completion', 'string split --max 1 "," $completion'))

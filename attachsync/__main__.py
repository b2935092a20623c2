"""`python -m attachsync`, and the installed command: what it makes is its user's alone unless given another mode."""

import os

from attachsync import cli


def main() -> None:
    """Run a command, under a tight umask: there is no moment in which others could read what is being made."""
    os.umask(0o077)
    cli.main()


if __name__ == "__main__":
    main()

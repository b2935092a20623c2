"""`python -m attachsync`, and the installed command: what it makes is its user's alone unless given another mode."""

import contextlib
import gc
import os
import sys


def main() -> None:
    """Run a command, under a tight umask: there is no moment in which others could read what is being made.

    At its end all is closed and written: the interpreter need not take itself apart, which takes as long as `status`.
    """
    _speak_utf8()
    os.umask(0o077)
    gc.disable()  # until all that a command needs is imported (`cli.Commands`): none of it is garbage
    from attachsync import cli

    code = cli.main()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code)


def _speak_utf8() -> None:
    """Names in a mirror are UTF-8 whatever the locale: where Python would write them otherwise, begin again, once.

    By the environment, as the processes that are started from here are to do the same.
    """
    if sys.getfilesystemencoding() != "utf-8" and os.environ.get("PYTHONUTF8") != "1":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - it is this command


if __name__ == "__main__":
    main()

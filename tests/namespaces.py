"""A mount namespace of one's own: small, read-only and missing disks that are real, without being root."""

import contextlib
import functools
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

_ENTER = ("unshare", "--user", "--map-root-user", "--mount", "--propagation", "private", "sh", "-euc")


@functools.cache
def refusal() -> str:
    """Why this system gives no mount namespace; empty if it does."""
    script = "mount -t tmpfs -o size=64k none /mnt && mount --bind /mnt /mnt && mount -o remount,bind,ro /mnt"
    try:
        done = subprocess.run([*_ENTER, script], check=False, capture_output=True, text=True)
    except FileNotFoundError:
        return "needs unshare (util-linux)"
    return f"this system gives no mount namespace: {done.stderr.strip()}" if done.returncode else ""


needs_namespaces = pytest.mark.skipif(bool(refusal()), reason=refusal() or "has them")


def within(script: str, *places: Path) -> tuple[str, ...]:
    """What goes before a command, to run it in a namespace made by `script`, in which $1 … are `places`."""
    names = [f'p{number}="${number}"' for number in range(1, len(places) + 1)]
    return (*_ENTER, f'{"; ".join(names)}; {script}; shift {len(places)}; exec "$@"', "sh", *map(str, places))


@contextlib.contextmanager
def other_disk(folder: Path, size: str = "50%") -> Iterator[None]:
    """Another disk at `folder`, for this process too: skips the test where that cannot be."""
    if os.geteuid() != 0:
        pytest.skip("mounts a file system")
    folder.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], check=False, capture_output=True
    ).returncode:
        pytest.skip("no mounts here")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def seen_by(process: int, place: Path) -> Path:
    """A place as a process in another namespace sees it."""
    return Path(f"/proc/{process}/root{place}")


def fill(folder: Path) -> Path:
    """Take all room on a disk: the file that does."""
    ballast = folder / ".ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while True:
                    file.write(b"\1" * size)
            except OSError:
                continue
    return ballast

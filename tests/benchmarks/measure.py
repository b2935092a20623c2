"""Running commands in turn, round by round, and what that comes to."""

import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_LARGE = 1 << 30


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a process and its children: seconds, and its largest process's memory (bytes)."""

    wall: float
    cpu: float
    peak: int


@dataclass(frozen=True, slots=True)
class Contender:
    """One way of doing the same. `command` prepares an empty folder, and returns what is timed."""

    name: str
    command: Callable[[Path], Sequence[str]]


@dataclass(slots=True)
class Result:
    """The runs of one contender."""

    name: str
    runs: list[Run] = field(default_factory=list)
    more: dict[str, float] = field(default_factory=dict)
    """Further figures, by what they are."""

    def median(self, what: str) -> float:
        """Of `wall`, `cpu` or `peak`."""
        values: list[float] = [getattr(run, what) for run in self.runs]
        return statistics.median(values)

    def ratio(self, ours: "Result") -> float:
        """By how much we are slower, round by round: pairs keep it meaningful on a machine that is not quiet."""
        pairs = zip(ours.runs, self.runs, strict=True)
        return statistics.median(mine.wall / theirs.wall for mine, theirs in pairs)

    def document(self, ours: "Result") -> dict[str, Any]:
        """For JSON."""
        walls = [run.wall for run in self.runs]
        return {
            "name": self.name,
            "rounds": len(walls),
            "wall": {"median": self.median("wall"), "min": min(walls), "max": max(walls)},
            "cpu": self.median("cpu"),
            "peak": self.median("peak"),
            "ours_to_this": self.ratio(ours),
            **self.more,
        }


def timed(command: Sequence[str], log: Path) -> Run:
    """Run a command to its end. Its output goes to `log`, which is shown if it fails: SystemExit.

    The kernel counts our own memory, at the moment of the start, into a child's peak: keep it small.
    """
    with log.open("wb") as output:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            _, status, used = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            raise
        wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: exit {process.returncode}\n{log.read_text(errors='replace')[-3000:]}")
    return Run(wall, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)


def race(contenders: Sequence[Contender], rounds: int, folder: Path) -> list[Result]:
    """All contenders in turn, `rounds` times, each in a new folder; what one wrote is on the disk before the next.

    What they wrote in `folder` is for the caller to remove when all is measured, but for what is large: for minutes
    after many files were removed, an ext4 without a journal takes up to ten times as long to make new ones, as it
    looks at each that was.
    """
    results = [Result(one.name) for one in contenders]
    folder.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=folder))
    for number in range(rounds):
        pairs = list(zip(contenders, results, strict=True))
        shift = number % len(pairs)  # nobody always runs first
        for turn, (one, result) in enumerate(pairs[shift:] + pairs[:shift]):
            place = folder / f"{number}-{turn}"
            place.mkdir(parents=True)
            command = one.command(place)
            os.sync()
            result.runs.append(timed(command, folder / "output"))
            if sum(file.stat().st_size for file in place.rglob("*") if file.is_file()) > _LARGE:
                shutil.rmtree(place)
    return results

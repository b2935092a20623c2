"""What is measured: downloads, uploads, passes with nothing new, a large index, memory, and rest."""

import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks import corpus, rivals
from tests.benchmarks.measure import Contender, Result, Run, race, timed
from tests.benchmarks.site import Site, served

MIB = 1024 * 1024
_UPLOADS, _UPLOAD_SIZE = 500, 200 * 1024
_TRACKS = 1000
_STEP = 5.0


@dataclass(frozen=True, slots=True)
class Bench:
    """How to measure: where, how many rounds, and how long rest is watched (seconds)."""

    folder: Path
    rounds: int
    rest: float

    @property
    def races(self) -> Path:
        """What contenders write is below, and stays until all is measured."""
        return self.folder / "race"


@dataclass(slots=True)
class Table:
    """The results of one part; the first is ours. `compares`: the others do the same."""

    title: str
    results: list[Result]
    notes: list[str] = field(default_factory=list)
    compares: bool = True


def downloads(bench: Bench, name: str) -> Iterator[Table]:
    """A cold mirror of a corpus, and the same bytes fetched by others."""
    upstream = bench.folder / f"corpus-{name}"
    corpus.make(upstream, name)
    sizes = corpus.SIZES[name]()
    with served(upstream, bench.folder / "run") as site:
        contenders, notes = rivals.downloaders(site, bench.folder)
        results = race(contenders, bench.rounds, bench.races)
        before = site.requests()
        place = _emptied(bench.folder / "once")
        timed(contenders[0].command(place), bench.folder / "output")
        made = site.requests() - before - 1
    results[0].more = {"files": len(sizes), "bytes": sum(sizes), "requests": made}
    notes.append(f"attachsync makes {made:,} requests for {len(sizes):,} files; the others one each")
    yield Table(f"{name}: {len(sizes):,} files, {sum(sizes) / MIB:,.0f} MiB, into an empty folder", results, notes)


def uploads(bench: Bench) -> Iterator[Table]:
    """An outbox emptied into a chat service."""
    files, source = _emptied(bench.folder / "files"), random.Random("uploads")
    for number in range(_UPLOADS):
        (files / f"report-{number}.pdf").write_bytes(source.randbytes(_UPLOAD_SIZE))
    with served(_emptied(bench.folder / "nothing"), bench.folder / "run") as site:
        contenders, notes = rivals.uploaders(site, files)
        results = race(contenders, bench.rounds, bench.races)
    yield Table(f"uploads: {_UPLOADS} files of {_UPLOAD_SIZE // 1024} KiB", results, notes)


def passes(bench: Bench) -> Iterator[Table]:
    """A pass with nothing new over 100,000 known attachments on 1,000 assets."""
    for where in ("events", "assets"):
        with _knowing(bench, 100_000, where) as (site, config):
            timed(rivals.ours(config, "sync"), bench.folder / "output")  # writes SHA256SUMS
            before = site.requests()
            results = _alone(bench, "attachsync", rivals.ours(config, "sync"))
            made = (site.requests() - before - 1) / bench.rounds
        results[0].more = {"requests": made}
        yield Table(f"pass: nothing new, 100,000 known on {where}, 1,000 assets", results, [f"{made:,.0f} requests"])


def million(bench: Bench) -> Iterator[Table]:
    """What commands take beside an index of 1,000,000 attachments."""
    with _knowing(bench, 1_000_000, "events") as (_, config):
        commands = {
            "sync": ("sync",),
            "status": ("status",),
            "ls --json, first row": ("ls", "--json"),
        }
        timed(rivals.ours(config, "sync"), bench.folder / "output")
        started = Result("run, until ready", [_until_ready(config) for _ in range(bench.rounds)])
        results = [started]
        for name, words in commands.items():
            command = rivals.ours(config, *words)
            if "first row" in name:
                command = ["sh", "-c", f"{' '.join(command)} | head -1"]
            results += _alone(bench, name, command)
    yield Table("1,000,000 known attachments", results, compares=False)


def _alone(bench: Bench, name: str, command: Sequence[str]) -> list[Result]:
    return race([Contender(name, lambda _folder: command)], bench.rounds, bench.races)


def memory(bench: Bench) -> Iterator[Table]:
    """The largest our process gets with 16 large bodies in flight, beside one that has nothing to fetch."""
    upstream = bench.folder / "corpus-W"
    corpus.make(upstream, "W")
    with served(upstream, bench.folder / "run") as site:

        def wide(folder: Path) -> list[str]:
            return rivals.ours(rivals.configured(folder, rivals.all_of(site, folder, concurrency=16)), "sync")

        def idle(folder: Path) -> list[str]:
            return rivals.ours(rivals.configured(folder, rivals.each_of(site, folder, [])), "sync")

        contenders = [Contender("16 x 96 MiB in flight", wide), Contender("nothing to fetch", idle)]
        results = race(contenders, bench.rounds, bench.races)
    yield Table("memory", results, compares=False)


def rest(bench: Bench) -> Iterator[Table]:
    """The daemon with 1,000 tracks at rest: its share of a core, and how evenly it asks."""
    with _knowing(bench, _TRACKS * corpus.PER_ASSET, "tracks") as (site, config):
        lines = (site.corpus / "assets.jsonl").read_text().splitlines()
        assets = [json.loads(line)["identity"].partition("/")[2] for line in lines]
        rivals.configured(config.parent, rivals.each_of(site, config.parent, assets))
        with (bench.folder / "output").open("wb") as output:
            process = subprocess.Popen(rivals.ours(config, "run"), stdout=output, stderr=output)
        try:
            table = _watched(process.pid, site, bench.rest)
        finally:
            process.terminate()
            process.wait()
    yield table


def _watched(pid: int, site: Site, seconds: float) -> Table:
    """A start's burst of requests, then the share of a core over `seconds`."""
    counts = [site.requests()]
    while counts[-1] - counts[0] < 2 * _TRACKS:  # every asset, and its events
        time.sleep(_STEP)
        counts.append(site.requests())
    burst = max(after - before for before, after in itertools.pairwise(counts)) / _STEP
    before, began, used = site.requests(), time.perf_counter(), _cpu(pid)
    steps = []
    while time.perf_counter() - began < seconds:
        time.sleep(_STEP)
        steps.append(site.requests())
    wall, cpu = time.perf_counter() - began, _cpu(pid) - used
    busiest = max(after - one for one, after in itertools.pairwise([before, *steps])) / _STEP
    result = Result("run", [Run(wall, cpu, _peak(pid))])
    result.more = {
        "core_percent": 100 * cpu / wall,
        "start_requests_a_second": burst,
        "rest_requests_a_second": busiest,
    }
    notes = [
        f"{100 * cpu / wall:.2f} % of a core at rest",
        f"requests a second in the busiest {_STEP:.0f} s: {burst:.0f} at the start, {busiest:.0f} at rest",
    ]
    return Table(f"rest: {_TRACKS} tracks, an interval of 5 minutes, watched for {wall:.0f} s", [result], notes)


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def _until_ready(config: Path) -> Run:
    """From the start of the daemon until it says READY=1."""
    address = config.with_name("notify")
    address.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(address))
        began = time.perf_counter()
        environment = {**os.environ, "NOTIFY_SOCKET": str(address)}
        process = subprocess.Popen(rivals.ours(config, "run"), env=environment, stderr=subprocess.DEVNULL)
        while b"READY=1" not in channel.recv(4096):
            pass
        wall, cpu, peak = time.perf_counter() - began, _cpu(process.pid), _peak(process.pid)
        process.send_signal(signal.SIGTERM)
        process.wait()
    return Run(wall, cpu, peak)


@contextlib.contextmanager
def _knowing(bench: Bench, count: int, where: str) -> Iterator[tuple[Site, Path]]:
    """A site, and the config of a mirror that knows all of it already."""
    upstream, folder = _emptied(bench.folder / "known"), _emptied(bench.folder / "knowing")
    config = rivals.configured(folder, rivals.all_of(Site(1, upstream), folder))
    command = [sys.executable, "-m", "tests.benchmarks.known", str(upstream), str(config), str(count), where]
    subprocess.run(command, check=True)
    with served(upstream, bench.folder / "run") as site:
        rivals.configured(folder, rivals.all_of(site, folder))
        yield site, config


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


PARTS: dict[str, Callable[[Bench], Iterator[Table]]] = {
    "S": lambda bench: downloads(bench, "S"),
    "M": lambda bench: downloads(bench, "M"),
    "L": lambda bench: downloads(bench, "L"),
    "uploads": uploads,
    "passes": passes,
    "million": million,
    "memory": memory,
    "rest": rest,
}

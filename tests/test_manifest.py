"""`SHA256SUMS`: kept current by what is new, whole whenever it is seen, and made anew after a crash."""

import asyncio
import contextlib
import itertools
import os
import re
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from attachsync.daemon import equipped, holding
from attachsync.growing import Growing
from attachsync.index import Index, Stored, Wanted
from attachsync.manifest import NAME, Manifest, current, in_the_way
from attachsync.model import Attachment, Digest, Page
from attachsync.observer import Observer
from attachsync.store import Store
from attachsync.verifying import Verifier
from tests.crashes import Leaping
from tests.ledgers import Ledgers, ledgers

LINE = re.compile(r"[0-9a-f]{64}  files/.+\n")
OLD = [f"{number:064x}  files/{number}\n" for number in range(20_000)]


@pytest.fixture
def growing(tmp_path: Path) -> Growing:
    """A list of many lines."""
    made = opened(tmp_path)
    made.replace(OLD)
    return made


def opened(folder: Path) -> Growing:
    (folder / "own").mkdir(exist_ok=True)
    numbers = itertools.count()
    return Growing(
        folder / "list",
        folder / "own" / "list",
        lambda: folder / "own" / f"{os.getpid()}-{next(numbers)}",
        lambda descriptor: os.fchmod(descriptor, 0o440),
    )


def written() -> int:
    """Bytes that this thread has given to write(2) and the like so far."""
    counts = Path("/proc/thread-self/io").read_text().split()
    return int(counts[counts.index("wchar:") + 1])


# --- the file -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("anew", [False, True], ids=["same process", "another process"])
def test_adding_costs_what_is_added(growing: Growing, anew: bool, tmp_path: Path) -> None:
    """Whether the process knows the spare or finds it; the mode is that of read-only files."""
    added = []
    for number in range(5):
        used = opened(tmp_path) if anew else growing
        before = written()
        added.append(f"{number:064x}  files/new\n")
        used.add(added[-1:])
        assert written() - before < 1000
        assert (tmp_path / "list").read_text() == "".join(OLD + added)
        assert (tmp_path / "list").stat().st_mode & 0o777 == 0o440
    assert sorted(os.listdir(tmp_path)) == ["list", "own"]
    assert os.listdir(tmp_path / "own") == ["list"]


def test_who_has_it_open_sees_it_as_it_was(growing: Growing, tmp_path: Path) -> None:
    """However long it takes them, and however many lines come meanwhile."""
    with contextlib.ExitStack() as stack:
        seen = []
        for number in range(4):
            file = stack.enter_context(open(tmp_path / "list", encoding="utf-8"))
            seen.append((file, "".join(OLD) + f"{0:064x}  files/new\n" * number))
            growing.add([f"{0:064x}  files/new\n"])
        for file, text in seen:
            assert file.read() == text


def test_a_backup_of_hard_links_stays_as_it_was(growing: Growing, tmp_path: Path) -> None:
    """`cp -al` and its like keep the very file."""
    os.link(tmp_path / "list", tmp_path / "backup")
    for _ in range(3):
        growing.add(["x\n"])
    assert (tmp_path / "backup").read_text() == "".join(OLD)
    assert (tmp_path / "list").read_text() == "".join(OLD) + "x\n" * 3


def test_nobody_ever_reads_half_a_line(growing: Growing, tmp_path: Path) -> None:
    """A reader that is never done, while lines come."""
    torn, done = [], threading.Event()

    def read() -> None:
        while not done.is_set():
            *lines, rest = (tmp_path / "list").read_text().split("\n")
            torn.extend(line for line in {rest, *lines[len(OLD) :]} if line not in ("", "x" * 5000))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(100):
            growing.add(["x" * 5000 + "\n"])
    finally:
        done.set()
        reader.join()
    assert torn == []


def _cut(spare: Path) -> None:
    os.truncate(spare, 1000)


def _torn(spare: Path) -> None:
    with open(spare, "ab") as file:
        file.write(b"\0" * 5000)


def _other(spare: Path) -> None:
    spare.write_bytes(spare.read_bytes().replace(b"files/7\n", b"files/8\n"))


def _shared(spare: Path) -> None:
    spare.unlink()
    os.link(spare.parents[1] / "list", spare)


def _gone(spare: Path) -> None:
    spare.unlink()


@pytest.mark.parametrize("spoil", [_cut, _torn, _other, _shared, _gone])
@pytest.mark.parametrize("anew", [False, True], ids=["same process", "another process"])
def test_a_spare_that_is_not_what_it_should_be(
    growing: Growing, spoil: Callable[[Path], None], anew: bool, tmp_path: Path
) -> None:
    """Left by a crash, or by somebody: the list is right all the same."""
    growing.add(["one\n"])
    spare = tmp_path / "own" / "list"
    spare.chmod(0o600)
    spoil(spare)
    (opened(tmp_path) if anew else growing).add(["two\n"])
    assert (tmp_path / "list").read_text() == "".join(OLD) + "one\ntwo\n"


# --- what is in it ----------------------------------------------------------------------------------------------------


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledgers]:
    """An empty ledger."""
    async with ledgers(tmp_path) as one:
        one.tracks += "events = false\n"
        yield one


def attach(ledger: Ledgers, text: str) -> str:
    """A new asset with one attachment; its path in the mirror."""
    trail = ledger.box.datatrails
    asset = trail.add_asset({"a": trail.attach(trail.add_blob(text.encode(), "text/plain"), file_name="a.txt")})
    return f"files/ledger/assets/{asset.uuid}/a.txt"


def listed(ledger: Ledgers) -> list[str]:
    """The paths in the list, which `sha256sum -c` must accept."""
    done = subprocess.run(
        ["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=ledger.mirror, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [line.removesuffix(": OK") for line in done.stdout.splitlines()]


async def test_new_entries_are_added_and_changed_ones_have_it_written_anew(ledger: Ledgers) -> None:
    """What is there stays where it is in the list until something changes."""
    first = {attach(ledger, f"first {number}") for number in range(3)}
    await ledger.sync()
    already = listed(ledger)
    assert set(already) == first
    came = []
    for number in range(3):
        came.append(attach(ledger, f"later {number}"))
        await ledger.sync()
        assert listed(ledger) == [*already, *came]
    asset = next(iter(ledger.box.datatrails.assets.values()))
    trail = ledger.box.datatrails
    trail.add_event(asset, {}, {"a": trail.attach(trail.add_blob(b"another", "text/plain"), file_name="a.txt")})
    await ledger.sync()
    assert listed(ledger) == sorted([*first, *came])


async def test_what_two_tracks_show_is_listed_once(ledger: Ledgers) -> None:
    """A new track of an asset that another one shows adds nothing, and changes nothing."""
    path = attach(ledger, "one")
    await ledger.sync()
    before = (ledger.mirror / "SHA256SUMS").stat().st_ino
    ledger.tracks += f'[[track]]\naccount = "ledger"\nasset = "{path.split("/")[3]}"\nevents = false\n'
    await ledger.sync()
    assert len(ledger.rows()) == 2
    assert listed(ledger) == [path]
    assert (ledger.mirror / "SHA256SUMS").stat().st_ino == before


async def test_after_a_crash_it_is_made_anew_at_once(ledger: Ledgers) -> None:
    """Before anything is asked of a service; of a list that was removed, too."""
    path = attach(ledger, "one")
    await ledger.sync()
    sums = ledger.mirror / "SHA256SUMS"
    for leave in (lambda: ledger_notes_outdated(ledger), sums.unlink):
        sums.chmod(0o600)
        sums.write_text("what was so before the crash\n")
        leave()
        async with (
            holding(ledger.config(), "sync", ledger.clock) as index,
            equipped(ledger.config(), index, ledger.clock, Observer()),
        ):
            pass
        assert listed(ledger) == [path]


def ledger_notes_outdated(ledger: Ledgers) -> None:
    with contextlib.closing(Index.open(ledger.mirror / ".attachsync")) as index:
        index.database.note("manifest", "outdated")


# --- while much happens -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def manifest(folder: Path, clock: Leaping) -> Iterator[tuple[Manifest, Callable[[int], None]]]:
    """A manifest, and what shows one more entry."""
    store = Store(folder)
    store.prepare()
    with contextlib.closing(Index.open(folder / ".attachsync")) as index:
        made = Manifest(store, index, folder / ".attachsync", clock)

        def show(number: int) -> None:
            item = Attachment("t", str(number), "1", ("x", str(number)))
            index.attachments.take("a", "t", Page((item,)), 0.0)
            (entry,) = index.attachments.work("a", Wanted(["t"], 1, once=False, now=None, busy=(), limit=1))
            with made.outdated() as listing:
                before = index.reports.showing(f"files/{number}")
                stored = Stored(entry, Digest(f"{number:064x}"), 1, None, f"files/{number}")
                index.attachments.stored([stored], 0.0)
                listing.shows(f"files/{number}", f"{number:064x}", before)

        yield made, show
    store.close()


def paths(folder: Path) -> list[str]:
    return [line.split("  ")[1] for line in (folder / "SHA256SUMS").read_text().splitlines()]


async def test_what_comes_while_it_is_written_anew_is_in_it_once(tmp_path: Path) -> None:
    """Either among what was written, or added to it."""
    with manifest(tmp_path, Leaping()) as (made, show):
        count = 0
        for _ in range(2000):
            show(count)
            count += 1
        for _ in range(5):
            with made.outdated():
                pass  # something changed, and nobody says what
            writing = asyncio.create_task(made.publish())
            while not writing.done():
                show(count)
                count += 1
                await asyncio.sleep(0)
            await writing
            await made.publish()
            assert sorted(paths(tmp_path)) == sorted(f"files/{number}" for number in range(count))
        assert all(map(LINE.fullmatch, (tmp_path / "SHA256SUMS").read_text().splitlines(keepends=True)))


async def test_in_the_midst_of_work_it_follows_soon_and_at_little_cost(tmp_path: Path) -> None:
    """Much at once, a little after a moment; all of it anew only once in a while."""
    clock = Leaping()
    with manifest(tmp_path, clock) as (made, show):
        await made.publish()
        show(0)
        await made.keep_up()
        assert paths(tmp_path) == []
        clock.ahead += 10
        await made.keep_up()
        assert paths(tmp_path) == ["files/0"]
        for number in range(1, 1001):
            show(number)
            await made.keep_up()
        assert len(paths(tmp_path)) == 1001
        with made.outdated():
            pass
        for number in range(1001, 3001):
            show(number)
            clock.ahead += 0.2
            await made.keep_up()
        assert len(paths(tmp_path)) == 1001
        clock.ahead += 200
        await made.keep_up()
        assert len(paths(tmp_path)) == 3001


async def test_it_is_noted_as_current_only_when_nothing_is_under_way(tmp_path: Path) -> None:
    """What a crash would leave wrong is noted as outdated for as long as it may be."""
    with manifest(tmp_path, Leaping()) as (made, _):
        await made.publish()
        with contextlib.closing(Index.peek(tmp_path / ".attachsync")) as index:
            assert current(index)
            with made.outdated():
                assert not current(index)
                await made.publish()
                assert not current(index)
            await made.publish()
            assert current(index)


class Meanwhile:
    """An index of which `happens` comes to pass each time when all that is shown was read."""

    def __init__(self, index: Index, happens: Callable[[], None]) -> None:
        self._index = index
        self._happens = happens

    def __getattr__(self, name: str) -> object:
        return self if name == "attachments" else getattr(self._index, name)

    def shown(self) -> Iterator[tuple[str, str]]:
        yield from self._index.attachments.shown()
        self._happens()


def said_of_the_list(folder: Path, happens: Callable[[], None] = lambda: None) -> list[str]:
    """What `verify` says of it."""
    with contextlib.closing(Store(folder)) as store, contextlib.closing(Index.peek(folder / ".attachsync")) as index:
        verifier = Verifier(store, cast(Index, Meanwhile(index, happens)))
        return [one.detail for one in verifier.findings(beside_daemon=True, now=0.0) if one.path == NAME]


def test_a_list_that_is_written_while_it_is_verified_is_not_told(tmp_path: Path) -> None:
    """All of that fits between what is shown and the look at the list."""
    numbers = itertools.count()
    with manifest(tmp_path, Leaping()) as (made, show):

        def happens() -> None:
            show(next(numbers))
            asyncio.run(made.publish())

        happens()
        assert said_of_the_list(tmp_path, happens) == []
        assert len(paths(tmp_path)) > 1
        assert said_of_the_list(tmp_path) == []


@pytest.mark.parametrize(("make", "told"), [(os.mkfifo, "not a file"), (os.mkdir, "something else is in its place")])
def test_what_is_no_file_in_the_place_of_the_list(tmp_path: Path, make: Callable[[Path], None], told: str) -> None:
    """`verify` does not wait for it, and only what cannot be replaced is in the way."""
    with manifest(tmp_path, Leaping()) as (made, show):
        show(1)
        asyncio.run(made.publish())
        (tmp_path / NAME).unlink()
        make(tmp_path / NAME)
        (said,) = said_of_the_list(tmp_path)
        assert told in said
        asyncio.run(made.publish())
        if make is os.mkdir:
            assert told in in_the_way(tmp_path)
            (tmp_path / NAME).rmdir()
            asyncio.run(made.publish())
        assert paths(tmp_path) == ["files/1"]
        assert said_of_the_list(tmp_path) == []


async def test_an_index_that_is_taken_away_empties_no_list(tmp_path: Path) -> None:
    """What it knew is found again at the next start."""
    with manifest(tmp_path, Leaping()) as (made, show):
        show(1)
        await made.publish()
        (tmp_path / "SHA256SUMS").unlink()
        (tmp_path / "SHA256SUMS").write_text("of somebody\n")
        (tmp_path / ".attachsync/index.sqlite3").unlink()
        await made.publish()
        assert (tmp_path / "SHA256SUMS").read_text() == "of somebody\n"

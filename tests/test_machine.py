"""Whatever happens, in any order: what is upstream is mirrored in the end, and what was dropped is sent, once.

Hypothesis makes up the story: what comes and changes upstream, what is dropped, page sizes, faults, passes, passes
that are cancelled anywhere, and ones that are killed. A model says what must be there.
"""

import asyncio
import os
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import stamina
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from attachsync.index import Index
from attachsync.sandbox.faults import Fault
from tests.crashes import Mirrored, mirrored
from tests.ledgers import BYTES
from tests.test_crash import forks

DAY = 86_500.0
NAMES = st.sampled_from(["a.txt", "A.txt", "scan", "cédula.pdf"])
"""Two that are the same where case does not count, and one without an extension."""
SIZES = st.sampled_from([1, 3_000, 700_000])
LISTS = "/datatrails/archivist/v2/assets/*/events"
ASSETS = "/datatrails/archivist/v2/assets"
BLOBS = "/datatrails/archivist/v2/attachments/*"
SENDING = "/sunshine/v2/apps/*/attachments"
POSTING = "/sunshine/v2/apps/*/messages"
FAULTS = st.one_of(
    st.builds(
        Fault,
        path=st.sampled_from([LISTS, ASSETS, BLOBS, "/sunshine/*"]),
        kind=st.sampled_from(["reset", "truncate", "html", "wrong_length", "gzip", "no_length"]),
        method=st.just("GET"),
        after=st.integers(0, 300),
        times=st.integers(1, 6),
        skip=st.integers(0, 3),
    ),
    st.builds(
        Fault,
        path=st.sampled_from([LISTS, ASSETS]),
        kind=st.just("json"),
        value=st.sampled_from([{}, {"assets": [{"identity": 7}], "events": [{"identity": 7}]}, []]),
        times=st.integers(1, 3),
    ),
    st.builds(
        Fault,
        path=st.sampled_from([SENDING, POSTING, LISTS, BLOBS]),
        kind=st.just("status"),
        status=st.sampled_from([500, 503, 429]),
        times=st.integers(1, 3),
    ),
    st.builds(
        Fault,
        path=st.sampled_from([SENDING, POSTING]),
        kind=st.just("lost"),
        method=st.just("POST"),
        times=st.integers(1, 2),
    ),
)


class Story(RuleBasedStateMachine):
    """One mirror and one outbox. `shown` is the model: folder and bytes of each attachment of the ledger."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.base = Path(tempfile.mkdtemp())
        self.stack = AsyncExitStack()
        self.one: Mirrored = self.wait(self.stack.enter_async_context(mirrored(self.base)))
        self.asset = self.one.ledgers.box.datatrails.add_asset({})
        self.shown: list[tuple[str, bytes]] = []
        self.portrait: bytes | None = None
        self.count = 0
        self.paths: dict[str, str] = {}

    def wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def data(self, size: int) -> bytes:
        """Bytes that nothing else has."""
        self.count += 1
        return b"%d\n" % self.count * size

    # --- what happens -----------------------------------------------------------------------------------------------

    @rule(names=st.lists(NAMES, min_size=1, max_size=3), size=SIZES, hours=st.integers(0, 2))
    def event(self, names: list[str], size: int, hours: int) -> None:
        """An event with attachments, some of the same name."""
        trail = self.one.ledgers.box.datatrails
        attributes, contents = {}, []
        for number, name in enumerate(names):
            contents.append(self.data(size))
            blob = trail.add_blob(contents[-1], "text/plain", "SCANNED_OK")
            attributes[f"a{number}"] = trail.attach(blob, file_name=name)
        at = trail.now + timedelta(hours=hours, seconds=1)
        event = trail.add_event(self.asset, attributes, {}, at)
        self.shown += [(f"{self.asset.uuid}/events/{event.uuid}", data) for data in contents]

    @rule(size=SIZES)
    def portrait_changes(self, size: int) -> None:
        """The asset's own attachment is another one from now on; the event that said so shows it too."""
        trail, data = self.one.ledgers.box.datatrails, self.data(size)
        blob = trail.add_blob(data, "image/jpeg", "SCANNED_OK")
        event = trail.add_event(self.asset, {}, {"portrait": trail.attach(blob, file_name="portrait.jpg")})
        self.shown.append((f"{self.asset.uuid}/events/{event.uuid}", data))
        if self.portrait is not None:
            self.shown.remove((self.asset.uuid, self.portrait))
        self.shown.append((self.asset.uuid, data))
        self.portrait = data

    @rule(name=NAMES, size=SIZES)
    def message(self, name: str, size: int) -> None:
        """A message with a file."""
        self.one.say(name, self.data(size))

    @rule(size=SIZES)
    def drop(self, size: int) -> None:
        """A file for the outbox."""
        self.one.drop(f"{self.count % 2}/{self.count}.txt", self.data(size))

    @rule(size=st.sampled_from([1, 2, 3, 100]))
    def page_size(self, size: int) -> None:
        """The service's pages have another size."""
        self.one.ledgers.box.datatrails.page_limit = self.one.ledgers.box.sunshine.message_page = size

    @rule(fault=FAULTS)
    def fault(self, fault: Fault) -> None:
        """The service will misbehave."""
        self.one.ledgers.box.faults.add(fault)

    @rule(times=st.integers(2, 8))
    def tampering(self, times: int) -> None:
        """Bytes arrive that are not what is stated."""
        self.one.ledgers.box.faults.add(Fault(path=BYTES, kind="tamper", times=times))

    @rule()
    def sync(self) -> None:
        """A whole pass."""
        self.wait(self.one.sync())

    @rule(turns=st.integers(1, 400))
    def sync_cancelled(self, turns: int) -> None:
        """A pass that is cancelled, wherever it is after so many turns of the event loop."""

        async def cancelled() -> None:
            work = asyncio.ensure_future(self.one.sync())
            for _ in range(turns):
                await asyncio.sleep(0)
            work.cancel()
            await asyncio.wait([work])

        self.wait(cancelled())

    @rule(requests=st.integers(1, 12))
    def sync_killed(self, requests: int) -> None:
        """A pass that is killed after so many requests (or ends)."""

        async def killed() -> None:
            box = self.one.ledgers.box
            async with forks(self.one.write_config(), "sync") as processes:
                process = await processes.start()
                ended = asyncio.ensure_future(processes.ended())
                asked = asyncio.ensure_future(box.requests.until(box.requests.arrived() + requests))
                await asyncio.wait([ended, asked], return_when=asyncio.FIRST_COMPLETED)
                asked.cancel()
                if not ended.done():
                    os.kill(process, signal.SIGKILL)
                await ended

        self.wait(killed())

    # --- what must be so --------------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_half_made_or_lost(self) -> None:
        """At any moment."""
        self.one.check_whole()
        self.one.check_kept()

    @invariant()
    def what_is_counted_is_there(self) -> None:
        """The tallies that `status` shows are what counting anew comes to."""
        if not (self.one.mirror / ".attachsync").exists():
            return
        with self.one.ledgers.index() as index:
            assert tallied(index) == counted(index)

    @invariant()
    def names_stay(self) -> None:
        """An attachment that got its name keeps it."""
        if not (self.one.mirror / ".attachsync").exists():
            return
        for row in self.one.ledgers.rows(state="stored"):
            assert self.paths.setdefault(str(row["key"]), str(row["path"])) == row["path"]

    def teardown(self) -> None:
        """With a service that behaves, a few passes make all good; then there is nothing left to do."""
        try:
            self.wait(self._make_good())
        finally:
            self.wait(self.stack.aclose())
            self.loop.close()
            shutil.rmtree(self.base)

    async def _make_good(self) -> None:
        one = self.one
        one.ledgers.box.faults.clear()
        for _ in range(5):
            one.ledgers.clock.ahead += DAY
            summary, _ = await one.sync()
            one.release_held()
        assert not summary.incomplete, summary
        self.nothing_is_half_made_or_lost()
        self.names_stay()
        one.check_shown(self.shown)
        one.check_sent()
        assert one.ledgers.downloads() == 0


def tallied(index: Index) -> tuple[set[tuple[object, ...]], tuple[int, int]]:
    """(track, kept, state, how many), and objects and bytes."""
    rows = index.database.rows("SELECT track, kept, state, n FROM tally WHERE n <> 0")
    return {tuple(row) for row in rows}, index.reports.totals()


def counted(index: Index) -> tuple[set[tuple[object, ...]], tuple[int, int]]:
    """The same, one by one."""
    tally: Counter[tuple[object, ...]] = Counter()
    objects: dict[str, int] = {}
    for row in index.database.rows("SELECT track, kept, state, digest, size FROM attachment"):
        tally[row["track"], row["kept"], row["state"]] += 1
        if row["digest"]:
            objects[row["digest"]] = row["size"]
    return {(*key, n) for key, n in tally.items()}, (len(objects), sum(objects.values()))


def tell(examples: int, steps: int, *, random: bool) -> None:
    """So many stories of so many steps; `random`: others each time."""
    stamina.set_testing(True, attempts=5)  # repeats without waits
    try:
        run_state_machine_as_test(
            Story,
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                derandomize=not random,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        stamina.set_testing(False)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("stories", [5, pytest.param(8, marks=pytest.mark.slow)])
def test_whatever_happens(stories: int) -> None:
    """A few stories, the same each time."""
    tell(stories, 20, random=False)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(5))
def test_whatever_happens_at_length(part: int) -> None:
    """Many, others each time: a hundred, five times over."""
    tell(100, 40, random=True)

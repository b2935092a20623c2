"""Work done in groups: who hears what of it, and when."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from attachsync.groups import Groups


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as made:
        yield made


class Work:
    """Notes the groups it does; `gate` lets them end. Negative numbers fail by themselves, zero fails its group."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.begun = threading.Event()
        self.gate = threading.Event()

    def __call__(self, items: Sequence[int]) -> list[Exception | None]:
        self.groups.append(list(items))
        self.begun.set()
        self.gate.wait(10)
        if 0 in items:
            raise OSError("all of them")
        return [ValueError(item) if item < 0 else None for item in items]


async def test_what_comes_meanwhile_is_the_next_group(pool: ThreadPoolExecutor) -> None:
    """The first goes at once; of the others no more than allowed go together, in the order in which they came."""
    work = Work()
    groups = Groups(work, pool, most=3)
    adding = [asyncio.create_task(groups.add(number)) for number in range(1, 7)]
    await asyncio.to_thread(work.begun.wait, 10)
    work.gate.set()
    await asyncio.gather(*adding)
    assert work.groups == [[1], [2, 3, 4], [5, 6]]


async def test_an_error_befalls_its_own_item(pool: ThreadPoolExecutor) -> None:
    """The others are done, and are told after `after` has heard of them."""
    work, done = Work(), list[int]()
    groups = Groups(work, pool, most=9, after=done.extend)
    first = asyncio.create_task(groups.add(1))
    await asyncio.to_thread(work.begun.wait, 10)
    others = [asyncio.create_task(groups.add(number)) for number in (2, -3, 4)]
    work.gate.set()
    assert await asyncio.gather(first, *others, return_exceptions=True) == [None, None, others[1].exception(), None]
    assert str(others[1].exception()) == "-3"
    assert done == [1, 2, 4]


@pytest.mark.parametrize("where", ["do", "after"])
async def test_an_error_of_the_whole_befalls_all_of_the_group(pool: ThreadPoolExecutor, where: str) -> None:
    """And only that group: the next one is done."""
    work = Work()

    def after(items: Sequence[int]) -> None:
        if where == "after" and 5 in items:
            raise OSError("all of them")

    groups = Groups(work, pool, most=2, after=after)
    first = asyncio.create_task(groups.add(1))
    await asyncio.to_thread(work.begun.wait, 10)
    others = [asyncio.create_task(groups.add(number)) for number in (0 if where == "do" else 5, 2, 3)]
    work.gate.set()
    found = await asyncio.gather(first, *others, return_exceptions=True)
    assert [str(one) for one in found] == ["None", "all of them", "all of them", "None"]


async def test_a_cancellation_waits_for_its_group(pool: ThreadPoolExecutor) -> None:
    """Nothing is left half done behind our back; the others of the group do not notice."""
    work = Work()
    groups = Groups(work, pool, most=9)
    first = asyncio.create_task(groups.add(1))
    await asyncio.to_thread(work.begun.wait, 10)
    ours, other = asyncio.create_task(groups.add(2)), asyncio.create_task(groups.add(3))
    await asyncio.sleep(0)
    ours.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not ours.done()
    work.gate.set()
    await asyncio.gather(first, other)
    with pytest.raises(asyncio.CancelledError):
        await ours
    assert work.groups == [[1], [2, 3]]

"""The view of a pass: its counts, its rates, its room. The clock is the test's."""

import re

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from attachsync.cli import rates
from attachsync.cli.board import Board
from attachsync.model import State
from attachsync.observer import Filed, Outcome, Reading

CAT = Reading("ledger", "cats", "cat", "cat.iso", 1000, 200)


class Watch:
    """A clock that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def board(watch: Watch) -> Board:
    return Board(watch)


def shown(board: Board, width: int = 120, height: int = 40) -> list[str]:
    return [click.unstyle(line) for line in board.lines(width, height)]


def stored(track: str, key: str, account: str = "ledger") -> Outcome:
    return Outcome(account, track, key, State.STORED, path=f"files/{key}", size=10, fetched=True)


def row(board: Board, name: str) -> list[str]:
    """The cells of a row."""
    (line,) = [line for line in shown(board) if line.startswith(name + " ")]
    return line.split()


def test_what_is_done_and_to_go(board: Board, watch: Watch) -> None:
    """What was left by earlier passes counts; a listing that goes on makes the rest a lower bound."""
    board.outstanding("ledger", "cats", 2)
    assert row(board, "cats") == ["cats", "0", "0", "2", "?"]
    board.listed("ledger", "cats", 10, 8)
    for number in range(5):
        watch.now += 0.2
        board.settled(stored("cats", f"k{number}"))
    watch.now += 1
    assert row(board, "cats") == ["cats", "10", "5", "5", "2.5", ">0:02"]
    board.track_ended("ledger", "cats", "")
    assert row(board, "cats")[-1] == "0:02"
    for number in range(5, 10):
        board.settled(stored("cats", f"k{number}"))
    assert row(board, "cats") == ["cats", "10", "10", "0", "done"]
    assert board.progress() == "10 of 10 done"


def test_bytes_on_their_way(board: Board, watch: Watch) -> None:
    """What is under way for longer is shown by itself; a new reading of the same begins where it says."""
    board.listed("ledger", "cats", 1, 1)
    board.track_ended("ledger", "cats", "")
    board.received(CAT, 300)
    assert not any("cat.iso" in line for line in shown(board))
    watch.now += 2
    assert any(re.search(r"cat\.iso +50% of 1000 B", line) for line in shown(board))
    assert row(board, "cats")[3:] == ["1", "150", "B", "0:03"]  # 500 of 1000 bytes are to come, at 150 a second
    again = Reading("ledger", "cats", "cat", "cat.iso", 1000)
    board.received(again, 100)
    watch.now += 2
    assert any(re.search(r"cat\.iso +10% of 1000 B", line) for line in shown(board))
    board.ended(CAT)
    assert any("cat.iso" in line for line in shown(board))  # it is read anew
    board.ended(again)
    assert not any("cat.iso" in line for line in shown(board))


def test_an_outbox_and_what_goes_wrong(board: Board, watch: Watch) -> None:
    """An outbox has a row; what failed is counted below."""
    board.queued("support", "/out", 3)
    board.filed(Filed("sent", "support", "/out", "a", "sent/a", size=2048))
    board.filed(Filed("failed", "support", "/out", "b", "failed/b", "no"))
    board.settled(Outcome("ledger", "cats", "k", State.MISMATCH, "wrong"))
    board.settled(Outcome("ledger", "cats", "l", State.WAITING, "not ready"))
    watch.now += 2
    assert row(board, "/out")[:3] == ["/out", "2", "1"]
    assert shown(board)[-1] == "2.0 KiB in 0:02; 2 could not be mirrored or sent"


def test_a_track_that_cannot_be_listed(board: Board) -> None:
    board.outstanding("ledger", "cats", 0)
    board.track_ended("ledger", "cats", "HTTP 503")
    assert row(board, "cats")[-1] == "failed"


def test_where_there_is_no_room_accounts_stand_for_their_tracks(board: Board) -> None:
    """And where these have none, one row for the rest."""
    for number in range(30):
        board.listed(f"account{number % 3}", f"track{number}", 10, 1)
    assert len(shown(board, height=40)) == 34
    few = shown(board, height=12)
    assert few[0].startswith("account ")
    assert [line.split()[:3] for line in few[1:4]] == [[f"account{number}", "100", "0"] for number in range(3)]
    assert any(line.startswith("2 more ") and line.split()[2] == "200" for line in shown(board, height=6))
    assert all("30" in line for line in (few[-2], shown(board, height=6)[-2]))


EVENTS = st.one_of(
    st.tuples(st.just("listed"), st.integers(0, 50), st.integers(0, 999)),
    st.tuples(st.just("settled"), st.integers(0, 50), st.sampled_from(State)),
    st.tuples(st.just("received"), st.integers(0, 50), st.integers(0, 10**12)),
    st.tuples(st.just("queued"), st.integers(0, 3), st.integers(0, 999)),
    st.tuples(st.just("ended"), st.integers(0, 50), st.sampled_from(["", "HTTP 500"])),
)


@given(
    story=st.lists(st.tuples(EVENTS, st.floats(0, 5000)), max_size=40),
    size=st.tuples(st.integers(60, 160), st.integers(4, 60)),
)
def test_it_keeps_to_its_room(story: list[tuple[tuple[str, int, object], float]], size: tuple[int, int]) -> None:
    """Whatever happens: no line is wider than the window, nor are there more than it has; nothing is below zero."""
    watch = Watch()
    board = Board(watch)
    for (what, number, value), later in story:
        watch.now += later
        track, account = f"tracks/{'ä漢' * (number % 9)}/{number}", f"account{number % 4}"
        match what, value:
            case "listed", int(new):
                board.listed(account, track, new, new)
            case "settled", State() as state:
                board.settled(Outcome(account, track, "k", state))
            case "received", int(count):
                board.received(Reading(account, track, "k", "漢" * number, count or None), count)
            case "queued", int(count):
                board.queued(account, f"/outbox{number}", count)
            case "ended", str(error):
                board.track_ended(account, track, error)
        lines = shown(board, *size)
        assert len(lines) <= size[1]
        assert all(cell_len(line) <= size[0] for line in lines)
        assert not any("-" in cell and cell.strip("-").isdigit() for line in lines for cell in line.split())


# --- rates --------------------------------------------------------------------------------------------------------


def test_rates_are_those_of_the_last_seconds() -> None:
    """A burst long ago is none now."""
    meter = rates.Meter(0.0)
    meter.files, meter.bytes = 100, 1000
    assert meter.rates(10.0) == (10.0, 100.0)
    for second in range(11, 30):
        now = meter.rates(float(second))
    assert now == (0.0, 0.0)


@pytest.mark.parametrize(
    ("span", "text"), [(0, "0:00"), (75.4, "1:15"), (3700, "1:01:40"), (200000, "2d 7h"), (-1, "0:00")]
)
def test_spans_as_people_read_them(span: float, text: str) -> None:
    assert rates.clock(span) == text


@given(st.integers(0, 10**9), st.integers(0, 10**15), st.floats(0, 10**6), st.floats(0, 10**12))
def test_time_left_is_never_negative_or_invented(files: int, size: int, files_rate: float, bytes_rate: float) -> None:
    left = rates.left(files, size, files_rate, bytes_rate)
    assert left is None or left >= 0
    assert left == 0 or (files, size) != (0, 0) or left is None
    if files and not files_rate and not bytes_rate:
        assert left is None

"""What is logged: once when something goes down, once when it is back, and repeats by their number."""

import contextlib
import io
import os
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from structlog.testing import CapturingLogger

from attachsync import log
from attachsync.log import LogObserver
from attachsync.model import State
from attachsync.observer import Outcome
from attachsync.repeats import Repeats


class Watch:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def said(watch: Watch) -> Iterator[CapturingLogger]:
    """All lines that pass, as (level, event)."""
    lines = CapturingLogger()
    structlog.configure(processors=[Repeats(watch), _as_it_is], logger_factory=lambda *_: lines)
    yield lines
    structlog.reset_defaults()


def _as_it_is(_logger: object, _method: str, event: structlog.typing.EventDict) -> tuple[tuple[()], dict[str, object]]:
    return (), dict(event)


def events(said: CapturingLogger) -> list[tuple[str, dict[str, object]]]:
    return [(call.method_name, {**call.kwargs}) for call in said.calls]


def names(said: CapturingLogger) -> list[object]:
    return [call.kwargs["event"] for call in said.calls]


# --- down and back ------------------------------------------------------------------------------------------------


def test_a_track_that_fails_is_told_once_and_once_when_it_is_back(said: CapturingLogger, watch: Watch) -> None:
    """With how often, and for how long; numbers in the text make no other reason."""
    observer = LogObserver(watch)
    for number in range(5):
        watch.now += 60
        observer.track_ended("ledger", "all", f"ledger: cannot connect (attempt {number})")
    watch.now += 60
    observer.track_ended("ledger", "all", "")
    observer.track_ended("ledger", "all", "")
    (failed, recovered) = events(said)
    assert failed[0] == "error"
    assert failed[1] == {
        "event": "track_failed", "account": "ledger", "track": "all", "error": "ledger: cannot connect (attempt 0)",
    }  # fmt: skip
    assert recovered[0] == "info"
    assert recovered[1] == {
        "event": "track_recovered", "account": "ledger", "track": "all", "failures": 5, "down_for": 300.0,
    }  # fmt: skip


def test_another_reason_is_told(said: CapturingLogger, watch: Watch) -> None:
    """It is another trouble."""
    observer = LogObserver(watch)
    for error in ("HTTP 401", "HTTP 401", "cannot connect", "cannot connect"):
        observer.track_ended("ledger", "all", error)
    assert [line["error"] for _, line in events(said)] == ["HTTP 401", "cannot connect"]


def test_an_account_that_is_down_stands_for_its_tracks(said: CapturingLogger, watch: Watch) -> None:
    """One line on the way down, one on the way up; what fails still is told then."""
    observer = LogObserver(watch)
    for _ in range(3):
        observer.account_down("ledger", "ledger: HTTP 401")
        for track in ("a", "b", "c"):
            observer.track_ended("ledger", track, "ledger: HTTP 401")
        watch.now += 10
    observer.track_ended("ledger", "a", "")
    observer.track_ended("ledger", "b", "")
    observer.track_ended("ledger", "c", "ledger: HTTP 401")
    assert names(said) == ["account_down", "account_up", "track_failed"]
    assert events(said)[1][1] == {"event": "account_up", "account": "ledger", "failures": 3, "down_for": 30.0}


def test_an_attachment_is_told_once_for_the_same_reason(said: CapturingLogger, watch: Watch) -> None:
    observer = LogObserver(watch)
    for reason in ("HTTP 500", "HTTP 500", "is larger than max_size"):
        observer.settled(Outcome("ledger", "all", "k", State.FAILED, reason))
    observer.settled(Outcome("ledger", "all", "k", State.STORED, path="files/k"))
    assert names(said) == ["not_mirrored", "not_mirrored", "mirrored"]
    assert all({"account", "track", "key"} <= set(line) for _, line in events(said))


# --- repeats ------------------------------------------------------------------------------------------------------


def test_the_same_words_are_told_once_an_hour(said: CapturingLogger, watch: Watch) -> None:
    """Whatever the numbers; how often they came is told with the next line after that."""
    logger = structlog.get_logger()
    for number in range(240):
        logger.error("metrics_not_written", path="/x.prom", error="No space left", tries=number)
        watch.now += 15
    watch.now += 1
    logger.info("mirrored", account="ledger")
    assert names(said) == ["metrics_not_written", "repeated", "mirrored"]
    assert events(said)[1] == (
        "warning",
        {"event": "repeated", "of": "metrics_not_written", "more": 239, "within": 3601},
    )


def test_a_flood_of_one_track_hides_no_other(said: CapturingLogger, watch: Watch) -> None:
    """The first ones pass, of each track by itself; information always passes."""
    logger = structlog.get_logger()
    for number in range(1000):
        logger.warning("not_mirrored", account="a", track="flood", key=f"k{number}", reason=f"HTTP 500 of {number}")
        logger.info("mirrored", account="a", track="flood", key=f"m{number}")
    logger.warning("not_mirrored", account="a", track="other", key="k", reason="HTTP 404")
    logger.info("stopped")
    assert names(said).count("not_mirrored") == 21
    assert names(said).count("mirrored") == 1000
    (told,) = [line for _, line in events(said) if line["event"] == "repeated"]
    assert told == {
        "event": "repeated", "of": "not_mirrored", "more": 980, "within": 0, "account": "a", "track": "flood",
    }  # fmt: skip


def test_what_comes_back_after_its_time_is_told_again(said: CapturingLogger, watch: Watch) -> None:
    logger = structlog.get_logger()
    for _ in range(3):
        logger.warning("watch_failed", outbox="/o", error="too many watches")
        watch.now += 3601
    assert names(said) == ["watch_failed"] * 3


class Moment(float):
    """A time that counts how often a span since another one is reckoned."""

    reckoned = 0

    def __sub__(self, other: float) -> float:
        Moment.reckoned += 1
        return float(self) - float(other)


class Words(str):
    """Text of which it can be told whether anybody has it still."""


def test_what_a_flood_costs_does_not_grow_with_it() -> None:
    """It is sifted between everything else that a daemon does; of what was not said nothing is kept."""
    repeats, held, passed, many = Repeats(lambda: Moment(len(held) / 1000)), list[weakref.ref[Words]](), 0, 2000
    for number in range(many):
        words = Words(f"assets/{number:032x}")
        held.append(weakref.ref(words))
        with contextlib.suppress(structlog.DropEvent):
            repeats(None, "warning", {"event": "not_mirrored", "account": "a", "key": words, "reason": "too large"})
            passed += 1
    del words
    assert passed == 20
    assert Moment.reckoned <= 2 * many
    assert sum(one() is not None for one in held) == passed


# --- for whom -----------------------------------------------------------------------------------------------------


def test_the_journal_is_known_by_device_and_inode(tmp_path: Path) -> None:
    """The variable alone says nothing: it is inherited."""
    with (tmp_path / "stream").open("w") as stream:
        found = os.fstat(stream.fileno())
        right = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        assert log.is_journal(stream, right)
        assert not log.is_journal(stream, {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino + 1}"})
        assert not log.is_journal(stream, {})
    assert not log.is_journal(io.StringIO(), right)


def test_each_line_of_a_traceback_has_its_priority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """journald takes each line by itself."""
    with (tmp_path / "stream").open("w+") as stream:
        found = os.fstat(stream.fileno())
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        log.set_up("console", daemon=True)
        try:
            raise ValueError("of all things")
        except ValueError:
            structlog.get_logger().exception("odd")
        finally:
            structlog.reset_defaults()
        stream.seek(0)
        lines = stream.read().splitlines()
    assert len(lines) > 3
    assert all(line.startswith("<3>") for line in lines)

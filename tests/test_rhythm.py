"""When tracks are listed again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attachsync.rhythm import Rhythm


@given(st.floats(1, 86_400), st.floats(0.001, 1), st.lists(st.booleans(), max_size=20))
def test_never_later_than_the_interval(interval: float, share: float, news: list[bool]) -> None:
    """Nor all the time."""
    rhythm = Rhythm(interval, share)
    for each in news:
        assert min(interval, 1.0) <= rhythm.span(news=each) <= interval


def test_many_tracks_are_spread_over_the_first_interval() -> None:
    """They all begin at the start."""
    spans = [Rhythm(300.0, number / 100).span(news=True) for number in range(1, 101)]
    assert spans == pytest.approx([3.0 * number for number in range(1, 101)])


def test_sooner_after_news_and_slower_again_when_it_is_quiet() -> None:
    rhythm = Rhythm(300.0)
    said = [False, False, True, True, False, False, False]
    assert [rhythm.span(news=news) for news in said] == [300, 300, 75, 75, 150, 300, 300]


def test_a_short_interval_is_kept_to() -> None:
    rhythm = Rhythm(5.0)
    assert {rhythm.span(news=news) for news in (False, True, False)} == {5.0}

"""When a dropped file is complete: properties of pure functions."""

from hypothesis import given
from hypothesis import strategies as st

from attachsync.settle import EMPTY_WAIT, Sighting, Stamp, next_ready, observe, ready

stamps = st.builds(Stamp, st.just(1), st.integers(1, 3), st.integers(0, 2), st.integers(0, 2), st.integers(0, 2))
folders = st.dictionaries(st.sampled_from("abc"), stamps)
eighths = st.integers(0, 480).map(lambda count: count / 8)  # sums of them are exact
looks = st.lists(st.tuples(eighths, folders), max_size=12)


def seen(history):
    """The sightings after each look, with the time of the look and what it found."""
    sightings, now = {}, 0.0
    for pause, found in history:
        now += pause
        sightings = observe(sightings, found, now)
        yield now, found, sightings


@given(looks, eighths)
def test_ready_is_what_was_the_same_at_every_look_for_long_enough(history, quiet):
    """A file is ready if and only if all looks of the last `quiet` seconds, and one before, saw the same stamp."""
    past = []
    for now, found, sightings in seen(history):
        past.append((now, found))
        names = ready(sightings, now, quiet)
        assert set(names) <= set(found)
        for name, stamp in found.items():
            wanted = quiet if stamp.size else max(quiet, EMPTY_WAIT)
            same_since = now
            for when, other in reversed(past):
                if other.get(name) != stamp:
                    break
                same_since = when
            assert (name in names) == (now - same_since >= wanted)


@given(looks, eighths)
def test_what_arrived_first_comes_first(history, quiet):
    """The order is that of the files' own change times, whenever they were seen; then of modification, then of name."""
    for now, _, sightings in seen(history):
        names = ready(sightings, now, quiet)
        order = [(sightings[name].stamp.ctime_ns, sightings[name].stamp.mtime_ns, name) for name in names]
        assert order == sorted(order)


@given(looks, eighths)
def test_next_ready_is_when_the_next_one_is(history, quiet):
    """Nothing new is ready before the time that `next_ready` gives, and something is then."""
    for now, _, sightings in seen(history):
        span = next_ready(sightings, now, quiet)
        already = ready(sightings, now, quiet)
        if span is None:
            assert set(already) == set(sightings)
        else:
            assert set(ready(sightings, now + span / 2, quiet)) == set(already)
            assert len(ready(sightings, now + span + 1e-6, quiet)) > len(already)


def test_a_file_that_goes_and_comes_back_starts_anew():
    """Forgotten when it is gone: what comes back is a new file."""
    stamp = Stamp(1, 1, 1, 1, 1)
    sightings = observe(observe(observe({}, {"a": stamp}, 0), {}, 5), {"a": stamp}, 6)
    assert sightings == {"a": Sighting(stamp, 6)}


def test_an_empty_files_own_times_show_its_minute_to_a_single_pass():
    """With the wall clock, an empty file of an hour ago needs no further minute; without it, it does."""
    sightings = {"a": Sighting(Stamp(1, 1, 0, 1_000 * 10**9, 1_000 * 10**9), 0.0)}
    assert ready(sightings, 2, 1) == []
    assert ready(sightings, 2, 1, wall=1_000 + EMPTY_WAIT) == ["a"]
    assert ready(sightings, 2, 1, wall=1_000 + EMPTY_WAIT - 1) == []

"""Tables for people: aligned whatever is in them, and no wider than a terminal where a column gives way."""

import re

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from attachsync.cli.columns import Cell, table

WIDE = st.text(st.sampled_from("aÄ漢字é/…-*\n\r"), max_size=60)


def plain(*arguments: object, **named: object) -> list[str]:
    return [click.unstyle(line) for line in table(*arguments, **named)]  # type: ignore[arg-type]


@given(
    rows=st.lists(st.tuples(WIDE, st.integers(0, 10**9), WIDE.map(lambda text: Cell(text[:9], "red")))),
    width=st.integers(50, 120),
)
def test_columns_stand_in_line_and_keep_to_the_width(rows: list[tuple[object, ...]], width: int) -> None:
    """Wide characters count twice, control characters are shown; only the elastic column is cut."""
    lines = plain(("name", "count", "state"), rows, right=("count",), elastic="name", width=width)
    assert len(lines) == len(rows) + 1
    assert all(cell_len(line) <= width and line == line.rstrip() and line.isprintable() for line in lines)
    end = cell_len(lines[0][: lines[0].index("count") + len("count")])
    for line, (_, count, _) in zip(lines[1:], rows, strict=True):
        found = re.search(r"\d+", line)
        assert found is not None
        assert (int(found[0]), cell_len(line[: found.end()])) == (count, end)


@pytest.mark.parametrize(
    ("name", "width", "shown"),
    [
        ("ledger/assets/c04d5ecf-02e0-4be2-a014-ffbbf0e8ddeb", 40, "ledger/assets/c04d5ec…a014-ffbbf0e8ddeb"),
        ("short", 40, "short"),
    ],
)
def test_a_name_is_cut_in_the_middle(name: str, width: int, shown: str) -> None:
    """Tracks differ at both ends."""
    (_, line) = plain(("track",), [(name,)], elastic="track", width=width)
    assert len(line) <= width
    assert line[:6] == shown[:6]
    assert line[-6:] == shown[-6:]


def test_nothing_is_cut_where_nobody_looks() -> None:
    """Without a width, and in a last column that is not elastic."""
    path = "files/" + "x" * 300
    assert plain(("state", "path"), [("stored", path)]) == ["state   path", f"stored  {path}"]
    assert plain(("state", "path"), [("stored", path)], width=40)[1].endswith(path)

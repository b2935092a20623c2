"""`sync` and `status` in a real terminal: what is seen, what stays, whatever is pressed."""

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.cells import cell_len

from attachsync.sandbox import Fault
from tests.commands import LIGHT, Stage, stage, until
from tests.terminals import Terminal, terminal

SHOW_CURSOR, HIDE_CURSOR = "\x1b[?25h", "\x1b[?25l"
OTHER_SCREEN, FIRST_SCREEN = "\x1b[?1049h", "\x1b[?1049l"
COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-7]m")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Stage]:
    """A stage of a test's own."""
    with stage(tmp_path) as made:
        yield made


def table(shown: Terminal) -> dict[str, dict[str, int]]:
    """The last table that was shown: its first column -> heading -> number."""
    lines = shown.lines
    start = max(number for number, line in enumerate(lines) if line.startswith("track "))
    headings = re.split(r" {2,}", lines[start].strip())
    rows = {}
    for line in lines[start + 1 : lines.index("", start)]:
        name, *cells = re.split(r" {2,}", line.strip())
        rows[name] = {
            heading: 0 if cell == "-" else int(cell) for heading, cell in zip(headings[1:], cells, strict=True)
        }
    return rows


def test_a_pass_and_what_it_came_to(scene: Stage) -> None:
    """A view while it goes on; then a table whose numbers add up, and agree with `status` and the exit code."""
    scene.drop("report.txt")
    scene.box.faults.add(Fault(path=f"*{LIGHT.rpartition('/')[2]}*", kind="status", status=404, method="GET", skip=3))
    with terminal("--config", scene.config, "sync", home=scene.home, columns=100) as shown:
        code = shown.ended()
    assert HIDE_CURSOR in shown.raw
    assert shown.raw.rindex(SHOW_CURSOR) > shown.raw.rindex(HIDE_CURSOR)
    assert any("files/s" in line and "left" in line for line in shown.lines)
    (document,) = scene.run("status", "--json").documents
    told = {track["name"]: track["completeness"] for track in document["tracks"]}
    rows = table(shown)
    assert len(rows) == len(told)
    for (_, row), known in zip(rows.items(), told.values(), strict=True):
        places = {place: count for place, count in row.items() if place not in ("listed", "new", "fetched")}
        assert row["listed"] == known["listed"] == sum(places.values())
        assert all(known[place.replace(" ", "_")] == count for place, count in places.items())
    whole = document["completeness"]
    assert any(line.startswith(f"{whole['listed']} listed = {whole['stored']} stored") for line in shown.lines)
    assert code == (1 if document["needs_a_person"] else 0)


def test_it_keeps_to_eighty_columns_and_has_no_colours_where_none_are_wanted(scene: Stage) -> None:
    """NO_COLOR; names are cut in the middle, and all lines fit."""
    with terminal("--config", scene.config, "sync", home=scene.home, NO_COLOR="1") as shown:
        assert shown.ended() == 0
    assert not COLOUR.search(shown.raw)
    rows = [line for line in shown.lines if line.startswith(("track ", "ledger/", "archive/", "public/"))]
    assert any("…" in row for row in rows)
    assert all(cell_len(row) <= 80 for row in rows)
    with terminal("--config", scene.config, "status", home=scene.home) as coloured:
        assert coloured.ended() == 0
    assert COLOUR.search(coloured.raw)


def test_a_dumb_terminal_gets_plain_lines(scene: Stage) -> None:
    with terminal("--config", scene.config, "sync", LIGHT, home=scene.home, TERM="dumb") as shown:
        assert shown.ended() == 0
    assert "\x1b" not in shown.raw
    assert sum(line.startswith("mirrored ") for line in shown.lines) == 4


def test_ctrl_c_leaves_the_terminal_as_it_was(scene: Stage) -> None:
    """Exit 130; the cursor is back, what was done is said, and the next pass does the rest."""
    scene.box.faults.add(Fault(path="*/attachments/*", kind="hang"), Fault(path="*/blobs/*", kind="hang"))
    with terminal("--config", scene.config, "sync", LIGHT, home=scene.home) as shown:
        until(lambda: any(line.startswith("ledger/assets/") and line.endswith("?") for line in shown.lines))
        shown.resize(50, 10)
        until(lambda: any("4 to go" in line or re.search(r" 4 +\?$", line) for line in shown.lines[-12:]))
        shown.interrupt()
        assert shown.ended() == 130
    assert shown.raw.rindex(SHOW_CURSOR) > shown.raw.rindex(HIDE_CURSOR)
    assert "0 of 4 done; the next pass goes on from here" in shown.lines
    assert "Traceback" not in shown.raw
    scene.box.faults.clear()
    assert scene.run("sync", LIGHT).code == 0


def test_logs_stand_above_the_view(scene: Stage) -> None:
    """A warning does not tear it: each line of a row begins in the first column."""
    (scene.outbox / "bad\udcff.txt").write_text("x")
    with terminal("--config", scene.config, "sync", home=scene.home, columns=140) as shown:
        assert shown.ended() == 1
    assert any("odd_name" in line and line.lstrip().startswith("[warning") for line in shown.lines)


@pytest.mark.parametrize(("number", "code"), [(None, 130), (signal.SIGTERM, 143)])
def test_watching_ends_on_the_first_screen(scene: Stage, number: int | None, code: int) -> None:
    """Ctrl-C or SIGTERM: the terminal is as it was before; what changes is seen, in a window of any size."""
    with terminal("--config", scene.config, "status", "--watch", home=scene.home, rows=12) as shown:
        until(lambda: any("more lines: make the window higher" in line for line in shown.lines))
        assert "not everything was listed yet" in shown.raw
        shown.resize(100, 60)
        until(lambda: any(line.startswith("outbox ") for line in shown.lines))
        assert scene.run("sync").code == 0
        until(lambda: "all is well" in shown.raw)
        if number is None:
            shown.interrupt()
        else:
            shown.process.send_signal(number)
        assert shown.ended() == code
    assert shown.raw.rindex(FIRST_SCREEN) > shown.raw.rindex(OTHER_SCREEN)
    assert shown.raw.rindex(SHOW_CURSOR) > shown.raw.rindex(HIDE_CURSOR)


def test_ls_in_a_narrow_window(scene: Stage) -> None:
    """No digests, paths whole, and the sum below."""
    assert scene.run("sync", LIGHT).code == 0
    with terminal("--config", scene.config, "ls", home=scene.home) as shown:
        assert shown.ended() == 0
    assert "sha256" not in shown.lines[0]
    assert any(line.endswith("/cat.jpeg") for line in shown.lines)
    assert "4 attachments: 4 stored" in shown.lines

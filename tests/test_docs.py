"""The pages for operators name what there is: messages as they are printed, states, commands and their options."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from attachsync.cli import COMMANDS, imported
from attachsync.model import State

ROOT = Path(__file__).parents[1]
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def said() -> set[str]:
    """Every text in the code, those of f-strings piece by piece."""
    trees = (ast.parse(path.read_text()) for path in (ROOT / "attachsync").rglob("*.py"))
    nodes = (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return {node.value for node in nodes if isinstance(node.value, str)}


def first_cells(title: str) -> list[list[str]]:
    """What the first cell of each row of a section's table has as code."""
    section = OPERATIONS.partition(f"## {title}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.*?) \|", section, re.MULTILINE)
    return [re.findall(r"`([^`]+)`", row) for row in rows[1:]]


def test_every_message_is_printed_so() -> None:
    """A message that reads otherwise would not be found by whoever has it before their eyes."""
    texts, rows = said(), first_cells("Messages")
    assert len(rows) > 20
    for message in (message for row in rows for message in row if not re.fullmatch(r"HTTP \d+", message)):
        assert any(message in text for text in texts), message


@pytest.mark.parametrize(
    ("title", "states"),
    [
        ("States of an attachment", set(State)),
        ("States of a track", {"ok", "never listed", "failing", "stale", "suspicious"}),
        ("Outboxes", {"waiting", "sending", "retry", "failed", "held", "held deletion", "odd"}),
    ],
)
def test_every_state_is_explained(title: str, states: set[str]) -> None:
    """Those there are, and no others."""
    assert {state for row in first_cells(title) for state in row} == states
    assert states <= said()


def commands() -> Iterator[tuple[str, list[str]]]:
    """(page, words after `attachsync`) of each command that a page shows, in a block of its own or in the text."""
    for page in PAGES:
        text = page.read_text()
        blocks = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
        spans = re.findall(r"`([^`]+)`", " ".join(re.sub(r"```.*?```", "", text, flags=re.DOTALL).split()))
        shown = re.findall(r"(?:^|/)attachsync ([^|&>\n]+)", blocks, re.MULTILINE)
        shown += [found[1] for span in spans if (found := re.match(r"attachsync ([^|&>;]+)", span))]
        yield from ((page.name, shlex.split(one)) for one in shown)


@pytest.mark.parametrize(("page", "words"), [*commands()], ids=lambda value: value if isinstance(value, str) else "")
def test_every_command_that_is_shown_can_be_given(page: str, words: list[str]) -> None:
    """The command is there, and so are its options."""
    name, *rest = words[2:] if words[0] == "--config" else words
    assert name in COMMANDS, (page, words)
    command = imported(name)
    if isinstance(command, click.Group) and rest and rest[0] in command.commands:
        command = command.commands[rest[0]]
    options = {option for one in command.params for option in one.opts}
    assert {word for word in rest if word.startswith("--")} <= options, (page, words)

"""What is packed with attachsync and made from it: completions, manual pages, the config's reference, the wheel."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import pytest

from attachsync import keys, tables
from attachsync.cli import COMMANDS, imported
from attachsync.cli.check import example
from attachsync.model import State
from attachsync.reference import reference
from attachsync.services import SERVICES
from tests.commands import attachsync, environment

ROOT = Path(__file__).parents[1]
PAGES = ["attachsync", "attachsync-config"]


def needs(tool: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(tool) is None, reason=f"needs {tool}")


def scripts(home: Path) -> dict[str, str]:
    """An environment whose PATH begins with the `attachsync` of this installation."""
    return {**environment(home), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


# --- completions --------------------------------------------------------------------------------------------------

BASH = """
source {script}
COMP_WORDS=(attachsync {words}); COMP_CWORD={at}; _attachsync_completion attachsync; printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize(
    ("words", "at", "expected"),
    [
        ("sand", 1, ["sandbox"]),
        ("sync --dry", 2, ["--dry-run"]),
        ("ls --state mis", 3, ["mismatch"]),
        ("sunshine up", 2, ["upload"]),
    ],
)
def test_bash_completes(tmp_path: Path, words: str, at: int, expected: list[str]) -> None:
    """Commands, options, choices and commands of commands, by the script that is printed, in a real shell."""
    script = tmp_path / "script"
    script.write_text(attachsync("completion", "bash", home=tmp_path).out)
    argv = ["bash", "-c", BASH.format(script=script, words=words, at=at)]
    done = subprocess.run(argv, env=scripts(tmp_path), capture_output=True, text=True, check=True)
    assert (done.stdout.splitlines(), done.stderr) == (expected, "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_other_shells_read_it(tmp_path: Path, shell: str) -> None:
    """The script names the variable that click answers to, and its shell finds no fault with it."""
    done = attachsync("completion", shell, home=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert f"_ATTACHSYNC_COMPLETE={shell}_complete" in done.out
    script = tmp_path / "script"
    script.write_text(done.out)
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}, to read the script")
    assert subprocess.run([shell, "-n", script], capture_output=True, check=True).stderr == b""


@needs("fish")
def test_fish_completes(tmp_path: Path) -> None:
    """With the words that explain an option."""
    script = tmp_path / "script"
    script.write_text(attachsync("completion", "fish", home=tmp_path).out)
    argv = ["fish", "--no-config", "-c", f"source {script}; complete -C 'attachsync sync --dry'"]
    done = subprocess.run(argv, env=scripts(tmp_path), capture_output=True, text=True, check=True)
    assert done.stdout == "--dry-run\tList what would be fetched, sent and refused; write nothing.\n"


# --- manual pages -------------------------------------------------------------------------------------------------


def every(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    for name, inner in command.commands.items() if isinstance(command, click.Group) else ():
        yield from every(inner, f"{path} {name}")


def rendered(page: str, home: Path) -> str:
    """The page as a reader sees it, on one long line a paragraph."""
    source = home / f"{page}.roff"
    source.write_text(attachsync("man", page, home=home).out)
    argv = ["groff", "-man", "-Tutf8", "-P-cbou", "-rLL=2000n", "-ww", str(source)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return " ".join(done.stdout.replace("\u2010", "-").split())


@needs("groff")
def test_the_manual_has_every_command_and_option(tmp_path: Path) -> None:
    """With its own words; groff, told to warn of everything, does not."""
    text = rendered("attachsync", tmp_path)
    for name in COMMANDS:
        for path, command in every(imported(name), f"attachsync {name}"):
            assert path in text
            assert " ".join((command.help or "?").split()[:8]).replace("\b ", "") in text, path
            for option in (one for one in command.params if isinstance(one, click.Option)):
                assert all(opt in text for opt in option.opts)
                assert " ".join((option.help or "?").split()) in text
    assert all(f" {code} " in text for code in (0, 1, 2, 70, 75, 78, 130, 143))


@needs("groff")
def test_the_manual_has_every_key(tmp_path: Path) -> None:
    """Each with its default, in the section of its table."""
    text = rendered("attachsync-config", tmp_path)
    for table in reference(example()):
        for key in table.keys:
            assert f"{key.name} ({key.otherwise}) {key.text.rstrip('.')}." in text


@pytest.mark.parametrize("page", PAGES)
def test_the_manual_is_plain_roff(tmp_path: Path, page: str) -> None:
    """ASCII only; a line that begins with a dot or a quote is a request that is meant."""
    done = attachsync("man", page, home=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert done.out.isascii()
    requests = {line.split()[0] for line in done.out.splitlines() if line.startswith((".", "'"))}
    assert requests <= {".TH", ".SH", ".SS", ".TP", ".B", ".BR", ".PP", ".nf", ".fi"}


@needs("man")
def test_man_shows_it(tmp_path: Path) -> None:
    """`attachsync man | man -l -`, as its help says."""
    source = attachsync("man", home=tmp_path).out
    done = subprocess.run(["man", "-l", "-"], input=source, capture_output=True, text=True, check=True)
    assert "attachsync" in done.stdout


# --- the reference of the config ----------------------------------------------------------------------------------


def declared() -> Iterator[tuple[str, type[Any]]]:
    """Every table that the code declares, with its title."""
    yield from (("[mirror]", tables.Mirror), ("[daemon]", tables.Daemon), ("[[hook]]", tables.Hook))
    yield from (("[accounts.NAME]", tables.Account), ("[[track]]", tables.Track), ("[[outbox]]", tables.Outbox))
    for service in SERVICES.values():
        yield "[accounts.NAME]", service.keys
        if service.pull:
            yield "[[track]]", service.pull.keys
        if service.push:
            yield "[[outbox]]", service.push.keys


def test_the_example_and_the_reference_have_every_key() -> None:
    """Nothing that is declared is missing in either, and the example shows nothing else."""
    found = {(table.title, key.name): key for table in reference(example()) for key in table.keys}
    wanted = {(title, name) for title, table in declared() for name in keys.names(table)}
    assert set(found) == wanted
    shown = {key for key, one in found.items() if one.example or one.default}
    assert shown == wanted


def test_the_reference_says_nothing_twice() -> None:
    """Neither what a default is in words, nor which keys go together, is left out; nothing is there two times."""
    tables = {(table.title, *table.of): table for table in reference(example())}
    found = {(key.name, key.text): key for table in tables.values() for key in table.keys}
    assert found["state_directory", "index and lock; a local disk, when the mirror is not on one"].unset == (
        "<directory>/.attachsync"
    )
    assert found["name", "unique name"].otherwise == "the account and its folder under files/"
    assert ("token_file", "file with a token: bare, 'Bearer …', or a whole 'Authorization: Bearer …' line") in found
    assert tables["[[track]]", "auco"].note == "Exactly one of `package` and `code`."
    named = {name for table in tables.values() for name in re.findall(r"`(\w+)`", table.note)}
    assert named <= {name for name, _ in found}


def test_the_reference_knows_a_default_from_an_example() -> None:
    """A default that the code has is said; a key without one is unset, whatever the example shows."""
    by_title: dict[str, list[Any]] = {}
    for title, table in declared():
        by_title.setdefault(title, []).extend(fields(table))
    for table in reference(example()):
        for key in table.keys:
            defaults = [one.default for one in by_title[table.title] if keys.name_of(one) == key.name]
            if key.default is None and not key.required:
                assert any(default in (None, ()) for default in defaults), key.name
            if key.default is not None and key.default not in ('"forever"', "[]"):
                assert any(default not in (None, ()) for default in defaults), key.name


def test_the_page_is_the_one_that_the_code_makes() -> None:
    """docs/config.md; where it differs: `python docs/generate.py`."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    assert (ROOT / "docs" / "config.md").read_text() == generate.page()


# --- the wheel ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_wheel_works_without_the_repository(tmp_path: Path) -> None:
    """Built, installed into an empty environment, run from an empty folder: `demo`, `init`, `man`, `--version`."""
    source = tmp_path / "source"
    shutil.copytree(
        ROOT, source, ignore=shutil.ignore_patterns(".git", ".venv", "tests", "docs", "*cache*", "__pycache__")
    )
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path / "dist"), str(source)]
    subprocess.run(pip, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("attachsync-*.whl")
    packed = zipfile.ZipFile(wheel).namelist()
    assert "attachsync/config.example.toml" in packed
    assert not [name for name in packed if name.split("/")[0] not in ("attachsync", wheel.name[:16] + ".dist-info")]
    shutil.rmtree(source)
    venv.create(tmp_path / "venv", with_pip=True)
    binary = tmp_path / "venv" / "bin"
    subprocess.run([binary / "pip", "install", "-q", wheel], check=True, capture_output=True)
    with tempfile.TemporaryDirectory(dir=tmp_path) as home:

        def run(*arguments: str) -> str:
            argv = [binary / "attachsync", *arguments]
            done = subprocess.run(
                argv, cwd=home, env=environment(Path(home)), capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
            return done.stdout

        assert "Run it again: nothing will be new." in run("demo")
        assert "Nothing was new" in run("demo")
        config = "attachsync-demo/config/config.toml"
        assert json.loads(run("--config", config, "verify", "--json").splitlines()[-1])
        run("init")
        assert (Path(home) / ".config/attachsync/config.toml").read_text() == example()
        assert run("man").startswith('.TH "ATTACHSYNC" 1')


# --- the pages for operators --------------------------------------------------------------------------------------


def test_what_the_pages_name_is_there() -> None:
    """Each test that the README's table of promises points at; each state of an attachment in operations.md."""
    named = {f"tests/{name}.py" for name in re.findall(r"`(test_[a-z]+)`", (ROOT / "README.md").read_text())}
    assert len(named) > 10
    assert not [name for name in named if not (ROOT / name).is_file()]
    operations = (ROOT / "docs" / "operations.md").read_text()
    assert not [state.value for state in State if f"\n| `{state.value}` |" not in operations]

"""The tests of crashes are worth something: each fault planted in a copy of the project is caught by one of them."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MANY = "tests/test_replay.py::test_a_crash_while_many_files_are_sent[4]"
REPLAY = "tests/test_replay.py::test_a_crash_after_some_of_the_steps[4]"
EVERY = "tests/test_replay.py::test_a_crash_after_every_step[crash{}]"
"""All prefixes with one kind of crash, for what can go wrong at a few moments only."""
MACHINE = "tests/test_machine.py::test_whatever_happens[8]"
MISMATCH = "tests/test_mirror.py::test_bytes_that_are_not_what_is_stated_go_to_quarantine"


@dataclass(frozen=True)
class Mutant:
    """A fault: `old` text, found exactly once in `file` of the package, becomes `new`; `caught_by` must then fail."""

    name: str
    file: str
    old: str
    new: str
    caught_by: str = REPLAY


_NEWS = "            yield _page_of_events(track, [event for event in listing.events if"
_SHOW = "        await self._groups.add(showing)\n"
_PUT = """        yield from self._filing.putting(upload.filed_as, document, file)
        if file is not None and not (yield from self._filing.moving(upload.name, upload.filed_as, file)):
            self._log.warning("replaced_while_sent", file=upload.name, filed_as=upload.filed_as)
"""
_FAULT = """        if fault and self.path:
            self._place.set_aside(self.path, self.digest)
            self._let_go()
            raise MismatchError(fault)
"""
_WITHDRAWN = """        with self._db.transaction(durable=True):
            self._db.date()
            self._db.run(sql, state, facts.reason"""

MUTANTS = (
    Mutant(
        "row before bytes",
        "showing.py",
        _SHOW,
        "        attachments.stored([showing.stored], 0)\n" + _SHOW,
    ),
    Mutant(
        "cursor past an unrecorded row",
        "sources/datatrails/source.py",
        _NEWS,
        "            yield Page((), {_EVENTS: watermark(cursor, latest, now, None if after else pages)})\n" + _NEWS,
        "tests/test_mirror.py::test_a_listing_that_broke_off_is_taken_up_where_it_did",
    ),
    Mutant(
        "rename before fsync",
        "objects.py",
        "            yield [file.descriptor for file in files if file.descriptor >= 0]\n",
        "",
    ),
    Mutant(
        "rename of a large one before fsync",
        "incoming.py",
        "            os.fsync(self.descriptor)\n",
        "",
        "tests/test_replay.py::test_a_crash_while_a_large_one_comes",
    ),
    Mutant(
        "receipt after move",
        "outbox/stowing.py",
        _PUT,
        """        import os
        if file is not None:
            os.makedirs(f"{self._config.directory}/{os.path.dirname(upload.filed_as)}", exist_ok=True)
            yield from self._filing.moving(upload.name, upload.filed_as, file)
        yield from self._filing.putting(upload.filed_as, document, file)
""",
    ),
    Mutant(
        "folder of bytes not synced",
        "objects.py",
        "for folder in self._name(file)}",
        "for folder in self._name(file) if not folder}",
    ),
    Mutant("folder of names not synced", "linking.py", "        yield folders\n", "        yield ()\n"),
    Mutant("new folders not synced", "durable.py", "    return [os.path.dirname(folder)]\n", "    return []\n"),
    Mutant(
        "marker's folder not synced",
        "lock.py",
        "            fsync_folder(path.parent)\n        if known is None:",
        "        if known is None:",
        EVERY.format(0),
    ),
    Mutant(
        "receipt not synced",
        "folders.py",
        "yield [(yield from _filled(unnamed, fill, mode))]",
        "yield [][(yield from _filled(unnamed, fill, mode)) :]",
    ),
    Mutant(
        "sent file gone before it has come", "filing.py", "            yield [target]  # first", "            # first"
    ),
    Mutant(
        "durable only if all steps are to be",
        "outbox/journal.py",
        "durable=any(step.durable",
        "durable=all(step.durable",
        "tests/test_outbox_together.py::test_if_one_is_to_be_durable_all_are[durable0]",
    ),
    Mutant(
        "file system not synced",
        "durable.py",
        "return kind in _WHOLE and library.syncfs(it) == 0",
        "return kind in _WHOLE",
        MANY,
    ),
    Mutant(
        "only the first of several synced",
        "durable.py",
        "            for same in disk.values():",
        "            for same in [next(iter(disk.values()))]:",
        "tests/test_outbox_together.py::test_each_file_is_synced_and_a_folder_once",
    ),
    Mutant(
        "what several want synced is not",
        "durable.py",
        "_unsynced([one for some in wanted.values() for one in some])",
        "_unsynced([])",
    ),
    Mutant(
        "no step of the journal durable",
        "outbox/journal.py",
        "durable=any(step.durable for step in steps)",
        "durable=False",
    ),
    Mutant(
        "begin of the journal not durable",
        "outbox/requests.py",
        "write(begin, rank=arrival, undo=self._not_begun)",
        "write(begin, durable=False)",
    ),
    Mutant(
        "place of a receipt not durable",
        "outbox/stowing.py",
        "self._journal.write(partial(write, filed_as=place))",
        "self._journal.write(partial(write, filed_as=place), durable=False)",
    ),
    Mutant(
        "unknown outcome not told",
        "outbox/journey.py",
        "unknown=not is_sent, strike=True)",
        "unknown=False, strike=True)",
        "tests/test_outbox_recovery.py::test_killed_while_sending",
    ),
    Mutant(
        "list current while something changes",
        "manifest.py",
        "self._is_outdated = self._changing > 0",
        "self._is_outdated = False",
    ),
    Mutant(
        "SHA256SUMS not noted as outdated",
        "manifest.py",
        "            self._index.database.note(_NOTE, _OUTDATED)\n",
        "",
        "tests/test_manifest.py::test_it_is_noted_as_current_only_when_nothing_is_under_way",
    ),
    Mutant("list seen before it is synced", "growing.py", "        os.fsync(file.fileno())\n", ""),
    Mutant("partial file visible", "objects.py", "{self.root}/.attachsync/tmp/{os", "{self.root}/sha256/{os"),
    Mutant("quarantine skipped", "incoming.py", _FAULT, "", MISMATCH),
    Mutant(
        "name claimed twice",
        "index/naming.py",
        "            candidate = names.distinct(leaf, owner, attempt)\n",
        "            return path\n",
        MACHINE,
    ),
    Mutant(
        "cursor past a page that was malformed",
        "sources/datatrails/paging.py",
        "    if unsound:\n",
        "    if False:\n",
        "tests/test_mirror.py::test_one_unsound_asset_does_not_keep_back_the_events",
    ),
    Mutant(
        "withdrawal not durable",
        "index/attachments.py",
        _WITHDRAWN,
        _WITHDRAWN.replace("durable=True", ""),
        EVERY.format(1),
    ),
    Mutant(
        "bytes taken away that are about to be shown",
        "pins.py",
        "        return any(pin.has(digest) for pin in self._pins)\n",
        "        return False\n",
        "tests/test_removals.py::test_bytes_that_are_about_to_be_shown_stay",
    ),
)


def planted(mutant: Mutant, place: Path) -> None:
    """A copy of the project with the fault in it."""
    for name in ("attachsync", "tests"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "config.example.toml"):
        shutil.copy(ROOT / name, place)
    file = place / "attachsync" / mutant.file
    file.write_text(file.read_text().replace(mutant.old, mutant.new))


def outcome(place: Path, test: str) -> tuple[int, str]:
    """pytest's exit code and output; the copy is what is imported."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-n0",
        "-p",
        "no:cacheprovider",
        "--basetemp",
        str(place / "tmp"),
        "-o",
        "timeout=900",
        "-m",
        "",
        test,
    ]
    variables = {**os.environ, "PYTHONPATH": str(place)}
    done = subprocess.run(command, cwd=place, env=variables, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_place_for_the_fault_is_there(mutant: Mutant) -> None:
    """The code that a fault replaces is there once, as it was when the fault was thought of."""
    assert (ROOT / "attachsync" / mutant.file).read_text().count(mutant.old) == 1


@pytest.mark.slow
@pytest.mark.timeout(1000)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_is_caught(mutant: Mutant, tmp_path: Path) -> None:
    """By the test that is there for it, and not by its end."""
    planted(mutant, tmp_path)
    code, said = outcome(tmp_path, mutant.caught_by)
    assert code == 1, said
    assert f"FAILED {mutant.caught_by}" in said, said
    assert "Timeout (>" not in said, said

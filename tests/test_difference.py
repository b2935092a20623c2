"""What a saved config changes, in words: each thing once, by name, and never a secret."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attachsync import config as configs
from attachsync import units
from attachsync.difference import differences
from attachsync.reader import Config

BEFORE = """
[mirror]
directory = "mirror"
max_size = "2GiB"

[accounts.ledger]
service = "datatrails"
token_file = "token"
proxy = "http://proxy.example:3128"

[[track]]
account = "ledger"
asset = "*"
name = "all"

[[outbox]]
directory = "OUTSIDE/outbox"
account = "ledger"
asset = "c04d5ecf-02e0-4be2-a014-ffbbf0e8ddeb"

[[hook]]
on = ["mirrored"]
command = ["notify", "--password", "hidden"]

[[hook]]
on = ["mirrored"]
url = "https://hooks.example/hidden/path"
secret_file = "token"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "config"
    made.mkdir()
    for name in ("token", "other"):
        (made / name).write_text("hidden\n")
        (made / name).chmod(0o600)
    return made


def loaded(folder: Path, text: str) -> Config:
    path = folder / "config.toml"
    path.write_text(text.replace("OUTSIDE", str(folder.parent)))
    return configs.load(path, {})


def changed(folder: Path, *edits: tuple[str, str]) -> list[tuple[str, str]]:
    """(whose, what) of each difference that edits of the config make."""
    text = BEFORE
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    found = list(differences(loaded(folder, BEFORE), loaded(folder, text)))
    assert "hidden" not in repr(found)
    return [(" ".join(change.whose.values()), change.what) for change in found]


def test_the_same_config_differs_in_nothing(folder: Path) -> None:
    """Comments and the order of keys are no difference."""
    assert changed(folder, ("[mirror]", "# a comment\n[mirror]")) == []


@pytest.mark.parametrize(
    ("edit", "whose", "what"),
    [
        (('max_size = "2GiB"', 'max_size = "1500MB"'), "", "mirror.max_size: 2GiB -> 1500MB"),
        (('max_size = "2GiB"', 'scrub = "off"'), "", "mirror.scrub: 30d -> unset"),
        (('max_size = "2GiB"', 'dir_mode = "0700"'), "", "mirror.dir_mode: 0750 -> 0700"),
        (("[[track]]", '[daemon]\ninterval = "90s"\n[[track]]'), "", "daemon.interval: 5m -> 90s"),
        (('token_file = "token"\nproxy', 'rate = 2.5\ntoken_file = "token"\nproxy'), "ledger", "rate: unset -> 2.5"),
        (('name = "all"', 'name = "all"\nretain = "90d"'), "ledger all", "retain: unset -> 90d"),
        (('name = "all"', 'name = "all"\nevents = false'), "ledger all", "events: true -> false"),
        (('name = "all"', 'name = "all"\nattributes = { a = "b" }'), "ledger all", "attributes: [] -> [[a, b]]"),
        (('--password", "hidden', '--password", "hidden2'), "notify", "command: changed"),
        (("hidden/path", "hidden/way"), "https://hooks.example", "url: changed"),
        (("3128", "80"), "ledger", "proxy: http://proxy.example:3128 -> http://proxy.example:80"),
    ],
)  # fmt: skip
def test_a_key_that_changes(folder: Path, edit: tuple[str, str], whose: str, what: str) -> None:
    """Its value before and after, as it would be written."""
    assert (whose, what) in changed(folder, edit)


def test_a_secret_is_told_by_its_file(folder: Path) -> None:
    ((whose, what),) = changed(folder, ('token_file = "token"\nproxy', 'token_file = "other"\nproxy'))
    assert (whose, what) == ("ledger", f"token_file: {folder / 'token'} -> {folder / 'other'}")


def test_things_that_come_and_go(folder: Path) -> None:
    """A track that is renamed is another one; an account and its tracks are told one by one."""
    second = '[accounts.second]\nservice = "datatrails"\ntoken_file = "token"\n'
    second += '[[track]]\naccount = "second"\nasset = "*"\nname = "more"\n'
    assert changed(folder, ("[[outbox]]", second + "[[outbox]]"), ('name = "all"', 'name = "everything"')) == [
        ("second", "added"),
        ("ledger all", "removed"),
        ("ledger everything", "added"),
        ("second more", "added"),
    ]


@given(span=st.integers(1, 10**7).map(lambda ms: ms / 1000), count=st.integers(0, 2**45))
def test_what_is_written_is_what_is_read(span: float, count: int) -> None:
    """Durations and sizes as they would stand in a config."""
    assert units.seconds(units.exact_duration(span)) == pytest.approx(span)
    assert units.size(units.exact_size(count)) == count

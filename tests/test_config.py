"""The config: every fault at once, where files are looked for, and the example that shows every key (contract 2)."""

import dataclasses
import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import trustme

from attachsync import config as configs
from attachsync import keys, tables
from attachsync.cli.check import example
from attachsync.errors import ConfigError
from attachsync.reader import Config
from attachsync.services import SERVICES
from tests.commands import attachsync, environment

ASSET = "c04d5ecf-02e0-4be2-a014-ffbbf0e8ddeb"
MIRROR = '[mirror]\ndirectory = "mirror"\n'
ACCOUNT = '[accounts.ledger]\nservice = "datatrails"\ntoken_file = "token"\n'
CHAT = '[accounts.support]\nservice = "sunshine"\napp_id = "app"\nkey_id = "app_1"\nsecret_file = "token"\n'
TRACK = f'[[track]]\naccount = "ledger"\nasset = "{ASSET}"\n'
OUTBOX = '[[outbox]]\naccount = "support"\ndirectory = "../outbox"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A config's folder, with a secret file."""
    folder = tmp_path / "etc"
    folder.mkdir()
    secret(folder / "token")
    for loop in (folder / "loop", tmp_path / "loop"):
        loop.symlink_to(loop)
    return folder


def secret(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text("s3cr3t\n")


def loaded(folder: Path, text: str, **variables: str) -> Config:
    path = folder / "config.toml"
    path.write_text(text)
    return configs.load(path, variables)


def faults(folder: Path, text: str, **variables: str) -> list[str]:
    """The faults of a config, each said to be of its file."""
    with pytest.raises(ConfigError) as caught:
        loaded(folder, text, **variables)
    assert all(fault.startswith(str(folder)) for fault in caught.value.faults)
    return [fault.removeprefix(f"{folder}/config.toml: ") for fault in caught.value.faults]


SINGLE = [
    ("", MIRROR.replace("directory", "directry"), "mirror.directry: is not a known key; did you mean 'directory'?"),
    ("", "[mirror]\n", "mirror.directory: is required: where everything is kept"),
    ("", "mirror = 3\n", "mirror: must be a table: [mirror]"),
    ("", MIRROR + "[mirorr]\n", "mirorr: is not a known key; did you mean 'mirror'?"),
    ("M", "[daemon]\nconcurrency = true\n", "daemon.concurrency: must be a whole number from 1 to 1024, not True"),
    ("M", "[daemon]\nconcurrency = 0\n", "daemon.concurrency: must be a whole number from 1 to 1024, not 0"),
    ("M", '[daemon]\ninterval = "5 minutes"\n', "daemon.interval: must be a duration such as \"90s\", \"5m\""),
    ("M", '[daemon]\ninterval = "999ms"\n', "daemon.interval: must be at least 1s, not '999ms'"),
    ("M", '[daemon]\ninterval = "40000d"\n', "daemon.interval: must be at most 36500d"),
    ("M", '[daemon]\nlog_format = "jsn"\n', "must be 'auto' or 'console' or 'json', not 'jsn'; did you mean 'json'?"),
    ("M", '[daemon]\nmetrics = "9464"\n', 'daemon.metrics: must be "HOST:PORT" or "unix:/PATH"'),
    ("", MIRROR + 'max_size = "2 gigs"\n', 'mirror.max_size: must be a size such as "512MiB" or "2GiB"'),
    ("", MIRROR + "max_size = -1\n", "mirror.max_size: must be a size"),
    ("", MIRROR + 'file_mode = "0999"\n', 'mirror.file_mode: must be octal permission bits in quotes, such as "0440"'),
    ("", MIRROR + "file_mode = 0o440\n", "mirror.file_mode: must be octal permission bits in quotes"),
    ("", MIRROR + 'scrub = "never"\n', 'mirror.scrub: must be a duration such as "90s", "5m" or "30d"'),
    ("", MIRROR + 'link = "hard"\n', "mirror.link: must be 'hardlink' or 'symlink' or 'reflink' or 'copy'"),
    ("M", '[accounts.a]\nservice = "datatrail"\n', "'datatrail' is not a known service; did you mean 'datatrails'?"),
    ("M", "[accounts.a]\n", "accounts.a.service: is required: one of auco, datatrails, "),
    ("M", ACCOUNT + "rate = 0\n", "accounts.ledger.rate: must be a number above 0, not 0"),
    ("M", ACCOUNT + 'base_url = "http://x.example"\n', "plain http is for loopback addresses only"),
    ("M", ACCOUNT + 'base_url = "ftp://x"\n', "accounts.ledger.base_url: must be an https URL"),
    ("M", ACCOUNT + 'base_url = "https://u:p@x.example"\n', "must hold no user, password, query or fragment"),
    ("M", ACCOUNT + 'media_hosts = ["https://x"]\n', "media_hosts: must be host names such as media.example.org"),
    ("M", ACCOUNT + 'ca_file = "none.pem"\n', "none.pem is not a readable file"),
    ("M", ACCOUNT + 'ca_file = "token"\n', "token holds no certificates in PEM form"),
    ("M", ACCOUNT + 'proxy = "socks5://x"\n', "accounts.ledger.proxy: must be an http or https URL, not 'socks5://x'"),
    ("M", ACCOUNT + 'proxy = "http://u:p@x"\n', "accounts.ledger.proxy: must hold no user and no password"),
    ("M", ACCOUNT + 'proxy = "http://127.0.0.1:99999"\n', "accounts.ledger.proxy: must be an http or https URL"),
    ("M", ACCOUNT + 'proxy = "http://p:abc"\n', "accounts.ledger.proxy: must be an http or https URL"),
    ("M", ACCOUNT + 'base_url = "https://a..b"\n', "base_url: must be an https URL, not 'https://a..b'"),
    ("M", ACCOUNT + 'base_url = "https://exa mple.org"\n', "must be an https URL, not 'https://exa mple.org'"),
    ("M", ACCOUNT + 'base_url = " https://x.example"\n', "base_url: must be an https URL, not ' https://x.example'"),
    ("M", ACCOUNT + 'base_url = "https://x.example\\n"\n', "base_url: must be an https URL"),
    ("M", ACCOUNT + 'base_url = "https://x.example:0"\n', "base_url: must be an https URL"),
    ("M", ACCOUNT + 'media_hosts = ["a.org:99999"]\n', "media_hosts: must be host names such as media.example.org"),
    ("M", ACCOUNT + 'media_hosts = ["::1"]\n', "media_hosts: must be host names such as media.example.org"),
    ("M", ACCOUNT + 'media_hosts = ["*.a.org"]\n', "media_hosts: must be host names such as media.example.org"),
    ("M", ACCOUNT + f"rate = {10**400}\n", "accounts.ledger.rate: must be a number of at most 64 bits"),
    ("M", ACCOUNT + f"token = 0x{'f' * 5000}\n", "accounts.ledger.token: must be a number of at most 64 bits"),
    ("M", ACCOUNT + f"token{'.a' * 3000} = 1\n", ": tables or lists are nested too deep"),
    ("M", '[daemon]\nmetrics_textfile = "token/m.prom"\n', "token is not a folder"),
    ("M", '[daemon]\nmetrics_textfile = "/"\n', "daemon.metrics_textfile: / is there already, and is no file"),
    ("M", '[daemon]\nmetrics_textfile = "/dev/null"\n', "/dev/null is there already, and is no file"),
    ("M", '[daemon]\nmetrics_textfile = "mirror/sha256/m"\n', "sha256, where only what is mirrored may be"),
    ("M", '[daemon]\nmetrics_textfile = "mirror/.attachsync/index.sqlite3"\n', "lies inside the mirror's own"),
    ("M", '[daemon]\nmetrics_textfile = "mirror/SHA256SUMS"\n', "SHA256SUMS is the mirror's own"),
    ("M", '[daemon]\nmetrics_textfile = "config.toml"\n', "config.toml is the config"),
    ("MA", '[daemon]\nmetrics_textfile = "token"\n', "token is a secret file"),
    ("MAC", OUTBOX + '[daemon]\nmetrics_textfile = "../outbox/m.txt"\n', "m.txt lies inside an outbox"),
    ("M", '[[hook]]\ncommand = ["x"]\non = ["sent"]\ntimeout = "0s"\n', "hook[1].timeout: must be at least 0.001s"),
    ("M", '[daemon]\nmetrics = "http://127.0.0.1:9464"\n', 'daemon.metrics: must be "HOST:PORT"'),
    ("", MIRROR + 'state_directory = "mirror/sha256"\n', "mirror.state_directory: "),
    ("", MIRROR + 'state_directory = "mirror/files/x"\n', "files, where only what is mirrored may be"),
    ("", MIRROR.replace('"mirror', f'"{"x" * 256}'), "mirror.directory: must have no part of more than 255 bytes"),
    ("", MIRROR.replace('"mirror', '"loop'), "loop is not a folder"),
    ("", MIRROR.replace('"mirror', '"loop/x'), "loop is not a folder"),
    ("MAC", OUTBOX.replace("../outbox", "../loop"), "loop is not a folder"),
    ("MAC", OUTBOX.replace("../outbox", "../" + "é" * 128), "directory: must have no part of more than 255 bytes"),
    *(("", f'{MIRROR}file_mode = "{one}"\n', "file_mode: must let the owner read") for one in ("660", "550", "040")),
    *(("", f'{MIRROR}{key} = "0500"\n', f"{key}: must let the owner ") for key in ("dir_mode", "store_mode")),
    ("M", ACCOUNT + 'dir_mode = "000"\n', "accounts.ledger.dir_mode: must let the owner read, write and enter"),
    ("M", ACCOUNT + 'client_id = "x"\n', "accounts.ledger.client_secret_file: is required with client_id"),
    ("M", ACCOUNT + 'key_id = "x"\n', "accounts.ledger.key_id: is a key of sunshine, not of datatrails"),
    ("M", '[accounts._x]\nservice = "datatrails"\n', "accounts._x: a name is 1 to 64 letters"),
    ("M", CHAT.replace('app_id = "app"\n', ""), "accounts.support.app_id: is required"),
    ("MA", TRACK.replace("ledger", "leger"), "track[1].account: 'leger' is not an account; did you mean 'ledger'?"),
    ("MA", TRACK.replace('account = "ledger"\n', ""), "track[1].account: is required: the name of an [accounts.NAME]"),
    ("MA", TRACK.replace(ASSET, "c04d"), "track[1].asset: must be a UUID such as c04d5ecf-02e0-4be2-a014-ffbbf0e8ddeb"),
    ("MA", TRACK.replace(ASSET, ASSET.replace("-", "")), "track[1].asset: must be a UUID"),
    ("MA", TRACK.replace(ASSET, "*") + "public = true\n", "track[1].public: is for one asset"),
    ("MA", TRACK + 'attributes = { a = "b" }\n', 'track[1].attributes: is for asset = "*"'),
    ("MA", TRACK.replace(ASSET, "*") + "attributes = { a = 1 }\n", "track[1].attributes: must be a table of texts"),
    ("MA", TRACK + 'interval = "0.5s"\n', "track[1].interval: must be at least 1s"),
    ("MA", TRACK + 'retain = "always"\n', 'must be a duration such as "90s", "5m" or "30d", or "forever", not'),
    ("MA", TRACK + 'send = true\n', "track[1].send: is not a known key"),
    ("MA", TRACK + TRACK, "is another track's name too: give one of them its own"),
    ("MA", "[track]\n", "track: must be an array of tables: [[track]]"),
    ("MAC", '[[track]]\naccount = "support"\n', "track[1].conversation: is required, or user, or external_user"),
    (
        "MAC",
        '[[track]]\naccount = "support"\nconversation = "c"\nuser = "u"\n',
        "track[1].user: and conversation exclude each other",
    ),
    ("MAC", OUTBOX.replace("support", "ledger"), "outbox[1].asset: is required: UUID of the asset"),
    (
        "MC",
        f'[accounts.all]\nservice = "rkvst"\n{OUTBOX.replace("support", "all")}asset = "{ASSET}"\n',
        "outbox[1].account: has neither token_file nor client_id",
    ),
    ("MAC", OUTBOX + "send = true\n", "outbox[1].send: needs conversation"),
    (
        "MAC",
        OUTBOX.replace("support", "ledger") + f'asset = "{ASSET}"\npropagate_deletes = true\n',
        "outbox[1].propagate_deletes: must be false: what was sent to datatrails cannot be deleted",
    ),
    ("MAC", OUTBOX + "send = 1\n", "outbox[1].send: must be true or false, not 1"),
    ("MAC", OUTBOX + 'settle = "soon"\n', "outbox[1].settle: must be a duration"),
    ("MAC", OUTBOX + 'ignore = "*~"\n', "outbox[1].ignore: must be a list of strings"),
    ("MAC", OUTBOX + f'asset = "{ASSET}"\n', "outbox[1].asset: is "),
    ("MAC", OUTBOX.replace("../outbox", "mirror"), "is the mirror"),
    ("MAC", OUTBOX.replace("../outbox", "mirror/out"), "lies inside the mirror"),
    ("MAC", OUTBOX.replace("../outbox", "/"), "contains the mirror"),
    ("MAC", OUTBOX.replace("../outbox", "."), "is the config's folder"),
    ("MAC", OUTBOX.replace("../outbox", "out"), "lies inside the config's folder"),
    ("MAC", OUTBOX.replace("../outbox", ".."), "contains the config's folder"),
    ("MAC", OUTBOX + OUTBOX.replace("outbox\"", "outbox/in\""), "lies inside another outbox, outbox[1] of config.toml"),
    ("M", '[[hook]]\non = ["mirored"]\ncommand = ["x"]\n', "'mirored' is not an event; did you mean 'mirrored'?"),
    ("M", '[[hook]]\non = ["sent"]\ncommand = ["a\\u0000b"]\n', "hook[1].command: must be a list of strings"),
    ("M", '[[hook]]\non = ["sent"]\ncommand = [""]\n', "hook[1].command: must begin with a program"),
    ("M", '[[hook]]\non = ["sent"]\n', "hook[1].command: one of command and url is required, not both"),
    ("M", '[[hook]]\non = ["sent"]\nurl = "https://x.example"\n', "hook[1].secret_file: is required with url"),
]  # fmt: skip
_PARTS = {"M": MIRROR, "A": ACCOUNT, "C": CHAT}


@pytest.mark.parametrize(("parts", "text", "expected"), SINGLE, ids=[f"{n}" for n in range(len(SINGLE))])
def test_each_fault_is_named_with_its_key_and_what_would_be_right(
    folder: Path, parts: str, text: str, expected: str
) -> None:
    """One fault, one line about it."""
    (found,) = {fault for fault in faults(folder, "".join(_PARTS[part] for part in parts) + text) if expected in fault}
    assert re.match(r"[a-z]+(\[\d\])?(\.[\w.]+)?: ", found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"x = {'9' * 5000}\n", "not TOML that can be read: a number has too many digits (at line 1, column 5)"),
        (f"x = {'[' * 5000}{']' * 5000}\n", "not TOML that can be read: tables or lists are nested too deep"),
        (
            "\ufeff" + MIRROR,
            "not TOML: it begins with a byte order mark (at line 1, column 1): save it as UTF-8 without BOM",
        ),
    ],
)
def test_what_no_reader_of_toml_takes_is_a_fault(folder: Path, text: str, expected: str) -> None:
    """Also where Python's own reader has no word for it."""
    assert faults(folder, text) == [expected]


@pytest.mark.parametrize(
    "key",
    [
        'base_url = "http://user:hunter2@example.org"',
        'base_url = "ftp://user:hunter2@example.org"',
        'base_url = "https://user:hunter2@example.org:99999"',
        'base_url = "user:hunter2@example.org"',
        'proxy = "socks5://user:hunter2@p:1"',
        'proxy = "http://user:hunter2@p:99999"',
    ],
)
def test_a_password_in_an_address_is_not_repeated(folder: Path, key: str) -> None:
    (fault,) = faults(folder, MIRROR + ACCOUNT + key + "\n")
    assert "hunter2" not in fault


def test_what_is_right_though_odd(folder: Path) -> None:
    """A host by its IPv6 address; a hook's empty argument; a hook's address with a query."""
    hook = '[[hook]]\non = ["sent"]\nurl = "https://h.example/x/?token=a"\nsecret_file = "token"\n'
    odd = '[[hook]]\non = ["sent"]\ncommand = ["x", ""]\n'
    hosts = '["[::1]", "[2001:db8::1]:8443", "exämple.org", "localhost"]'
    config = loaded(folder, MIRROR + ACCOUNT + f"media_hosts = {hosts}\n" + hook + odd)
    assert [(one.url, one.command) for one in config.hooks] == [
        ("https://h.example/x/?token=a", ()),
        (None, ("x", "")),
    ]


def test_all_faults_are_named_at_once_and_the_command_exits_78(folder: Path) -> None:
    """`check` prints one line a fault on standard error, each with file and key path; one does not hide another."""
    (folder / "config.d").mkdir()
    (folder / "config.d" / "b.toml").write_text('[[outbox]]\naccount = "nobody"\ndirectory = "mirror"\n')
    text = MIRROR + "[daemon]\nintervall = 3\n" + ACCOUNT.replace('"token"', '"none"') + TRACK.replace(ASSET, "x")
    (folder / "config.toml").write_text(text)
    done = attachsync("--config", folder / "config.toml", "check", home=folder)
    assert (done.code, done.out) == (78, "")
    lines = done.err.splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        [f"{folder}/config.toml", "daemon.intervall"],
        [f"{folder}/config.toml", "accounts.ledger.token_file"],
        [f"{folder}/config.toml", "track[1].asset"],
        [f"{folder}/config.d/b.toml", "outbox[1].account"],
        [f"{folder}/config.d/b.toml", "outbox[1].directory"],
        [f"{folder}/config.d/b.toml", "outbox[1].directory"],
    ]


WRONG = f"""
[mirror]
directory = "token"
lnik = "hardlink"
max_size = "2 gigs"
[daemon]
interval = "0.5s"
[mirorr]
[accounts.ledger]
service = "datatrails"
token_file = "open"
client_id = "x"
key_id = "k"
[accounts.Ledger]
service = "rkvst"
rate = 0
[accounts.support]
service = "sunshin"
app_id = ""
colour = "red"
[accounts.chat]
service = "sunshine"
app_id = "a/b"
key_id = "app_1"
secret_file = "missing"
[accounts.ids]
service = "trinsic"
token_file = "token"
[accounts.signing]
service = "auco"
key_file = "token"
[[track]]
account = "leger"
asset = "c04d"
[[track]]
account = "ledger"
asset = "*"
public = true
retain = "always"
[[track]]
account = "Ledger"
name = "same"
asset = "{ASSET}"
interval = "x"
[[track]]
account = "ids"
name = "same"
session = "x"
sessions_file = "list"
package = "p"
[[track]]
account = "signing"
package = "a/b"
code = "c"
[[track]]
account = "chat"
conversation = "a/b"
user = "u"
[[outbox]]
account = "chat"
directory = "out"
settle = "soon"
send = true
[[outbox]]
account = "chatt"
directory = "../box"
send = 1
[[outbox]]
account = "ledger"
directory = "../box/in"
asset = "{ASSET}"
ignore = "x"
propagate_deletes = true
[[hook]]
on = ["mirored"]
command = "x"
url = "http://hook.example"
"""
SAID = """
mirorr: is not a known key; did you mean 'mirror'?
mirror.lnik: is not a known key; did you mean 'link'?
mirror.max_size: must be a size
daemon.interval: must be at least 1s
accounts.ledger.key_id: is a key of sunshine, not of datatrails
accounts.ledger.token_file: secret file FOLDER/open can be read by others; run: chmod 600 FOLDER/open
accounts.ledger.client_secret_file: is required with client_id
accounts.ledger.token_file: and client_id exclude each other
accounts.Ledger: named twice, case ignored: also accounts.ledger
accounts.Ledger.rate: must be a number above 0
accounts.support.service: 'sunshin' is not a known service; did you mean 'sunshine'?
accounts.support.colour: is not a known key
accounts.support.app_id: must be an id
accounts.chat.app_id: must be an id
accounts.chat.secret_file: secret file FOLDER/missing does not exist
track[1].account: 'leger' is not an account; did you mean 'ledger'?
track[1].asset: must be a UUID
track[2].retain: must be a duration
track[2].public: is for one asset
track[3].interval: must be a duration
track[3].public: must be true: the account has neither token_file nor client_id
track[4].package: is a key of auco, not of trinsic
track[4].session: must be a UUID
track[4].sessions_file: and session exclude each other
track[4].results_key_file: is required with session
track[4].name: 'same' is another track's name too
track[5].package: must be an id
track[5].code: and package exclude each other
track[6].conversation: must be an id
track[6].user: and conversation exclude each other
outbox[1].settle: must be a duration
outbox[1].send: needs conversation
outbox[2].account: 'chatt' is not an account; did you mean 'chat'?
outbox[2].send: must be true or false
outbox[3].ignore: must be a list of strings
outbox[3].propagate_deletes: must be false
hook[1].on: 'mirored' is not an event; did you mean 'mirrored'?
hook[1].command: must be a list of strings
hook[1].url: must be https
hook[1].command: one of command and url is required, not both
mirror.directory: FOLDER/token is not a folder
outbox[1].directory: FOLDER/out lies inside the config's folder
outbox[3].directory: PARENT/box/in lies inside another outbox, outbox[2] of config.toml
"""


def test_one_fault_hides_no_other(folder: Path) -> None:
    """Neither a wrong type what keys say together, nor a wrong account what is wrong with its tracks."""
    (folder / "open").touch(mode=0o644)
    found = faults(folder, WRONG)
    said = SAID.replace("FOLDER", str(folder)).replace("PARENT", str(folder.parent)).strip().splitlines()
    assert [fault[: len(one)] for fault, one in zip(found, said, strict=True)] == said


def test_a_syntax_error_names_line_and_column(folder: Path) -> None:
    """And nothing else is said of a file that cannot be parsed."""
    (fault,) = faults(folder, MIRROR + "link = hardlink\n")
    assert "not TOML" in fault
    assert "line 3, column 8" in fault


def test_a_syntax_error_at_the_end_names_line_and_column_too(folder: Path) -> None:
    """Python's own words for that place have none."""
    (fault,) = faults(folder, "[mirror]\nx = [")
    assert "line 2, column 6" in fault


def test_text_that_is_not_utf8_is_a_fault(folder: Path) -> None:
    """It is named with its place, not thrown."""
    (folder / "config.toml").write_bytes(b'[mirror]\na = "\xff"\n')
    with pytest.raises(ConfigError, match=r"not UTF-8 text \(at line 2, column 6\)"):
        configs.load(folder / "config.toml", {})


def test_secret_files_must_be_there_and_private(folder: Path) -> None:
    """A missing one is named; a too open one comes with the chmod that mends it."""
    assert faults(folder, MIRROR + ACCOUNT.replace('"token"', '"no"')) == [
        f"accounts.ledger.token_file: secret file {folder}/no does not exist"
    ]
    (folder / "none").touch(0o600)
    assert "none is empty" in faults(folder, MIRROR + ACCOUNT.replace('"token"', '"none"'))[0]
    (folder / "token").chmod(0o640)
    assert faults(folder, MIRROR + ACCOUNT) == [
        f"accounts.ledger.token_file: secret file {folder}/token can be read by others; run: chmod 600 {folder}/token"
    ]
    (folder / "token").unlink()
    (folder / "token").mkdir()
    assert "is not a regular file" in faults(folder, MIRROR + ACCOUNT)[0]


def test_credentials_of_systemd_come_first_and_are_trusted(folder: Path, tmp_path: Path) -> None:
    """The last part of a relative path is looked up there; an absolute path is not."""
    given = tmp_path / "credentials"
    given.mkdir()
    (given / "ledger.token").write_text("t")
    (given / "ledger.token").chmod(0o444)
    text = MIRROR + ACCOUNT.replace('"token"', '"secrets/ledger.token"')
    config = loaded(folder, text, CREDENTIALS_DIRECTORY=str(given))
    found: Any = config.accounts["ledger"].options
    assert (found.token_file.path, found.token_file.trusted) == (given / "ledger.token", True)
    absolute = text.replace('"secrets/', f'"{folder}/secrets/')
    assert "does not exist" in faults(folder, absolute, CREDENTIALS_DIRECTORY=str(given))[0]


def test_folders_that_cannot_be_written_are_faults(folder: Path) -> None:
    """A file where a folder should be: root may write anywhere else."""
    text = MIRROR.replace('"mirror"', '"token"') + 'state_directory = "token/state"\n' + CHAT
    found = faults(folder, text + OUTBOX.replace("../outbox", "token/out"))
    assert found[:2] == [
        f"mirror.directory: {folder}/token is not a folder",
        f"mirror.state_directory: {folder}/token is not a folder",
    ]
    assert f"outbox[1].directory: {folder}/token is not a folder" in found


def test_an_outbox_with_a_secret_in_it(folder: Path) -> None:
    """Whatever is in an outbox is sent: no secret may be there, nor behind a link that leads to it."""
    secret(folder.parent / "box" / "in" / "key")
    (folder / "link").symlink_to(folder.parent / "box")
    account = CHAT.replace('"token"', '"../box/in/key"')
    for outbox in ("../box", "../box/in", "link"):
        (found,) = faults(folder, MIRROR + account + OUTBOX.replace("../outbox", outbox))
        assert "contains the secret file" in found
        assert "s3cr3t" not in found


def test_overlaps_are_found_through_symlinks(folder: Path, tmp_path: Path) -> None:
    """An outbox that is a link into the mirror lies inside it."""
    (tmp_path / "mirror" / "x").mkdir(parents=True)
    (tmp_path / "outbox").symlink_to(tmp_path / "mirror" / "x")
    found = faults(folder, MIRROR.replace('"mirror"', '"../mirror"') + CHAT + OUTBOX)
    assert any("lies inside the mirror" in fault for fault in found)


def test_an_account_named_twice_is_a_fault_ignoring_case_across_files(folder: Path) -> None:
    """The later one is named, with its twin."""
    (folder / "config.d").mkdir()
    (folder / "config.d" / "a.toml").write_text(ACCOUNT.replace("ledger", "Ledger"))
    with pytest.raises(ConfigError) as caught:
        loaded(folder, MIRROR + ACCOUNT)
    (fault,) = caught.value.faults
    assert fault.startswith(f"{folder}/config.d/a.toml: accounts.Ledger: named twice")


def test_config_d_is_read_in_name_order_and_adds_only_what_it_may(folder: Path) -> None:
    """Accounts, tracks, outboxes and hooks; neither [mirror] nor [daemon]; only *.toml."""
    beside = folder / "config.d"
    beside.mkdir()
    for name in ("b", "a", "c"):
        (beside / f"{name}.toml").write_text(TRACK + f'name = "{name}"\n')
    (beside / "note.txt").write_text("no TOML at all")
    config = loaded(folder, MIRROR + ACCOUNT + TRACK + 'name = "z"\n')
    assert [track.name for track in config.tracks] == ["z", "a", "b", "c"]
    (beside / ".#c.toml").symlink_to("an-editor's-lock")
    assert len(loaded(folder, MIRROR + ACCOUNT + TRACK).tracks) == 4
    (beside / "d.toml").write_text(MIRROR + "[daemon]\n")
    with pytest.raises(ConfigError) as caught:
        loaded(folder, MIRROR)
    said = [fault for fault in caught.value.faults if "d.toml" in fault]
    assert [fault.split(": ", 1)[1] for fault in said] == [
        f"{key}: is a key of config.toml, not of what is beside it" for key in ("mirror", "daemon")
    ]


def test_a_file_that_cannot_be_parsed_is_the_only_fault_of_what_it_would_say(folder: Path) -> None:
    """A track whose account may be in it has no fault for that; what is wrong in any case is named all the same."""
    (folder / "config.d").mkdir()
    (folder / "config.d" / "a.toml").write_text(TRACK.replace(ASSET, "x") + 'intervall = "1s"\n')
    with pytest.raises(ConfigError) as caught:
        loaded(folder, MIRROR + "x")
    assert [fault.split(": ")[:2] for fault in caught.value.faults] == [
        [f"{folder}/config.toml", "not TOML"],
        [f"{folder}/config.d/a.toml", "track[1].intervall"],
        [f"{folder}/config.d/a.toml", "track[1].asset"],
    ]


def test_a_config_d_that_cannot_be_read_is_a_fault(folder: Path) -> None:
    """What may be in it is not left out in silence; other faults are named, too."""
    (folder / "config.d").symlink_to("config.d")
    with pytest.raises(ConfigError) as caught:
        loaded(folder, MIRROR + "lnik = 1\n")
    assert caught.value.faults[0].startswith(f"{folder}/config.d: cannot be read: ")
    assert "mirror.lnik" in caught.value.faults[1]


def test_paths_lead_where_the_system_would_go(folder: Path, tmp_path: Path) -> None:
    """`..` after a link leads to the parent of what the link stands for; other links stay as they are written."""
    (tmp_path / "far" / "away").mkdir(parents=True)
    (folder / "link").symlink_to(tmp_path / "far" / "away")
    assert loaded(folder, MIRROR.replace('mirror"', 'link/../mirror"')).mirror.directory == tmp_path / "far" / "mirror"
    assert loaded(folder, MIRROR.replace('mirror"', 'link/mirror"')).mirror.directory == folder / "link" / "mirror"


def test_values_are_read_as_written(folder: Path) -> None:
    """Durations, sizes, modes, and paths relative to the config's own folder."""
    text = MIRROR + 'max_size = "1.5kB"\nmin_free = 7\nscrub = "off"\ndir_mode = "0700"\n'
    text += '[daemon]\ninterval = "1.5m"\nstale_after = 90\n' + ACCOUNT
    text += 'base_url = "http://localhost:8000/x/"\nmedia_hosts = ["m.example"]\n' + TRACK + 'retain = "2h"\n'
    config = loaded(folder, text)
    mirror = config.mirror
    assert (mirror.directory, config.state_directory) == (folder / "mirror", folder / "mirror" / ".attachsync")
    assert (mirror.max_size, mirror.min_free, mirror.scrub, mirror.dir_mode) == (1500, 7, None, 0o700)
    assert (config.daemon.interval, config.daemon.stale_after) == (90.0, 90)
    assert config.accounts["ledger"].base_url == "http://localhost:8000/x"
    assert (config.tracks[0].name, config.tracks[0].retain) == (f"ledger/assets/{ASSET}", 7200.0)


def test_where_the_config_is_looked_for(tmp_path: Path) -> None:
    """--config, $ATTACHSYNC_CONFIG, the user's place; when none is there, that is said with what to do: exit 78."""
    user = tmp_path / ".config" / "attachsync" / "config.toml"
    assert attachsync("check", home=tmp_path).code == 78
    done = attachsync("check", home=tmp_path)
    assert f"neither {user} nor /etc/attachsync/config.toml exists" in done.err
    assert "attachsync init" in done.err
    user.parent.mkdir(parents=True)
    user.write_text(MIRROR)
    for name in ("other", "given"):
        (tmp_path / f"{name}.toml").write_text(MIRROR)
    other, given = str(tmp_path / "other.toml"), str(tmp_path / "given.toml")
    assert attachsync("check", home=tmp_path).out.startswith(str(user))
    assert attachsync("check", home=tmp_path, ATTACHSYNC_CONFIG=other).out.startswith(other)
    assert attachsync("--config", given, "check", home=tmp_path, ATTACHSYNC_CONFIG=other).out.startswith(given)
    assert attachsync("check", home=tmp_path, XDG_CONFIG_HOME=str(tmp_path / "none")).code == 78
    done = attachsync("--config", tmp_path / "missing.toml", "check", home=tmp_path)
    assert (done.code, done.err) == (78, f"{tmp_path}/missing.toml: cannot be read: No such file or directory\n")
    assert "HOME" in environment(tmp_path)


# --- the example --------------------------------------------------------------------------------------------------


def uncommented() -> str:
    """The example with every key that it shows: of keys that exclude each other, the first."""
    shown = re.sub(r"^# (\[|[a-z_]+ = )", r"\1", example(), flags=re.MULTILINE)
    excluded = ("public = false", "attributes", 'url = "https://hooks', 'secret_file = "secrets/hook')
    return "".join(line + "\n" for line in shown.splitlines() if not line.startswith(excluded))


def test_the_example_with_every_key_uncommented_is_sound_and_shows_the_defaults(tmp_path: Path) -> None:
    """Whatever the example shows as a default is the default."""
    text = uncommented().replace("/var/lib/attachsync", str(tmp_path / "var"))
    for name in re.findall(r'"(secrets/[^"]+)"', text):
        secret(tmp_path / "etc" / name)
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "etc" / "ca.pem"))
    config = loaded(tmp_path / "etc", text)
    examples = {"directory", "state_directory", "metrics", "metrics_textfile"}
    for table, found in ((tables.Mirror, config.mirror), (tables.Daemon, config.daemon)):
        for one in dataclasses.fields(table):
            if one.name not in examples:
                assert getattr(found, one.name) == one.default, one.name
    ledger, bare = config.accounts["ledger"], config.accounts["public"]
    assert dataclasses.replace(
        ledger, name="public", options=bare.options, ca_file=None, proxy=None, rate=None, dir_mode=None
    ) == dataclasses.replace(bare, dir_mode=None)
    (outbox, *_), (track, *_) = config.outboxes, config.tracks
    assert (outbox.settle, outbox.ignore, outbox.on_unknown) == _defaults("settle", "ignore", "on_unknown")
    assert (outbox.propagate_deletes, track.retain, track.on_gone) == (False, None, "keep")
    push, pull = SERVICES["sunshine"].push, SERVICES["datatrails"].pull
    assert push is not None
    assert pull is not None
    assert outbox.options == push.keys(for_="message", conversation="c616a583e4c240a871818541")
    assert track.options == pull.keys(asset=ASSET)
    assert config.hooks[0].timeout == 60.0


def _defaults(*names: str) -> tuple[object, ...]:
    fields = {field.name: field.default for field in dataclasses.fields(tables.Outbox)}
    return tuple(fields[name] for name in names)


def test_the_example_shows_every_key() -> None:
    """Every key that a table declares occurs in the example's table of that kind."""
    services = SERVICES.values()
    declared = {
        "mirror": keys.names(tables.Mirror),
        "daemon": keys.names(tables.Daemon),
        "accounts": [*keys.names(tables.Account), *(key for one in services for key in keys.names(one.keys))],
        "track": [
            *keys.names(tables.Track),
            *(key for one in services if one.pull for key in keys.names(one.pull.keys)),
        ],
        "outbox": [
            *keys.names(tables.Outbox),
            *(key for one in services if one.push for key in keys.names(one.push.keys)),
        ],
        "hook": keys.names(tables.Hook),
    }
    shown: dict[str, set[str]] = {name: set() for name in declared}
    table = ""
    for line in example().splitlines():
        if match := re.match(r"(?:# )?\[+([a-z]+)", line):
            table = match[1]
        elif match := re.match(r"(?:# )?([a-z_]+) = ", line):
            shown[table].add(match[1])
    assert shown == {name: set(names) for name, names in declared.items()}


def test_the_example_as_shipped_is_toml_and_only_lacks_its_secret(tmp_path: Path) -> None:
    """A new user's first `check` names what there is still to do."""
    assert tomllib.loads(example())
    path = tmp_path / "config.toml"
    path.write_text(example().replace("/var/lib/attachsync", str(tmp_path / "var")))
    with pytest.raises(ConfigError) as caught:
        configs.load(path, os.environ)
    (fault,) = caught.value.faults
    assert "accounts.ledger.token_file" in fault

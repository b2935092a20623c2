"""What a person is needed for, and what to do about it: each thing once, with a remedy that fits."""

from pathlib import Path

import pytest

from attachsync.credentials import Secret
from attachsync.model import JSON, Account
from attachsync.needs import needs
from attachsync.sources.datatrails.keys import AccountKeys

TOKEN = AccountKeys(token_file=Secret(Path("/t/ledger")))
LEDGER = Account("ledger", "datatrails", "https://app.datatrails.ai", TOKEN)


def track(name: str, **more: JSON) -> dict[str, JSON]:
    return {
        "name": name, "account": "ledger", "state": "ok", "counts": {}, "last_error": None, "error_since": None,
        "last_complete": "2026-08-01T12:00:00Z", "suspicious": [],
        "completeness": {"refused_by": {"max_size": 2}}, **more,
    }  # fmt: skip


def asked(*tracks: dict[str, JSON], running: bool = True) -> list[tuple[str, str]]:
    found = needs({"ledger": LEDGER}, tracks, [], {}, running=running)
    return [(need.what, need.do) for need in found]


@pytest.mark.parametrize(
    ("error", "do"),
    [
        ("ledger: GET /archivist/v2/assets: HTTP 401", "put new credentials into /t/ledger"),
        ("secret file /t/ledger can be read by others; run: chmod 600 /t/ledger", "do what it says"),
        ("ledger: GET /archivist/v2/assets: HTTP 403", "ask the account's owner"),
        ("/m: the disk is full: less than min_free (512.0 MiB) would be left", "make room"),
        ("ledger: GET /archivist/v2/assets: cannot connect", "it is tried again by itself"),
    ],
)
def test_a_remedy_that_fits(error: str, do: str) -> None:
    """And since when."""
    ((what, said),) = asked(track("a", last_error=error, error_since="2026-08-01T12:00:00Z"))
    assert what == f"a: {error.removeprefix('ledger: ')} (since 2026-08-01T12:00:00Z)"
    assert do in said


def test_what_has_no_time_is_told_without() -> None:
    """Such as what could not be read again."""
    ((what, _),) = asked(track("a", last_error="ledger: HTTP 503", error_since=None))
    assert what == "a: HTTP 503"


def test_an_account_that_is_down_is_one_thing() -> None:
    """However many tracks it has; since the first of them."""
    down = "ledger: HTTP 401"
    days = {"a": 2, "b": 1}
    tracks = [track(name, last_error=down, error_since=f"2026-08-0{day}T12:00:00Z") for name, day in days.items()]
    ((what, _),) = asked(*tracks)
    assert what == "ledger (2 tracks): HTTP 401 (since 2026-08-01T12:00:00Z)"


def test_what_could_not_be_mirrored_is_found_by_the_command_that_is_named() -> None:
    """Quoted for a shell; what waits or is stored needs nobody."""
    ((what, do),) = asked(track("ledger/assets/*", counts={"stored": 5, "waiting": 1, "refused": 2}))
    assert what == "ledger/assets/*: 2 refused (max_size)"
    assert do.endswith("attachsync ls --state refused --track 'ledger/assets/*'")


def test_a_stale_track_asks_about_the_daemon_where_none_runs() -> None:
    stale = track("a", state="stale")
    assert "systemctl" in asked(stale, running=False)[0][1]
    assert "interval" in asked(stale, running=True)[0][1]

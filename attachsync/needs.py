"""What a person is needed for, and what to do about it (`status`). Pure."""

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from attachsync.credentials import secret_files
from attachsync.model import JSON, NEEDS_A_PERSON, Account, State

Report = Mapping[str, JSON]
"""A track, an outbox or an account as `status --json` prints it."""

_STATES = {
    State.MISMATCH: "ask the service: its bytes are not what it states; they are tried again daily",
    State.REFUSED: "change the rule that refuses it, or leave it",
    State.QUARANTINED: "a scan found it bad: look at it in .attachsync/quarantine/, with care",
    State.UNSUPPORTED: "get it by other means: it cannot be read here",
    State.GONE: "the service has it no more; what was mirrored stays",
    State.FAILED: "it is tried again by itself, later and later",
}
_BOXES = {
    "failed": "see failed/NAME.toml, mend the file, then: attachsync outbox retry NAME",
    "held": "look upstream, then: attachsync outbox retry NAME, or outbox confirm for deletions",
    "odd": "rename it; attachsync outbox ls says why",
}
_REMEDIES = (
    (("chmod", "chown", "secret file"), "do what it says; it is tried again by itself"),
    (("HTTP 403", "HTTP 402"), "ask the account's owner for the right to do this, or take it out of the config"),
    (("HTTP 429",), "nothing: the service limits requests, and is waited for; `rate` lowers them"),
    (("min_free", "No space", "disk is full"), "make room; it goes on by itself"),
    (("deleted upstream",), "it is tried again by itself; else put the file back into sent/, or take its receipt away"),
    (("in its place",), "move that away; it goes on by itself"),
    (("mounted",), "mount the disk; it goes on by itself"),
    (("Not a directory", "symbolic links"), "move what has that name out of the outbox; it goes on by itself"),
    (("No such file or directory",), "make it, or mount its disk; it goes on by itself"),
)
_OTHERWISE = "nothing, if it passes: it is tried again by itself; else: attachsync check --online"


@dataclass(frozen=True, slots=True)
class Need:
    """What is wrong, and what to do."""

    what: str
    do: str


def needs(
    accounts: Mapping[str, Account],
    tracks: Sequence[Report],
    outboxes: Sequence[Report],
    damage: Mapping[str, object],
    *,
    running: bool,
    disks: Sequence[str] = (),
) -> list[Need]:
    """Everything that needs a person, what reaches furthest first; `running`: whether a daemon runs.

    `disks`: what is wrong with those of the mirror; a pass that failed for it has told it already.
    """
    found = list(_failing(accounts, tracks))
    told = {need.do for need in found}
    found = [Need(said, do) for said in disks if (do := _remedy(said, None)) not in told] + found
    for track in tracks:
        found += _doubtful(track, running=running)
    for track in tracks:
        found += _stuck(track)
    for box in outboxes:
        found += [Need(f"{box['directory']}: {box[what]} {what}", do) for what, do in _BOXES.items() if box[what]]
    for box in outboxes:
        for said in _in_the_way(box):
            found.append(Need(f"{box['directory']}: {said}", _remedy(said, accounts.get(str(box["account"])))))
    if damage:
        what = f"store: {damage['count']} damaged; the last one: {damage['sha256']}, {damage['what']}"
        found.append(Need(what, "attachsync verify --repair, with the daemon stopped; and look at the disk"))
    return found


def _failing(accounts: Mapping[str, Account], tracks: Iterable[Report]) -> Iterator[Need]:
    """What keeps tracks from being listed, or what they show from being read again.

    Once for all tracks of an account that have the same trouble.
    """
    groups: dict[tuple[str, str], list[Report]] = {}
    for track in tracks:
        if track["last_error"]:
            groups.setdefault((str(track["account"]), str(track["last_error"])), []).append(track)
    for (account, error), those in groups.items():
        times = [str(track["error_since"]) for track in those if track["error_since"]]
        since = f" (since {min(times)})" if times else ""
        many = f"{account} ({len(those)} tracks)" if len(those) > 1 else str(those[0]["name"])
        said = error.removeprefix(f"{account}: ")
        yield Need(f"{many}: {said}{since}", _remedy(error, accounts.get(account)))


def _doubtful(track: Report, *, running: bool) -> Iterator[Need]:
    doubts = track["suspicious"]
    for doubt in doubts if isinstance(doubts, list) else ():
        if isinstance(doubt, Mapping):
            what = f"{track['name']}: {doubt['what']} (since {doubt['since']}); nothing was removed"
            yield Need(what, "ask upstream: often it is a lost permission")
    if track["state"] == "stale":
        do = "is `interval` too long, or the service too slow?" if running else "is the daemon to run? systemctl status"
        yield Need(f"{track['name']}: no whole pass since {track['last_complete']}", do)


def _stuck(track: Report) -> Iterator[Need]:
    counts = track["counts"]
    for state, count in counts.items() if isinstance(counts, Mapping) else ():
        if count and State(state) in NEEDS_A_PERSON:
            which = f"attachsync ls --state {state} --track {shlex.quote(str(track['name']))}"
            rules = f" ({', '.join(_rules(track))})" if state == State.REFUSED else ""
            yield Need(f"{track['name']}: {count} {state}{rules}", f"{_STATES[State(state)]}; which: {which}")


def _in_the_way(box: Report) -> list[str]:
    """What keeps an outbox, its files or its deletions, from going on."""
    trouble = box["trouble"]
    said = [box["last_error"], *(trouble if isinstance(trouble, list) else ())]
    return [str(one) for one in said if one]


def _rules(track: Report) -> list[str]:
    """What keeps attachments of a track out."""
    complete = track["completeness"]
    rules = complete["refused_by"] if isinstance(complete, Mapping) else None
    return list(rules) if isinstance(rules, Mapping) else []


def _remedy(error: str, account: Account | None) -> str:
    """What to do about an error that keeps an account from going on."""
    for signs, do in _REMEDIES:
        if any(sign in error for sign in signs):
            return do
    if "HTTP 401" in error:
        files = " or ".join(map(str, secret_files(account.options if account else None)))
        return f"put new credentials into {files or 'its secret file'}: it is read again by itself"
    return _OTHERWISE

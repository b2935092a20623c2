"""Why an attachment or a dropped file is, or is not, where one would expect it (`explain`). Reads only."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from attachsync import lock, names, receipts
from attachsync.filing import SENT
from attachsync.index import Index
from attachsync.model import JSON, Outbox, State, is_digest
from attachsync.outbox import waiting
from attachsync.reader import Config
from attachsync.units import as_text

_LARGEST_RECORD = 1024 * 1024
_QUARANTINE = ".attachsync/quarantine"
_STATES = {
    State.STORED: "it is mirrored",
    State.WAITING: "it is waiting",
    State.MISMATCH: "what came is not what the service states, and is not shown",
    State.REFUSED: "a rule of the config keeps it out",
    State.QUARANTINED: "it was taken out of files/",
    State.UNSUPPORTED: "it is there, in a form that attachsync cannot read",
    State.GONE: "it is gone",
    State.FAILED: "it could not be mirrored",
}


def of_attachment(config: Config, index: Index, row_id: int) -> dict[str, JSON]:
    """One attachment: what it is, where, and why; `why` is a list of sentences."""
    about = index.reports.describe(row_id)
    state = State(str(about["state"]))
    return {
        "what": f"{about['account']}: {about['key']}",
        "track": about["track"],
        "state": state.value,
        "path": about["path"],
        "why": list(_why(config, index, about, state)),
        "next_attempt": about["next_attempt"],
    }


def of_listing(config: Config, index: Index, what: str) -> dict[str, JSON] | None:
    """What the service does not have ready yet to be listed, by its upstream identity (`sessions/ID`); None if none."""
    identity = what.rpartition("/")[2].lower()
    for track in config.tracks:
        awaited = index.tracks.awaited(track.name)
        if identity and identity in awaited.partition(": ")[2].split(" and ")[0].split(", "):
            why: list[JSON] = [f"the service does not have it ready yet: {awaited}", "it is asked again by itself"]
            return {"what": f"{track.account}: {what}", "track": track.name, "state": "not listed", "why": why}
    return None


def _why(config: Config, index: Index, about: Mapping[str, JSON], state: State) -> Iterator[str]:
    reason = f": {about['reason']}" if about["reason"] else ""
    yield f"{_STATES[state]}{reason}"
    if state in (State.MISMATCH, State.QUARANTINED):
        yield from _set_aside(config.mirror.directory, about, state)
    if state is State.STORED:
        yield f"its SHA-256 is {about['sha256']}, its bytes are in sha256/ since {about['mirrored_at']}"
    elif about["path"]:
        yield f"until then {about['path']} shows what it was before"
    if about["failures"]:
        yield f"failures in a row: {about['failures']}"
    yield from _naming(about)
    track = next((one for one in config.tracks if one.name == about["track"]), None)
    if track is None:
        yield "its track is not in the config any more: nothing of it is fetched or asked about"
        return
    if about["next_attempt"] and state is not State.STORED:
        yield f"the daemon tries again at {about['next_attempt']}, each `attachsync sync` at once"
    if about["next_check"]:
        yield f"the service is asked about it again at {about['next_check']}"
    known = index.tracks.status(track.name)
    if known.get("error"):
        yield f"the last pass over {track.name} was not whole: {known['error']}"


def _set_aside(mirror: Path, about: Mapping[str, JSON], state: State) -> Iterator[str]:
    """Where the bytes are that are not to be shown. Of what came without an end nothing is kept."""
    record = about["record"]
    recorded = record.get("sha256") if isinstance(record, Mapping) else None
    words = f"{about['reason']} {about['stated_sha256']} {recorded}".split()
    for digest in sorted({word for word in (word.strip(",;:") for word in words) if is_digest(word)}):
        if os.path.lexists(mirror / _QUARANTINE / digest):
            yield f"its bytes are in {_QUARANTINE}/{digest}"
        elif state is State.QUARANTINED and os.path.lexists(mirror / "sha256" / digest[:2] / digest):
            yield "its bytes are in sha256/ still: another attachment in good standing shows the same"


def _naming(about: Mapping[str, JSON]) -> Iterator[str]:
    """Why it has another name here than there."""
    path, wanted = about["path"], about["wanted"]
    if not isinstance(path, str) or not isinstance(wanted, list) or Path(path).name == wanted[-1]:
        return
    leaf, safe = Path(path).name, names.safe(str(wanted[-1]))
    if leaf == names.extended(safe, str(about["media_type"] or "")) or safe == names.split(leaf)[0]:
        yield f"the service calls it {wanted[-1]!r}: made a safe file name, with an extension"
    else:
        yield f"the service calls it {wanted[-1]!r}: that name was another attachment's first"


def of_file(config: Config, index: Index, what: str) -> dict[str, JSON] | None:
    """A file in an outbox, or one that was sent from it or failed; None where there is, and was, none.

    `what` is its path, or its name within an outbox, as `outbox ls` shows it.
    """
    path, running = Path(os.path.abspath(what)), lock.holder(config.state_directory) is not None
    for box in config.outboxes:
        for place in (path, path.parent.resolve() / path.name):
            if place.is_relative_to(box.directory) and place != box.directory:
                return _in_outbox(box, index, str(place.relative_to(box.directory)), running)
    if os.path.isabs(what) or not what or what.startswith(".") or os.path.normpath(what) != what:
        return None
    return next(filter(None, (_in_outbox(box, index, what, running) for box in config.outboxes)), None)


def _in_outbox(box: Outbox, index: Index, name: str, running: bool) -> dict[str, JSON] | None:
    is_there, name = os.path.lexists(box.directory / name), as_text(name)
    about: dict[str, JSON] = {"what": str(box.directory / name), "outbox": str(box.directory), "account": box.account}
    kind, _, rest = name.partition("/")
    is_filed = kind in ("sent", "failed") and rest != ""
    if is_filed and is_there:
        return {**about, "state": kind, "why": [_filed(box, kind, name)]}
    for row in waiting(box, index.uploads, running=running):
        if row["name"] == name or (row["state"] == "held deletion" and name == f"{SENT}/{row['name']}"):
            trouble = index.uploads.troubles(str(box.directory)) if row["state"] == "sending" else ()
            why: list[JSON] = [*_waiting(box, row), *(f"in its way: {said}" for said in trouble)]
            return {**about, "state": str(row["state"]), "why": why}
    if is_there:
        return {**about, "state": "left alone", "why": [_ignored(box, name)]}
    is_told = is_filed and _record(box, name + receipts.SUFFIX) is not None
    ended = (kind, name) if is_told else index.uploads.ended(str(box.directory), name)
    return None if ended is None else {**about, "state": ended[0], "why": [_ended(box, ended[1])]}


def _filed(box: Outbox, kind: str, name: str) -> str:
    """What is to be said of what is in sent/ or failed/."""
    described = receipts.described(name)
    if described is not None and _record(box, name) is not None:
        return f"it is the record of {described}"
    record = box.directory / f"{name}{receipts.SUFFIX}"
    said = f"{record} says how" if record.exists() else "it has no receipt: attachsync did not put it there"
    return f"it was {'sent' if kind == SENT else 'refused for good'}; {said}"


def _ended(box: Outbox, place: str) -> str:
    """Where a file is that was sent or refused, or what became of it there."""
    if os.path.lexists(box.directory / place):
        return f"it is in {place} now"
    record = _record(box, place + receipts.SUFFIX)
    if record is None:
        return f"it was moved to {place}, and is gone from there with its record"
    if "deleted_at" in record:
        return f"it is gone from {place}, and was deleted upstream at {record['deleted_at']}"
    return f"it is gone from {place}; its record is there still"


def _record(box: Outbox, name: str) -> receipts.Document | None:
    """A receipt or failure record of ours."""
    path = box.directory / name
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > _LARGEST_RECORD:
            return None
        document = receipts.parsed(path.read_bytes())
    except OSError:
        return None
    is_ours = document is not None and not {receipts.UPLOADED_AT, receipts.FAILED_AT}.isdisjoint(document)
    return document if is_ours else None


def _waiting(box: Outbox, row: Mapping[str, object]) -> Iterator[str]:
    error = f": {row['error']}" if row["error"] else ""
    match row["state"]:
        case "waiting":
            still = f"{box.settle:g} s"
            yield f"it is taken when nothing has written to it for {still}, and nobody has it open for writing"
            yield "an empty one waits a minute, then fails"
        case "held":
            yield f"it is held for you{error}; let it go on with: attachsync outbox retry {row['name']}"
        case "odd":
            yield f"it stays where it is{error}"
        case "failed":
            yield f"refused for good, and in failed/{error}; try again with: attachsync outbox retry {row['name']}"
        case "held deletion":
            yield "it is gone from sent/, as are many others: let the deletions go with: attachsync outbox confirm"
        case "retry":
            yield f"attempt {row['attempts']} did not succeed{error}; it is tried again by itself"
        case _:
            yield str(row["error"] or f"it is being sent, attempt {row['attempts']}")
    if row["since"]:
        yield f"so since {row['since']}"


def _ignored(box: Outbox, name: str) -> str:
    path = box.directory / name
    folders = [one for one in path.parents if one.is_relative_to(box.directory) and one != box.directory]
    if not path.is_file() or any(one.is_symlink() for one in (path, *folders)):
        return "only regular files are sent: no links, folders, devices or pipes"
    if any(part.startswith(".") for part in name.split("/")):
        return "hidden files and folders are left alone"
    return f"a name that matches `ignore` ({', '.join(box.ignore)}) is left alone"


def sentences(about: Mapping[str, JSON]) -> Iterator[str]:
    """An explanation for people, a line each."""
    yield f"{about['what']}: {about['state']}"
    if about.get("path"):
        yield f"  {about['path']}"
    why = about["why"]
    for sentence in why if isinstance(why, list) else ():
        yield f"  - {sentence}"

"""The index answers often asked questions from indexes alone, however much is known; and what passes take up."""

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from attachsync.index import Index, Stored, Taken, Wanted
from attachsync.index.database import FILE
from attachsync.model import Attachment, Digest, Draft, Facts, Page, State

QUESTIONS: dict[str, Callable[[Index], object]] = {
    "counts": lambda index: index.tracks.counts(["ledger/all"]),
    "completeness": lambda index: index.tracks.completeness(["ledger/all"]),
    "totals": lambda index: index.reports.totals(),
    "shown": lambda index: list(index.attachments.shown()),
    "marked": lambda index: index.removals.marked(10),
    "is_outlived": lambda index: index.removals.is_outlived("ledger/all", 0.0, changed=True),
    "outdated": lambda index: index.removals.outdated("ledger/all", 0.0, 10),
    "next_due": lambda index: index.tracks.next_due("ledger", ["ledger/all"]),
}
READS_ROWS = {"marked", "next_due", "completeness", "is_outlived", "outdated"}
"""They read those rows that they are about, through an index that leads to no others."""
TALLIED = {"counts", "totals"}
"""They read what triggers have counted, and no rows at all."""
EARLIER = (
    "DROP TABLE coming",
    "DROP TABLE moment",
    "DROP TRIGGER change_state",
    """CREATE TRIGGER change_state AFTER UPDATE OF state ON attachment WHEN NEW.state = 'gone'
       BEGIN INSERT INTO change (at, event) SELECT julianday('now'), 'gone'; END""",
    """CREATE INDEX attachment_came ON attachment (json_extract(record, '$.sha256'))
       WHERE digest IS NULL AND kept AND json_extract(record, '$.size') IS NOT NULL""",
)
"""Makes an index what that of an earlier attachsync was."""
_ABORT = 2
"""What SQLite calls the end of one statement alone."""
FEW = ("SCAN attachment USING INDEX attachment_leaving", "SCAN attachment USING INDEX attachment_work")
"""Indexes of marked rows, and of work, alone."""


@pytest.mark.parametrize("question", QUESTIONS)
def test_often_asked_questions_do_not_read_all_rows(tmp_path: Path, question: str) -> None:
    index = Index.open(tmp_path)
    asked: list[str] = []
    index.database._connection.set_trace_callback(asked.append)
    QUESTIONS[question](index)
    index.database._connection.set_trace_callback(None)
    plans = [row["detail"] for sql in asked for row in index.database.rows(f"EXPLAIN QUERY PLAN {sql}")]
    index.close()
    about = [plan for plan in plans if " attachment USING" in plan or plan.startswith("SCAN attachment")]
    assert plans
    assert bool(about) == (question not in TALLIED)
    for plan in about:
        assert "autoindex" not in plan
        assert not plan.startswith("SCAN attachment") or plan.startswith(FEW)
        assert "COVERING INDEX" in plan or question in READS_ROWS
    if question == "shown":
        assert not any("TEMP B-TREE" in plan for plan in plans)


def test_writing_many_rows_keeps_no_journal_for_each(tmp_path: Path) -> None:
    """SQLite does, for triggers, wherever a function is called, or a row could fail alone (`TRIGGERS`)."""
    index, asked = Index.open(tmp_path), list[str]()
    index.database._connection.set_trace_callback(asked.append)
    index.attachments.take("a", "t", Page((Attachment("t", "key", "1", ("a.txt",)),)), 0.0)
    entry = index.attachments.work("a", Wanted(["t"], 1, once=True, now=None, busy=(), limit=9))[0]
    index.attachments.stored([Stored(entry, Digest("0" * 64), 1, "text/plain", "files/a/a.txt", ("{}", None))], 0.0)
    index.database._connection.set_trace_callback(None)
    writing = {sql.split()[0]: sql for sql in asked if " OR FAIL " in sql}  # a trigger's steps come as the whole again
    assert list(writing) == ["INSERT", "UPDATE"]
    for sql in writing.values():
        steps = index.database.rows(f"EXPLAIN {sql}")
        assert any(step["opcode"] == "Program" for step in steps)
        assert not [step["p4"] for step in steps if step["opcode"] in ("Function", "PureFunc")]
        assert not [step["p4"] for step in steps if step["opcode"] in ("Halt", "HaltIfNull") and step["p2"] == _ABORT]
    index.close()


def test_an_index_of_an_earlier_attachsync_is_brought_up_to_date(tmp_path: Path) -> None:
    """Once: its triggers told the time themselves, and what is fetched but not shown was found by an index."""
    index, digest = Index.open(tmp_path), "0" * 64
    index.attachments.take("a", "t", Page((Attachment("t", "key", "1", ("a.txt",)),)), 0.0)
    record = f'{{"sha256": "{digest}", "size": 1}}'
    index.database.run("UPDATE attachment SET record = ?", record)
    for sql in EARLIER:
        index.database.run(sql)
    index.close()
    schemas = []
    for _ in range(2):
        index = Index.open(tmp_path)
        assert index.removals.is_held(digest)
        rows = {row["name"]: row["sql"] for row in index.database.rows("SELECT name, sql FROM sqlite_master")}
        assert "attachment_came" not in rows
        assert "moment" in rows["change_state"]
        schemas.append(index.database.rows("PRAGMA schema_version")[0][0])
        index.close()
    assert schemas[0] == schemas[1]


@pytest.mark.parametrize("state", [State.FAILED, State.QUARANTINED, State.GONE])
def test_changes_are_told_with_their_time(tmp_path: Path, state: State) -> None:
    """Whatever becomes of an attachment."""
    index = Index.open(tmp_path)
    index.attachments.take("a", "t", Page((Attachment("t", "key", "1", ("a.txt",)),)), 0.0)
    began = int(time.time()) - 1  # whole seconds are told, and SQLite's are cut, not rounded
    entry = index.attachments.work("a", Wanted(["t"], 1, once=True, now=None, busy=(), limit=9))[0]
    index.attachments.stored([Stored(entry, Digest("0" * 64), 1, "text/plain", "files/a/a.txt")], 0.0)
    index.database.run("UPDATE moment SET at = 0")
    if state is State.FAILED:
        index.attachments.settled(entry, state, "", 0.0)
    elif state is State.QUARANTINED:
        index.attachments.withdraw(entry, state, Facts(), 0.0)
    else:
        index.removals.vanish("t", ["key"])
    told = index.changes.since(None, 9)
    assert [one["event"] for one in told] == ["mirrored", state.value]
    for one in told:
        assert began <= datetime.fromisoformat(str(one["at"])).timestamp() <= time.time()
    index.close()


@pytest.mark.parametrize("how", ["inspected", "renamed", "withdrawn", "lost"])
def test_bytes_that_are_to_be_shown_are_held(tmp_path: Path, how: str) -> None:
    """By the record alone, when nothing shows them any more, or yet; not by one of another version."""
    index, digest = Index.open(tmp_path), Digest("0" * 64)
    attachments, facts = index.attachments, Facts(record={"sha256": digest, "size": 1})
    item = Attachment("t", "key", "1", ("a.txt",))
    attachments.take("a", "t", Page((item,)), 0.0)
    entry = attachments.work("a", Wanted(["t"], 1, once=True, now=None, busy=(), limit=9))[0]
    assert not index.removals.is_held(digest)
    if how == "inspected":
        attachments.inspected(entry._replace(attachment=item._replace(version="2")), facts, None)
        assert not index.removals.is_held(digest)
        attachments.inspected(entry, facts, None)
    else:
        said = f'{{"sha256": "{digest}", "size": 1}}', None
        attachments.stored([Stored(entry, digest, 1, "text/plain", "files/a/a.txt", said)], 0.0)
    if how == "renamed":
        attachments.take("a", "t", Page((item._replace(path=("b.txt",)),)), 0.0)
        attachments.hidden(entry)
    elif how == "withdrawn":
        attachments.withdraw(entry, State.QUARANTINED, facts, 0.0)
        attachments.hidden(entry)
    elif how == "lost":
        assert index.upkeep.lost(digest, "not there") == [entry.id]
    assert index.removals.is_held(digest)
    attachments.take("a", "t", Page((item._replace(version="3"),)), 0.0)
    assert not index.removals.is_held(digest)
    index.close()


def test_what_is_old_is_asked_by_attachment(tmp_path: Path) -> None:
    """However many older versions another track's attachments have."""
    index, steps = Index.open(tmp_path), list[int]()
    index.attachments.take("a", "t", Page((Attachment("t", "key", "1", ("a.txt",)),)), 0.0)
    index.database.many("INSERT INTO past VALUES (1, ?, '', 1, 2)", [(str(number),) for number in range(5000)])
    index.database._connection.set_progress_handler(lambda: steps.append(1), 1000)
    assert [index.removals.is_outlived(track, 9.0, changed=True) for track in ("other", "t")] == [False, True]
    assert len(steps) <= 1
    index.close()


def test_a_first_start_that_is_under_way_is_no_trouble(tmp_path: Path) -> None:
    """Whoever looks then sees that nothing is known yet; so, too, where that start was cut short."""
    (tmp_path / FILE).touch()
    index = Index.peek(tmp_path)
    assert index.reports.totals() == (0, 0)
    index.close()


def test_what_a_clock_that_was_ahead_put_off_is_due(tmp_path: Path) -> None:
    """Nothing waits for longer than a day; what is to wait for less than that still does."""
    index, now, year = Index.open(tmp_path), 1_700_000_000.0, 365 * 86400.0
    items = tuple(Attachment("t", key, "1", (f"{key}.txt",)) for key in ("late", "soon"))
    index.attachments.take("a", "t", Page(items), now + year)
    late, soon = index.attachments.work("a", Wanted(["t"], 1, once=False, now=None, busy=(), limit=9))
    for entry, at in ((late, now + year), (soon, now + 600)):
        index.attachments.settled(entry, State.FAILED, "HTTP 500", at)
    draft = Draft("key", "a.txt", "text/plain", 1, Digest("0" * 64))
    sent = index.uploads.begin("box", "a.txt", draft, now + year)
    index.uploads.postpone(sent, "", now + year + 60, now + year, state="retry")
    index.upkeep.mend_times(now)
    due = index.attachments.work("a", Wanted(["t"], 1, once=False, now=now, busy=(), limit=9))
    assert [entry.attachment.key for entry in due] == ["late"]
    assert index.uploads.next_retry("box", 0) == now
    index.close()


def test_what_changes_before_it_is_tried_is_tried_in_the_same_pass(tmp_path: Path) -> None:
    """It was looked up, and waited for its turn, when another version of it was listed."""
    index = Index.open(tmp_path)
    attachments, wanted = index.attachments, Wanted(["t"], 1, once=True, now=None, busy=(), limit=9)

    def listed(key: str, version: str) -> None:
        attachments.take("a", "t", Page((Attachment("t", key, version, (f"{key}.txt",)),)), 0.0)

    listed("same", "1")
    listed("other", "1")
    looked_up = attachments.work("a", wanted)
    listed("other", "2")
    current = attachments.taken_up(looked_up, 1)
    assert {entry.attachment.key for entry in looked_up if entry.id in current} == {"same"}
    assert [(entry.attachment.key, entry.attachment.version) for entry in attachments.work("a", wanted)] == [
        ("other", "2")
    ]
    index.close()


def test_what_is_stored_together_is_told_apart(tmp_path: Path) -> None:
    """Of many that were stored, those of which another version was listed meanwhile are work; each is told of once."""
    index = Index.open(tmp_path)
    attachments = index.attachments
    first = [Attachment("t", str(number), "1", (f"{number}.txt",)) for number in range(5)]
    attachments.take("a", "t", Page(tuple(first)), 0.0)
    entries = attachments.work("a", Wanted(["t"], 1, once=True, now=None, busy=(), limit=9))
    attachments.take("a", "t", Page((first[2]._replace(version="2"),)), 0.0)
    many = [
        Stored(entry, Digest(f"{entry.id:064x}"), 1, None, f"files/{entry.attachment.key}", ('{"a":1}', 9.0))
        for entry in entries
    ]
    assert attachments.stored(many, 5.0) == [True, True, False, True, True]
    assert dict(attachments.shown()) == {one.path: one.digest for one in many if one.entry.attachment.key != "2"}
    assert [one["event"] for one in index.changes.since(None, 99)] == ["mirrored"] * 4
    assert index.reports.totals() == (4, 4)
    [left] = attachments.work("a", Wanted(["t"], 2, once=True, now=None, busy=(), limit=9))
    assert (left.attachment.key, left.attachment.version, left.record, left.check_at) == ("2", "2", {}, None)
    index.close()


def test_rows_keep_what_was_said_of_them(tmp_path: Path) -> None:
    """In the row's own column, as indexes of earlier versions have it, or apart; what is said anew counts."""
    index = Index.open(tmp_path)
    attachments, wanted = index.attachments, Wanted(["t"], 1, once=False, now=None, busy=(), limit=9)

    def said(value: str, version: str = "1") -> str:
        item = Attachment("t", "key", version, ("a.txt",), meta={"value": value})
        attachments.take("a", "t", Page((item,)), 0.0)
        (entry,) = attachments.work("a", wanted)
        assert dict(entry.attachment.meta) == {"value": value}
        return str(index.database.rows("SELECT meta FROM listing")[0]["meta"])

    assert said("first") == '{"value":"first"}'
    index.database.run("DELETE FROM listing")
    index.database.run("UPDATE attachment SET meta = ?", '{"value":"before"}')
    (entry,) = attachments.work("a", wanted)
    assert entry.attachment.meta["value"] == "before"
    assert said("again") == '{"value":"again"}'
    assert said("changed", version="2") == '{"value":"changed"}'
    index.close()


def test_a_name_keeps_the_extension_that_it_has(tmp_path: Path) -> None:
    """Earlier versions gave what the system's table had first; the extension of another media type is no such.

    So, too, where all that is known of it is what `files/` showed before the index was lost.
    """
    index = Index.open(tmp_path)
    index.upkeep.survey(
        [], [(f"files/a/{name}", None, None) for name in ("lost.png", "lost.xsl", "lost.tar.xml", "bare")]
    )
    for name, media_type, kept in (("lost", "application/xml", "lost.xsl"), ("bare", "image/bmp", "bare")):
        one = Attachment(track="t", key=name, version="1", path=(name,))
        index.attachments.take("a", "t", Page((one,)), 1.0)
        assert index.naming.claim("a", one, media_type) == f"files/a/{kept}"
    other = Attachment(track="t", key="other", version="1", path=("other",))
    index.attachments.take("a", "t", Page((other,)), 1.0)
    assert index.naming.claim("a", other, "application/xml") == "files/a/other.xml"
    item = Attachment(track="t", key="k", version="1", path=("feed",))
    index.attachments.take("a", "t", Page((item,)), 1.0)
    index.database.run("UPDATE name SET path = 'files/a/feed.xsl', fold = path || '.xsl' WHERE path = 'files/a/feed'")
    assert index.naming.claim("a", item, "application/xml") == "files/a/feed.xsl"
    assert index.naming.claim("a", item, "image/png") == "files/a/feed.png"
    index.close()


def test_only_what_was_gone_upstream_comes_back(tmp_path: Path) -> None:
    """What `prune` or `retain` removed is listed as before, and never work again, in whatever track, unless one has it.

    What of it is said anew is kept.
    """
    index = Index.open(tmp_path)
    attachments, wanted = index.attachments, Wanted(["t"], 1, once=True, now=None, busy=(), limit=9)
    keys = ("back", "both", "old", "pruned")
    page = Page(tuple(Attachment(track="t", key=key, version="1", path=(key,)) for key in keys))
    attachments.take("a", "t", page, 1.0)
    index.tracks.begin("has", "a", {}, {})
    attachments.take("a", "has", Page((page.items[1]._replace(track="has"),)), 1.0)
    entries = attachments.work("a", wanted)
    attachments.stored([Stored(one, Digest(f"{one.id:064x}"), 1, None, f"files/{one.id}") for one in entries], 2.0)
    index.removals.vanish("t", ["back"])
    index.removals.remove(index.upkeep.of_rows(index.upkeep.identified("pruned")), [], "pruned")
    index.removals.outlive("t", 9.0, "kept for 7s, as `retain` says, and removed")
    for entry in index.removals.marked(9):
        index.removals.hidden(entry)
    assert attachments.work("a", wanted) == []
    assert [item.key for item in attachments.unknown("a", "t", page)] == ["back"]
    assert attachments.take("a", "t", page, 3.0).changed == 1
    assert [entry.attachment.key for entry in attachments.work("a", wanted)] == ["back"]
    assert attachments.take("a", "t", page, 4.0).changed == 0
    assert list(index.reports.lost()) == []
    assert [item.key for item in attachments.unknown("a", "other", page)] == ["back", "both"]
    assert len(attachments.unknown("b", "other", page)) == len(keys)
    said = Page(tuple(item._replace(content=item.key) for item in page.items))
    assert attachments.take("a", "t", said, 5.0) == Taken(len(keys))
    rows = index.database.rows("SELECT content FROM attachment WHERE track = 't' ORDER BY content")
    assert [row["content"] for row in rows] == list(keys)
    index.close()

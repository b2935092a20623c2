"""Whole passes over Sunshine conversations: what is listed, fetched, kept and asked for."""

import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attachsync.errors import MalformedError, RejectedError
from attachsync.model import Attachment
from attachsync.sandbox import Fault
from attachsync.sandbox.sample_chat import CONVERSATION, EXTERNAL_USER, USER
from attachsync.sandbox.samples import sample
from attachsync.sandbox.sunshine import Conversation
from attachsync.sources.sunshine import SERVICE
from attachsync.sources.sunshine.messages import bare, listing, of_page
from tests.chats import MEDIA, MESSAGES, Chats, chatting, client, like


@pytest.fixture
async def chats(tmp_path: Path) -> AsyncIterator[Chats]:
    """Conversations in the sandbox, and a mirror of them."""
    async with chatting(tmp_path) as made:
        yield made


def track_of(chat: Conversation) -> str:
    return f'[[track]]\naccount = "support"\nconversation = "{chat.id}"\n'


# --- what is listed -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value"), [("conversation", CONVERSATION), ("user", USER), ("external_user", EXTERNAL_USER)]
)
async def test_three_kinds_of_tracks(chats: Chats, key: str, value: str) -> None:
    """All of the sample's media, under their messages, whichever way the conversation is found."""
    sample(chats.box)
    chats.tracks = f'[[track]]\naccount = "support"\n{key} = "{value}"\n'
    summary, _ = await chats.sync()
    assert not summary.incomplete
    (folder,) = {path.partition("/")[0] for path in chats.shown()}
    assert folder == CONVERSATION
    names = sorted(path.partition("-")[2] for path in chats.shown())
    assert names == ["Q3 report été.pdf", "shot 1.png", "tacos.png"]
    assert all(path.split("/")[1][:24].isalnum() for path in chats.shown())


@pytest.mark.parametrize("link", ["https://xn--/x.pdf", "https://xn--a.example/x", "https://x.example:99999/x.pdf"])
async def test_a_link_that_no_url_is_ends_with_its_file(chats: Chats, link: str) -> None:
    """Anybody in the conversation may have written it."""
    chat = chats.conversation()
    chats.send(chat, b"sound")
    chats.box.sunshine.add_message(chat, {"type": "file", "mediaUrl": link, "altText": "x.pdf"})
    chats.tracks = track_of(chat)
    for _ in range(2):
        summary, _ = await chats.sync()
        assert summary.incomplete
        assert sorted(str(row["state"]) for row in chats.rows()) == ["refused", "stored"]
    assert list(chats.shown().values()) == [b"sound"]


async def test_every_kind_of_content_and_nothing_of_kinds_that_are_not_known(chats: Chats) -> None:
    """file, image, items of carousels and lists; other kinds, authors and odd values are passed over."""
    chat, box = chats.conversation(), chats.box.sunshine
    chats.send(chat, b"file")
    chats.send(chat, b"image", "b.png", "image")
    media = [box.add_media(b"item %d" % n, f"item {n}.png", "image/png", chat) for n in range(4)]
    items = [{"title": "x", "mediaUrl": one.url, "mediaType": "text/html", "actions": []} for one in media]
    box.add_message(chat, {"type": "carousel", "items": [items[0], {"title": "none"}, items[1]]}, "business")
    box.add_message(
        chat, {"type": "list", "items": [items[2], None, 7, {"mediaUrl": 5}]}, {"type": "x", "subtypes": ["bot"]}
    )
    quoted = {"type": "message", "message": {"id": "q", "content": box.file_content(media[3])}}
    box.add_message(chat, "a quote", {"type": "business", "subtypes": ["agent"]}, quotedMessage=quoted)
    for content in ({"type": "hologram", "mediaUrl": media[3].url}, {"type": "file"}, {"type": "image", "mediaUrl": 1}):
        box.add_message(chat, content)
    box.add_message(chat, {"type": "carousel", "items": "none"}, author={"type": None})
    box.add_message(chat, {})["content"] = None
    summary, _ = await chats.sync()
    assert not summary.incomplete
    assert sorted(chats.shown().values()) == [b"file", b"image", b"item 0", b"item 1", b"item 2"]
    assert sorted(str(row["key"]).partition("/messages/")[2][25:] for row in chats.rows()) == [
        "content",
        "content",
        "items/0",
        "items/0",
        "items/2",
    ]
    # What an author says of an item is no more than that: the answer tells its type.
    assert {row["media_type"] for row in chats.rows() if "/items/" in str(row["key"])} == {"image/png"}


async def test_names_never_leave_their_folder(chats: Chats) -> None:
    """altText, or the last part of the address, decoded; the same names on each pass."""
    chat = chats.conversation()
    names = ["../../x.txt", "a/b\\c.txt", "", "  ", "é" * 300, "..", "con", "x\0\n.txt", "\u202egpj.exe", ".ssh"]
    for number, name in enumerate(names):
        chats.send(chat, b"%d" % number, f"{number}.txt", altText=name)
    chats.send(chat, b"encoded", "..%2f..%2fÜ ñ.txt", altText=7)
    summary, _ = await chats.sync()
    assert not summary.incomplete
    folder = chats.files / chat.id
    first = {entry.name: entry.read_bytes() for entry in folder.iterdir()}
    assert len(first) == len(names) + 1
    assert all(entry.is_file() and len(os.fsencode(entry.name)) <= 255 for entry in folder.iterdir())
    assert {entry.name for entry in chats.files.parent.parent.iterdir()} == {"support"}
    assert [name for name in first if name.endswith("-2.txt")]  # no altText: the name in the address
    await chats.sync()
    assert {entry.name: entry.read_bytes() for entry in folder.iterdir()} == first


async def test_a_size_that_is_stated_is_checked(chats: Chats) -> None:
    """Bytes of another size go to quarantine; 5.0 is 5; a size that is none is not checked."""
    chat = chats.conversation()
    chats.send(chat, b"12345", "wrong.txt", mediaSize=4)
    for number, size in enumerate((5.0, "5", None, -1, True)):
        chats.send(chat, b"1234%d" % number, mediaSize=size)
    summary, _ = await chats.sync()
    assert summary.incomplete
    assert sorted(str(row["state"]) for row in chats.rows()) == ["mismatch"] + ["stored"] * 5


# --- cursors --------------------------------------------------------------------------------------------------------


async def test_250_messages_then_none_then_one(chats: Chats) -> None:
    """Backwards over three pages; then one page and no download; then exactly the new one."""
    chat = chats.conversation()
    chats.tracks = track_of(chat)
    for number in range(250):
        chats.send(chat, b"%d" % number, f"{number}.txt")
    summary, recorder = await chats.sync()
    assert not summary.incomplete
    assert len(recorder.outcomes) == len(chats.shown()) == 250
    assert [next(iter(query), "") for query in chats.asked()] == ["", "page[before]", "page[before]"]

    summary, recorder = await chats.sync()
    assert (summary.incomplete, recorder.outcomes) == (False, [])
    assert [(one.path.rpartition("/")[2], dict(one.query)) for one in chats.box.requests] == [
        ("messages", {"page[after]": chat.messages[-1]["id"]})
    ]

    chats.send(chat, b"new", "new.txt")
    summary, recorder = await chats.sync()
    assert [outcome.digest for outcome in recorder.outcomes] == [hashlib.sha256(b"new").hexdigest()]
    assert len(chats.asked()) == chats.box.count("GET", MEDIA) == 1

    for number in range(130):
        chats.send(chat, b"more %d" % number)
    await chats.sync()
    assert len(chats.shown()) == 381
    assert [next(iter(query)) for query in chats.asked()] == ["page[after]"] * 2


async def test_a_first_pass_that_breaks_off_is_made_again(chats: Chats) -> None:
    """What was listed is kept; the newest id is only kept when the first message was reached."""
    chat = chats.conversation()
    for number in range(250):
        chats.send(chat, b"%d" % number)
    chats.box.faults.add(Fault(path=MESSAGES, query="*before*", kind="status", status=400, skip=1))
    summary, _ = await chats.sync()
    assert summary.incomplete
    assert len(chats.shown()) == 200
    chats.box.faults.clear()
    summary, recorder = await chats.sync()
    assert not summary.incomplete
    assert len(chats.shown()) == 250
    assert len(recorder.outcomes) == 50


@pytest.mark.parametrize("strict", [True, False])
async def test_the_message_that_is_the_cursor_may_be_deleted(chats: Chats, strict: bool) -> None:
    """Whether its cursor is refused or not: nothing is missed, nothing is fetched twice, what was mirrored stays."""
    chat = chats.conversation()
    chats.box.sunshine.strict_cursors = strict
    for number in range(120):
        chats.send(chat, b"%d" % number)
    await chats.sync()
    chats.box.sunshine.remove_messages(chat, {chat.messages[-1]["id"]})
    for number in range(130):
        chats.send(chat, b"later %d" % number)
    summary, recorder = await chats.sync()
    assert not summary.incomplete
    assert len(recorder.outcomes) == 130
    assert len(chats.shown()) == 250
    await chats.sync()
    assert chats.asked() == []  # idle
    chats.box.sunshine.remove_messages(chat, {one["id"] for one in chat.messages})
    chat.updated += (chat.updated - chat.created) * 2
    summary, _ = await chats.sync()
    assert not summary.incomplete
    chats.send(chat, b"afresh")
    await chats.sync()
    assert len(chats.shown()) == 251


async def test_deleted_messages_keep_what_was_mirrored(chats: Chats) -> None:
    """A placeholder shows nothing; what it showed before stays; what was not fetched in time is gone."""
    chat = chats.conversation()
    chats.send(chat, b"kept", "kept.txt")
    await chats.sync()
    media = chats.send(chat, b"lost", "lost.txt")
    chats.box.sunshine.media.pop(media.path)
    chat.messages[0] |= {"deleted": True, "content": {"type": "text", "text": ""}}
    summary, _ = await chats.sync()
    assert summary.incomplete
    assert chats.states(chat) == ["stored", "gone"]
    assert list(chats.shown().values()) == [b"kept"]


async def test_idle_conversations_are_not_asked_for_and_a_broken_one_does_not_hold_up_others(chats: Chats) -> None:
    """`lastUpdatedAt` tells; trouble is told at the end, and what it hid comes with the next pass."""
    everyone = [chats.conversation() for _ in range(30)]
    for number, chat in enumerate(everyone):
        chats.send(chat, b"%d" % number)
    broken = everyone[3]
    chats.box.faults.add(Fault(path=f"*/{broken.id}/messages", kind="json", value={"messages": []}))
    summary, _ = await chats.sync()
    assert summary.incomplete
    assert len(chats.shown()) == 29
    chats.box.faults.clear()
    chats.send(everyone[5], b"news")
    summary, _ = await chats.sync()
    assert not summary.incomplete
    assert {one.path.split("/")[6] for one in chats.box.requests if like(one.path, MESSAGES)} == {
        broken.id,
        everyone[5].id,
    }
    assert len(chats.shown()) == 31
    chats.box.sunshine.remove_conversation(everyone[7])
    summary, _ = await chats.sync()
    assert not summary.incomplete
    assert len(chats.shown()) == 31


async def test_a_conversation_that_is_not_there_is_said(chats: Chats) -> None:
    """By the listing, with the service's words; and by `check --online`."""
    chat = chats.conversation()
    chats.tracks = track_of(chat)
    chats.box.sunshine.remove_conversation(chat)
    summary, _ = await chats.sync()
    assert summary.incomplete
    config = chats.config()
    async with client(chats) as http:
        source = SERVICE.pull.source(http)
        with pytest.raises(RejectedError, match="Conversation not found"):
            await source.probe(config.tracks[0])


# --- looking up -----------------------------------------------------------------------------------------------------


async def test_probe(chats: Chats) -> None:
    """Signs in; finds a conversation, a user; a wrong app is not taken for a right one."""
    sample(chats.box)
    chats.tracks += f'[[track]]\naccount = "support"\nconversation = "{CONVERSATION}"\n'
    config = chats.config()
    async with client(chats) as http:
        assert SERVICE.pull is not None
        source = SERVICE.pull.source(http)
        assert "signed in" in await source.probe(None)
        assert await source.probe(config.tracks[0]) == f"user {USER}, conversations: 1"
        assert CONVERSATION in await source.probe(config.tracks[1])
        assert source.repeatable(config.tracks[0])
        chats.box.sunshine.app_id = "another"
        with pytest.raises(RejectedError, match="App not found"):
            await source.probe(None)


# --- pure parts -----------------------------------------------------------------------------------------------------


def _keys(message: dict[str, Any]) -> list[Attachment]:
    page = listing({"messages": [message], "meta": {"hasMore": False}}, "messages")
    return of_page("t", "c", page.messages)


def test_odd_pages() -> None:
    """What is no page is malformed; what is no message is counted; order is by time, then id."""
    for body in (None, [], {}, {"messages": 1}, {"messages": []}, {"messages": [], "meta": {"hasMore": "no"}}):
        with pytest.raises(MalformedError):
            listing(body, "messages")
    rows = [{"id": "b", "received": "2025-02-03T18:00:00Z"}, {"id": "a"}, {}, 7, {"id": "../x"}, {"id": ".."}]
    for kind in ("messages", "conversations"):  # more, but not where: an end that must not be believed
        with pytest.raises(MalformedError, match="not where"):
            listing({kind: [], "meta": {"hasMore": True}}, kind)
    page = listing({"messages": rows, "meta": {"hasMore": True}}, "messages")
    assert [one.id for one in page.messages] == ["a", "b"]
    assert (page.unsound, page.before, page.after) == (4, "a", "b")


jsons = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["id", "received", "content", "type", "mediaUrl", "mediaSize", "items", "altText", "author"]
            ),
            inner | st.sampled_from(["file", "list", "m1", "https://x.example/a?b"]),
        )
    ),
)


@given(st.lists(jsons, max_size=5))
def test_no_message_is_fatal(rows: list[Any]) -> None:
    """Whatever its shape: it has attachments or it has none; what was counted unsound and what was not are all."""
    page = listing({"messages": rows, "meta": {"hasMore": False}}, "messages")
    assert page.unsound + len(page.messages) == len(rows)
    for item in of_page("t", "c", page.messages):
        assert len(item.path) == 3
        assert "?" not in item.key


def test_urls_are_kept_without_secrets() -> None:
    assert bare("https://u:p@x.example/a%20b?sig=1#f") == "https://x.example/a%20b"
    assert bare("data:text/plain,x") == bare("https://[") == ""
    (one,) = _keys(
        {"id": "m", "content": {"type": "file", "mediaUrl": "https://x.example/a?sig=1", "altText": "é.pdf"}}
    )
    (two,) = _keys(
        {"id": "m", "content": {"type": "file", "mediaUrl": "https://x.example/a?sig=2", "altText": "é.pdf"}}
    )
    assert one == two
    assert one.path == ("conversations", "c", "m-é.pdf")
    assert "sig" not in repr(one)


# --- what is gone upstream ------------------------------------------------------------------------------------------


def deleted(message: dict[str, Any]) -> None:
    """What is left of a message that was deleted (specs/sunshine.md 1.6)."""
    message.update({"deleted": True, "content": {"type": "text", "text": ""}})


@pytest.mark.parametrize("on_gone", ["keep", "delete"])
async def test_what_a_deleted_message_showed(chats: Chats, on_gone: str) -> None:
    """It stays, unless the track says otherwise; also when it is far older than the newest one known."""
    chat = chats.conversation()
    for number in range(5):
        chats.send(chat, b"%d" % number, f"{number}.txt")
    chats.box.sunshine.page_size = 2
    chats.tracks = track_of(chat) + f'on_gone = "{on_gone}"\n'
    await chats.sync()
    deleted(chat.messages[0])
    deleted(chat.messages[3])
    summary, recorder = await chats.sync()
    assert not summary.incomplete
    left = [b"1", b"2", b"4"] if on_gone == "delete" else [b"0", b"1", b"2", b"3", b"4"]
    assert sorted(chats.shown().values()) == left
    assert sorted(path.read_bytes() for path in (chats.root / "mirror/sha256").rglob("*") if path.is_file()) == left
    assert len(recorder.outcomes) == 5 - len(left)
    summary, recorder = await chats.sync()
    assert (summary.incomplete, recorder.outcomes, chats.asked(MEDIA)) == (False, [], [])


async def test_a_message_deleted_before_it_was_fetched(chats: Chats) -> None:
    """There is nothing to remove, and nothing to complain about."""
    chat = chats.conversation()
    chats.send(chat, b"a")
    chats.tracks = track_of(chat) + 'on_gone = "delete"\n'
    chats.box.faults.add(Fault(path=MEDIA, kind="status", status=500))
    await chats.sync()
    deleted(chat.messages[0])
    summary, _ = await chats.sync()
    assert not summary.incomplete


@pytest.mark.parametrize("by", ["conversation", "user"])
async def test_a_deleted_conversation(chats: Chats, by: str) -> None:
    """Said by the service's own code, by name or missing among its user's; a 404 of another kind says nothing."""
    box = chats.box.sunshine
    stays, chat = chats.conversation(), chats.conversation()
    chats.send(stays, b"stays")
    chats.send(chat, b"goes")
    track = track_of(chat) if by == "conversation" else f'[[track]]\naccount = "support"\nuser = "{USER}"\n'
    chats.tracks = track + 'on_gone = "delete"\n' + (track_of(stays) if by == "conversation" else "")
    await chats.sync()
    assert sorted(chats.shown().values()) == [b"goes", b"stays"]
    everything = Fault(path="/sunshine/v2/apps/*/conversations*", kind="status", status=404, body="<html>")
    chats.box.faults.add(everything)
    summary, _ = await chats.sync()
    assert summary.incomplete
    assert sorted(chats.shown().values()) == [b"goes", b"stays"]
    chats.box.faults.clear()
    box.remove_conversation(chat)
    for _ in range(2):
        summary, _ = await chats.sync()
        assert not summary.incomplete
        assert list(chats.shown().values()) == [b"stays"]


@pytest.mark.parametrize("by", ["conversation", "user"])
async def test_a_conversation_that_is_back(chats: Chats, by: str) -> None:
    """Whatever made the service say that it was deleted: what it shows is mirrored again, and stays."""
    chat = chats.conversation()
    chats.send(chat, b"a")
    chats.send(chat, b"b")
    track = track_of(chat) if by == "conversation" else f'[[track]]\naccount = "support"\nuser = "{USER}"\n'
    chats.tracks = track + 'on_gone = "delete"\n'
    await chats.sync()
    conversations = chats.box.sunshine.conversations
    del conversations[chat.id]
    chats.box.sunshine.former.add(USER)
    await chats.sync()
    assert chats.shown() == {}
    conversations[chat.id] = chat
    summary, _ = await chats.sync()
    assert not summary.incomplete
    assert sorted(chats.shown().values()) == [b"a", b"b"]
    assert set(chats.states(chat)) == {"stored"}
    _, recorder = await chats.sync()
    assert (recorder.outcomes, chats.asked(MEDIA)) == ([], [])


async def test_another_name_for_a_track_fetches_nothing_again(chats: Chats) -> None:
    """What another address stands for is fetched, as always."""
    chat = chats.conversation()
    chats.send(chat, b"a")
    chats.send(chat, b"b")
    chats.tracks = track_of(chat) + 'name = "one"\n'
    await chats.sync()
    chats.tracks = track_of(chat) + 'name = "other"\n'
    chats.send(chat, b"c")
    chat.messages[0]["content"] = chats.box.sunshine.file_content(chats.box.sunshine.add_media(b"d", "a.txt", "", chat))
    summary, _ = await chats.sync()
    assert not summary.incomplete
    assert len(chats.asked(MEDIA)) == 2
    assert sorted(chats.shown().values()) == [b"b", b"c", b"d"]

"""Conversations and messages of the emulated Sunshine app (specs/sunshine.md 1.5 to 1.7)."""

from __future__ import annotations

from typing import Any

import pytest

from attachsync.sandbox import Sandbox
from attachsync.sandbox.sunshine import APP_ID, Conversation

from .conftest import Client, Reply
from .test_sunshine_files import BASIC

CONVERSATIONS = f"/sunshine/v2/apps/{APP_ID}/conversations"
TEXT: dict[str, Any] = {"author": {"type": "business"}, "content": {"type": "text", "text": "hi"}}


@pytest.fixture
def chat(box: Sandbox) -> Conversation:
    """Return a conversation with 250 messages."""
    chat = box.sunshine.add_conversation(user="ana", external_user="ana@example.org")
    for number in range(250):
        box.sunshine.add_message(chat, str(number))
    return chat


async def get(client: Client, path: str = "") -> Reply:
    """GET below the conversations."""
    return await client.get(CONVERSATIONS + path, headers=BASIC)


async def post(client: Client, chat: Conversation, body: object) -> Reply:
    """Post a message."""
    return await client.call("POST", f"{CONVERSATIONS}/{chat.id}/messages", json=body, headers=BASIC)


def texts(reply: Reply) -> list[int]:
    """Return the numbers that messages have as their text."""
    return [int(one["content"]["text"]) for one in reply.json["messages"]]


async def test_newest_page_and_back(client: Client, chat: Conversation) -> None:
    """Without a cursor the newest hundred come, whatever page[size] says; then older ones until there are none."""
    path = f"/{chat.id}/messages"
    first = await get(client, f"{path}?page[size]=5")
    assert texts(first) == list(range(150, 250))
    assert first.json["meta"] == {"hasMore": True, "beforeCursor": chat.messages[150]["id"]}
    link = f"{client.base}{CONVERSATIONS}{path}?page[before]={chat.messages[150]['id']}"
    assert first.json["links"] == {"prev": link}
    second = await get(client, f"{path}?page[before]={first.json['meta']['beforeCursor']}")
    assert texts(second) == list(range(50, 150))
    assert set(second.json["meta"]) == {"hasMore", "beforeCursor", "afterCursor"}
    third = await get(client, f"{path}?page%5Bbefore%5D={second.json['meta']['beforeCursor']}")
    assert texts(third) == list(range(50))
    assert third.json["meta"] == {"hasMore": False, "afterCursor": chat.messages[49]["id"]}


async def test_forward(box: Sandbox, client: Client, chat: Conversation) -> None:
    """After a known id come the newer ones, oldest first; hasMore is about that direction."""
    path = f"/{chat.id}/messages?page[after]="
    assert texts(await get(client, path + chat.messages[100]["id"])) == list(range(101, 201))
    last = await get(client, path + chat.messages[-1]["id"])
    assert last.json == {"messages": [], "meta": {"hasMore": False}}
    gone = chat.messages[240]["id"]
    box.sunshine.remove_messages(chat, {gone})
    assert texts(await get(client, path + gone)) == list(range(241, 250))


@pytest.mark.parametrize(
    "query",
    ["{}/messages?page[after]=a&page[before]=b", "{}/messages?page=%7B%7D"]
    + [f"?filter[userId]=ana&page[size]={size}" for size in ("0", "101", "x")],
)
async def test_bad_paging(client: Client, chat: Conversation, query: str) -> None:
    """Both cursors, the official client's JSON, and a size out of range, where it counts, are refused."""
    reply = await get(client, query.format(f"/{chat.id}"))
    assert reply.json == {"errors": [{"code": "bad_request", "title": "Invalid page query parameters"}]}


async def test_message_page_can_be_smaller(box: Sandbox, client: Client, chat: Conversation) -> None:
    """Tests may choose a smaller fixed page."""
    box.sunshine.message_page = 2
    assert texts(await get(client, f"/{chat.id}/messages")) == [248, 249]


async def test_post_text_with_metadata(client: Client, chat: Conversation) -> None:
    """A posted message is answered, listed, and keeps its metadata."""
    made = await post(client, chat, {**TEXT, "metadata": {"attachsync_id": "b1946ac9"}})
    assert made.status == 201
    message = made.json["messages"][0]
    assert (message["source"], message["metadata"]) == ({"type": "api:conversations"}, {"attachsync_id": "b1946ac9"})
    assert len(message["id"]) == 24
    assert (await get(client, f"/{chat.id}/messages")).json["messages"][-1] == message


async def test_post_file(box: Sandbox, client: Client, chat: Conversation) -> None:
    """The platform fills in type, size and altText; a file of another conversation is refused."""
    mine = box.sunshine.add_media(b"data", "a.txt", conversation=chat)
    other = box.sunshine.add_media(b"data", "b.txt", conversation=box.sunshine.add_conversation())
    gone = box.sunshine.add_media(b"data", "c.txt")
    del box.sunshine.media[gone.path]
    statuses = {}
    for media in (mine, other, gone):
        content = {"type": "file", "mediaUrl": f"{client.base}/sunshine{media.path}"}
        reply = await post(client, chat, {**TEXT, "content": content})
        statuses[media.name] = reply.status
    assert statuses == {"a.txt": 201, "b.txt": 400, "c.txt": 400}
    content = (await get(client, f"/{chat.id}/messages")).json["messages"][-1]["content"]
    assert content == {
        "type": "file",
        "mediaUrl": f"{client.base}/sunshine{mine.path}",
        "mediaType": "text/plain",
        "mediaSize": 4,
        "altText": "a.txt",
        "attachmentId": mine.id,
    }


async def test_post_foreign_url(client: Client, chat: Conversation) -> None:
    """A URL of another host is taken as it is."""
    content = {"type": "image", "mediaUrl": "https://example.org/i.png"}
    shown = (await post(client, chat, {**TEXT, "content": content})).json["messages"][0]["content"]
    assert (shown["mediaUrl"], shown["mediaType"]) == ("https://example.org/i.png", "image/png")


@pytest.mark.parametrize(
    "change",
    [
        {"author": None},
        {"author": {"type": "robot"}},
        {"author": {"type": "user"}},
        {"author": {"type": "business", "subtypes": ["agent"]}},
        {"content": None},
        {"content": {"type": "video"}},
        {"content": {"type": "text"}},
        {"content": {"type": "file"}},
        {"content": {"type": "file", "mediaUrl": "ftp://example.org/x"}},
        {"content": {"type": "file", "mediaUrl": "https://example.org/x", "altText": "x" * 129}},
        {"metadata": {"a": {"b": 1}}},
        {"metadata": {"a": "x" * 4096}},
        {"metadata": []},
    ],
)
async def test_refused_messages(client: Client, chat: Conversation, change: dict[str, Any]) -> None:
    """Author and content are required and checked; metadata is flat and small."""
    reply = await post(client, chat, {**TEXT, **change})
    assert (reply.status, len(chat.messages)) == (400, 250)


async def test_full_conversation(box: Sandbox, client: Client, chat: Conversation) -> None:
    """At the limit comes 423 until messages are deleted."""
    box.sunshine.message_limit = 250
    reply = await post(client, chat, TEXT)
    assert (reply.status, reply.json["errors"][0]["code"]) == (423, "locked")
    one = chat.messages[0]["id"]
    for expected in (200, 404):
        reply = await client.call("DELETE", f"{CONVERSATIONS}/{chat.id}/messages/{one}", headers=BASIC)
        assert reply.status == expected
    assert (await post(client, chat, TEXT)).status == 201


async def test_large_json_and_unknown_conversation(client: Client, chat: Conversation) -> None:
    """JSON beyond 100 kb is 413; an unknown conversation is 404."""
    large = {**TEXT, "content": {"type": "text", "text": "x" * 100_001}}
    assert (await post(client, chat, large)).status == 413
    reply = await get(client, "/none/messages")
    assert (reply.status, reply.json) == (404, {"errors": [{"code": "not_found", "title": "Resource not found"}]})
    reply = await get(client, "/none")
    assert (reply.status, reply.json["errors"][0]["code"]) == (404, "conversation_not_found")


@pytest.mark.parametrize("subtypes", [5, [{}], ["bot"], {"AI": 1}])
async def test_subtypes_that_are_none_are_refused(client: Client, chat: Conversation, subtypes: object) -> None:
    assert (await post(client, chat, {**TEXT, "author": {"type": "business", "subtypes": subtypes}})).status == 400


async def test_the_size_of_a_page_of_messages_is_fixed(client: Client, chat: Conversation) -> None:
    """Whatever is asked for (specs/sunshine.md 1.6)."""
    for number in range(101):
        assert (await post(client, chat, {**TEXT, "metadata": {"n": number}})).status == 201
    reply = await get(client, f"/{chat.id}/messages?page[size]=500")
    assert (reply.status, len(reply.json["messages"])) == (200, 100)


async def test_conversations(client: Client, chat: Conversation) -> None:
    """A list of conversations needs exactly one filter."""
    for query in ("filter[userId]=ana", "filter[userExternalId]=ana@example.org"):
        reply = await get(client, f"?{query}")
        assert [one["id"] for one in reply.json["conversations"]] == [chat.id]
        assert reply.json["meta"] == {"hasMore": False}
    assert (await get(client, "")).status == 400
    assert (await get(client, "?filter[userId]=ana&filter[userExternalId]=x")).status == 400
    assert (await get(client, "?filter[userId]=nobody")).status == 404
    one = (await get(client, f"/{chat.id}")).json["conversation"]
    assert set(one) == {"id", "type", "isDefault", "lastUpdatedAt", "createdAt"}


async def test_conversation_pages(box: Sandbox, client: Client) -> None:
    """Conversations page forward, 25 at a time unless told otherwise."""
    made = [box.sunshine.add_conversation(user="bea").id for _ in range(30)]
    first = await get(client, "?filter[userId]=bea")
    assert len(first.json["conversations"]) == 25
    cursor = first.json["meta"]["afterCursor"]
    rest = await get(client, f"?filter[userId]=bea&page[after]={cursor}&page[size]=100")
    assert [one["id"] for one in first.json["conversations"] + rest.json["conversations"]] == sorted(made)


async def test_deletion_takes_files_along(box: Sandbox, client: Client, chat: Conversation) -> None:
    """Deleting a message deletes what was uploaded for it; deleting a conversation all its files."""
    sent = box.sunshine.add_media(b"1", "a.txt", conversation=chat, purpose="message")
    kept = box.sunshine.add_media(b"2", "b.txt", conversation=chat)
    for media in (sent, kept):
        box.sunshine.add_message(chat, box.sunshine.file_content(media))
    await client.call("DELETE", f"{CONVERSATIONS}/{chat.id}/messages", headers=BASIC)
    assert list(box.sunshine.media) == [kept.path]
    assert (await client.call("DELETE", f"{CONVERSATIONS}/{chat.id}", headers=BASIC)).json == {}
    assert (box.sunshine.media, box.sunshine.conversations) == ({}, {})
    default = box.sunshine.add_conversation(is_default=True)
    assert (await client.call("DELETE", f"{CONVERSATIONS}/{default.id}", headers=BASIC)).status == 400

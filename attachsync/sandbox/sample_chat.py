"""The sample conversation of Sunshine: more than one page, with a file, an image, a carousel and a deleted message."""

from __future__ import annotations

from attachsync.sandbox.sunshine import Conversation, Sunshine
from attachsync.sandbox.tiny import pdf, png

CONVERSATION = "c616a583e4c240a871818541"
USER = "26508c10541a4b0ff472e5e2"
EXTERNAL_USER = "ana@example.org"


def fill_sunshine(sunshine: Sunshine) -> None:
    """Add the conversation."""
    chat = sunshine.add_conversation(CONVERSATION, USER, EXTERNAL_USER)
    photo = sunshine.add_media(png(90, 180, 90), "shot 1.png", "image/png", chat)
    report = sunshine.add_media(pdf("Q3 report"), "Q3 report été.pdf", "application/pdf", chat)
    sunshine.add_message(chat, sunshine.file_content(photo, "image"), source="whatsapp")
    for number in range(1, 111):
        sunshine.add_message(chat, f"Message {number}", "user" if number % 2 else "business")
    sunshine.add_message(
        chat,
        sunshine.file_content(report, text="Here it is"),
        {"type": "business", "displayName": "Sam"},
        metadata={"ticket": 17},
        source="zd:agentWorkspace",
    )
    _carousel(sunshine, chat)
    sunshine.add_message(chat, "", deleted=True)


def _carousel(sunshine: Sunshine, chat: Conversation) -> None:
    tacos = sunshine.add_media(png(220, 180, 60), "tacos.png", "image/png", chat)
    action = {"type": "link", "text": "More", "uri": "https://example.org"}
    item = {"title": "Tacos", "mediaUrl": tacos.url, "mediaType": "image/png", "actions": [action]}
    sunshine.add_message(chat, {"type": "carousel", "items": [item]}, "business", source="api:conversations")

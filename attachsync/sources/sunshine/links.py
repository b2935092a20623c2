"""Where an attachment's bytes are now: a link that may be signed is asked for again, never kept (specs/sunshine.md 4).

There is no request for one message (1). What is kept of it is the cursor of a page that it is on.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing

from attachsync.errors import GoneError, RejectedError
from attachsync.model import Attachment
from attachsync.sources.sunshine.messages import Listing, Message, media_url, parts
from attachsync.sources.sunshine.walk import App

_MOST = 4096
"""So many signed links of the latest listings are remembered, in memory only."""


class Links:
    """One app's links."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._signed: dict[str, str] = {}

    def seen(self, items: Sequence[Attachment], messages: Sequence[Message]) -> tuple[Attachment, ...]:
        """Remember the signed links of a page just listed."""
        links = {(one.id, position): media_url(part) for one in messages for position, part in parts(one)}
        for item in items:
            if self.is_passing(item):
                self._signed[item.key] = links[str(item.meta["message"]), str(item.meta["position"])]
        while len(self._signed) > _MOST:
            del self._signed[next(iter(self._signed))]
        return tuple(items)

    def is_passing(self, attachment: Attachment) -> bool:
        """Whether its link is one that was not kept."""
        return "beside" in attachment.meta

    def known(self, attachment: Attachment) -> str | None:
        """The link, if it can be told without asking."""
        if self.is_passing(attachment):
            return self._signed.pop(attachment.key, None)
        kept = attachment.meta.get("media_url")
        return kept if isinstance(kept, str) else None

    async def asked(self, attachment: Attachment) -> str:
        """The link that the message has now. Raises GoneError when the message, or what it showed, is there no more."""
        conversation, wanted = str(attachment.meta["conversation"]), str(attachment.meta["message"])
        beside = attachment.meta.get("beside")
        if isinstance(beside, Mapping) and beside:
            try:
                query = [(name, str(value)) for name, value in beside.items()]
                for message in _of(await self._app.messages(conversation, query), wanted):
                    return _link(message, attachment)
            except RejectedError as error:
                if error.status not in (400, 404, 410, 422):  # the message beside it may have been deleted
                    raise
        async with aclosing(self._app.back(conversation)) as pages:
            async for page in pages:
                for message in _of(page, wanted):
                    return _link(message, attachment)
        raise GoneError(f"message {wanted} is no longer in its conversation")


def _of(page: Listing, wanted: str) -> Iterator[Message]:
    return (one for one in page.messages if one.id == wanted)


def _link(message: Message, attachment: Attachment) -> str:
    for position, part in parts(message):
        if position == attachment.meta["position"]:
            return media_url(part)
    raise GoneError(f"message {message.id} no longer shows it")

"""Lists of Trinsic: sessions and verification profiles, by page numbers (specs/trinsic.md 1.3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from attachsync.sandbox.answer import Answer
from attachsync.sandbox.trinsic import Trinsic
from attachsync.sandbox.trinsic_body import reply
from attachsync.sandbox.trinsic_records import Session
from attachsync.sandbox.trinsic_view import session_view

# Each order ends in the id, so that pages are the same at every start.
ORDERS: dict[str, Callable[[Session], tuple[int, str]]] = {
    "Created": lambda session: (session.created, session.id),
    "Updated": lambda session: (session.updated, session.id),
    "State": lambda session: (session.done + session.success, session.id),
}
DIRECTIONS = ("Ascending", "Descending")
Errors = dict[str, list[str]]


class Lists:
    """The calls that list."""

    def __init__(self, state: Trinsic, invalid: Callable[[Errors], Exception]) -> None:
        """List what is in the state; `invalid` makes the refusal of wrong parameters."""
        self._state = state
        self._invalid = invalid

    async def sessions(self, request: web.Request) -> Answer:
        """List sessions, all or one profile's; the query names are capitalised here."""
        query, profile = request.query, request.match_info.get("profile")
        order = self._choice(query.get("OrderBy", "Created"), "OrderBy", tuple(ORDERS))
        direction = self._choice(query.get("OrderDirection", "Descending"), "OrderDirection", DIRECTIONS)
        size = self._number(query.get("PageSize", "10"), "PageSize", 50)
        page = self._number(query.get("Page", "1"), "Page")
        found = [one for one in self._state.sessions.values() if profile in (None, one.profile)]
        found.sort(key=ORDERS[order], reverse=direction == "Descending")
        shown = found[(page - 1) * size : page * size]
        more = page * size < len(found)
        sessions = [session_view(self._state, one) for one in shown]
        return reply(request, {"sessions": sessions, "total": len(found), "more": more, **self._state.extra})

    async def profiles(self, request: web.Request) -> Answer:
        """List verification profiles; the query names are in lower case here."""
        size = self._number(request.query.get("pageSize", "20"), "pageSize", 100)
        page = self._number(request.query.get("page", "1"), "page")
        all_ = list(self._state.profiles.items())
        shown = [_profile(id_, alias) for id_, alias in all_[(page - 1) * size : page * size]]
        return reply(request, {"verificationProfiles": shown, "more": page * size < len(all_)})

    def _choice(self, value: str, name: str, choices: tuple[str, ...]) -> str:
        if value not in choices:
            raise self._invalid({name: [f"The value '{value}' is not valid."]})
        return value

    def _number(self, value: str, name: str, most: int = 1 << 31) -> int:
        if not value.isascii() or not value.isdigit() or not 1 <= int(value) <= most:
            raise self._invalid({name: [f"The field {name} must be between 1 and {most}."]})
        return int(value)


def _profile(id_: str, alias: str) -> dict[str, Any]:
    return {
        "id": id_,
        "alias": alias,
        "brandName": alias,
        "logoUrl": "",
        "primaryColor": "#000000",
        "enabledProviders": ["document-scan"],
        "sessionExpiration": "01:00:00",
        "isProductionUsage": False,
    }

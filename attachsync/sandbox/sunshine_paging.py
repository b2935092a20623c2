"""Cursor paging of Sunshine: ids as cursors, before or after one of them (specs/sunshine.md 1.6)."""

from __future__ import annotations

import re
from typing import Any

from aiohttp import web

from attachsync.sandbox.sunshine_errors import refused

USUAL_SIZE = 25
INVALID = "Invalid page query parameters"
Row = dict[str, Any]


def page_of(name: str, rows: list[Row], request: web.Request, forward: bool, size: int = 0) -> dict[str, Any]:
    """Return the page of `rows` (oldest first) that a request asks for.

    Without a cursor it is the first one when paging `forward`, else the newest; a fixed `size` overrules page[size].
    """
    before, after, width = _parameters(request, size)
    if before:
        older = [row for row in rows if row["id"] < before]
        shown, more = older[-width:], len(older) > width
    elif after or forward:
        newer = [row for row in rows if row["id"] > after]
        shown, more = newer[:width], len(newer) > width
    else:
        shown, more = rows[-width:], len(rows) > width
    return {name: shown, "meta": {"hasMore": more, **_cursors(rows, shown)}, **_links(rows, shown, request)}


def _parameters(request: web.Request, fixed: int) -> tuple[str, str, int]:
    query = request.query
    before, after = query.get("page[before]", ""), query.get("page[after]", "")
    size = str(fixed) if fixed else query.get("page[size]", str(USUAL_SIZE))
    # The official client 17.0.1 sends `page` as JSON; what the service makes of it is not known. Refused here.
    if (before and after) or "page" in query or not re.fullmatch(r"\d{1,3}", size) or not 1 <= int(size) <= 100:
        raise refused(400, INVALID)
    return before, after, int(size)


def _cursors(rows: list[Row], shown: list[Row]) -> dict[str, str]:
    """Return the cursors of the pages that exist; absent where there is none."""
    if not shown:
        return {}
    first, last = shown[0]["id"], shown[-1]["id"]
    cursors = {}
    if rows[0]["id"] < first:
        cursors["beforeCursor"] = first
    if rows[-1]["id"] > last:
        cursors["afterCursor"] = last
    return cursors


def _links(rows: list[Row], shown: list[Row], request: web.Request) -> dict[str, dict[str, str]]:
    cursors = _cursors(rows, shown)
    here = f"{request.scheme}://{request.host}{request.path}"
    links = {}
    if "beforeCursor" in cursors:
        links["prev"] = f"{here}?page[before]={cursors['beforeCursor']}"
    if "afterCursor" in cursors:
        links["next"] = f"{here}?page[after]={cursors['afterCursor']}"
    return {"links": links} if links else {}

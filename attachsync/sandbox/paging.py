"""Offset paging with tokens that carry the original request (specs/datatrails.md 1.5). Pure."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

Row = TypeVar("Row")
Pairs = list[tuple[str, str]]
PAGE_NAMES = ("page_size", "page_token")


@dataclass(frozen=True)
class Page:
    """Which part of which list is wanted."""

    pairs: Pairs
    size: int
    skip: int


def resume(pairs: Pairs) -> Page:
    """Return the page that a query asks for; a token brings back its filters. ValueError for a bad token.

    A token comes alone or with its whole original query; other filters than its own are refused.
    """
    given = dict(pairs)
    filters = [pair for pair in pairs if pair[0] not in PAGE_NAMES]
    if not given.get("page_token"):
        return Page(filters, int(given.get("page_size") or 0), 0)
    original, size, skip = _unpack(given["page_token"])
    if filters and sorted(filters) != sorted(original):
        raise ValueError("page_token belongs to another query")
    return Page(original, int(given.get("page_size") or size), skip)


def next_token(page: Page, skip: int) -> str:
    """Return the token of the page that begins after `skip` rows."""
    request: dict[str, object] = {"page_size": page.size}
    if page.pairs:
        request["query"] = [list(pair) for pair in page.pairs]
    text = json.dumps({"orig_req": request, "skip": skip}, separators=(",", ":"))
    return base64.b64encode(text.encode()).decode()


def slice_of(rows: Sequence[Row], page: Page, limit: int) -> tuple[Sequence[Row], str, bool]:
    """Return the rows of a page, the next token, and whether the server's limit cut it short."""
    wanted = page.size or len(rows)
    shown = rows[page.skip : page.skip + min(wanted, limit)]
    end = page.skip + len(shown)
    more = end < len(rows)
    return shown, next_token(page, end) if more else "", more and wanted > limit


def _unpack(token: str) -> tuple[Pairs, int, int]:
    try:
        value = json.loads(base64.b64decode(token, validate=True))
        request = value["orig_req"]
        pairs = [(str(name), str(text)) for name, text in request.get("query", [])]
        return pairs, int(request["page_size"]), int(value["skip"])
    except (binascii.Error, UnicodeDecodeError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError("invalid page_token") from error

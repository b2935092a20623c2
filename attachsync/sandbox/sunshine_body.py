"""Reads the JSON bodies that Sunshine gets."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from attachsync.sandbox.sunshine_errors import refused


async def json_body(request: web.Request, limit: int) -> dict[str, Any]:
    """Return the JSON object of a request, or refuse."""
    data = await request.read()
    if len(data) > limit:
        raise refused(413)
    try:
        body = json.loads(data)
    except ValueError as error:
        raise refused(400) from error
    if not isinstance(body, dict) or request.content_type != "application/json":
        raise refused(400)
    return body

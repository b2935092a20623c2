"""The error shape of Sunshine (specs/sunshine.md 3.4) and the refusals made of it."""

from __future__ import annotations

from attachsync.sandbox.answer import Answer, Refusal, json_answer

# Code and title by status; those of 413 and 429 are not documented (specs/sunshine.md 7).
USUAL = {
    400: ("bad_request", "Bad request"),
    401: ("unauthorized", "Authorization is required"),
    402: ("payment_required", "Payment required"),
    403: ("forbidden", "Forbidden"),
    404: ("not_found", "Resource not found"),
    413: ("request_entity_too_large", "Request entity too large"),
    415: ("unsupported_media_type", "File rejected. File extension not allowed"),
    423: ("locked", "Locked"),
    429: ("too_many_requests", "Too many requests"),
}


def sunshine_error(status: int, title: str = "", code: str = "") -> Answer:
    """Return an error answer."""
    usual_code, usual_title = USUAL.get(status, ("internal_server_error", "Internal server error"))
    return json_answer({"errors": [{"code": code or usual_code, "title": title or usual_title}]}, status)


def refused(status: int, title: str = "", code: str = "") -> Refusal:
    """Return a refusal with an error answer."""
    return Refusal(sunshine_error(status, title, code))

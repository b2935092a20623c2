"""The two error shapes of DataTrails (specs/datatrails.md 3) and the refusals made of them."""

from __future__ import annotations

from attachsync.sandbox.answer import Answer, Refusal, json_answer

REQUEST_INFO = "type.googleapis.com/google.rpc.RequestInfo"
# gRPC codes by HTTP status, the standard gateway map (specs/datatrails.md 3).
CODES = {400: 3, 401: 16, 402: 8, 403: 7, 404: 5, 429: 8, 500: 13, 501: 12, 503: 14}
MESSAGES = {
    400: "invalid argument",
    401: "authentication is required",
    402: "quota exceeded",
    403: "permission denied",
    404: "not found",
    429: "too many requests",
    500: "internal error",
    503: "unavailable",
}


def gateway_error(status: int, message: str = "") -> Answer:
    """Return an error as the gRPC gateway writes it: a numeric code."""
    text = message or MESSAGES.get(status, "unknown error")
    details: list[dict[str, str]] = []
    if status == 404:
        details = [{"@type": REQUEST_INFO, "requestId": "a1b2", "servingData": ""}]
    return json_answer({"code": CODES.get(status, 2), "message": text, "details": details}, status)


def proxy_error(status: int, message: str) -> Answer:
    """Return an error as the blobs and attachments services write it by hand: the HTTP code as a string."""
    return json_answer({"code": str(status), "message": message, "details": []}, status)


def invalid(message: str) -> Refusal:
    """Return a refusal of an invalid argument: 400, code 3."""
    return Refusal(gateway_error(400, message))


def missing(message: str = "") -> Refusal:
    """Return a refusal for something that does not exist: 404, code 5."""
    return Refusal(gateway_error(404, message))

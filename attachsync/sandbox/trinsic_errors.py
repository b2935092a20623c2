"""The error shapes of Trinsic's generations (specs/trinsic.md 1.7) and the answers made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from attachsync.sandbox.answer import Answer, json_answer
from attachsync.sandbox.content import Held
from attachsync.sandbox.trinsic_records import ErrorShape

SECTIONS = {400: "6.5.1", 401: "6.6.1", 403: "6.5.3", 404: "6.5.4", 410: "6.5.9", 415: "6.5.13", 500: "6.6.1"}
TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    410: "Gone",
    415: "Unsupported Media Type",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
TRACE = "00-3fcbc632c5caaca825849d495c62d7b0-09a3500f89acbbcc-00"
PROBLEM = "application/problem+json; charset=utf-8"


def trinsic_error(
    shape: ErrorShape, status: int, detail: str = "", errors: Mapping[str, list[str]] | None = None
) -> Answer:
    """Return an error in one of the three shapes; `errors` names the properties that are wrong."""
    if shape == "old":
        return _old(status, detail, errors or {})
    if shape == "plain" and status in (401, 403):
        return Answer(status)
    problem = {
        "type": f"https://tools.ietf.org/html/rfc7231#section-{SECTIONS.get(status, '6.6.1')}",
        "title": TITLES.get(status, "Error"),
        "status": status,
        **({"detail": detail} if detail else {}),
        "traceId": TRACE,
        **({"errors": dict(errors)} if errors else {}),
    }
    answer = json_answer(problem, status)
    return answer if shape == "plain" else replace(answer, headers={"Content-Type": PROBLEM})


def _old(status: int, detail: str, errors: Mapping[str, list[str]]) -> Answer:
    if status == 400:
        named = [{"memberNames": [name], "errorMessage": text} for name, texts in errors.items() for text in texts]
        return json_answer(named or [{"memberNames": [], "errorMessage": detail or "Bad Request"}], 400)
    return json_answer({"message": "Unauthorized"}, 401) if status == 401 else Answer(status)


def not_ready(status: int) -> Answer:
    """Return the answer for an attachment that is not there yet: 202 without a body, others with a text (1.1)."""
    if status == 202:
        return Answer(202)
    return Answer(status, Held(b"The attachment is not available yet."), {"Content-Type": "text/plain; charset=utf-8"})

"""What bytes are by their beginning, where whoever serves them does not say. Pure."""

_UNTOLD = ("", "application/octet-stream", "binary/octet-stream")
_SIGNS = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"%PDF-", "application/pdf"),
    (b"GIF8", "image/gif"),
)
HEAD = max(len(sign) for sign, _ in _SIGNS)
"""So many bytes are enough to tell."""


def bare(stated: str | None) -> str:
    """A media type without its parameters, in lower case; empty where there is none."""
    return (stated or "").partition(";")[0].strip().lower()


def says_nothing(stated: str | None) -> bool:
    """Whether a media type only stands for "bytes": what storage says of what was uploaded without one."""
    return bare(stated) in _UNTOLD


def shown(head: bytes) -> str | None:
    """The media type that the first bytes show, if they do."""
    return next((kind for sign, kind in _SIGNS if head.startswith(sign)), None)

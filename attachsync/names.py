"""Upstream names -> safe, distinct file names. Pure.

A name from outside never leaves its folder (contract 3): one path component comes in, one comes out.
"""

import hashlib
import mimetypes
import re
import unicodedata
from collections.abc import Sequence

from attachsync import extensions

MAX_BYTES = 255
_SUFFIX_BYTES = 16
"""Longer than this, what follows the last dot is no extension."""

_DEVICES = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))})
FOLDERS = frozenset({"events"})
"""Names that layouts of `files/` use for folders; an attachment of that name gives way."""

_DIRECTION = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff"
_UNSAFE = re.compile(rf'[/\\:*?"<>|\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff{_DIRECTION}]')
"""Separators, control characters, lone surrogates, and what reverses the order in which a name is shown."""


_PLAIN = re.compile(r"([0-9A-Za-z][0-9A-Za-z_-]{0,63})(?:\.[0-9A-Za-z]{1,16})?")
"""Identities, folders of layouts of ours, and ordinary names of files: most of what is asked about."""


def safe(name: str, *, folder: bool = False) -> str:
    """One path component for `name`: NFC, at most 255 bytes, extension kept, nothing that a system treats specially.

    `folder`: for a folder of a layout of ours, which files give way to.
    """
    plain = _PLAIN.fullmatch(name)
    if plain and plain[1].lower() not in _DEVICES and (folder or name.lower() not in FOLDERS):
        return name
    return _made_safe(name, folder=folder)


def _made_safe(name: str, *, folder: bool = False) -> str:
    clean = _UNSAFE.sub("_", unicodedata.normalize("NFC", name))
    clean = re.sub(r"\.\.+", "_", clean).strip(" ").rstrip(". ")
    if clean.startswith("."):
        clean = "_" + clean.lstrip(".")
    if not clean.strip("_"):
        clean = ""
    head, dot, rest = clean.partition(".")
    if head.casefold() in _DEVICES:  # what counts is the part before the first dot
        clean = f"{head}_{dot}{rest}"
    stem, suffix = split(clean)
    if clean.casefold() in FOLDERS and not folder:
        stem += "_"
    return _fit(stem, suffix) or "unnamed"


def place(account: str, path: Sequence[str]) -> tuple[str, str]:
    """(folder, name) in the mirror that an attachment's path asks for: folders of layouts of ours, then its name."""
    folder = "/".join(("files", account, *(safe(part, folder=True) for part in path[:-1])))
    return folder, safe(path[-1])


def split(name: str) -> tuple[str, str]:
    """('report.v2', '.pdf') for 'report.v2.pdf'; the suffix is empty where there is no plausible extension."""
    stem, dot, suffix = name.rpartition(".")
    if not stem or not suffix or len(suffix.encode(errors="replace")) > _SUFFIX_BYTES or not suffix.isalnum():
        return name, ""
    return stem, dot + suffix


def _fit(stem: str, suffix: str, extra: str = "") -> str:
    """stem + extra + suffix, the stem cut at a character's end so that the whole is at most 255 bytes."""
    room = MAX_BYTES - len((extra + suffix).encode())
    cut = stem.encode()[:room].decode(errors="ignore")
    return (cut.rstrip(" .") or ("_" if suffix or extra else "")) + extra + suffix


def extended(name: str, media_type: str | None) -> str:
    """`name`, with its media type's usual extension if it has none."""
    if split(name)[1] or not media_type:
        return name
    return _fit(name, extensions.usual(media_type))


def distinct(name: str, identity: str, attempt: int = 0) -> str:
    """`name` with `-` and 8 hex digits of its owner's identity before the extension; more digits with each attempt."""
    digits = hashlib.sha256(identity.encode(errors="surrogatepass")).hexdigest()[: 8 + 8 * attempt]
    stem, suffix = split(name)
    return _fit(stem, suffix, f"-{digits}")


def fold(path: str) -> str:
    """What two paths share when a file system that ignores case, or normal form, would take them for one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def media_type_of(name: str) -> str:
    """The usual media type of a file name; application/octet-stream when there is none.

    What we do not know may be known to the system: there people can say what their files are.
    """
    known = extensions.media_type(split(name)[1]) or mimetypes.guess_type(name, strict=False)[0]
    return known or "application/octet-stream"

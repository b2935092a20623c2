"""Which attribute values name an attachment, in all forms that were ever written (specs/datatrails.md 1.9). Pure."""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from attachsync.model import JSON

_REFERENCE = re.compile(
    r"(blobs|attachments)/([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})", re.IGNORECASE
)
_HEX = re.compile("[0-9A-Fa-f]{64}")
_PREFIX = re.compile("^sha-?256[:=]", re.IGNORECASE)
_SPELLING = re.compile(r"[-_\s]")
_ITEM = re.compile(
    r"(?:\[|%(?=(?:25)*5B))(?=(?:(?:25)*5B)?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?: \d+)?\]$)"
)
"""Where an attribute's name could be taken for a list item of another attribute, or for what stands for such a name."""
_APPEND, _RESULT = "arc_append_attachments", "arc_attachments"
_PRIMARY_IMAGE_IDENTITY = "arc_primary_image_identity"


class Reference(NamedTuple):
    """One attachment that a record names: where, which blob, under what name, with what stated SHA-256."""

    place: str
    """Map and attribute, e.g. `event_attributes/conformance_report`; a list item adds its blob in brackets."""
    attribute: str
    blob: str
    name: str
    sha256: str | None
    value: JSON


def references(maps: Mapping[str, JSON]) -> list[Reference]:
    """The attachments that a record names in its attribute maps (name of map -> attributes).

    Dicts and lists of dicts that hold a blob's identity (forms A to F) always count; so do the strings of form H; a
    bare `blobs/…` string (form G) counts where nothing else on the record names its blob. A hash without an identity
    (form X) is an integrity record of something that is elsewhere.
    """
    found, strings = list[Reference](), list[Reference]()
    for name, attributes in maps.items():
        for attribute, value in _items(attributes):
            place = f"{name}/{_ITEM.sub(_escaped, attribute)}"
            if isinstance(value, str):
                strings += _of_string(place, attribute, value)
            elif isinstance(value, dict):
                found += _of_dict(place, attribute, value)
            elif isinstance(value, list):
                found += _of_list(place, attribute, value)
    found += [reference for reference in strings if _is_form_h(reference)]
    named = {reference.blob for reference in found}
    for reference in strings:
        if reference.blob not in named:
            named.add(reference.blob)
            found.append(reference)
    appended = {_entry(reference) for reference in found if reference.attribute == _APPEND}
    return [one for one in found if one.attribute != _RESULT or _entry(one) not in appended]


def _escaped(match: re.Match[str]) -> str:
    return f"%{ord(match[0]):02X}"


def _entry(reference: Reference) -> tuple[str, str, str | None]:
    """Form E states an entry twice: where it is appended, and in the list that results."""
    return reference.blob, reference.name, reference.sha256


def _of_list(place: str, attribute: str, items: list[JSON]) -> Iterator[Reference]:
    occurrences: dict[str, int] = {}
    for item in items:
        if isinstance(item, dict):
            for reference in _of_dict(place, attribute, item):
                nth = occurrences[reference.blob] = occurrences.get(reference.blob, 0) + 1
                which = f"{place}[{reference.blob}{f' {nth}' if nth > 1 else ''}]"
                yield Reference(which, attribute, reference.blob, reference.name, reference.sha256, item)


def _of_dict(place: str, attribute: str, value: Mapping[str, JSON]) -> Iterator[Reference]:
    blob = _blob(value.get("arc_blob_identity")) or _blob(value.get("arc_attachment_identity"))
    if blob:
        names = (value.get("arc_file_name"), value.get("arc_display_name"), attribute)
        name = next(text for text in names if isinstance(text, str) and (text.strip() or text is attribute))
        algorithm = value.get("arc_blob_hash_alg") or value.get("arc_hash_alg")
        digest = stated(algorithm, value.get("arc_blob_hash_value") or value.get("arc_hash_value"))
        yield Reference(place, attribute, blob, name, digest, value)


def _of_string(place: str, attribute: str, value: str) -> Iterator[Reference]:
    blob = _blob(value)
    if blob:
        yield Reference(place, attribute, blob, attribute, None, value)


def _is_form_h(reference: Reference) -> bool:
    prefix = str(reference.value).lower().startswith("attachments/")
    return prefix or reference.attribute == _PRIMARY_IMAGE_IDENTITY


def _items(attributes: JSON) -> list[tuple[str, JSON]]:
    """The attributes in order of their keys: the service shuffles them (specs/datatrails.md 1.3)."""
    return sorted(attributes.items()) if isinstance(attributes, dict) else []


def _blob(value: JSON) -> str | None:
    match = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    return match[2].lower() if match else None


def stated(algorithm: JSON, value: JSON) -> str | None:
    """The SHA-256 that a record states, as lower-case hex, whatever its spelling; None if it states none.

    `SHA256`, `sha256` and `SHA-256` are one. Text that is no SHA-256 although it says so is handed on as it is: it
    matches no bytes. Other algorithms are never produced by the service, and not checked (specs/datatrails.md 1.9).
    """
    if not isinstance(value, str) or not value.strip():
        return None
    if isinstance(algorithm, str) and algorithm and _SPELLING.sub("", algorithm).upper() != "SHA256":
        return None
    text = value if _HEX.fullmatch(value) else _PREFIX.sub("", value.strip())
    if _HEX.fullmatch(text):
        return text.lower()
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return text
    return decoded.hex() if len(decoded) == 32 else text

"""Media types: what Sunshine allows (specs/sunshine.md 3.2), and what the first bytes of a file say."""

from __future__ import annotations

import mimetypes

EXTENSIONS = """
    3g2 3gp 7z aac amr avi bmp csv doc docx eml gif heic heif ics jfif jpeg jpg key log m4a m4v mov mp3 mp4 mp4a mpeg
    mpg mpga neon numbers odt oga ogg ogv opus pages pdf png pps ppsx ppt pptx qt svg tif tiff txt vcf wav webm webp
    wmv xls xlsx xml yaml yml zip caf pkpass usdz
"""
ALLOWED_EXTENSIONS = frozenset(EXTENSIONS.split())
# Position, first bytes, media type.
SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (0, b"BM", "image/bmp"),
    (0, b"II*\x00", "image/tiff"),
    (0, b"MM\x00*", "image/tiff"),
    (8, b"WEBP", "image/webp"),
    (8, b"WAVE", "audio/wav"),
    (8, b"AVI ", "video/x-msvideo"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"PK\x03\x04", "application/zip"),
    (0, b"PK\x05\x06", "application/zip"),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-cfb"),
    (0, b"OggS", "audio/ogg"),
    (4, b"ftyp", "video/mp4"),
    (4, b"moov", "video/quicktime"),
    (4, b"mdat", "video/quicktime"),
    (0, b"\x1a\x45\xdf\xa3", "video/webm"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"\xff\xf3", "audio/mpeg"),
    (0, b"\xff\xf2", "audio/mpeg"),
    (0, b"\xff\xf1", "audio/aac"),
    (0, b"\xff\xf9", "audio/aac"),
    (0, b"#!AMR", "audio/amr"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video/x-ms-wmv"),
    (0, b"\x00\x00\x01\xba", "video/mpeg"),
    (0, b"\x00\x00\x01\xb3", "video/mpeg"),
    (0, b"caff", "audio/x-caf"),
    (0, b"MZ", "application/x-msdownload"),
    (0, b"\x7fELF", "application/x-executable"),
    (0, b"\x1f\x8b", "application/gzip"),
    (0, b"\xcf\xfa\xed\xfe", "application/x-mach-binary"),
)
FORBIDDEN_TYPES = frozenset(
    {"application/x-msdownload", "application/x-executable", "application/gzip", "application/x-mach-binary"}
)
UNKNOWN = "application/octet-stream"


def sniffed(data: bytes) -> str:
    """Return the media type that the first bytes show; empty if they show none."""
    for at, mark, media_type in SIGNATURES:
        if data[at : at + len(mark)] == mark:
            return media_type
    return "text/plain" if data and _is_text(data[:512]) else ""


def detected(data: bytes) -> str:
    """Return a media type for stored bytes whose sender named none."""
    found = sniffed(data)
    return "text/plain; charset=utf-8" if found == "text/plain" else found or UNKNOWN


def named(file_name: str) -> str:
    """Return the media type that a file name suggests."""
    return mimetypes.guess_type(file_name, strict=False)[0] or UNKNOWN


def rejection(file_name: str, data: bytes, extensions: frozenset[str] = ALLOWED_EXTENSIONS) -> str:
    """Return why Sunshine rejects a file, in its words; empty if it does not."""
    extension = file_name.rpartition(".")[2].lower() if "." in file_name else ""
    if extension not in extensions:
        return "File rejected. File extension not allowed"
    kind = sniffed(data)
    if not kind:
        return "File rejected. File type could not be retrieved"
    return "File rejected. File type not allowed" if kind in FORBIDDEN_TYPES else ""


def _is_text(head: bytes) -> bool:
    # The cut at 512 bytes may fall inside a character.
    text = head.decode("utf-8", "ignore")
    return b"\x00" not in head and len(text.encode()) >= len(head) - 3

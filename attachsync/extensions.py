"""Media types and the extensions of file names, the same on every machine. Pure.

Python's own table is short and in part odd (application/xml is .xsl), and systems add theirs to it.
"""

import functools
import mimetypes

from attachsync import media

# The usual extension, and the media types that stand for it: the first one is what such a file is sent as.
_USUAL = """
    .3g2 video/3gpp2 audio/3gpp2
    .3gp video/3gpp audio/3gpp
    .7z application/x-7z-compressed
    .aac audio/aac audio/x-aac
    .aiff audio/aiff audio/x-aiff
    .amr audio/amr
    .avi video/x-msvideo video/avi video/msvideo video/vnd.avi
    .avif image/avif
    .bmp image/bmp image/x-bmp image/x-ms-bmp
    .bz2 application/x-bzip2 application/bzip2
    .caf audio/x-caf
    .cbor application/cbor
    .cer application/pkix-cert
    .css text/css
    .csv text/csv application/csv
    .dcm application/dicom
    .doc application/msword
    .docx application/vnd.openxmlformats-officedocument.wordprocessingml.document
    .dwg image/vnd.dwg
    .eml message/rfc822
    .epub application/epub+zip
    .flac audio/flac audio/x-flac
    .geojson application/geo+json
    .gif image/gif
    .gz application/gzip application/x-gzip
    .heic image/heic
    .heif image/heif
    .html text/html
    .ico image/vnd.microsoft.icon image/x-icon
    .ics text/calendar
    .jp2 image/jp2
    .jpg image/jpeg image/jpg image/pjpeg
    .js text/javascript application/javascript application/x-javascript
    .json application/json text/json
    .jsonld application/ld+json
    .jxl image/jxl
    .key application/vnd.apple.keynote application/x-iwork-keynote-sffkey
    .kml application/vnd.google-earth.kml+xml
    .kmz application/vnd.google-earth.kmz
    .m3u8 application/vnd.apple.mpegurl application/x-mpegurl
    .m4a audio/mp4 audio/m4a audio/x-m4a
    .m4v video/x-m4v
    .md text/markdown text/x-markdown
    .mid audio/midi audio/x-midi
    .mkv video/x-matroska video/matroska
    .mov video/quicktime
    .mp3 audio/mpeg audio/mp3 audio/x-mp3 audio/x-mpeg
    .mp4 video/mp4
    .mpeg video/mpeg
    .msg application/vnd.ms-outlook
    .ndjson application/x-ndjson
    .numbers application/vnd.apple.numbers application/x-iwork-numbers-sffnumbers
    .odp application/vnd.oasis.opendocument.presentation
    .ods application/vnd.oasis.opendocument.spreadsheet
    .odt application/vnd.oasis.opendocument.text
    .ogg audio/ogg application/ogg
    .ogv video/ogg
    .opus audio/opus
    .p7m application/pkcs7-mime application/x-pkcs7-mime
    .p7s application/pkcs7-signature application/x-pkcs7-signature
    .pages application/vnd.apple.pages application/x-iwork-pages-sffpages
    .pdf application/pdf application/x-pdf
    .pkpass application/vnd.apple.pkpass
    .png image/png image/x-png
    .ppsx application/vnd.openxmlformats-officedocument.presentationml.slideshow
    .ppt application/vnd.ms-powerpoint
    .pptx application/vnd.openxmlformats-officedocument.presentationml.presentation
    .psd image/vnd.adobe.photoshop
    .rar application/vnd.rar application/x-rar-compressed application/x-rar
    .rtf application/rtf text/rtf
    .sqlite application/vnd.sqlite3 application/x-sqlite3
    .svg image/svg+xml
    .tar application/x-tar
    .tiff image/tiff
    .tsv text/tab-separated-values
    .txt text/plain
    .usdz model/vnd.usdz+zip
    .vcf text/vcard text/x-vcard
    .wav audio/wav audio/x-wav audio/wave audio/vnd.wave
    .weba audio/webm
    .webm video/webm
    .webp image/webp
    .wma audio/x-ms-wma
    .wmv video/x-ms-wmv
    .xls application/vnd.ms-excel
    .xlsx application/vnd.openxmlformats-officedocument.spreadsheetml.sheet
    .xml application/xml text/xml
    .yaml application/yaml application/x-yaml text/yaml text/x-yaml
    .zip application/zip application/x-zip-compressed application/x-zip
"""
_LINES = [line.split() for line in _USUAL.split("\n") if line.strip()]
_EXTENSIONS = {kind: extension for extension, *kinds in _LINES for kind in kinds} | {"application/octet-stream": ""}
_TYPES = {extension: kinds[0] for extension, *kinds in _LINES}


@functools.cache
def _others() -> mimetypes.MimeTypes:
    """Python's own table, without what the system adds to it."""
    return mimetypes.MimeTypes()


def usual(media_type: str) -> str:
    """The extension, with its dot, of a media type; empty where there is none."""
    bare = media.bare(media_type)
    found = _EXTENSIONS.get(bare)
    return found if found is not None else _others().guess_extension(bare, strict=False) or ""


def stands_for(extension: str, media_type: str) -> bool:
    """Whether an extension is one of those a media type is known by, here or to the system: names were given so."""
    return extension.lower() in mimetypes.guess_all_extensions(media.bare(media_type), strict=False)


def media_type(extension: str) -> str | None:
    """What a file with an extension (with its dot) is sent as, if it is known."""
    return _TYPES.get(extension.lower()) or _others().guess_type(f"file{extension}", strict=False)[0]

"""Sample data of Auco: processes whose files can be mirrored, and apart from them some that ended badly."""

from __future__ import annotations

import unicodedata

from attachsync.sandbox.auco import Auco
from attachsync.sandbox.tiny import pdf, png

SIGNING_KEY = "puk_sandboxSigning"
# The test file of specs/auco.md 4.
PDF = b"%PDF-1.4\n%%EOF\n"
# Processes by what they show; package and code of the first two are those of the vectors in specs/auco.md 4.
PACKAGE = "64f0c0ffee0ddba11c0ffee1"
CONTRACT = "64f0c0ffee0ddba11c0ffee2"
LABELS = "64f0c0ffee0ddba11c0ffee3"
BARE = "64f0c0ffee0ddba11c0ffee4"
EXPIRED = "64f0c0ffee0ddba11c0ffee8"
REJECTED = "64f0c0ffee0ddba11c0ffee9"
CODE = "TR99AQMY31"
DEMO_PACKAGES = (PACKAGE, LABELS, BARE)
DEMO_CODES = (CODE,)
# Labels that must not lead anywhere; the first two are one file name under NFC.
ODD_LABELS = (
    unicodedata.normalize("NFC", "cédula de ciudadanía"),
    unicodedata.normalize("NFD", "cédula de ciudadanía"),
    "../hoja/de vida",
    "..",
    ".oculto",
    "é" * 300,
)


def admit_signing(auco: Auco) -> None:
    """Let the account of the sandbox's config sign in."""
    auco.add_key(SIGNING_KEY)


def fill_signing(auco: Auco) -> None:
    """Add all processes."""
    _running(auco)
    _finished(auco)
    _labels(auco)
    _bare(auco)
    _ended(auco)


def _running(auco: Auco) -> None:
    """One signer in each status; of the second one's files one is still missing."""
    package = auco.add_package(PACKAGE)
    done = auco.add_signer(package, "01", "Firmante Uno", "uno@example.com")
    auco.add_file(done, "cedula de ciudadanía", PDF)
    auco.add_file(done, "hoja de vida", pdf("Hoja de vida"))
    auco.set_status(done, "approved")
    halfway = auco.add_signer(package, "G8", "Firmante Dos", "dos@example.com")
    auco.add_file(halfway, "selfie", png(210, 180, 160), "image/png")
    auco.add_file(halfway, "certificado laboral")
    waiting = auco.add_signer(package, "AI", "Firmante Tres", "tres@example.com")
    auco.add_file(waiting, "cedula de ciudadanía")


def _finished(auco: Auco) -> None:
    """Over, although a signer is still pending; it has a document, and so a code."""
    package = auco.add_package(CONTRACT, "Contrato", CODE, document=pdf("Contrato"))
    package.custom = {"externalId": "ORDER-123"}
    signer = auco.add_signer(package, "01", "Firmante Uno", "uno@example.com")
    auco.add_image(signer, "identificationCard", b"\xff\xd8\xff\xe0 card")
    auco.add_image(signer, "photo", b"\xff\xd8\xff\xe0 photo", presigned=False)
    auco.add_file(signer, "soporte", pdf("Soporte"))
    auco.set_status(signer, "approved")
    auco.add_file(auco.add_signer(package, "02"), "soporte")
    auco.finish(package)


def _labels(auco: Auco) -> None:
    """Equal labels, equal bytes, and labels that make poor file names."""
    package = auco.add_package(LABELS, "Etiquetas")
    signer = auco.add_signer(package, "007")
    for text in ("Certificado uno", "Certificado dos"):
        auco.add_file(signer, "certificado", pdf(text))
    auco.add_file(signer, "copia", pdf("Certificado uno"))
    odd = auco.add_signer(package, "X/../1")
    for number, label in enumerate(ODD_LABELS, 1):
        auco.add_file(odd, label, pdf(f"Label {number}"))
    for one in (signer, odd):
        auco.set_status(one, "approved")


def _bare(auco: Auco) -> None:
    """Files served without an ETag, without a type, and empty."""
    package = auco.add_package(BARE, "Sin etiquetas")
    signer = auco.add_signer(package, "01")
    auco.add_file(signer, "sin etag", pdf("Sin ETag"), etag=False)
    auco.add_file(signer, "sin tipo", b"texto sin tipo\n", "", etag=False)
    auco.add_file(signer, "vacío", b"", "text/plain")


def _ended(auco: Auco) -> None:
    """Processes that ended badly: `finish` never becomes true (specs/auco.md 2)."""
    for id_, end in ((EXPIRED, auco.expire), (REJECTED, auco.reject)):
        package = auco.add_package(id_, "Terminado")
        auco.add_file(auco.add_signer(package, "01"), "cedula", pdf(f"Cedula {id_[-1]}"))
        auco.add_file(auco.add_signer(package, "02"), "cedula")
        end(package)

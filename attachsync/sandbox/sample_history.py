"""Sample assets with a history: events, sharing, names, scans, tracking; a public asset; and the older archive."""

from __future__ import annotations

from attachsync.sandbox.ledger import Ledger
from attachsync.sandbox.ledger_records import Attributes
from attachsync.sandbox.sample_forms import named_asset
from attachsync.sandbox.tiny import pdf, png

PUBLIC = "208c5282-750e-4302-86f8-eb751de89005"
ARCHIVED = "3ea5aca3-da02-4bae-b6d0-85a5ab586ed6"
LONG_NAME = "é" * 300 + ".txt"


def fill_history(ledger: Ledger) -> None:
    """Add everything of specs/datatrails.md 9.5 that is not a form."""
    _shared(ledger)
    _both_maps(ledger)
    _names(ledger)
    _odd_blobs(ledger)
    _same_second(ledger)
    _tracking(ledger)
    _infected(ledger)


def _shared(ledger: Ledger) -> None:
    """One blob on two assets, and equal bytes under two blobs."""
    shared = ledger.add_blob(pdf("Shared by two assets"), "application/pdf", "SCANNED_OK")
    twins = [ledger.add_blob(png(120, 0, 120), "image/png") for _ in range(2)]
    for number, twin in enumerate(twins, 1):
        attributes: Attributes = {
            "manual": ledger.attach(shared, "manual.pdf"),
            "twin": ledger.attach(twin, f"twin {number}.png"),
        }
        named_asset(ledger, f"Shared {number}", attributes)


def _both_maps(ledger: Ledger) -> None:
    """An event with attachments in both of its attribute maps, declared years before it was accepted."""
    asset = named_asset(ledger, "Both maps", {})
    about = ledger.add_blob(pdf("About the event"), "application/pdf")
    given = ledger.add_blob(png(0, 120, 120), "image/png")
    ledger.add_event(
        asset,
        {"arc_display_type": "Inspection", "conformance_report": ledger.attach(about, "conformance.pdf")},
        {"last_photo": ledger.attach(given, "photo.png")},
        declared="2019-11-27T14:44:19Z",
    )


def _names(ledger: Ledger) -> None:
    """File names that must not lead anywhere."""
    names = {"up": "../../x", "folder": "a/b", "empty": "", "long": LONG_NAME, "dots": "..", "hidden": ".profile"}
    attributes: Attributes = {}
    for key, name in names.items():
        blob = ledger.add_blob(f"the file named {key}\n".encode(), "text/plain")
        attributes[key] = ledger.attach(blob, name)
    asset = named_asset(ledger, "Names", attributes)
    equal: Attributes = {}
    for number in (1, 2):
        blob = ledger.add_blob(f"same name, file {number}\n".encode(), "text/plain")
        equal[f"page {number}"] = ledger.attach(blob, "scan.txt")
    ledger.add_event(asset, equal)


def _odd_blobs(ledger: Ledger) -> None:
    """No bytes at all; a hash in upper case; another spelling of the algorithm; the short old record."""
    nothing = ledger.add_blob(b"", "application/octet-stream")
    loud = ledger.add_blob(b"hash in upper case\n", "text/plain", "SCANNED_OK")
    old = ledger.add_blob(b"a record of 2021\n", "text/plain", minimal=True)
    shouted = ledger.attach(loud, "loud.txt") | {
        "arc_blob_hash_alg": "SHA-256",
        "arc_blob_hash_value": loud.recorded.sha256.upper(),
    }
    quiet = ledger.attach(old, "old.txt") | {"arc_blob_hash_alg": "sha256"}
    named_asset(ledger, "Odd blobs", {"nothing": ledger.attach(nothing, "nothing.bin"), "loud": shouted, "old": quiet})


def _same_second(ledger: Ledger) -> None:
    asset = named_asset(ledger, "Same second", {})
    first = ledger.add_event(asset, {"note": ledger.attach(ledger.add_blob(b"first\n", "text/plain"), "first.txt")})
    second = ledger.add_blob(b"second\n", "text/plain")
    ledger.add_event(asset, {"note": ledger.attach(second, "second.txt")}, accepted=first.accepted)


def _tracking(ledger: Ledger) -> None:
    """An asset that is untracked for good, and one that came back."""
    for name, returns in (("Untracked", False), ("Tracked again", True)):
        blob = ledger.add_blob(f"{name}\n".encode(), "text/plain")
        asset = named_asset(ledger, name, {"file": ledger.attach(blob, "file.txt")})
        ledger.track(asset, False)
        if returns:
            ledger.track(asset, True)


def _infected(ledger: Ledger) -> None:
    """The one infected file; the demo's tracks leave its asset out."""
    bad = ledger.add_blob(b"not really a virus\n", "application/zip", "SCANNED_BAD", reason="Eicar-Signature FOUND")
    ledger.add_asset({"arc_display_name": "Infected", "archive": ledger.attach(bad, "bad.zip")})


def fill_public(ledger: Ledger) -> None:
    """Add a public asset: an image, and a document published twice."""
    image = ledger.add_blob(png(255, 140, 0), "image/png", "SCANNED_OK")
    attributes: Attributes = {
        "arc_display_name": "Public model card",
        "arc_primary_image": ledger.attach(image, "card.png", "arc_primary_image"),
    }
    asset = ledger.add_asset(attributes, PUBLIC, public=True)
    for version in (1, 2):
        blob = ledger.add_blob(pdf(f"Model card, version {version}"), "application/pdf", "SCANNED_OK")
        document = ledger.attach(blob, f"ModelCard_v{version}.pdf", "published_document")
        ledger.add_event(asset, {"arc_display_type": "Publish"}, {"document_document": document})


def fill_archive(ledger: Ledger) -> None:
    """Add what the RKVST account sees: one asset with an image and an event."""
    image = ledger.add_blob(png(10, 10, 10), "image/jpg", "SCANNED_OK")
    report = ledger.add_blob(pdf("Report of 2022"), "application/pdf", minimal=True)
    asset = ledger.add_asset(
        {"arc_display_name": "Archived", "arc_primary_image": ledger.attach(image, "cover.jpg", "arc_primary_image")},
        ARCHIVED,
    )
    ledger.add_event(asset, {"report": ledger.attach(report, "report.pdf")})

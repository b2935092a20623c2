"""One sample asset for each form in which a reference to a blob appears (specs/datatrails.md 1.9), and look-alikes."""

from __future__ import annotations

from attachsync.sandbox.ledger import Ledger
from attachsync.sandbox.ledger_records import Asset, Attributes, Blob, Text
from attachsync.sandbox.tiny import pdf, png

# The asset, and the first blob, of the vectors in specs/datatrails.md 6.
LIGHT = "c04d5ecf-02e0-4be2-a014-ffbbf0e8ddeb"
LIGHT_IMAGE = "08838336-c357-460d-902a-3aba9528dd22"
LIGHT_LEGACY = "1754b920-cf20-4d7e-9d36-9ed7d479744d"
# What the demo's track of all assets filters on; the infected file's asset lacks it.
MARK: Attributes = {"sandbox_sample": "mirror"}


def named_asset(ledger: Ledger, name: str, attributes: Attributes, uuid: str | None = None) -> Asset:
    """Add an asset that the demo's track includes."""
    return ledger.add_asset({"arc_display_name": name, "arc_display_type": "Sample", **MARK, **attributes}, uuid)


def fill_forms(ledger: Ledger) -> None:
    """Add forms A to X."""
    _form_a(ledger)
    _vectors(ledger)
    _form_c(ledger)
    _forms_d2_f(ledger)
    _form_e(ledger)
    _forms_g_h(ledger)
    _look_alikes(ledger)


def legacy(blob: Blob, name: str) -> Text:
    """Return a reference of the old list (form D)."""
    return {
        "arc_display_name": name,
        "arc_attachment_identity": blob.identity,
        "arc_hash_alg": "sha256",
        "arc_hash_value": blob.recorded.sha256,
    }


def _form_a(ledger: Ledger) -> None:
    red = ledger.add_blob(png(200, 30, 30), "image/png", "SCANNED_OK")
    value = ledger.attach(red, "red.png", "A red square", datatrails_samples_display_name="red")
    named_asset(ledger, "Form A", {"photos/red_png": value})


def _vectors(ledger: Ledger) -> None:
    """Forms B and D, with the bytes, hashes and identities of the vectors."""
    one = ledger.add_blob(b"attachsync vector one\n", "image/jpeg", uuid=LIGHT_IMAGE, minimal=True)
    two = ledger.add_blob(b"attachsync vector two\n", "image/jpeg", uuid=LIGHT_LEGACY)
    attributes: Attributes = {
        "arc_display_name": "tcl.ccj.003",
        "arc_display_type": "Traffic light",
        "weight": "3.6kg",
        "arc_primary_image": ledger.attach(one, "cat.jpeg", "arc_primary_image"),
        "arc_attachments": [legacy(two, "Picture from yesterday")],
    }
    ledger.add_asset(MARK | attributes, LIGHT)


def _form_c(ledger: Ledger) -> None:
    """A document profile whose first version is superseded by a second one."""
    asset = named_asset(ledger, "Form C", {"arc_profile": "Document"})
    for version, status in (("1", "SCANNED_OK"), ("2", "NOT_SCANNED")):
        blob = ledger.add_blob(pdf(f"Form C, version {version}"), "application/pdf")
        ledger.set_scanned(blob, "SCANNED_OK" if status == "SCANNED_OK" else "NOT_SCANNED")
        document = ledger.attach(blob, f"Doc v{version}.pdf", "published_document")
        published: Attributes = {
            "document_document": document,
            "document_hash_value": blob.recorded.sha256,
            "document_hash_alg": "sha256",
            "document_version": version,
            "document_status": "Published",
        }
        ledger.add_event(asset, {"arc_display_type": "Publish"}, published)


def _forms_d2_f(ledger: Ledger) -> None:
    green, blue, grey = (ledger.add_blob(png(*rgb), "image/png") for rgb in ((0, 160, 60), (20, 60, 200), (99, 99, 99)))
    named_asset(ledger, "Form D2", {"arc_attachments": [ledger.attach(green, "green.png"), ledger.attach(blue)]})
    named_asset(ledger, "Form F", {"test_filename1": [ledger.attach(grey, "grey.png")]})


def _form_e(ledger: Ledger) -> None:
    """Appended attachments: the event's list, and the merged one that it gave the asset."""
    asset = named_asset(ledger, "Form E", {})
    newline = ledger.add_blob(b"\n", "text/plain; charset=utf-8")
    entry = legacy(newline, "an attachment 1")
    ledger.add_event(
        asset,
        {"arc_append_attachments": [entry]},
        {"arc_attachments": [entry]},
        operation="Attach",
        behaviour="Attachments",
    )


def _forms_g_h(ledger: Ledger) -> None:
    report = ledger.add_blob(pdf("Conformance report"), "application/pdf")
    sbom = ledger.add_blob(b'{"bomFormat":"CycloneDX","specVersion":"1.4"}\n', "application/json")
    old = ledger.add_blob(png(250, 200, 0), "image/png")
    doubled: Attributes = {"sbom_identity": sbom.identity, "sbom": ledger.attach(sbom, "sbom.json")}
    named_asset(ledger, "Form G, doubled", doubled)
    named_asset(ledger, "Form G, alone", {"conformance_report": report.identity})
    named_asset(ledger, "Form H", {"arc_primary_image_identity": f"attachments/{old.uuid}"})


def _look_alikes(ledger: Ledger) -> None:
    external: Text = {"arc_blob_hash_value": "9f" * 32, "arc_blob_hash_alg": "SHA256", "arc_file_name": "external.mov"}
    named_asset(ledger, "Form X", {**external})
    named_asset(
        ledger,
        "Look-alikes",
        {
            "arc_access_policy_always_read": [
                {"tessera": "SmL4PHAHXLdpkj/c6Xs+2br+hxqLmhcRk75Hkj5DyEQ=", "wallet": "0x5eC362570D1b52a016"}
            ],
            "document_version_authors": [{"display_name": "George", "email": "g@example.tv"}],
            "note": "see blobs/ for more",
            "elsewhere": {"arc_blob_identity": "blobs/not-a-uuid", "arc_file_name": "nothing.bin"},
        },
    )

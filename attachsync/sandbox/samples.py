"""Deterministic sample data: the same identities, hashes and times at every start."""

from __future__ import annotations

from attachsync.sandbox.sample_chat import CONVERSATION, fill_sunshine
from attachsync.sandbox.sample_forms import LIGHT, fill_forms
from attachsync.sandbox.sample_history import fill_archive, fill_history, fill_public
from attachsync.sandbox.sample_ids import PENDING, admit_ids, fill_ids
from attachsync.sandbox.sample_signing import PACKAGE, admit_signing, fill_signing
from attachsync.sandbox.service import Sandbox
from attachsync.sandbox.tiny import pdf, png

# What the accounts of the sandbox's config sign in with.
LEDGER_BEARER = "sandbox-ledger-bearer"
ARCHIVE_CLIENT = ("d1fb6c87-faa9-4d56-b2fd-a5b70a9af065", "5a" * 32)


def admit(box: Sandbox) -> None:
    """Let the accounts of the sandbox's config sign in."""
    box.datatrails.add_token(LEDGER_BEARER)
    box.rkvst.add_client(*ARCHIVE_CLIENT)
    admit_ids(box.trinsic)
    admit_signing(box.auco)


def sample(box: Sandbox) -> None:
    """Fill an empty sandbox; call it once."""
    admit(box)
    fill_forms(box.datatrails)
    fill_history(box.datatrails)
    fill_public(box.datatrails)
    fill_archive(box.rkvst)
    fill_sunshine(box.sunshine)
    fill_ids(box.trinsic)
    fill_signing(box.auco)


def sample_later(box: Sandbox) -> None:
    """Fill an empty sandbox with what `sample` does, and with one more attachment in each service."""
    sample(box)
    trail, archive = box.datatrails, box.rkvst
    photo = trail.add_blob(png(20, 200, 20), "image/png", scanned="SCANNED_OK")
    trail.add_event(trail.assets[LIGHT], {"photo": trail.attach(photo, file_name="after repair.png")})
    report = archive.add_blob(pdf("Second report"), "application/pdf", scanned="SCANNED_OK")
    archived = next(iter(archive.assets.values()))
    archive.add_event(archived, {"report": archive.attach(report, file_name="second report.pdf")})
    chat = box.sunshine.conversations[CONVERSATION]
    receipt = box.sunshine.add_media(pdf("Receipt"), "receipt.pdf", "application/pdf", chat)
    box.sunshine.add_message(chat, box.sunshine.file_content(receipt))
    box.trinsic.add_attachment(PENDING, "document_front", png(120, 120, 180), "image/png")
    box.trinsic.finish(PENDING)
    signer = box.auco.signer(PACKAGE, "AI")
    box.auco.upload(signer.files[0], pdf("Cedula"))

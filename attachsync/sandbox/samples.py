"""Deterministic sample data: the same identities, hashes and times at every start."""

from __future__ import annotations

from attachsync.sandbox.sample_chat import fill_sunshine
from attachsync.sandbox.sample_forms import fill_forms
from attachsync.sandbox.sample_history import fill_archive, fill_history, fill_public
from attachsync.sandbox.sample_ids import admit_ids, fill_ids
from attachsync.sandbox.sample_signing import admit_signing, fill_signing
from attachsync.sandbox.service import Sandbox

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

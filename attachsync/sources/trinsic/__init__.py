"""Trinsic: attachments of identity verification sessions, and behind access keys (specs/trinsic.md)."""

from attachsync.sources.trinsic.keys import SERVICE

__all__ = ["SERVICE"]

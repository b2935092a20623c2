"""DataTrails: attachments of ledger assets and of their events (specs/datatrails.md)."""

from attachsync.sources.datatrails.keys import SERVICE

__all__ = ["SERVICE"]

"""Sunshine Conversations: files sent as attachments, and as messages (specs/sunshine.md)."""

from attachsync.sources.sunshine.keys import SERVICE

__all__ = ["SERVICE"]

"""Auco: files that signers upload inside a process (specs/auco.md)."""

from attachsync.sources.auco.keys import SERVICE

__all__ = ["SERVICE"]

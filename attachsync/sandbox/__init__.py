"""Emulations of the services on loopback, written from their documents alone, with faults on demand."""

from __future__ import annotations

from attachsync.sandbox.config import write_config
from attachsync.sandbox.faults import Fault
from attachsync.sandbox.requests import Request
from attachsync.sandbox.samples import sample, sample_later
from attachsync.sandbox.serve import serve
from attachsync.sandbox.service import Sandbox

__all__ = ["Fault", "Request", "Sandbox", "sample", "sample_later", "serve", "write_config"]

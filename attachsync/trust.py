"""Whom a connection trusts: by which certificates the other side's is verified. It always is."""

import functools
import ssl
from pathlib import Path


class Trust:
    """Whom an account's connections trust: `ca_file`, else the system's certificates, once they are needed."""

    def __init__(self, ca_file: Path | None) -> None:
        self._context = None if ca_file is None else _trusting(ca_file)

    @property
    def context(self) -> ssl.SSLContext:
        """By which certificates are verified."""
        if self._context is None:
            self._context = _of_the_system()
        return self._context


@functools.cache
def _of_the_system() -> ssl.SSLContext:
    """The same for all accounts: it takes some time and room."""
    return _trusting(None)


def _trusting(ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    context.set_alpn_protocols(["http/1.1"])
    return context

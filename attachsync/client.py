"""aiohttp, loaded without the system's certificates: it would read them twice, before anybody has asked for anything.

That takes half as long again as loading it. Whoever sends something imports it from here, and says to each request by
`Trust` whom to trust.
"""

import contextlib
import functools
import os
import ssl
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def _without_certificates() -> Iterator[None]:
    """Inside, OpenSSL finds none by default."""
    name = ssl.get_default_verify_paths().openssl_cafile_env
    before = os.environ.get(name)
    os.environ[name] = os.devnull
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


with _without_certificates():
    import aiohttp
    from aiohttp.abc import AbstractResolver, AbstractStreamWriter, ResolveResult
    from aiohttp.payload import Payload

__all__ = ["AbstractResolver", "AbstractStreamWriter", "Payload", "ResolveResult", "Trust", "aiohttp"]


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

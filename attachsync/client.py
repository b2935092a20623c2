"""aiohttp, loaded without the system's certificates: it would read them twice, before anybody has asked for anything.

That takes half as long again as loading it. Whoever sends something imports it from here, and says with each request
whom to trust (`trust`).
"""

import contextlib
import os
import ssl
from collections.abc import Iterator


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

__all__ = ["AbstractResolver", "AbstractStreamWriter", "Payload", "ResolveResult", "aiohttp"]

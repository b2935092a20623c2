"""Names to addresses, as far as an account may reach them."""

import socket

from attachsync.client import AbstractResolver, ResolveResult, aiohttp
from attachsync.errors import RefusedError
from attachsync.origins import Boundary, is_public


class GuardedResolver(AbstractResolver):
    """Resolves names, and leaves out addresses that the account must not reach (DNS rebinding included)."""

    def __init__(self, boundary: Boundary) -> None:
        self._inner = aiohttp.ThreadedResolver()
        self._boundary = boundary

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a host. Raises RefusedError where it has none that may be reached."""
        found = await self._inner.resolve(host, port, family)
        if self._boundary.trusts(host):
            return found
        public = [entry for entry in found if is_public(entry["host"])]
        if not public:
            raise RefusedError(f"{host} is at a private address: not followed", code="address")
        return public

    async def close(self) -> None:
        """Close what it was made of."""
        await self._inner.close()

"""Serves a sandbox on loopback."""

from __future__ import annotations

from aiohttp import web

from attachsync.sandbox.service import Sandbox

LOOPBACK = "127.0.0.1"


async def serve(box: Sandbox, port: int = 0) -> tuple[web.AppRunner, int]:
    """Listen on a port of 127.0.0.1 (0: any free one); end it with `await runner.cleanup()`, which takes no second."""
    runner = web.AppRunner(box.app(), access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, LOOPBACK, port)
    await site.start()
    return runner, int(runner.addresses[0][1])

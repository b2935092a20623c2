"""Serves a sandbox on loopback."""

from __future__ import annotations

from aiohttp import web

from attachsync.sandbox.service import Sandbox

LOOPBACK = "127.0.0.1"


async def serve(box: Sandbox, port: int = 0) -> tuple[web.AppRunner, int]:
    """Listen on a port of 127.0.0.1 (0: any free one); end it with `await runner.cleanup()`, which takes no second.

    A second, free port serves what Auco's links lead to, `box.auco.links_origin`; it ends with the first.
    """
    app, links = box.app(), _runner(box.links_app())

    async def end_links(_app: web.Application) -> None:
        await links.cleanup()

    app.on_cleanup.append(end_links)
    runner = _runner(app)
    try:
        box.auco.links_origin = f"http://{LOOPBACK}:{await _listen(links, 0)}"
        return runner, await _listen(runner, port)
    except OSError:
        await runner.cleanup()
        await links.cleanup()
        raise


def _runner(app: web.Application) -> web.AppRunner:
    return web.AppRunner(app, access_log=None, shutdown_timeout=0.2)


async def _listen(runner: web.AppRunner, port: int) -> int:
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, port).start()
    return int(runner.addresses[0][1])

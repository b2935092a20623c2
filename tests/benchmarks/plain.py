"""What a script without a daemon's duties would do: `python -m tests.benchmarks.plain URL SUMS TARGET`."""

import asyncio
import hashlib
import sys
from pathlib import Path

import aiofiles
import aiohttp

_CHUNK = 64 * 1024
_AT_A_TIME = 32


async def _main(base: str, sums: Path, target: Path) -> int:
    waiting = iter([line.split() for line in sums.read_text().splitlines()])
    wrong: list[str] = []

    async def work(session: aiohttp.ClientSession) -> None:
        for digest, name in waiting:
            found = hashlib.sha256()
            async with session.get(f"{base}/{name}") as answer, aiofiles.open(target / name, "wb") as file:
                async for chunk in answer.content.iter_chunked(_CHUNK):
                    found.update(chunk)
                    await file.write(chunk)
            if found.hexdigest() != digest:
                wrong.append(name)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(work(session) for _ in range(_AT_A_TIME)))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(_main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))))

"""Just enough of a ledger's lists, and of a chat's uploads, to be no hindrance: `python -m tests.benchmarks.ledger`.

Blobs and their `/info` are nginx's part.
"""

import asyncio
import json
import re
import sys
from collections import defaultdict
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_ASSET = re.compile(r"/archivist/v2/(assets/[0-9a-f-]{36})(/events)?")
_LARGEST_PAGE = 500


class Lists:
    """The records of a corpus, as they go over the wire."""

    def __init__(self, folder: Path) -> None:
        self.assets: dict[str, bytes] = {}
        self.events: list[tuple[str, bytes]] = []
        self.of_asset: dict[str, list[tuple[str, bytes]]] = defaultdict(list)
        for line in _lines(folder / "assets.jsonl"):
            self.assets[json.loads(line)["identity"]] = line
        for line in _lines(folder / "events.jsonl"):
            event = json.loads(line)
            self.events.append((event["timestamp_accepted"], line))
            self.of_asset[event["asset_identity"]].append(self.events[-1])

    def answer(self, target: str) -> tuple[int, bytes]:
        """(status, body) of a GET."""
        url = urlsplit(target)
        query = dict(parse_qsl(url.query))
        if url.path == "/archivist/v2/assets":
            return 200, _page("assets", list(self.assets.values()), query)
        if url.path == "/archivist/v2/assets/-/events":
            return 200, _page("events", _since(self.events, query), query)
        match = _ASSET.fullmatch(url.path)
        if match is None or match[1] not in self.assets:
            return 404, b'{"code":5,"message":"not found"}'
        if match[2]:
            return 200, _page("events", _since(self.of_asset[match[1]], query), query)
        return 200, self.assets[match[1]]


def _lines(file: Path) -> list[bytes]:
    return file.read_bytes().splitlines() if file.exists() else []


def _since(events: list[tuple[str, bytes]], query: dict[str, str]) -> list[bytes]:
    """Newest first; stamps of one form compare as text."""
    since = query.get("timestamp_accepted_since", "")
    found = []
    for stamp, line in events:
        if stamp <= since:
            break
        found.append(line)
    return found


def _page(kind: str, records: list[bytes], query: dict[str, str]) -> bytes:
    size, first = min(int(query.get("page_size", "100")), _LARGEST_PAGE), int(query.get("page_token", "0"))
    token = str(first + size) if first + size < len(records) else ""
    body = b",".join(records[first : first + size])
    return b'{"%s":[%s],"next_page_token":"%s"}' % (kind.encode(), body, token.encode())


class Connection(asyncio.Protocol):
    """One client's connection; requests on it are answered in turn."""

    def __init__(self, lists: Lists) -> None:
        self._lists = lists
        self._held = bytearray()
        self._uploads = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole."""
        self._held += data
        while (end := self._held.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._held[:end])
            length = _LENGTH.search(head)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._held) < whole:
                return
            del self._held[:whole]
            method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
            status, body = self._uploaded() if method == "POST" else self._lists.answer(target)
            said = f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            self._transport.write(said.encode() + body)

    def _uploaded(self) -> tuple[int, bytes]:
        self._uploads += 1
        url = f"https://media.example/{id(self)}/{self._uploads}.pdf"
        return 201, json.dumps({"attachment": {"mediaUrl": url, "mediaType": "application/pdf"}}).encode()


async def _serve(folder: Path, port: int) -> None:
    lists = Lists(folder)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(lists), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), int(sys.argv[2])))

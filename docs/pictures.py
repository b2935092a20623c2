"""Makes the pictures of `sync` and `status` anew, from real passes over the sandbox: `python docs/pictures.py [DIR]`.

What they show of this machine (where its folders are, which port was free) is replaced by what a reader would have.
"""

import asyncio
import dataclasses
import html
import io
import re
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.cells import cell_len
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from attachsync import config as configs
from attachsync import lock, log, status
from attachsync.cli import screen, summary
from attachsync.cli.live import LiveView
from attachsync.cli.sync import synced
from attachsync.index import Index
from attachsync.needs import Need
from attachsync.observer import Filed, Reading
from attachsync.reader import Config
from attachsync.sandbox import Fault, Sandbox, sample, serve, write_config
from attachsync.sandbox.content import Grown
from attachsync.units import rfc3339

WIDTH = 100
HOME = "/var/lib/attachsync"
_FORMAT = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
"""Without fonts that would be loaded from elsewhere."""
_THEME = TerminalTheme(
    (28, 30, 38),
    (214, 217, 224),
    [(28, 30, 38), (240, 113, 120), (126, 200, 120), (229, 192, 100), *[(130, 170, 255)] * 3, (214, 217, 224)],
)
_CELL = 12.2
_TEXT = re.compile(
    r'<text(?P<start>[^>]*? )x="(?P<x>[\d.]+)"(?P<y>[^>]*? )textLength="[\d.]+"(?P<end>[^>]*)>(?P<said>.*?)</text>'
)
_SLOW = (
    Fault(path="*/attachments/*", kind="drip", method="GET", size=65_536, every=0.05),
    Fault(path="*/blobs/*", kind="drip", method="GET", size=65_536, every=0.05),
    Fault(path="/auco/attachments*", kind="drip", method="GET", size=600, every=0.3),
)
"""So slow that there is something to see."""
_WRONG = (Fault(path="/rkvst/*", kind="status", status=401),)


_MOMENT = 18_000_000


def main() -> None:
    """Write sync.svg, done.svg and status.svg."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    log.quietly()
    with tempfile.TemporaryDirectory() as home:
        for name, lines in asyncio.run(_made(Path(home).resolve())).items():
            (folder / f"{name}.svg").write_text(_picture(name, lines), encoding="utf-8")


class _Photographed(LiveView):
    """A view of which the picture is kept that it shows when so much of everything has come."""

    picture: Sequence[str] = ()

    def queued(self, account: str, outbox: str, count: int) -> None:
        """Shown where a reader would have it."""
        super().queued(account, f"{HOME}/outbox", count)

    def filed(self, filed: Filed) -> None:
        """Shown where a reader would have it."""
        super().filed(dataclasses.replace(filed, outbox=f"{HOME}/outbox"))

    def received(self, reading: Reading, count: int) -> None:
        """Look whether it is time."""
        super().received(reading, count)
        if not self.picture and self.board.bytes > _MOMENT:
            self.picture = self.board.lines(WIDTH, 40)


async def _made(home: Path) -> dict[str, Sequence[str]]:
    """The lines of each picture."""
    box = Sandbox()
    sample(box)
    _films(box)
    runner, port = await serve(box)
    try:
        config = _config(box, port, home)
        box.faults.add(*_SLOW)
        view = _Photographed(Console(file=io.StringIO(), width=WIDTH))
        came_to = await synced(config, None, view)
        box.faults.clear()
        box.faults.add(*_WRONG)
        await synced(config, None, LiveView(Console(file=io.StringIO())))
    finally:
        await runner.cleanup()
    done = list(summary.screen(came_to, view, WIDTH))
    return {"sync": view.picture, "done": done, "status": _status(config, {str(home): HOME, f":{port}": ":8080"})}


def _films(box: Sandbox) -> None:
    """Something larger, of which one is too large."""
    asset = next(iter(box.datatrails.assets.values()))
    for number, megabytes in enumerate((4, 9, 14, 30), 1):
        blob = box.datatrails.add_blob(Grown(megabytes * 1_000_000, str(number)), "video/mp4")
        film = box.datatrails.attach(blob, file_name=f"inspection {number}.mp4")
        box.datatrails.add_event(asset, event_attributes={"film": film})


def _config(box: Sandbox, port: int, home: Path) -> Config:
    folder = home / "config"
    folder.mkdir()
    text = write_config(box, f"http://127.0.0.1:{port}", folder, home / "outbox")
    text = text.replace(f'"{folder}/mirror"', f'"{home}/mirror"\nmax_size = "20MB"')
    path = folder / "config.toml"
    path.write_text(text)
    (home / "outbox" / "report.pdf").write_bytes(b"%PDF-1.4\n")
    return configs.load(path, {})


def _status(config: Config, elsewhere: Mapping[str, str]) -> list[str]:
    """As if a daemon had been running for three hours, with texts replaced before they are laid out."""
    index, now = Index.peek(config.state_directory), time.time()
    try:
        holder = lock.Holder("run", 4242, "archive-1", rfc3339(now - 3 * 3600))
        found = status.gathered(config, index, holder, now)
        found.store["free"] = 500 * 2**30
    finally:
        index.close()
    known = {field.name: _told(getattr(found, field.name), elsewhere) for field in dataclasses.fields(found)}
    return list(screen.lines(status.Status(**known), now, WIDTH))


def _told(value: Any, elsewhere: Mapping[str, str]) -> Any:
    """The same, with each text as a reader would have it."""
    match value:
        case str():
            for here, there in elsewhere.items():
                value = value.replace(here, there)
            return value
        case list():
            return [_told(one, elsewhere) for one in value]
        case dict():
            return {key: _told(one, elsewhere) for key, one in value.items()}
        case Need():
            return Need(_told(value.what, elsewhere), _told(value.do, elsewhere))
    return value


def _picture(name: str, lines: Sequence[str]) -> str:
    command = f"attachsync {'sync' if name == 'done' else name}"
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.from_ansi("\n".join([f"$ {command}", *lines])), soft_wrap=True)
    drawn = console.export_svg(title=command, theme=_THEME, code_format=_FORMAT, unique_id=f"attachsync-{name}")
    return _TEXT.sub(_placed, drawn)


def _placed(text: re.Match[str]) -> str:
    """A piece of text, each group of words at its own column, whatever a viewer does to blanks."""
    said, pieces = html.unescape(text["said"]), []
    for words in re.finditer(r"[^\xa0]+(?:\xa0[^\xa0]+)*", said):
        x, length = (_CELL * cell_len(part) for part in (said[: words.start()], words[0]))
        shown = html.escape(words[0]).replace("\xa0", "&#160;")
        start, y, end = text["start"], text["y"], text["end"]
        pieces.append(f'<text{start}x="{float(text["x"]) + x:g}"{y}textLength="{length:g}"{end}>{shown}</text>')
    return "".join(pieces)


if __name__ == "__main__":
    main()

"""kill -9, again and again, at any moment: no file is lost, none is sent twice without its receipt saying so."""

import asyncio
import random
import sys
from collections import Counter

import pytest

from attachsync.clock import Clock
from tests.outboxes import Rig, rig

_FILES = 60
_KILLS = 40

SENDER = """
import asyncio, sys
from pathlib import Path
from attachsync.clock import Clock
from attachsync.credentials import Secret
from attachsync.http import Http
from attachsync.index import Index
from attachsync.model import Account, Outbox
from attachsync.outbox import Outgoing
from attachsync.sources.sunshine import SERVICE
from attachsync.sources.sunshine.keys import AccountKeys, OutboxKeys

async def main(folder, base_url, app, conversation=None):
    keys = AccountKeys(app, "app_5963ceb97cde542d000dbdb1", Secret(folder / "secret"))
    account = Account("support", "sunshine", base_url, keys)
    options = OutboxKeys(conversation=conversation, send=conversation is not None)
    http = Http(account, SERVICE.credentials(account), Clock())
    index = Index.open(folder / "state")
    box = Outbox(folder / "outbox", "support", options, settle=0.01)
    print("ready", flush=True)
    outcome = await Outgoing(box, SERVICE.push.sender(http, options), index.uploads, Clock()).flush(1)
    await http.close()
    sys.exit(0 if outcome.complete else 1)

asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:]))
"""


async def start(one: Rig, *conversation: str) -> asyncio.subprocess.Process:
    """A process that sends what is in the outbox (to a conversation, one by one), past its imports."""
    arguments = (str(one.root.parent), one.account.base_url, one.box.sunshine.app_id, *conversation)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SENDER, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    assert process.stdout is not None
    await process.stdout.readline()
    return process


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("posted", [True, False])
async def test_killed_again_and_again(tmp_path, posted):
    """After forty kills and a last pass: each file and each message exactly once, each second upload admitted."""
    chance = random.Random(7)
    async with rig(tmp_path, Clock()) as one:
        conversation = one.box.sunshine.add_conversation()
        target = [conversation.id] if posted else []
        for number in range(_FILES):
            one.drop(f"{number % 3}/{number}.txt", b"%d" % number * 1000)
        for _ in range(_KILLS):
            process = await start(one, *target)
            await asyncio.sleep(chance.uniform(0.0, 0.12))
            if process.returncode is None:
                process.kill()
            await process.wait()
        for _ in range(3):
            for row in one.index.uploads.unfinished(str(one.root)):
                one.index.uploads.release(str(one.root), row.name, one.clock.now())  # killed five times in its turn
            process = await start(one, *target)
            last = await process.wait()
        assert last == 0
        names = [f"sent/{number % 3}/{number}.txt" for number in range(_FILES)]
        assert one.tree() == sorted([*names, *(f"{name}.toml" for name in names)])
        uploads = Counter(upload.file_name for upload in one.box.sunshine.uploads)
        media = {upload.media.url.removeprefix("sandbox:") for upload in one.box.sunshine.uploads}
        for number, name in enumerate(names):
            assert (one.root / name).read_bytes() == b"%d" % number * 1000
            said = one.document(name)
            assert said["media_url"].removeprefix(one.account.base_url) in media
            assert uploads[f"{number}.txt"] == 1 or said["possible_orphan"] is True
        assert len(conversation.messages) == (_FILES if posted else 0)
        assert {message["id"] for message in conversation.messages} == {
            one.document(name)["message_id"] for name in names if posted
        }

"""Hooks: a command that is run, or a URL that is posted to, for each change of the feed (contract 2, `[[hook]]`).

At least once: each hook has a cursor of its own in the index, which moves when what is before it was delivered or,
after many tries, given up. Hooks do not hold the mirror up; `sync` waits for them at its end.
"""

import asyncio
import hashlib
import hmac
import json
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from yarl import URL

from attachsync.clock import Clock
from attachsync.errors import AttachsyncError, CursorError, StorageError
from attachsync.feed import attributed
from attachsync.http import Http
from attachsync.index import Index
from attachsync.logger import structlog
from attachsync.model import JSON, Account, Outbox
from attachsync.repeating import attempts
from attachsync.tables import Hook

log = structlog.get_logger()

_AT_A_TIME = 4
"""Deliveries of one hook that are under way at a time."""
_BATCH = 200
_GLANCE = 0.5
"""The feed is looked at this often (seconds)."""
_TRIES, _TRIES_AT_THE_END = 10, 3
"""So often a delivery is tried by the daemon (over about twenty minutes), and at the end of a single pass."""
_LAST_WORDS = 0.2
"""What a command left behind may hold its standard error open: it is read no longer than this (seconds)."""
_LONGEST_VALUE = 16_384
_MOST_SAID = 2000
_OURS = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "CREDENTIALS_DIRECTORY", "LISTEN_FDS", "LISTEN_PID")
"""What systemd tells attachsync itself: no hook's business."""


class HookError(AttachsyncError):
    """A hook did not take an event."""


class _Unsigned:
    """A hook's URL gets a signature of what is posted, and no other credentials."""

    async def headers(self, http: Http) -> Mapping[str, str]:
        return {}

    async def renew(self, used: Mapping[str, str]) -> bool:
        return False


class Hooks:
    """All hooks of a config. `close` when done."""

    def __init__(
        self, hooks: Sequence[Hook], mirror: Path, outboxes: Sequence[Outbox], index: Index, clock: Clock
    ) -> None:
        self._mirror = mirror
        self._outboxes = outboxes
        self._index = index
        self._clock = clock
        self._following = [_Following(hook, index, clock) for hook in hooks]

    async def close(self) -> None:
        """Close connections."""
        for one in self._following:
            await one.close()

    async def keep(self) -> None:
        """For ever: deliver what comes."""
        async with asyncio.TaskGroup() as group:
            for one in self._following:
                group.create_task(self._keep(one))

    async def _keep(self, one: "_Following") -> None:
        while True:
            try:
                more = await self._deliver_some(one, _TRIES, give_up=True)
            except StorageError as error:  # a full disk stops what needs room, and is told by what needs it
                log.debug("hooks_wait", hook=one.name, error=str(error))
                more = False
            if not more:
                await self._clock.sleep(_GLANCE)

    async def drain(self) -> None:
        """Deliver what there is; what is not taken after a few tries is left for the next time."""
        async with asyncio.TaskGroup() as group:
            for one in self._following:
                group.create_task(self._drain(one))

    async def _drain(self, one: "_Following") -> None:
        while await self._deliver_some(one, _TRIES_AT_THE_END, give_up=False):
            pass

    async def _deliver_some(self, one: "_Following", tries: int, *, give_up: bool) -> bool:
        """Deliver the next few events; whether there may be more to do now."""
        batch = one.batch()
        wanted = [change for change in batch if change["event"] in one.hook.on]
        for start in range(0, len(wanted), _AT_A_TIME):
            some = wanted[start : start + _AT_A_TIME]
            taken = await asyncio.gather(*(self._delivered(one, change, tries, give_up) for change in some))
            if not all(taken):
                return False
            one.reached(str(some[-1]["cursor"]))
        if batch:
            one.reached(str(batch[-1]["cursor"]))
        return bool(batch)

    async def _delivered(self, one: "_Following", change: Mapping[str, JSON], tries: int, give_up: bool) -> bool:
        """Whether a hook is done with an event: it was taken, or is given up."""
        event = {**attributed(change, self._outboxes), "mirror": str(self._mirror)}
        try:
            async for attempt in attempts(AttachsyncError, tries, wait_initial=1.0, wait_max=300.0, wait_exp_base=3):
                with attempt:
                    await one.deliver(event)
        except AttachsyncError as error:
            note = "given up" if give_up else "tried again next time"
            log.error("hook_failed", hook=one.name, event_cursor=change["cursor"], error=str(error), note=note)
            return give_up
        return True


class _Following:
    """One hook and how far it has come. It begins with what changes after it was first seen."""

    def __init__(self, hook: Hook, index: Index, clock: Clock) -> None:
        self.hook = hook
        self.name = str(URL(hook.url).origin()) if hook.url else hook.command[0]
        self._changes = index.changes
        self._database = index.database
        self._key = "hook " + hashlib.sha256(repr((hook.on, hook.command, hook.url)).encode()).hexdigest()[:16]
        self._http: Http | None = None
        if hook.url:
            self._http = Http(Account("hook", "", hook.url, None), _Unsigned(), clock)
        if self._database.noted(self._key) is None:
            self.reached(self._changes.end())

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()

    def batch(self) -> list[dict[str, JSON]]:
        """What comes next. A cursor of an index that was made anew counts for nothing."""
        try:
            return self._changes.since(self._database.noted(self._key), _BATCH)
        except CursorError:
            return self._changes.since(None, _BATCH)

    def reached(self, cursor: str) -> None:
        self._database.note(self._key, cursor)

    async def deliver(self, event: Mapping[str, JSON]) -> None:
        """Give the hook one event. Raises HookError, UnavailableError, RejectedError and the like."""
        body = json.dumps(event, ensure_ascii=False).encode(errors="replace")
        try:
            async with asyncio.timeout(self.hook.timeout):
                await (self._post(body) if self._http else self._run(event, body))
        except TimeoutError:
            raise HookError(f"{self.name}: it took longer than {self.hook.timeout:g} s") from None

    async def _post(self, body: bytes) -> None:
        assert self._http is not None
        assert self.hook.secret_file is not None
        secret = await self.hook.secret_file.value()
        signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "X-Attachsync-Signature-256": f"sha256={signature}"}
        await self._http.post(URL(self.hook.url or ""), lambda: {"data": body, "headers": headers}, link=True)

    async def _run(self, event: Mapping[str, JSON], body: bytes) -> None:
        try:
            process = await asyncio.create_subprocess_exec(
                *self.hook.command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                env=_environment(event),
                start_new_session=True,
            )
        except (OSError, ValueError) as error:  # a fact that no environment can hold is a ValueError
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise HookError(f"{self.name}: cannot be run: {reason}") from None
        try:
            said = await _fed(process, body)
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if process.returncode:
            raise HookError(f"{self.name}: exit code {process.returncode}" + (f": {said}" if said else ""))


async def _fed(process: asyncio.subprocess.Process, body: bytes) -> str:
    """Give a process its input, which it need not read, and wait for its end; the end of what it said."""
    assert process.stdin is not None
    assert process.stderr is not None
    with suppress(RuntimeError, OSError):  # uvloop's word for a pipe whose other end is closed is RuntimeError
        process.stdin.write(body)
        process.stdin.close()
    said = bytearray()
    listening = asyncio.ensure_future(_heard(process.stderr, said))
    try:
        await process.wait()
        await asyncio.wait({listening}, timeout=_LAST_WORDS)
    finally:
        listening.cancel()
    return " ".join(said.decode(errors="replace").split())


async def _heard(stream: asyncio.StreamReader, said: bytearray) -> None:
    while block := await stream.read(65_536):
        said += block
        del said[:-_MOST_SAID]


def _environment(event: Mapping[str, JSON]) -> dict[str, str]:
    """Ours, and each fact of the event as ATTACHSYNC_NAME."""
    inherited = {name: value for name, value in os.environ.items() if name not in _OURS}
    facts = {f"ATTACHSYNC_{name.upper()}": str(value) for name, value in event.items() if value is not None}
    return inherited | {name: value.replace("\0", "")[:_LONGEST_VALUE] for name, value in facts.items()}

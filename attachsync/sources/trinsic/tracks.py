"""What one track mirrors: sessions, of the config or of a list, or what is behind the access keys of a list."""

from dataclasses import dataclass, field

from attachsync.credentials import Secret
from attachsync.errors import NotReadyError
from attachsync.sources.trinsic import schedule
from attachsync.sources.trinsic.lists import KeyLine, Lines, SessionLine, Watched


@dataclass(frozen=True, slots=True)
class Target:
    """Exactly one of: a session with the file of its results key, a list of sessions, a list of access keys."""

    session: str | None = None
    results_key_file: Secret | None = None
    sessions: Watched[SessionLine] | None = None
    access_keys: Watched[KeyLine] | None = None

    async def session_lines(self) -> Lines[SessionLine]:
        """The sessions and their results keys. Raises RefusedError, AuthFailedError."""
        if self.sessions is not None:
            return await self.sessions.lines()
        assert self.session is not None
        assert self.results_key_file is not None
        return Lines({self.session: SessionLine(self.session, await self.results_key_file.value())})

    async def session_line(self, session: str) -> SessionLine:
        """One session's line; raises NotReadyError while it has none any more."""
        line = (await self.session_lines()).found.get(session)
        if line is None:
            raise self._unlisted(f"session {session}")
        return line

    async def key_line(self, identity: str) -> KeyLine:
        """One access key's line; raises NotReadyError while it has none any more."""
        assert self.access_keys is not None
        line = (await self.access_keys.lines()).found.get(identity)
        if line is None:
            raise self._unlisted(f"access key {identity}")
        return line

    def _unlisted(self, what: str) -> NotReadyError:
        """Who takes a line out asks for nothing more: no failure. The line may come back."""
        return NotReadyError(f"{what} is not in {self.file} any more", after=schedule.LONGEST)

    @property
    def file(self) -> str:
        """The file that its keys are in."""
        watched = self.sessions or self.access_keys
        held = watched.file if watched else self.results_key_file
        assert held is not None
        return str(held.path)


@dataclass(slots=True)
class Patience:
    """How often each thing was not ready, and since when (monotonic), in this process."""

    asked: dict[str, tuple[int, float]] = field(default_factory=dict)

    def again(self, what: str, now: float) -> float:
        """It is not ready once more: seconds until it is worth asking again."""
        before, since = self.asked.get(what, (0, now))
        self.asked[what] = before + 1, since
        return schedule.wait(before, now - since)

    def over(self, what: str) -> None:
        """It has come."""
        self.asked.pop(what, None)

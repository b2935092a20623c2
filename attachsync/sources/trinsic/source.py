"""Listing and reading what one Trinsic account's tracks name (specs/trinsic.md 1.1, 1.4, 1.5, 2)."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from yarl import URL

from attachsync import discretion
from attachsync.errors import (
    AttachsyncError,
    AuthFailedError,
    EndedError,
    GoneError,
    MalformedError,
    NotReadyError,
    RefusedError,
    RejectedError,
    UnavailableError,
    UnsupportedError,
)
from attachsync.http import Http
from attachsync.model import JSON, Attachment, Body, Cursors, Facts, Page, Track
from attachsync.sources.trinsic import content, finished, records
from attachsync.sources.trinsic.finished import Finished
from attachsync.sources.trinsic.lists import KeyLine, SessionLine
from attachsync.sources.trinsic.tracks import Patience, Target
from attachsync.units import counted

_PROFILES = "/api/valpha/verification-profiles"
_TROUBLE = (MalformedError, RefusedError, RejectedError, UnavailableError)
_MOST_TOLD = 5
_NO_MORE = (400, 404, 409, 410, 422)
"""What an access key that is unknown, spent or expired may be answered (1.7, 1.8)."""


@dataclass(frozen=True, slots=True)
class _Request:
    """A POST that is answered with content, and how to understand what it says."""

    where: str
    url: URL
    body: Mapping[str, str] = field(repr=False)
    secret: str = field(repr=False)
    key: str
    by_access_key: bool


class TrinsicSource:
    """One account of Trinsic. `target` tells what a track mirrors."""

    def __init__(self, http: Http, attachments_api: str, target: Callable[[Track], Target]) -> None:
        self._http = http
        self._api = attachments_api
        self._target = target
        self._patience = Patience()
        self._due: dict[str, float] = {}

    # --- listing --------------------------------------------------------------------------------------------------

    async def pages(self, track: Track, cursors: Cursors) -> AsyncIterator[Page]:
        """What finished sessions hold that were not finished yet, or the access keys of a list; no key is used.

        Trouble with one session or line does not keep the others back; it is raised at the end. So is NotReadyError,
        while sessions are pending: `after` says when to look again.
        """
        target = self._target(track)
        if target.access_keys is None:
            async for page in self._sessions(track, target, cursors):
                yield page
            return
        keys = await target.access_keys.lines()
        wait = 0.0 if cursors.thorough else target.access_keys.being_written(keys, self._http.clock.now())
        whole = {identity: line for identity, line in keys.found.items() if not wait or identity != keys.unended}
        yield Page(tuple(_behind(track.name, identity, line.name) for identity, line in whole.items()))
        if wait:
            raise NotReadyError(f"{target.file}: its last line is being written", after=wait)
        if fault := target.access_keys.fault(keys):
            raise fault

    async def _sessions(self, track: Track, target: Target, cursors: Cursors) -> AsyncIterator[Page]:
        sessions = await target.session_lines()
        troubles: list[AttachsyncError] = []
        refused, heard = list[tuple[SessionLine, Finished]](), False
        if target.sessions is not None and (fault := target.sessions.fault(sessions)):
            troubles.append(fault)
        for line in sessions.found.values():
            settled = finished.read(cursors.get(_feed(line.session)))
            try:
                if settled is not None:
                    if track.on_gone == "delete" and settled.is_due(self._http.clock.now(), thorough=cursors.thorough):
                        page = await self._asked_again(track, line, settled)
                        heard = heard or page is not None
                        refused += [(line, settled)] if page is None else []
                        yield page or Page(())
                elif self._due.get(line.session, 0.0) <= self._now():
                    found, heard = await self._results(line, target.file), True
                    yield self._page(track, line, found)
                    _check_whole(line, found)
            except _TROUBLE as error:
                if settled is None and isinstance(error, UnavailableError) and error.status == 503:
                    self._pends(line.session, error.retry_after)
                else:
                    troubles.append(error)
        if not heard and (doubt := finished.doubt([line for line, _ in refused])):
            troubles.append(doubt)
        else:
            for line, settled in refused:
                yield _redacted(line, settled)
        if troubles:
            raise _together(troubles)
        self._tell_pending(sessions.found)

    async def _results(self, line: SessionLine, file: str) -> records.Results:
        """How far a session has come: repeatable, as its results key, kept in `file`, is for polling (1.4, 1.8)."""
        url = self._http.url(f"/api/v1/sessions/{line.session}/results")
        carried = {"json": {"resultsAccessKey": line.results_key}, "headers": {"Accept": "application/json"}}
        with discretion.keeping(line.results_key):
            try:
                reply = await self._http.post(url, lambda: carried, repeat=True)
            except AuthFailedError as error:
                raise _explained(await self._of_a_key(error), file) from None
            except RejectedError as error:
                raise _explained(error, file) from None
        if reply.status == 202:
            return records.Results(False)
        try:
            return records.results(reply.object(), line.session)
        except MalformedError as error:
            said = str(error)
            raise MalformedError(said if said.startswith(reply.where) else f"{reply.where}: {said}") from None

    def _page(self, track: Track, line: SessionLine, found: records.Results) -> Page:
        """What a session brings, and that it is finished for good, if it is."""
        if not found.done:
            self._pends(line.session)
            return Page(())
        self._patience.over(_feed(line.session))
        self._due.pop(line.session, None)
        items = tuple(records.attachments(track.name, line.session, line.name, found))
        settled = finished.of(line, found, self._http.clock.now())
        return Page(items, {} if found.unsound else {_feed(line.session): settled.mark()})

    def _pends(self, session: str, asked: float | None = None) -> None:
        """A session is not ready yet (a 503 may be an outage as well: one schedule for both, 2): look again later."""
        wait = max(self._patience.again(_feed(session), self._now()), asked or 0.0)
        self._due[session] = self._now() + wait

    async def _asked_again(self, track: Track, line: SessionLine, settled: Finished) -> Page | None:
        """What a finished session still holds; what was redacted, or taken out of its list, is gone.

        None where only a refusal says that it was redacted.
        """
        feed, now = _feed(line.session), self._http.clock.now()
        try:
            found = await self._results(line, self._target(track).file)
        except RejectedError as error:
            if not settled.was_redacted(line, error.status) or not await self._is_there(line.session):
                raise
            return None
        if found.problem == records.REDACTED:
            return _redacted(line, settled)
        if found.problem or found.unsound or not found.listed:
            return Page((), {feed: settled.asked_at(now).mark()})  # too little is said to remove anything
        items = tuple(records.attachments(track.name, line.session, line.name, found))
        kept = {item.key for item in items}
        gone = tuple(key for key in settled.keys if key not in kept)
        return Page(items, {feed: finished.of(line, found, now).mark()}, gone)

    async def _is_there(self, session: str) -> bool:
        """Whether the service still knows a session, if not what was found out about somebody."""
        reply = await self._http.get(self._http.url(f"/api/v1/sessions/{session}"))
        known = reply.object().get("session")
        return isinstance(known, Mapping) and str(known.get("id")).lower() == session

    def _tell_pending(self, sessions: Mapping[str, SessionLine]) -> None:
        due = {session: self._due[session] for session in sessions if session in self._due}
        if due:
            raise NotReadyError(records.pending([*due]), after=max(min(due.values()) - self._now(), 0.0))

    def _now(self) -> float:
        return self._http.clock.monotonic()

    # --- one attachment -------------------------------------------------------------------------------------------

    async def inspect(self, track: Track, attachment: Attachment, record: Mapping[str, JSON]) -> Facts:
        """What the list said, or what has come of a key already; nothing is asked."""
        came, size, media_type = (record.get(name) for name in ("sha256", "size", "media_type"))
        if isinstance(came, str) and isinstance(size, int):
            kind = media_type if isinstance(media_type, str) else None
            return Facts(sha256=came, size=size, media_type=kind, record=record)
        stated = records.stated(record)
        await self._line(track, attachment)
        _check_supported(attachment)
        return Facts(size=stated, record=record if stated is not None else {})

    async def _line(self, track: Track, attachment: Attachment) -> SessionLine | KeyLine:
        """The line that asks for an attachment; raises NotReadyError while there is none any more."""
        target, (kind, identity, *_) = self._target(track), attachment.key.split("/")
        return await (target.key_line if kind == "access-keys" else target.session_line)(identity)

    @asynccontextmanager
    async def read(self, track: Track, attachment: Attachment, facts: Facts) -> AsyncIterator[Body]:
        """The bytes. Of an access key this is the one exchange that it may be good for."""
        request = await self._request(track, attachment)
        carried = {"json": request.body, "headers": {"Accept": "application/json"}}
        by_session = not request.by_access_key
        try:
            with discretion.keeping(request.secret):
                async with self._http.post_stream(request.url, lambda: carried, repeat=by_session) as raw:
                    body = await content.opened(raw, request.where, size=attachment.size, json_only=by_session)
                    self._patience.over(request.key)
                    yield body
        except NotReadyError as error:
            raise self._not_ready(request, str(error), error.after) from None
        except UnavailableError as error:
            if error.status != 503:
                raise
            raise self._not_ready(request, str(error), error.retry_after) from None
        except AuthFailedError as error:
            raise _refusal(request, await self._of_a_key(error)) from None
        except RejectedError as error:
            raise _refusal(request, error) from None

    async def _of_a_key(self, error: AuthFailedError) -> RejectedError:
        """A 401 where the token is accepted elsewhere: it is the results or access key's; else it is raised again."""
        with suppress(RejectedError, UnavailableError):
            if error.status is not None:
                await self._http.get(self._profiles())
                return RejectedError(str(error), status=error.status)
        raise error

    async def _request(self, track: Track, attachment: Attachment) -> _Request:
        line, path = await self._line(track, attachment), f"/api/v1/attachments/{self._api}"
        if isinstance(line, KeyLine):
            bound = {"sessionId": line.session} if line.session and self._api == "attachment" else {}
            body, secret = {"attachmentAccessKey": line.key, **bound}, line.key
        else:
            path = f"/api/v1/sessions/{line.session}/attachments/{attachment.key.rpartition('/')[2]}/get"
            body, secret = {"resultsAccessKey": line.results_key}, line.results_key
        url = self._http.url(path)
        where = f"{self._http.account.name}: POST {url.raw_path}"
        return _Request(where, url, body, secret, attachment.key, by_access_key=isinstance(line, KeyLine))

    def _not_ready(self, request: _Request, why: str, asked: float | None) -> NotReadyError:
        """A 503 may be an outage as well: one schedule for both, told apart by what was said (2)."""
        return NotReadyError(why, after=max(self._patience.again(request.key, self._now()), asked or 0.0))

    def repeatable(self, track: Track) -> bool:
        """A key may be good for one exchange only (1.8)."""
        return self._target(track).access_keys is None

    # --- looking up -----------------------------------------------------------------------------------------------

    async def probe(self, track: Track | None) -> str:
        """Sign in, and look up a session; no results key and no access key is sent."""
        target = self._target(track) if track else None
        if target and target.session:
            reply = await self._http.get(self._http.url(f"/api/v1/sessions/{target.session}"))
            found = records.results({**reply.object(), "identityData": None}, target.session)
            ended = f"ended: {found.error_code or 'no error code'}" if found.problem == records.FAILED else "done"
            return f"session {target.session} is {ended if found.done else 'pending'}"
        try:
            await self._http.get(self._profiles())
        except RejectedError as error:
            if error.status != 404:  # the list of profiles is not stable ("valpha"); who is not signed in gets 401
                raise
        if target and target.sessions:
            sessions = await target.sessions.lines()
            if fault := target.sessions.fault(sessions):
                raise fault
            return f"signed in; {counted(len(sessions.found), 'session')} in {target.sessions.file.path}"
        if target and target.access_keys:
            keys = await target.access_keys.lines()
            if fault := target.access_keys.fault(keys):
                raise fault
            return f"signed in; {counted(len(keys.found), 'access key')} in {target.access_keys.file.path}"
        return "signed in"

    def _profiles(self) -> URL:
        """What anybody who is signed in may ask."""
        return self._http.url(_PROFILES, [("page", "1"), ("pageSize", "1")])


def _feed(session: str) -> str:
    """The feed whose cursor says that a session is finished for good."""
    return f"session/{session}"


def _behind(track: str, identity: str, name: str) -> Attachment:
    """What is behind an access key: nothing is known of it before the exchange."""
    about: dict[str, JSON] = {"access_key": identity, **({"name": name} if name else {})}
    key = f"access-keys/{identity}"
    # `content`: what one track has got of a key, another one need not exchange it for.
    return Attachment(track, key, "1", ("access-keys", name or identity), content=key, meta=about)


def _redacted(line: SessionLine, settled: Finished) -> Page:
    """Nothing is left of a session."""
    return Page((), {_feed(line.session): settled.over().mark()}, (f"sessions/{line.session}/",))


def _together(troubles: list[AttachsyncError]) -> AttachsyncError:
    """The first of them, telling of the others too: who mends one session should not meet the next one after it."""
    first, count = troubles[0], len(troubles)
    more = f" (and trouble with {count - _MOST_TOLD} more sessions)" if count > _MOST_TOLD else ""
    first.args = ("; ".join(map(str, troubles[:_MOST_TOLD])) + more,)
    return first


def _explained(error: RejectedError, file: str) -> RejectedError:
    """A refused request for results, with what it may mean: a key is good for its own session only."""
    if error.status in (404, 410):
        why = "this account has no such session, or it was redacted"
    elif error.status in (400, 401, 403, 422):
        why = f"is its results key, in {file}, the one of this session?"
    else:
        return error
    return RejectedError(f"{error}; {why}", status=error.status, code=error.code, detail=error.detail)


def _check_whole(line: SessionLine, found: records.Results) -> None:
    if found.unsound:
        raise MalformedError(f"session {line.session}: {found.unsound} of its attachments could not be read")


def _check_supported(attachment: Attachment) -> None:
    """Raise what stands in the way of an attachment, or of a whole session, for good."""
    problem, code = attachment.meta.get("problem"), attachment.meta.get("error_code")
    if problem == records.FAILED:
        raise EndedError(f"the session ended without success: {code or 'no error code'}", code=str(code or ""))
    if problem == records.REDACTED:
        raise GoneError("the session has no identity data: it was redacted")
    if problem == records.EARLIER:
        raise UnsupportedError("the session's results hold access keys: list them in an access_keys_file")
    if problem == records.ENCRYPTED or attachment.meta.get("encrypted") is True:
        raise UnsupportedError(content.HPKE)


def _refusal(request: _Request, error: RejectedError) -> AttachsyncError:
    """What a refused request for content means (1.6 to 1.8)."""
    if not request.by_access_key:
        return GoneError(f"{error}; redacted?") if error.status in (404, 410) else error
    if error.status not in _NO_MORE:
        return error
    if "session" in error.detail.lower() and "sessionId" not in request.body:
        return RejectedError(f"{error}; add session=UUID to the key's line", status=error.status)
    return GoneError(f"{error}; the key is unknown, has expired, or was used already")

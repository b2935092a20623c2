"""Sending to one DataTrails asset: a blob, then an event that carries it (specs/datatrails.md 1.3, 1.4, 1.8, 1.9)."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO

from yarl import URL

from attachsync.errors import AccountError, MalformedError, RejectedError, UnavailableError
from attachsync.http import Http
from attachsync.model import JSON, Draft
from attachsync.multipart import FileForm
from attachsync.retry import DAY
from attachsync.sources.datatrails import records
from attachsync.sources.datatrails.forms import stated
from attachsync.sources.datatrails.paging import parsed, walk
from attachsync.underway import UnderWay
from attachsync.units import rfc3339

_IDENTITY = re.compile(
    r"(?:blobs|attachments)/([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})", re.IGNORECASE
)
_OVERSIZE = re.compile(r"file ?size exceeds", re.IGNORECASE)
"""What a 402 says of one file that is too large; of an account without quota it says something else (1.8)."""
_UNDER_WAY = 20.0
"""Seconds after which an event is listed, whatever was answered meanwhile: lists lag behind (1.4), proxies give up."""
_NOT_IN_KEYS = re.compile(r"[.\x00-\x1f\x7f-\x9f]")
_LONGEST_KEY = 1024


class TrailSender:
    """One outbox's way to the asset with this UUID. What is sent stays: the service deletes nothing."""

    def __init__(self, http: Http, asset: str) -> None:
        self._http = http
        self._asset = asset
        self._recordings = UnderWay(http.clock, _UNDER_WAY)

    def refusal(self, name: str, size: int, head: bytes) -> tuple[str, str] | None:
        """Any type is taken, and the largest size is the tenant's own secret (3): the service decides."""
        return None

    def posts(self) -> bool:
        """Each blob gets its event."""
        return True

    async def upload(self, draft: Draft, body: BinaryIO) -> dict[str, str]:
        """Send the bytes (1.8). An answer that does not state our SHA-256 is an unknown outcome."""

        def content() -> Mapping[str, Any]:
            return {"data": FileForm("file", draft.name, draft.media_type, body, draft.size)}

        url = self._http.url("/archivist/v1/blobs")
        with self._told("there is no Blobs API at this base_url"):
            reply = await self._http.post(url, content)
            identity, digest = _blob(reply.object())
        where = f"{reply.where}: HTTP {reply.status}, but"
        if digest != draft.sha256:
            raise UnavailableError(f"{where} its SHA-256 is stated as {digest or 'nothing'}, not {draft.sha256}")
        if identity is None:
            raise UnavailableError(f"{where} no identity of a blob in the answer")
        return self._uploaded(identity)

    def _uploaded(self, identity: str) -> dict[str, str]:
        return {"blob": identity, "asset": f"assets/{self._asset}"}

    async def kept(self, draft: Draft, receipt: Mapping[str, str]) -> dict[str, str] | None:
        """The blob of an upload whose event was refused: blobs stay (1.8). It may be another tenant's by now."""
        match = _IDENTITY.fullmatch(receipt.get("blob", ""))
        if match is None:
            return None
        try:
            info = (await self._http.get(self._http.url(f"/archivist/v1/blobs/{match[1]}/info"))).object()
        except (RejectedError, MalformedError):
            return None
        return self._uploaded(match[0]) if _blob(info)[1] == draft.sha256 else None

    async def deliver(self, draft: Draft, receipt: Mapping[str, str], since: float | None) -> dict[str, str]:
        """Record the event. With `since`, one that carries the blob is looked for first, and not recorded again."""
        with self._told("the account has no such asset"):
            found = None
            if since is not None and await self._recordings.may_have_come(draft.ticket):
                found = await self._found(receipt["blob"], since - DAY)
            return _receipt(found or await self._record(draft, receipt["blob"]))

    async def _record(self, draft: Draft, blob: str) -> records.Event:
        body = json.dumps(event_of(draft, blob), ensure_ascii=False).encode()
        content = {"data": body, "headers": {"Content-Type": "application/json"}}
        with self._recordings.asking(draft.ticket):
            reply = await self._http.post(self._events(), lambda: content)
        return parsed(reply, records.event)

    async def _found(self, blob: str, since: float) -> records.Event | None:
        """The asset's event that carries a blob: among those accepted since a moment, then, in case that the service's
        clock has nothing to do with ours, on the newest page. MalformedError if any was unsound (1.4).
        """
        query = [("timestamp_accepted_since", rfc3339(max(since, 0.0)) or "")]
        async for listing in walk(self._http, self._events(), query, "events", signed=True):
            if found := _carrier(listing, blob):
                return found
        return _carrier(await anext(walk(self._http, self._events(), [], "events", signed=True)), blob)

    def _events(self) -> URL:
        return self._http.url(f"/archivist/v2/assets/{self._asset}/events")

    async def delete(self, receipt: Mapping[str, object]) -> bool:
        """Blobs and events are for ever: always RejectedError."""
        raise RejectedError(
            f"{self._http.account.name}: what was sent to DataTrails cannot be deleted ({receipt.get('blob')})",
            status=405,
            code="not_deletable",
        )

    @contextmanager
    def _told(self, nothing_there: str) -> Iterator[None]:
        """Tell apart how far refusals reach: a 404 is the config's fault, a 402 may be one file's (1.8, 3).

        A 2xx answer that makes no sense may still stand for something done: an unknown outcome.
        """
        try:
            yield
        except MalformedError as error:
            raise UnavailableError(str(error)) from None
        except RejectedError as error:
            if error.status == 404:
                raise AccountError(f"{error}: {nothing_there}", status=404) from None
            if error.status == 402 and _OVERSIZE.search(error.detail):
                raise RejectedError(str(error), status=402, code="too_large", detail=error.detail) from None
            raise


def attribute_of(name: str) -> str:
    """The attribute that carries a file: its name without dots and control characters, never a reserved one (1.3)."""
    key = _NOT_IN_KEYS.sub("_", name)[:_LONGEST_KEY]
    return f"file_{key}"[:_LONGEST_KEY] if key.lower().startswith("arc_") else key


def event_of(draft: Draft, blob: str) -> dict[str, JSON]:
    """The event that carries a blob as an attachment of form A (1.9)."""
    attachment: dict[str, JSON] = {
        "arc_attribute_type": "arc_attachment",
        "arc_blob_identity": blob,
        "arc_blob_hash_alg": "SHA256",
        "arc_blob_hash_value": draft.sha256,
        "arc_file_name": draft.name,
        "arc_display_name": draft.name,
    }
    return {
        "operation": "Record",
        "behaviour": "RecordEvidence",
        "event_attributes": {attribute_of(draft.name): attachment},
    }


def _carrier(listing: records.Listing, blob: str) -> records.Event | None:
    return next((event for event in listing.events if _carries(event, blob)), None)


def _carries(event: records.Event, blob: str) -> bool:
    uuid = blob.rpartition("/")[2]
    return any(found.blob == uuid and found.place.startswith("event_attributes/") for found in event.found)


def _receipt(event: records.Event) -> dict[str, str]:
    return {"event": f"assets/{event.asset}/events/{event.uuid}"}


def _blob(answer: Mapping[str, JSON]) -> tuple[str | None, str | None]:
    """(identity, SHA-256) that the answer to an upload states."""
    identity, found = answer.get("identity"), answer.get("hash")
    match = _IDENTITY.fullmatch(identity) if isinstance(identity, str) else None
    digest = stated(found.get("alg"), found.get("value")) if isinstance(found, Mapping) else None
    return f"blobs/{match[1].lower()}" if match else None, digest

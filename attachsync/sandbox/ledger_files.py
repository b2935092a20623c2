"""Downloads, /info and uploads of a ledger (specs/datatrails.md 1.6 to 1.8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from aiohttp import web

from attachsync.sandbox.answer import Answer, Refusal, json_answer
from attachsync.sandbox.forms import Part, TooLarge, read_parts
from attachsync.sandbox.ledger import Ledger
from attachsync.sandbox.ledger_errors import proxy_error
from attachsync.sandbox.ledger_records import Asset, Blob, Event, refers
from attachsync.sandbox.ledger_view import blob_info
from attachsync.sandbox.media import detected
from attachsync.sandbox.ranges import ranged

TRUE = ("1", "t", "T", "TRUE", "true", "True")
FALSE = ("0", "f", "F", "FALSE", "false", "False")
BAD = "this attachment is not safe - if you wish to download it add allow_insecure=true"
UNSCANNED = "this attachment is potentially not safe - if you wish to download it add allow_insecure=true"
UNREFERENCED = "can't find the asset/event"


class Files:
    """The blobs of a ledger as its clients get and put them."""

    def __init__(self, ledger: Ledger) -> None:
        """Serve the blobs of a ledger."""
        self._ledger = ledger

    def check_asset(self, asset: Asset, blob: str) -> None:
        """Refuse a blob that the asset does not refer to now."""
        if not refers(asset.readable(), blob, self._ledger.bare_references_count):
            raise Refusal(proxy_error(404, UNREFERENCED))

    def check_event(self, event: Event, blob: str) -> None:
        """Refuse a blob that the event does not refer to, or not yet."""
        bare = self._ledger.bare_references_count
        known = refers(event.event_attributes, blob, bare)
        if self._ledger.event_path_serves_asset_attributes:
            known = known or refers(event.asset_attributes, blob, bare)
        pending = event.confirmation_status == "PENDING" and self._ledger.pending_hides_attachments
        if pending or not known:
            raise Refusal(proxy_error(404, UNREFERENCED))

    def owned(self, uuid: str, sees: bool) -> str:
        """Return the uuid of a blob that the owner's path serves, or refuse."""
        if not sees:
            raise Refusal(proxy_error(403, "permission denied"))
        return uuid

    def download(self, uuid: str, request: web.Request) -> Answer:
        """Answer with the bytes, if the scan's result and the wishes of the client allow (1.7)."""
        blob, query = self._blob(uuid), request.query
        strict, insecure = _flag(query, "strict"), _flag(query, "allow_insecure")
        if blob.scanned == "SCANNED_BAD" and not insecure:
            return proxy_error(400, BAD)
        if blob.scanned == "NOT_SCANNED" and strict and not insecure:
            return proxy_error(400, UNSCANNED)
        whole = Answer(200, blob.served, {"Content-Type": blob.media_type})
        if not self._ledger.ranges:
            return whole
        whole = replace(whole, headers={**whole.headers, "ETag": f'"{blob.recorded.sha256}"'})
        return ranged(request, whole, proxy_error(416, "range not satisfiable"))

    def info(self, uuid: str, prefix: str) -> Answer:
        """Answer /info; the service does so for infected files as well."""
        return json_answer(blob_info(self._blob(uuid), self._ledger.tenant, prefix))

    async def upload(self, request: web.Request) -> Answer:
        """Take in exactly one file (1.8)."""
        if (request.content_length or 0) < 1:
            # Go reports -1 for a chunked body, so that is refused as well.
            return proxy_error(400, "content length must be at least 1")
        try:
            parts = await read_parts(request, self._ledger.max_blob_size - 1)
        except TooLarge:
            return proxy_error(402, "filesize exceeds maximum")
        except ValueError as error:
            return proxy_error(400, str(error))
        files = [part for part in parts if part.file_name]
        if len(files) > 1:
            return proxy_error(400, "only one file expected")
        if not files or files[0].name != "file":
            return proxy_error(400, "a file part named file is expected")
        return json_answer(blob_info(self._keep(files[0]), self._ledger.tenant))

    def _keep(self, part: Part) -> Blob:
        return self._ledger.add_blob(part.data, part.media_type or detected(part.data))

    def _blob(self, uuid: str) -> Blob:
        blob = self._ledger.blobs.get(uuid)
        if blob is None:
            raise Refusal(proxy_error(404, f"blobs/{uuid} not found"))
        return blob


def _flag(query: Mapping[str, str], name: str) -> bool:
    """Read a flag as Go's ParseBool does."""
    text = query.get(name, "false")
    if text not in TRUE + FALSE:
        raise Refusal(proxy_error(400, f"illegal value for '{name}' must be truthy value: {text}"))
    return text in TRUE

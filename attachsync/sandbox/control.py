"""The sandbox's own routes below /_sandbox: faults, the log of requests, and new data, for users of the command."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from aiohttp import web

from attachsync.sandbox.auco import Auco
from attachsync.sandbox.auco_control import AUCO_ACTIONS
from attachsync.sandbox.content import Content, Grown, Held
from attachsync.sandbox.faults import Faults, fault_from_json
from attachsync.sandbox.ledger import Ledger
from attachsync.sandbox.ledger_records import Asset, Blob
from attachsync.sandbox.ledger_view import blob_info
from attachsync.sandbox.requests import RequestLog
from attachsync.sandbox.sunshine import Sunshine
from attachsync.sandbox.trinsic import Trinsic
from attachsync.sandbox.trinsic_control import TRINSIC_ACTIONS

ROOT = "/_sandbox"
Body = dict[str, Any]
State = TypeVar("State")


@dataclass(frozen=True)
class Controls:
    """What the routes control."""

    faults: Faults
    requests: RequestLog
    ledgers: Mapping[str, Ledger]
    sunshine: Sunshine
    trinsic: Trinsic
    auco: Auco


def control_routes(router: web.UrlDispatcher, controls: Controls) -> None:
    """Add the routes; requests to them are neither logged nor subject to faults."""
    router.add_post(f"{ROOT}/faults", _answering(lambda body: _add_faults(controls, body)))
    router.add_delete(f"{ROOT}/faults", _plain(lambda: _cleared(controls.faults)))
    router.add_get(f"{ROOT}/requests", _plain(lambda: [asdict(one) for one in controls.requests]))
    router.add_delete(f"{ROOT}/requests", _plain(lambda: _cleared(controls.requests)))
    for name, ledger in controls.ledgers.items():
        for noun, add in _ADDITIONS.items():
            router.add_post(f"{ROOT}/{name}/{noun}", _answering(_bound(add, ledger)))
    router.add_post(f"{ROOT}/sunshine/messages", _answering(lambda body: _message(controls.sunshine, body)))
    for noun, act in TRINSIC_ACTIONS.items():
        router.add_post(f"{ROOT}/trinsic/{noun}", _answering(_acting(act, controls.trinsic)))
    for noun, change in AUCO_ACTIONS.items():
        router.add_post(f"{ROOT}/auco/{noun}", _answering(_acting(change, controls.auco)))


def _bound(add: Callable[[Ledger, Body], Any], ledger: Ledger) -> Callable[[Any], Any]:
    return lambda body: add(ledger, body)


def _acting(act: Callable[[State, Body, Callable[[Body], Content]], Body], state: State) -> Callable[[Any], Any]:
    return lambda body: act(state, body, _content)


def _plain(call: Callable[[], Any]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def serve(_request: web.Request) -> web.Response:
        return web.json_response(call())

    return serve


def _answering(call: Callable[[Any], Any]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def serve(request: web.Request) -> web.Response:
        try:
            return web.json_response(call(json.loads(await request.read())))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, binascii.Error) as error:
            return web.json_response({"error": f"{type(error).__name__}: {error}"}, status=400)

    return serve


def _cleared(what: Faults | RequestLog) -> Body:
    what.clear()
    return {}


def _add_faults(controls: Controls, body: Any) -> Body:
    faults = [fault_from_json(one) for one in (body if isinstance(body, list) else [body])]
    controls.faults.add(*faults)
    return {"added": len(faults)}


def _content(body: Body) -> Content:
    """Return bytes given as `text`, as `base64`, or as `size` (and `seed`) of noise."""
    if "size" in body:
        return Grown(int(body["size"]), str(body.get("seed", "")))
    data = base64.b64decode(body["base64"], validate=True) if "base64" in body else str(body["text"]).encode()
    return Held(data)


def _new_blob(ledger: Ledger, body: Body) -> Blob:
    return ledger.add_blob(
        _content(body), str(body.get("media_type", "application/octet-stream")), body.get("scanned", "NOT_SCANNED")
    )


def _blob(ledger: Ledger, body: Body) -> Body:
    return blob_info(_new_blob(ledger, body), ledger.tenant)


def _asset(ledger: Ledger, body: Body) -> Body:
    known = {"attributes", "uuid", "public", "tracked"}
    return {"identity": ledger.add_asset(**{key: body[key] for key in body if key in known}).identity}


def _find(ledger: Ledger, body: Body) -> Asset:
    return ledger.assets[str(body["asset"]).rpartition("/")[2]]


def _event(ledger: Ledger, body: Body) -> Body:
    """Add an event; `attachment` (bytes as for a blob, `key`, `file_name`, `in`) becomes a blob and an attribute."""
    known = ("event_attributes", "asset_attributes", "confirmation_status", "operation", "behaviour", "accepted")
    given = {key: body[key] for key in known if key in body}
    added: Body = {}
    if "attachment" in body:
        attachment = body["attachment"]
        blob = _new_blob(ledger, attachment)
        name = str(attachment.get("file_name", "file.bin"))
        side = str(attachment.get("in", "event_attributes"))
        value = ledger.attach(blob, file_name=name)
        given[side] = {**given.get(side, {}), str(attachment.get("key", "attachment")): value}
        added = {"blob": blob.identity, "sha256": blob.recorded.sha256}
    return {"identity": ledger.add_event(_find(ledger, body), **given).identity, **added}


def _scan(ledger: Ledger, body: Body) -> Body:
    blob = ledger.blobs[str(body["blob"]).rpartition("/")[2]]
    ledger.set_scanned(blob, body["status"], str(body.get("reason", "")))
    return blob_info(blob, ledger.tenant)


def _tokens(ledger: Ledger, body: Body) -> Body:
    """Accept the `add`ed token; `revoke` refuses all earlier ones."""
    if body.get("revoke"):
        ledger.revoke_tokens()
    if "add" in body:
        ledger.add_token(str(body["add"]))
    return {}


def _message(sunshine: Sunshine, body: Body) -> Body:
    """Add a message with `text`, or with a `file` (bytes as for a blob, `name`, `media_type`)."""
    conversation = sunshine.conversations[str(body["conversation"])]
    if "file" not in body:
        return {"id": sunshine.add_message(conversation, str(body["text"]))["id"]}
    file = body["file"]
    media = sunshine.add_media(_content(file), str(file["name"]), str(file.get("media_type", "")), conversation)
    return {"id": sunshine.add_message(conversation, sunshine.file_content(media))["id"], "path": media.path}


_ADDITIONS: dict[str, Callable[[Ledger, Body], Any]] = {
    "assets": _asset,
    "blobs": _blob,
    "events": _event,
    "scans": _scan,
    "tokens": _tokens,
}

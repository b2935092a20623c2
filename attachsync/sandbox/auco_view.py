"""How Auco shows processes and signers (specs/auco.md 1.2, 1.4)."""

from __future__ import annotations

import base64
from typing import Any

from attachsync.sandbox.auco import Auco
from attachsync.sandbox.auco_records import File, Package, Signer, Stored
from attachsync.sandbox.stamps import precise

JsonObject = dict[str, Any]


def overview(package: Package) -> JsonObject:
    """Return the reply without userId: signers, but neither files nor status."""
    signers = [_person(one) for one in (*package.signers, *package.ghosts)]
    return {**_head(package), "signers": signers}


def signer_view(state: Auco, signer: Signer) -> JsonObject:
    """Return the reply with userId: one signer, with the files' links unless pending."""
    view: JsonObject = _person(signer)
    pending = signer.status == "pending"
    if not pending or state.pending_form == "labels":
        view["files"] = [_file(state, one, linked=not pending) for one in signer.files]
    elif state.pending_form == "empty":
        view["files"] = []
    return {**_head(signer.package), "signer": {**view, "status": signer.status}}


def _head(package: Package) -> JsonObject:
    return {"package": package.id, "name": package.name, "finish": package.finish}


def _person(signer: Signer) -> dict[str, str]:
    return {"userId": signer.user_id, "email": signer.email, "name": signer.name}


def _file(state: Auco, file: File, *, linked: bool) -> dict[str, str]:
    link = {"url": state.link(file.stored)} if linked and file.stored else {}
    return {"name": file.label, **link}


def package_view(package: Package) -> JsonObject:
    """Return GET /document?package=… ."""
    signers = [{**_person(one), "phone": one.phone, "status": one.participant} for one in package.signers]
    return {
        "_id": package.id,
        "codes": package.codes,
        "name": package.name,
        "signers": signers,
        **_times(package),
        "status": package.status,
        **({} if package.custom is None else {"custom": package.custom}),
    }


def document_view(state: Auco, package: Package, code: str, *, images: bool) -> JsonObject:
    """Return GET /document?code=…, where a signer's id is called `id`."""
    link = {"url": state.link(package.document)} if package.document else {}
    profiles = [
        {
            "name": one.name,
            "email": one.email,
            "id": one.user_id,
            "status": one.participant,
            **({kind: _image(state, image) for kind, image in one.images.items()} if images else {}),
        }
        for one in package.signers
    ]
    return {
        **link,
        "name": package.name,
        "code": code,
        "status": package.status,
        "data": {"code": code, "name": package.name, **_times(package)},
        "signProfile": profiles,
        **({} if package.custom is None else {"custom": package.custom}),
    }


def _times(package: Package) -> JsonObject:
    times = {"createdAt": precise(package.created), "updatedAt": precise(package.updated)}
    return {"signFinish": package.finish, **times}


def _image(state: Auco, image: Stored | bytes) -> dict[str, str]:
    if isinstance(image, Stored):
        return {"type": "presigned", "data": state.link(image)}
    return {"type": "base64", "data": f"data:image/jpeg;base64,{base64.b64encode(image).decode()}"}


def roadmap(package: Package, code: str) -> JsonObject:
    """Return the whole trace of a process, oldest first."""
    people = [{"id": one.user_id, "name": one.name, "role": "SIGNER"} for one in package.signers]
    return {
        "name": package.name,
        "documentCode": code,
        "createdAt": precise(package.created),
        "participants": people,
        "activityLog": package.log,
    }

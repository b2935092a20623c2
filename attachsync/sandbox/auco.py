"""The state of the emulated Auco: keys, processes, files, and the calls by which tests change them."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from attachsync.sandbox.auco_links import Links
from attachsync.sandbox.auco_records import ErrorShape, File, Package, PendingForm, Signer, Stored
from attachsync.sandbox.content import Content, Held
from attachsync.sandbox.ids import Ids
from attachsync.sandbox.rate import RateLimit
from attachsync.sandbox.stamps import precise

START = datetime(2026, 11, 22, 1, 0, 0, tzinfo=UTC)


class Auco:
    """One organisation in one environment, under a clock that stands at START: `advance` moves it, `run` has it go.

    What the documents leave open is a setting. `links_origin` is where links lead; `serve()` sets it.
    """

    def __init__(self) -> None:
        """Start without keys and processes."""
        self.ids = Ids("auco")
        self._at = START
        self._runs_since: float | None = None
        self.keys: set[str] = set()
        self.packages: dict[str, Package] = {}
        self.objects: dict[str, Stored] = {}
        self.links = Links()
        self.links_origin = ""
        # Paths of requests that brought a credential to the links' host (specs/auco.md 2, Links).
        self.leaks: list[str] = []
        self.link_seconds = 300
        self.etags = True
        self.conditions = True
        self.ranges = True
        self.new_path_on_upload = False
        # What the documents leave open, or tell in two ways (specs/auco.md 1.2, 5).
        self.error_shape: ErrorShape = "message"
        self.unknown_status = 400
        self.both_ids_refused = True
        self.pending_form: PendingForm = "labels"
        self.finish_on_end = False
        self.rate_limit: RateLimit | None = None

    # -- credentials and the clock ---------------------------------------------------------------------------------

    def add_key(self, key: str) -> None:
        """Accept a key; only a puk_ one may read (specs/auco.md 1.1)."""
        self.keys.add(key)

    def revoke_keys(self) -> None:
        """Refuse all earlier keys with 401."""
        self.keys.clear()

    def reads(self, key: str) -> bool:
        """Say whether a key may read."""
        return key in self.keys and key.startswith("puk_")

    @property
    def now(self) -> datetime:
        """What the clock shows."""
        runs_for = 0.0 if self._runs_since is None else time.monotonic() - self._runs_since
        return self._at + timedelta(seconds=runs_for)

    def run(self) -> None:
        """Have the clock go on from where it stands."""
        self._at, self._runs_since = self.now, time.monotonic()

    def advance(self, seconds: float) -> None:
        """Move the clock: links, and processes with an end, expire by it."""
        self._at += timedelta(seconds=seconds)
        self.settle()

    def settle(self) -> None:
        """Let processes expire, as far as the clock has come."""
        for package in self.packages.values():
            if package.status == "CREATED" and package.expires is not None and package.expires <= self.now:
                self.expire(package)

    # -- processes and signers -------------------------------------------------------------------------------------

    def add_package(
        self,
        id: str | None = None,
        name: str = "Contratación 2026-11",
        code: str | None = None,
        *,
        document: bytes | Content | None = None,
        attachments: bool = True,
        expires_in: float | None = None,
    ) -> Package:
        """Create a process; one with a `code` has a document, too (specs/auco.md 1.3)."""
        made = id or self.ids.hex24("package", int(self.now.timestamp() * 1000))
        package = Package(made, name, self.now, self.now, attachments=attachments)
        if code is not None:
            package.codes.append(code)
            package.document = self._store(package, document or b"%PDF-1.4\n%%EOF\n", "application/pdf", None, None)
        if expires_in is not None:
            package.expires = self.now + timedelta(seconds=expires_in)
        self.packages[package.id] = package
        self._log(package, "CREATE", "ARCHIVE")
        return package

    def add_signer(self, package: Package | str, user_id: str, name: str = "", email: str = "") -> Signer:
        """Add a person to a process."""
        found = self.find(package)
        label = name or f"Firmante {user_id}"
        signer = Signer(found, user_id, label, email or f"firmante{user_id.lower()}@example.com")
        found.signers.append(signer)
        self._touch(found)
        return signer

    def remove_signer(self, signer: Signer, *, ghost: bool = False) -> None:
        """Take a person out of a process; a ghost is still in the overview (specs/auco.md 4, edge cases)."""
        package = signer.package
        package.signers.remove(signer)
        if ghost:
            package.ghosts.append(signer)
        self._touch(package)

    def find(self, package: Package | str) -> Package:
        """Return a process given as one, or by its id or code; KeyError if there is none."""
        if isinstance(package, Package):
            return package
        by_code = {code: one for one in self.packages.values() for code in one.codes}
        return self.packages[package] if package in self.packages else by_code[package]

    def signer(self, package: Package | str, user_id: str) -> Signer:
        """Return one signer of a process; KeyError if there is none."""
        return {one.user_id: one for one in self.find(package).signers}[user_id]

    def set_status(self, signer: Signer, status: str) -> None:
        """Set the status of a signer's files: pending, uploaded, approved, or any other."""
        signer.status = status
        self._touch(signer.package)

    def finish(self, package: Package | str) -> None:
        """End a process well; signers keep their status, whatever it is."""
        self._end(self.find(package), "FINISH", True)

    def reject(self, package: Package | str) -> None:
        """End a process by rejection; `finish` follows the setting `finish_on_end`."""
        self._end(self.find(package), "REJECTED", self.finish_on_end)

    def expire(self, package: Package | str) -> None:
        """End a process because its time is over."""
        self._end(self.find(package), "EXPIRED", self.finish_on_end)

    def remove_package(self, package: Package | str) -> None:
        """Forget a process altogether."""
        del self.packages[self.find(package).id]

    # -- files -----------------------------------------------------------------------------------------------------

    def add_file(
        self,
        signer: Signer,
        label: str,
        data: bytes | Content | None = None,
        media_type: str = "application/pdf",
        *,
        etag: bool | None = None,
    ) -> File:
        """Ask for a file under a label, which need not be unique; with data, it is uploaded at once."""
        file = File(signer, label)
        signer.files.append(file)
        if data is None:
            self._touch(signer.package)
        else:
            self.upload(file, data, media_type, etag=etag)
        return file

    def upload(
        self, file: File, data: bytes | Content, media_type: str = "application/pdf", *, etag: bool | None = None
    ) -> None:
        """Upload a file, first or anew; a pending signer's status becomes `uploaded`."""
        signer = file.signer
        path = file.stored.path if file.stored and not self.new_path_on_upload else None
        file.stored = self._store(signer.package, data, media_type, etag, path)
        signer.status = "uploaded" if signer.status == "pending" else signer.status
        self._touch(signer.package)
        self._log(signer.package, "UPLOAD", signer.user_id)

    def reject_file(self, file: File) -> None:
        """Take an upload back, as a reviewer does: the label stays, without a link."""
        self._drop(file)
        file.signer.status = "uploaded" if any(one.stored for one in file.signer.files) else "pending"
        self._touch(file.signer.package)

    def remove_file(self, file: File) -> None:
        """Remove a file with its label."""
        self._drop(file)
        file.signer.files.remove(file)
        self._touch(file.signer.package)

    def add_image(self, signer: Signer, kind: str, data: bytes, *, presigned: bool = True) -> None:
        """Add an identity image (identificationCard, identificationCardBack, photo; specs/auco.md 1.4)."""
        signer.images[kind] = self._store(signer.package, data, "image/jpeg", None, None) if presigned else data

    def link(self, stored: Stored) -> str:
        """Return a fresh link to a stored object."""
        return self.links.sign(self.links_origin, stored.path, self.now, self.link_seconds)

    def _store(
        self, package: Package, data: bytes | Content, media_type: str, etag: bool | None, path: str | None
    ) -> Stored:
        content = Held(data) if isinstance(data, bytes) else data
        tagged = self.etags if etag is None else etag
        where = path or f"/uploads/{package.id}/{self.ids.letters('object', 24).lower()}"
        stored = Stored(where, content, media_type, f'"{content.sha256[:32]}"' if tagged else "", self.now)
        self.objects[where] = stored
        return stored

    def _drop(self, file: File) -> None:
        if file.stored is not None:
            self.objects.pop(file.stored.path, None)
        file.stored = None

    def _end(self, package: Package, status: str, finish: bool) -> None:
        package.status, package.finish = status, finish
        self._touch(package)
        self._log(package, status, "ARCHIVE")

    def _touch(self, package: Package) -> None:
        package.updated = self.now

    def _log(self, package: Package, action: str, participant: str) -> None:
        entry = {"action": action, "platform": "API", "participant": participant, "timestamp": precise(self.now)}
        package.log.append(entry)

"""`sunshine`: the Attachments API by hand."""

import os
import tomllib
import uuid
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import click

from attachsync import folders, receipts
from attachsync.cli.session import config_of, json_option, print_json, printable, run
from attachsync.cli.sunshine_account import SERVICE, account_option, chosen
from attachsync.cli.sunshine_media import cookie, token
from attachsync.clock import Clock
from attachsync.errors import AttachsyncError, RefusedError
from attachsync.http import Http
from attachsync.model import Account, Draft, Sender
from attachsync.names import media_type_of
from attachsync.spool import digest
from attachsync.threads import in_thread

Action = Callable[[Sender, str], Awaitable[dict[str, object]]]


@click.group()
def sunshine() -> None:
    """Use the Attachments API of Sunshine Conversations by hand."""


sunshine.add_command(token)
sunshine.add_command(cookie)


@sunshine.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE…", type=click.Path(exists=True, dir_okay=False))
@account_option
@click.option("--access", type=click.Choice(["public", "private"]), default="public", help="Who may read it.")
@click.option("--for", "purpose", type=click.Choice(["message"]), help="The attachment lives as long as its message.")
@click.option("--conversation", metavar="ID", help="The conversation that it belongs to.")
@json_option
@click.pass_context
def upload(
    context: click.Context,
    files: Sequence[str],
    account: str | None,
    access: str,
    purpose: str | None,
    conversation: str | None,
    as_json: bool,
) -> None:
    """Upload files; print where each one is now."""
    config = config_of(context)
    options = {"access": access, "for_": purpose, "conversation": conversation}
    context.exit(run(_each(chosen(config, account), options, files, _upload, as_json=as_json)))


@sunshine.command()
@click.argument("what", nargs=-1, required=True, metavar="RECEIPT-or-URL…")
@account_option
@json_option
@click.pass_context
def delete(context: click.Context, what: Sequence[str], account: str | None, as_json: bool) -> None:
    """Delete attachments, by receipt (which then says so) or by URL."""
    config = config_of(context)
    context.exit(run(_each(chosen(config, account), {}, what, _delete, as_json=as_json)))


async def _each(
    account: Account,
    options: dict[str, str | None],
    subjects: Sequence[str],
    act: Action,
    *,
    as_json: bool,
) -> int:
    """Do something with each subject, go on after errors: 1 if there was any."""
    push = SERVICE.push
    assert push is not None
    http = Http(account, SERVICE.credentials(account), Clock())
    sender = push.sender(http, push.keys(**options))
    done: list[dict[str, object]] = []
    try:
        for subject in subjects:
            try:
                done.append(await act(sender, subject))
            except AttachsyncError as error:
                done.append({"what": subject, "error": str(error)})
            except OSError as error:
                done.append({"what": subject, "error": f"{error.filename or subject}: {error.strerror}"})
    finally:
        await http.close()
    if as_json:
        print_json(done)
    for row in done:
        if "error" in row:
            click.echo(printable(f"{row['what']}: {row['error']}"), err=True)
        elif not as_json:
            click.echo(row.get("media_url") or f"{row['what']}: deleted")
    return 1 if any("error" in row for row in done) else 0


async def _upload(sender: Sender, subject: str) -> dict[str, object]:
    with await in_thread(_opened, subject) as body:
        size = os.fstat(body.fileno()).st_size
        if not size:
            raise RefusedError("an empty file is not an attachment", code="empty")
        name = os.path.basename(subject)
        found = await in_thread(digest, body.fileno())
        receipt = await sender.upload(Draft(str(uuid.uuid4()), name, media_type_of(name), size, found), body)
    return {"what": subject, "file_name": name, "sha256": found, "size": size, **receipt}


def _opened(subject: str) -> BinaryIO:
    return open(subject, "rb")


async def _delete(sender: Sender, subject: str) -> dict[str, object]:
    if subject.startswith(("https://", "http://")):
        return await _deleted(sender, subject, {"media_url": subject})
    path = Path(subject)
    try:
        receipt = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RefusedError(f"is neither a URL nor a receipt: {error}", code="receipt") from None
    if not isinstance(receipt.get("media_url"), str):
        raise RefusedError("this receipt has no media_url", code="receipt")
    gone = await _deleted(sender, subject, receipt)
    document = receipts.written(receipts.deleted(receipt, Clock().now()))
    folder = os.open(path.parent, folders.FOLDER)
    try:
        folders.replace(folder, os.fsencode(path.name), document, 0o600)
    finally:
        os.close(folder)
    return gone


async def _deleted(sender: Sender, subject: str, receipt: dict[str, object]) -> dict[str, object]:
    if not await sender.delete(receipt):
        raise RefusedError("the service no longer has it (HTTP 404)", code="gone")
    return {"what": subject, "deleted": True}

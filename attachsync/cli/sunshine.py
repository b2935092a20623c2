"""`sunshine`: the Attachments API by hand."""

import contextlib
import os
import stat
import uuid
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import click

from attachsync import folders, keys, receipts
from attachsync.cli.session import config_of, json_option, print_json, printable, run
from attachsync.cli.sunshine_account import SERVICE, account_option, chosen
from attachsync.cli.sunshine_media import cookie, token
from attachsync.clock import Clock
from attachsync.errors import AttachsyncError, RefusedError, UnavailableError
from attachsync.http import Http
from attachsync.model import Account, Draft, Sender
from attachsync.names import media_type_of
from attachsync.reader import Config
from attachsync.spool import digest
from attachsync.threads import in_thread
from attachsync.units import as_text

Action = Callable[[Sender, str], Awaitable[dict[str, object]]]


@click.group()
def sunshine() -> None:
    """Use the Attachments API of Sunshine Conversations by hand."""


sunshine.add_command(token)
sunshine.add_command(cookie)


def _conversation(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    try:
        return None if value is None else keys.identifier(value, keys.Place(Path()))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@sunshine.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE…", type=click.Path(exists=True, dir_okay=False))
@account_option
@click.option("--access", type=click.Choice(["public", "private"]), default="public", help="Who may read it.")
@click.option("--for", "purpose", type=click.Choice(["message"]), help="The attachment lives as long as its message.")
@click.option("--conversation", metavar="ID", callback=_conversation, help="The conversation that it belongs to.")
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
    owner = chosen(config, account)
    context.exit(run(_each([(owner, file) for file in files], options, _upload, as_json=as_json)))


@sunshine.command()
@click.argument("what", nargs=-1, required=True, metavar="RECEIPT-or-URL…", type=click.Path())
@account_option
@json_option
@click.pass_context
def delete(context: click.Context, what: Sequence[str], account: str | None, as_json: bool) -> None:
    """Delete attachments, by receipt (which names its account, and then says so) or by URL."""
    config = config_of(context)
    context.exit(run(_each([(_owner(config, account, one), one) for one in what], {}, _delete, as_json=as_json)))


def _owner(config: Config, name: str | None, subject: str) -> Account:
    """The account that is named, or that a receipt names."""
    if name is None and not _is_url(subject):
        with contextlib.suppress(RefusedError):
            said = str(_receipt(subject).get("account"))
            if said in config.accounts and config.accounts[said].service == SERVICE.name:
                return config.accounts[said]
    return chosen(config, name)


async def _each(
    jobs: Sequence[tuple[Account, str]], options: dict[str, str | None], act: Action, *, as_json: bool
) -> int:
    """Do something with each subject, by its account; go on after errors: 1 if there was any."""
    push = SERVICE.push
    assert push is not None
    done: list[dict[str, object]] = []
    async with contextlib.AsyncExitStack() as stack:
        senders: dict[str, Sender] = {}
        for account, subject in jobs:
            if account.name not in senders:
                http = Http(account, SERVICE.credentials(account), Clock())
                stack.push_async_callback(http.close)
                senders[account.name] = push.sender(http, push.keys(**options))
            try:
                done.append(await act(senders[account.name], subject))
            except AttachsyncError as error:
                done.append({"what": subject, "error": str(error)})
            except OSError as error:
                done.append({"what": subject, "error": f"{error.filename or subject}: {error.strerror}"})
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
        if as_text(name) != name:
            raise RefusedError("its name is not UTF-8: rename it", code="name")
        found = await in_thread(digest, body.fileno())
        try:
            receipt = await sender.upload(Draft(str(uuid.uuid4()), name, media_type_of(name), size, found), body)
        except UnavailableError as error:
            raise UnavailableError(f"{error}{'; it may be there all the same' if error.sent else ''}") from None
    return {"what": subject, "file_name": name, "sha256": found, "size": size, **receipt}


def _opened(subject: str) -> BinaryIO:
    return open(subject, "rb")


def _is_url(subject: str) -> bool:
    return subject.startswith(("https://", "http://"))


def _receipt(subject: str) -> dict[str, object]:
    """What a receipt says. Raises RefusedError."""
    try:
        receipt = receipts.parsed(Path(subject).read_bytes())
    except OSError as error:
        raise RefusedError(f"is neither a URL nor a receipt: {error.strerror}", code="receipt") from None
    if receipt is None:
        raise RefusedError("is neither a URL nor a receipt, whose name ends in .toml", code="receipt")
    if not isinstance(receipt.get("media_url"), str):
        raise RefusedError("this receipt has no media_url", code="receipt")
    return receipt


async def _delete(sender: Sender, subject: str) -> dict[str, object]:
    if _is_url(subject):
        return await _deleted(sender, subject, {"media_url": subject})
    path, receipt = Path(subject), _receipt(subject)
    gone = await _deleted(sender, subject, receipt)
    document = receipts.written(receipts.deleted(receipt, Clock().now()))
    try:
        folder = os.open(path.parent, folders.FOLDER)
        try:
            folders.replace(folder, os.fsencode(path.name), document, stat.S_IMODE(path.stat().st_mode))
        finally:
            os.close(folder)
    except OSError as error:
        raise AttachsyncError(f"deleted, but its receipt could not be told so: {error.strerror}") from None
    return gone


async def _deleted(sender: Sender, subject: str, receipt: dict[str, object]) -> dict[str, object]:
    if not await sender.delete(receipt):
        raise RefusedError("the service no longer has it (HTTP 404)", code="gone")
    return {"what": subject, "deleted": True}

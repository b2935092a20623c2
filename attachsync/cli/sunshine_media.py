"""`sunshine token` and `cookie`: reading private media the way it was until 2024-09 (specs/sunshine.md 1.4)."""

import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import click

from attachsync import folders
from attachsync.cli.session import config_of, json_option, print_json, printable, run
from attachsync.cli.sunshine_account import SERVICE, account_option, chosen
from attachsync.clock import Clock
from attachsync.errors import AttachsyncError, RejectedError
from attachsync.http import Http
from attachsync.model import Account
from attachsync.sources.sunshine.cookies import Cookie, MediaTokens, netscape
from attachsync.sources.sunshine.keys import AccountKeys

_HINTS = {
    403: "media tokens need an app_ or act_ key",
    404: "tokens and cookies are legacy: accounts of Zendesk hosts do not have them",
}


def _paths(_context: click.Context, _parameter: click.Parameter, value: Sequence[str]) -> Sequence[str]:
    for path in value:
        if not path.startswith("/"):
            raise click.BadParameter(f"{path!r} is no path such as /apps/ID: no scheme, no host")
    return tuple(dict.fromkeys(value))


_paths_argument = click.argument("paths", nargs=-1, metavar="[PATH…]", callback=_paths)


@click.command(short_help="Print media tokens (legacy).")
@_paths_argument
@account_option
@json_option
@click.pass_context
def token(context: click.Context, paths: Sequence[str], account: str | None, as_json: bool) -> None:
    """Print the media tokens that open these paths, one a line (legacy).

    PATH is that of a private file, a conversation (/apps/ID/conversations/ID) or, by default, the whole app (/apps/ID).
    Legacy: the service dropped tokens and cookies in 2024-09; only accounts on api.smooch.io may still have them.
    """
    owner = chosen(config_of(context), account)
    wanted = paths or _whole_app(owner)

    async def work(media: MediaTokens) -> dict[str, str]:
        return await media.tokens(wanted)

    found = run(_asked(owner, work))
    if as_json:
        print_json([{"path": path, "token": found[path]} for path in wanted])
    else:
        for path in wanted:
            click.echo(found[path])


@click.command(short_help="Sign in for media, and print the cookies (legacy).")
@_paths_argument
@account_option
@click.option("--output", metavar="FILE", type=click.Path(dir_okay=False), help="Write FILE (mode 0600) instead.")
@json_option
@click.pass_context
def cookie(
    context: click.Context, paths: Sequence[str], account: str | None, output: str | None, as_json: bool
) -> None:
    """Sign in with a media token for each path, and print a Netscape cookie file (legacy).

    Use it as in: curl --cookie FILE URL. PATH is as for `token`. Legacy: the service dropped tokens and cookies in
    2024-09; only accounts on api.smooch.io may still have them.
    """
    owner = chosen(config_of(context), account)
    wanted = paths or _whole_app(owner)

    async def work(media: MediaTokens) -> list[Cookie]:
        tokens = await media.tokens(wanted)
        return [one for path in wanted for one in await media.cookies(tokens[path])]

    found = run(_asked(owner, work))
    if output is not None:
        _write(output, netscape(found).encode())
    if as_json:
        print_json([_described(one, secret=output is None) for one in found])
    elif output is None:
        click.echo(netscape(found), nl=False)
    else:
        click.echo(printable(f"{output}: cookies for {', '.join(one.path for one in found)}"))


def _whole_app(account: Account) -> Sequence[str]:
    assert isinstance(account.options, AccountKeys)
    return (f"/apps/{account.options.app_id}",)


async def _asked(account: Account, work: Callable[[MediaTokens], Awaitable[Any]]) -> Any:
    assert isinstance(account.options, AccountKeys)
    http = Http(account, SERVICE.credentials(account), Clock())
    try:
        return await work(MediaTokens(http, account.options.app_id))
    except RejectedError as error:
        hint = _HINTS.get(error.status)
        raise AttachsyncError(f"{error} ({hint})" if hint else str(error)) from None
    finally:
        await http.close()


def _described(one: Cookie, *, secret: bool) -> dict[str, object]:
    """A cookie for `--json`; what went to a file is not said a second time."""
    said: dict[str, object] = {"domain": one.domain, "path": one.path, "name": one.name, "expires": one.expires}
    return {**said, "secure": one.secure, "http_only": one.http_only, **({"value": one.value} if secret else {})}


def _write(path: str, content: bytes) -> None:
    """Replace a file whole: mode 0600 from its first byte, never through a link that was planted there.

    Raises AttachsyncError.
    """
    try:
        folder = os.open(os.path.dirname(path) or ".", folders.FOLDER)
        try:
            folders.replace(folder, os.fsencode(os.path.basename(path)), content, 0o600)
        finally:
            os.close(folder)
    except OSError as error:  # its own name would be that of a temporary file
        raise AttachsyncError(f"{path}: cannot be written: {error.strerror}") from None

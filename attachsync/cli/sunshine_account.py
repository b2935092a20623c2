"""Which account the commands of `sunshine` are about."""

import click

from attachsync import keys
from attachsync.model import Account
from attachsync.reader import Config
from attachsync.services import SERVICES

SERVICE = SERVICES["sunshine"]
account_option = click.option("--account", metavar="NAME", help="Which account, if there are several.")


def chosen(config: Config, name: str | None) -> Account:
    """The one that is meant. Raises UsageError."""
    accounts = {account.name: account for account in config.accounts.values() if account.service == SERVICE.name}
    if name is not None and name not in accounts:
        raise click.UsageError(f"{name!r} is not a {SERVICE.name} account{keys.nearest(name, accounts)}")
    if name is None and len(accounts) != 1:
        said = (
            f"which account? Say --account {' or --account '.join(accounts)}"
            if accounts
            else f"the config has no {SERVICE.name} account"
        )
        raise click.UsageError(said)
    return accounts[name] if name is not None else next(iter(accounts.values()))

"""A change of the feed as consumers get it (`follow`, hooks)."""

from collections.abc import Iterable, Mapping

from attachsync.model import JSON, Outbox


def attributed(change: Mapping[str, JSON], outboxes: Iterable[Outbox]) -> Mapping[str, JSON]:
    """A change with its account: a dropped file's is that of its outbox, None if the config has that no more."""
    if "outbox" not in change:
        return change
    accounts = {str(box.directory): box.account for box in outboxes}
    return {**change, "account": accounts.get(str(change["outbox"]))}

"""Under which names attachments are shown: the first seen keeps its name (contract 3)."""

import json
from collections import Counter
from collections.abc import Callable, Sequence

from attachsync import extensions, names
from attachsync.canonical import compact
from attachsync.index.database import Database
from attachsync.index.entries import Entry
from attachsync.model import Attachment


def as_json(path: tuple[str, ...]) -> str:
    """A path as its JSON list of parts, as `wanted` has it: most are plain."""
    text = "".join(path)
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return '["' + '","'.join(path) + '"]'
    return json.dumps(path, separators=(",", ":"))


class Naming:
    """The rows of `name`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def listed(self, account: str, items: Sequence[Attachment]) -> None:
        """These are new: each claims the name that it asks for, but for what has one already."""
        held, claim = self._held(account, items), self._claimer()
        for item in items:
            wanted = as_json(item.path)
            if (item.key, wanted) not in held:
                claim(_owner(account, item), wanted, *names.place(account, item.path))

    def claim(self, account: str, item: Attachment, media_type: str | None = None) -> str:
        """The path in the mirror under which `item` is shown: the first seen keeps its name (contract 3).

        Called when an attachment is first listed, then again with its media type, for an extension where it has none.
        """
        owner, wanted = _owner(account, item), as_json(item.path)
        held = self._db.row("SELECT fold, path FROM name WHERE owner = ? AND wanted = ?", owner, wanted)
        if held is None:
            folder, leaf = names.place(account, item.path)
            return self._claimer()(owner, wanted, folder, self._extended(folder, leaf, media_type))
        folder, _, leaf = str(held["path"]).rpartition("/")
        has_its_own = names.split(names.safe(item.path[-1]))[1]
        stem = leaf if has_its_own else names.split(leaf)[0]
        better = self._extended(folder, stem, media_type)
        if better in (stem, leaf) or (media_type and extensions.stands_for(names.split(leaf)[1], media_type)):
            return str(held["path"])
        with self._db.transaction():
            self._db.run("DELETE FROM name WHERE fold = ?", held["fold"])
            return self._claim(owner, wanted, folder, better)

    def claimed(self, account: str, items: Sequence[Attachment]) -> list[str | None]:
        """The paths that were claimed for items when they were listed: the only names that they have.

        None where there are others, or a media type may change it.
        """
        held = self._held(account, items)
        many = Counter(key for key, _ in held)
        return [
            held.get((item.key, as_json(item.path)))
            if many[item.key] == 1 and names.split(names.safe(item.path[-1]))[1]
            else None
            for item in items
        ]

    def _held(self, account: str, items: Sequence[Attachment]) -> dict[tuple[str, str], str]:
        """(key, wanted) -> path, of all names that these items have."""
        sql = """SELECT asked.value, wanted, name.path FROM json_each(?) AS asked
                 CROSS JOIN name ON name.owner = ? || char(0) || asked.value"""
        rows = self._db.each(sql, compact([item.key for item in items]), account)
        return {(row[0], row[1]): row[2] for row in rows}

    def release(self, shown: Sequence[tuple[Entry, str]]) -> None:
        """Rows show these paths: other names that they had are free."""
        if not shown:
            return
        sql = """DELETE FROM name WHERE fold IN (
                   SELECT name.fold FROM json_each(?) AS asked
                   CROSS JOIN name ON
                     name.owner = json_extract(asked.value, '$[0]') || char(0) || json_extract(asked.value, '$[1]')
                   WHERE name.path != json_extract(asked.value, '$[2]'))"""
        self._db.run(sql, compact([(entry.account, entry.attachment.key, path) for entry, path in shown]))

    def _extended(self, folder: str, stem: str, media_type: str | None) -> str:
        """A name with its media type's extension: what it had before the index was lost, if any, else the usual one."""
        if media_type and not names.split(stem)[1]:
            sql = "SELECT path FROM found WHERE path = ?1 OR path > ?1 || '.' AND path < ?1 || '/'"
            for row in self._db.each(sql, f"{folder}/{stem}"):
                leaf = str(row["path"]).rpartition("/")[2]
                known, extension = names.split(leaf)
                if leaf == stem or (known == stem and extensions.stands_for(extension, media_type)):
                    return leaf
        return names.extended(stem, media_type)

    def _claim(self, owner: str, wanted: str, folder: str, leaf: str) -> str:
        candidate, attempt = leaf, 0
        while True:
            path = f"{folder}/{candidate}"
            if self._db.run("INSERT OR IGNORE INTO name VALUES (?, ?, ?, ?)", names.fold(path), path, owner, wanted):
                return path
            candidate = names.distinct(leaf, owner, attempt)
            attempt += 1

    def _claimer(self) -> Callable[[str, str, str, str], str]:
        """How names are claimed: in another way while not all has come up again that a lost index knew."""
        return self._claim if self._db.row("SELECT 1 FROM found") is None else self._claim_anew

    def _claim_anew(self, owner: str, wanted: str, folder: str, leaf: str) -> str:
        """The name with its owner's digits, if it had that before the index was lost: it had given way to another."""
        extended = "OR path > ?1 || '.' AND path < ?1 || '/'" if not names.split(leaf)[1] else ""
        for mine in (names.distinct(leaf, owner, attempt) for attempt in range(3)):
            if self._db.row(f"SELECT 1 FROM found WHERE path = ?1 {extended}", f"{folder}/{mine}") is not None:
                return self._claim(owner, wanted, folder, mine)
        return self._claim(owner, wanted, folder, leaf)


def _owner(account: str, item: Attachment) -> str:
    return f"{account}\0{item.key}"

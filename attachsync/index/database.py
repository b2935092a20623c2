"""The index's file: opening, transactions, and small facts about the mirror itself."""

import contextlib
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from attachsync.errors import IndexDamagedError, StorageError
from attachsync.index.schema import CAME, COMES, DATED, ENSURED, LATER, SCHEMA, TALLIED, TALLY, TRIGGERS, VERSION

FILE = "index.sqlite3"
_LOG_PAGES = 8192
"""The write-ahead log is brought in when it has so many pages (32 MiB): pages are written many times in a row."""
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_REMEDY = "the next start of `attachsync run` or `sync` sets it aside and makes a new one"


class Database:
    """One connection to the index. Called directly from the event loop: a row costs less than a hop to a thread."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._connection.row_factory = sqlite3.Row
        self._depth = 0
        self._durable = False

    @classmethod
    def open(cls, folder: Path, *, check: bool = False) -> "Database":
        """Open the index in `folder` for writing, making it (mode 0600) if there is none; `check` all its pages.

        Raises StorageError, IndexDamagedError.
        """
        path = folder / FILE
        with contextlib.ExitStack() as stack:
            try:
                path.touch(mode=0o600)
                connection = sqlite3.connect(path, isolation_level=None, timeout=10)
                stack.callback(connection.close)
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.execute("PRAGMA cache_size = -8000")
                connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
                connection.execute("PRAGMA temp_store = MEMORY")  # /tmp may be read-only, or others'
                database = cls(connection)
                database._prepare(check=check)
            except sqlite3.DatabaseError as error:
                raise _of_the_disk(error, "opened") or StorageError(f"{path} cannot be opened: {error}") from error
            except (sqlite3.Error, OSError) as error:
                raise StorageError(f"the index {path} cannot be opened: {error}") from error
            stack.pop_all()
        return database

    @classmethod
    def peek(cls, folder: Path) -> "Database":
        """Open the index for reading beside a daemon; an empty one in memory if there is none yet."""
        path = folder / FILE
        try:
            database = cls._reading(path)
            if database is None:
                database = cls(sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False))
                database._prepare()
        except sqlite3.Error as error:
            raise StorageError(f"the index {path} cannot be read: {error}") from error
        return database

    @classmethod
    def _reading(cls, path: Path) -> "Database | None":
        """None also where there is only the file yet: a first start is under way, or was cut short."""
        if not path.exists():
            return None
        uri = f"{path.absolute().as_uri()}?mode=ro"
        database = cls(sqlite3.connect(uri, uri=True, isolation_level=None, timeout=10, check_same_thread=False))
        if not database._has("meta"):
            database.close()
            return None
        database._check_version()
        database._add("TEMP")
        return database

    def _has(self, name: str) -> bool:
        """Whether there is a table or an index of this name."""
        return self.row("SELECT 1 FROM sqlite_master WHERE name = ?", name) is not None

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def pin(self) -> None:
        """See the index as it is now until it is closed, whatever is written meanwhile, and in whatever thread."""
        self.rows("BEGIN")
        self.row("SELECT 1 FROM meta")

    def _prepare(self, *, check: bool = False) -> None:
        faults = self.row("PRAGMA quick_check(1)") if check else None
        if faults is not None and faults[0] != "ok":
            raise IndexDamagedError(f"the index is damaged ({faults[0].splitlines()[-1]}): {_REMEDY}")
        with self.transaction():
            if not self._has("meta"):
                for statement in SCHEMA.split(";\n"):
                    self._connection.execute(statement)
                self.note("schema", str(VERSION))
            self._add("")
            for statement in ENSURED.split("\n\n"):
                self._connection.execute(statement)
            self._ensure_triggers()
            if self._has(CAME):
                self._connection.execute(COMES.format("TRUE"))
                self._connection.execute(f"DROP INDEX {CAME}")
            if self.noted(TALLIED) is None:
                for statement in TALLY:
                    self._connection.execute(statement)
                self.note(TALLIED, "yes")
        self._check_version()

    def _add(self, temp: str) -> None:
        """Make the tables that an index of an earlier attachsync lacks; beside a daemon, empty ones of our own."""
        have = {row["name"] for row in self.each("SELECT name FROM sqlite_master WHERE type = 'table'")}
        for name, columns in LATER.items():
            if name not in have:
                self._connection.execute(f"CREATE {temp} TABLE {name} {columns}")

    def _ensure_triggers(self) -> None:
        rows = self.each("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        made = {row["name"]: row["sql"] for row in rows}
        for name, does in TRIGGERS.items():
            sql = f"CREATE TRIGGER {name} {does}"
            if made.get(name) != sql:
                self._connection.execute(f"DROP TRIGGER IF EXISTS {name}")
                self._connection.execute(sql)

    def _check_version(self) -> None:
        found = self.noted("schema")
        if found != str(VERSION):
            raise StorageError(
                f"the index is of version {found}; this attachsync knows {VERSION}: use the one that made it"
            )

    @contextlib.contextmanager
    def transaction(self, *, durable: bool = False) -> Iterator[None]:
        """All or nothing. `durable`: on the disk, power loss included, when it ends (the journal of uploads)."""
        if self._depth:
            yield
            return
        self._depth += 1
        try:
            self._be_durable(durable)
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise _of_the_disk(error, "written") or error from error
        finally:
            self._depth -= 1

    def _be_durable(self, durable: bool) -> None:
        """Have what is committed from now on be on the disk at once, or not."""
        if durable is not self._durable:
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._durable = durable

    @contextlib.contextmanager
    def moment(self) -> Iterator[None]:
        """All that is read inside is of one moment, whatever a daemon writes meanwhile."""
        if self._connection.in_transaction:
            yield
            return
        self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.execute("ROLLBACK")

    def rows(self, sql: str, *values: object) -> list[sqlite3.Row]:
        """All rows of a query."""
        return list(self.each(sql, *values))

    def each(self, sql: str, *values: object) -> Iterator[sqlite3.Row]:
        """The rows of a query as they come: memory does not grow with their number. Raises StorageError."""
        try:
            cursor = self._connection.execute(sql, values)
            while (row := cursor.fetchone()) is not None:
                yield row
        except sqlite3.DatabaseError as error:
            raise _of_the_disk(error, "read") or error from error

    def row(self, sql: str, *values: object) -> sqlite3.Row | None:
        """The first row of a query, if any."""
        try:
            row: sqlite3.Row | None = self._connection.execute(sql, values).fetchone()
        except sqlite3.DatabaseError as error:
            raise _of_the_disk(error, "read") or error from error
        return row

    def run(self, sql: str, *values: object) -> int:
        """Execute one statement; how many rows it changed."""
        if self._depth:  # what goes wrong is told where the transaction ends
            return self._connection.execute(sql, values).rowcount
        with self.transaction():
            return self._connection.execute(sql, values).rowcount

    def many(self, sql: str, rows: Collection[Sequence[object]]) -> int:
        """Execute one statement for each of many rows of values, all or nothing; how many rows they changed."""
        with self.transaction():
            return self._connection.executemany(sql, rows).rowcount

    def date(self) -> None:
        """What this transaction does to `shown` and `state` of attachments happens now."""
        self.run(DATED)

    def note(self, key: str, value: str) -> None:
        """Keep a small fact about the mirror."""
        self.run("INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", key, value)

    def noted(self, key: str) -> str | None:
        """A fact kept by `note`."""
        found = self.row("SELECT value FROM meta WHERE key = ?", key)
        return None if found is None else str(found["value"])


def _of_the_disk(error: sqlite3.DatabaseError, what: str) -> StorageError | None:
    """The disk's refusal that an error stands for; None for a wrong statement, which is our own mistake."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if code & 0xFF in _DAMAGED:
        return IndexDamagedError(f"the index is damaged ({error}): {_REMEDY}")
    return None if code == sqlite3.SQLITE_ERROR else StorageError(f"the index cannot be {what}: {error}")

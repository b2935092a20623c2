"""The tables of the index. Only this package speaks SQL."""

VERSION = 1

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- What is known upstream. A row without a digest is work to do; there is no other queue.
CREATE TABLE attachment (
    id          INTEGER PRIMARY KEY,
    account     TEXT NOT NULL,
    track       TEXT NOT NULL,
    key         TEXT NOT NULL,
    version     TEXT NOT NULL,
    wanted      TEXT NOT NULL,            -- JSON list: folders of ours, then the name as the service gave it
    media_type  TEXT,
    size        INTEGER,
    stated      TEXT,                     -- the SHA-256 that the service states
    content     TEXT,                     -- identity of immutable content within the account
    meta        TEXT NOT NULL,            -- in indexes of earlier versions, what `listing` says
    record      TEXT NOT NULL DEFAULT '{}',  -- what the service's own record said (JSON)
    state       TEXT NOT NULL DEFAULT 'waiting',
    reason      TEXT NOT NULL DEFAULT '',
    digest      TEXT,                     -- SHA-256 of the bytes of this version, once they are stored and shown
    path        TEXT,                     -- what is shown in the mirror, relative to it
    shown       TEXT,                     -- the digest that `path` shows; of an older version while a new one is due
    kept        INTEGER NOT NULL DEFAULT 1,  -- 0: removed on purpose, or over before it began; not fetched again
    withdrawn   INTEGER NOT NULL DEFAULT 0,  -- 1: `path` is to leave files/, and may not have yet
    failures    INTEGER NOT NULL DEFAULT 0,  -- in a row; of a row with a digest: to read what may have changed
    retry_at    REAL NOT NULL DEFAULT 0,
    check_at    REAL,                     -- when to ask the service's record again
    attempted   INTEGER NOT NULL DEFAULT 0,  -- the last pass that took this row up by itself
    listed_at   REAL NOT NULL,
    mirrored_at REAL,
    UNIQUE (track, key)
);
-- Rows are wide: an index that has all a query asks for spares reading them.
CREATE INDEX attachment_work ON attachment (account, attempted, id, retry_at, track) WHERE digest IS NULL AND kept;
CREATE INDEX attachment_check ON attachment (account, check_at, track)
    WHERE check_at IS NOT NULL AND digest IS NOT NULL;
CREATE INDEX attachment_state ON attachment (track, kept, state);
CREATE INDEX attachment_digest ON attachment (digest, size) WHERE digest IS NOT NULL;
CREATE INDEX attachment_shown ON attachment (shown) WHERE shown IS NOT NULL;
CREATE INDEX attachment_content ON attachment (account, content) WHERE digest IS NOT NULL;
CREATE INDEX attachment_path ON attachment (path, shown) WHERE path IS NOT NULL;

-- What an attachment's content was before it changed.
CREATE TABLE past (
    attachment  INTEGER NOT NULL,
    digest      TEXT NOT NULL,
    path        TEXT NOT NULL,
    mirrored_at REAL,
    replaced_at REAL NOT NULL
);
CREATE INDEX past_attachment ON past (attachment);
CREATE INDEX past_digest ON past (digest);

-- Who may use which name: the first seen keeps it. `fold` is the path as a case-blind file system sees it.
CREATE TABLE name (
    fold   TEXT PRIMARY KEY,
    path   TEXT NOT NULL,
    owner  TEXT NOT NULL,                 -- account and key
    wanted TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX name_owner ON name (owner);

CREATE TABLE cursor (track TEXT, feed TEXT, value TEXT NOT NULL, PRIMARY KEY (track, feed)) WITHOUT ROWID;

CREATE TABLE track (
    name        TEXT PRIMARY KEY,
    account     TEXT NOT NULL,
    fingerprint TEXT NOT NULL,            -- of the keys that decide what is listed; a change begins the listing anew
    rules       TEXT NOT NULL,            -- of the keys that decide what is shown; a change has all looked at again
    started_at  REAL,                     -- of the last pass that ended
    ended_at    REAL,
    complete_at REAL,                     -- end of the last pass whose listing was whole
    error       TEXT NOT NULL DEFAULT '',
    error_since REAL
) WITHOUT ROWID;

-- The journal of what is sent. `state`: sending, uploaded, posting, filing; held; sent, failed, dropped are the end.
CREATE TABLE upload (
    id              INTEGER PRIMARY KEY,
    outbox          TEXT NOT NULL,
    name            TEXT NOT NULL,        -- path within the outbox
    ticket          TEXT NOT NULL UNIQUE,
    sha256          TEXT NOT NULL,
    size            INTEGER NOT NULL,
    media_type      TEXT NOT NULL,
    state           TEXT NOT NULL,
    attempts        INTEGER NOT NULL DEFAULT 0,
    unknown         INTEGER NOT NULL DEFAULT 0,   -- attempts whose outcome is unknown
    strikes         INTEGER NOT NULL DEFAULT 0,   -- of these, since a person last looked at it
    receipt         TEXT NOT NULL DEFAULT '{}',
    filed_as        TEXT,                 -- path below sent/ or failed/, decided before it is written
    error           TEXT NOT NULL DEFAULT '',
    retry_at        REAL NOT NULL DEFAULT 0,
    attempted_at    REAL,
    updated_at      REAL NOT NULL
);
CREATE UNIQUE INDEX upload_open ON upload (outbox, name) WHERE state NOT IN ('sent', 'failed', 'dropped');
CREATE INDEX upload_state ON upload (outbox, state);

-- Deletions that wait for `outbox confirm`.
CREATE TABLE deletion (outbox TEXT, name TEXT, held_at REAL NOT NULL, confirmed INTEGER NOT NULL DEFAULT 0,
                       PRIMARY KEY (outbox, name)) WITHOUT ROWID;
"""

LATER = {
    # What the listing said of an attachment (JSON, keys sorted): apart from its row, which is written several times.
    "listing": "(attachment INTEGER PRIMARY KEY, meta TEXT NOT NULL)",
    # The change feed: what `follow` shows and hooks are told, in order. Filled by triggers, so with what it tells of.
    # The newest are always kept, so no number comes twice.
    "change": """(seq INTEGER PRIMARY KEY, at REAL NOT NULL, event TEXT NOT NULL, attachment INTEGER,
                 upload INTEGER, path TEXT, sha256 TEXT, size INTEGER, reason TEXT NOT NULL DEFAULT '')""",
    # When the bytes of a digest were last re-hashed, and good (`verify` and the daemon's scrub).
    "checked": "(digest TEXT PRIMARY KEY, at REAL NOT NULL) WITHOUT ROWID",
    # Since when a track, or a file that no attachment shows, is untracked; `what` is its name or its path.
    "untracked": "(kind TEXT, what TEXT, since REAL NOT NULL, PRIMARY KEY (kind, what)) WITHOUT ROWID",
    # Bytes that are to leave the store unless something shows them: by this a removal that was cut short is finished.
    "leaving": "(digest TEXT PRIMARY KEY) WITHOUT ROWID",
    # Which rule keeps an attachment out, for as long as its state says that one does.
    "refused": "(attachment INTEGER PRIMARY KEY, rule TEXT NOT NULL)",
    # When the first of an upload's `strikes` was.
    "doubt": "(upload INTEGER PRIMARY KEY, since REAL NOT NULL)",
    # Bytes that an attachment is to show, by what its record said: it is found here, and believed where its record says
    # so still.
    "coming": "(attachment INTEGER PRIMARY KEY, digest TEXT NOT NULL)",
    # When it is that what is being written happens, for triggers.
    "moment": "(one INTEGER PRIMARY KEY, at REAL NOT NULL)",
    # What files/ showed when a lost index was made anew. `digest` is NULL where only the bytes themselves can tell.
    "found": "(path TEXT PRIMARY KEY, digest TEXT) WITHOUT ROWID",
    # How many attachments there are, and how much of different content they show: kept by triggers, as counting takes
    # long. They tell nothing unless `meta` has TALLIED.
    "tally": """(track TEXT, kept INTEGER, state TEXT, n INTEGER, PRIMARY KEY (track, kept, state))
             WITHOUT ROWID""",
    "total": "(objects INTEGER NOT NULL, bytes INTEGER NOT NULL)",
}
"""Tables, and their columns, that an index of an earlier attachsync may lack: they are made when it is opened."""

_NOW = "(julianday('now') - 2440587.5) * 86400.0"
_DATE = "coalesce((SELECT at FROM moment), NEW.listed_at)"
_INSERT = "INSERT INTO change (at, event, {}, path, sha256, size, reason)"
_ONE_MORE = """INSERT INTO tally VALUES (NEW.track, NEW.kept, NEW.state, 1)
      ON CONFLICT DO UPDATE SET n = n + 1;"""
ENSURED = """
CREATE INDEX IF NOT EXISTS attachment_leaving ON attachment (id) WHERE kept = 0 AND withdrawn;

CREATE INDEX IF NOT EXISTS attachment_outdated ON attachment (track)
    WHERE digest IS NULL AND kept AND shown IS NOT NULL;

CREATE INDEX IF NOT EXISTS attachment_removed ON attachment (account, key) WHERE kept = 0;

CREATE INDEX IF NOT EXISTS attachment_unread ON attachment (track) WHERE digest IS NOT NULL AND failures > 0;

CREATE INDEX IF NOT EXISTS coming_digest ON coming (digest);
"""
"""What an index of an earlier attachsync may lack besides: made whenever the index is opened for writing."""

CAME = "attachment_came"
"""An index that an earlier attachsync had, by which it found what is in `coming` now."""
COMES = """INSERT OR REPLACE INTO coming SELECT id, json_extract(record, '$.sha256') FROM attachment
           WHERE json_extract(record, '$.sha256') IS NOT NULL AND json_extract(record, '$.size') IS NOT NULL
           AND digest IS NULL AND kept AND {}"""
"""Said of rows of which `digest` has become NULL, or `record` another."""

DATED = f"INSERT OR REPLACE INTO moment VALUES (1, {_NOW})"
"""Said once in a transaction that changes `shown` or `state` of attachments, before it does."""
TRIGGERS = {
    "change_shown": f"""AFTER UPDATE OF shown ON attachment
WHEN NEW.shown IS NOT NULL AND NEW.kept AND (OLD.shown IS NULL OR OLD.shown <> NEW.shown OR OLD.path <> NEW.path)
BEGIN {_INSERT.format("attachment")}
      SELECT {_DATE}, iif(OLD.shown IS NULL, 'mirrored', 'changed'), NEW.id, NEW.path, NEW.shown, NEW.size, '';
END""",
    "change_state": f"""AFTER UPDATE OF state ON attachment
WHEN NEW.state <> OLD.state AND NEW.state NOT IN ('stored', 'waiting')
BEGIN {_INSERT.format("attachment")}
      SELECT {_DATE}, iif(NEW.state IN ('gone', 'quarantined'), NEW.state, 'failed'), NEW.id, OLD.path, OLD.shown,
             NEW.size, NEW.reason;
END""",
    "tally_new": f"""AFTER INSERT ON attachment
BEGIN {_ONE_MORE} END""",
    "tally_moved": f"""AFTER UPDATE OF track, kept, state ON attachment
WHEN NEW.state <> OLD.state OR NEW.kept <> OLD.kept OR NEW.track <> OLD.track
BEGIN UPDATE tally SET n = n - 1 WHERE track = OLD.track AND kept = OLD.kept AND state = OLD.state;
      {_ONE_MORE} END""",
    "total_moved": """AFTER UPDATE OF digest ON attachment WHEN NEW.digest IS NOT OLD.digest
BEGIN UPDATE total SET objects = objects - 1, bytes = bytes - coalesce(OLD.size, 0)
      WHERE OLD.digest IS NOT NULL AND NOT EXISTS (SELECT 1 FROM attachment WHERE digest = OLD.digest);
      UPDATE total SET objects = objects + 1, bytes = bytes + coalesce(NEW.size, 0) WHERE NEW.digest IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM attachment WHERE digest = NEW.digest AND id <> NEW.id);
END""",
    "change_upload": f"""AFTER UPDATE OF state ON upload
WHEN NEW.state <> OLD.state AND NEW.state IN ('sent', 'failed')
BEGIN {_INSERT.format("upload")}
      SELECT {_NOW}, NEW.state, NEW.id, NEW.filed_as, NEW.sha256, NEW.size, NEW.error;
END""",
}
"""Made whenever the index is opened for writing, and in place of those of an earlier attachsync.

Those of `attachment` call no function, what they update is not NOT NULL, and what writes many of its rows says OR FAIL:
else SQLite would keep a journal for each row, as if it could be undone alone, which takes half as long again. All of a
transaction is undone here.
"""

TALLIED = "tallied"
TALLY = (
    "DELETE FROM tally",
    "INSERT INTO tally SELECT track, kept, state, count(*) FROM attachment GROUP BY track, kept, state",
    "DELETE FROM total",
    """INSERT INTO total SELECT count(*), coalesce(sum(size), 0) FROM
       (SELECT max(size) AS size FROM attachment WHERE digest IS NOT NULL GROUP BY digest)""",
)
"""Counting all of it, which is done once."""

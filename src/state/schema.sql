-- The state of one account. `user_version` is the version of this layout.
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What a side's store noted of its last listing, so that the next one costs less. Nothing else reads it.
CREATE TABLE listing (
    side  INTEGER PRIMARY KEY,
    noted BLOB NOT NULL
) STRICT;

-- A pair of folders. `*_wire` is the store's own name, verbatim; `*_name` the text form of the name people see.
CREATE TABLE folder (
    id                INTEGER PRIMARY KEY,
    local_wire        BLOB NOT NULL UNIQUE,
    remote_wire       BLOB NOT NULL UNIQUE,
    local_name        TEXT NOT NULL,
    remote_name       TEXT NOT NULL,
    role              TEXT,
    -- What the store calls the folder whatever its name: MAILBOXID (RFC 8474).
    local_object      TEXT,
    remote_object     TEXT,
    -- Cursors: where each side stood when everything up to there had been dealt with.
    local_generation  INTEGER,
    local_mark        TEXT,
    local_conclusive  INTEGER,
    remote_generation INTEGER,
    remote_mark       TEXT,
    remote_conclusive INTEGER,
    -- How many deletions on each side the guard held when the folder was last looked at, and whether it did so because
    -- the whole store had lost its mail.
    local_held        INTEGER NOT NULL DEFAULT 0,
    local_emptied     INTEGER NOT NULL DEFAULT 0,
    remote_held       INTEGER NOT NULL DEFAULT 0,
    remote_emptied    INTEGER NOT NULL DEFAULT 0,
    messages          INTEGER NOT NULL DEFAULT 0,
    unseen            INTEGER NOT NULL DEFAULT 0
) STRICT;

-- A pair of messages, and the flags that each side was last known to have. A key is a UID (INTEGER) or the unique
-- part of a file name (BLOB).
CREATE TABLE message (
    id              INTEGER PRIMARY KEY,
    folder          INTEGER NOT NULL REFERENCES folder ON DELETE CASCADE,
    local           ANY NOT NULL,
    remote          ANY NOT NULL,
    local_flags     INTEGER NOT NULL,
    local_keywords  TEXT NOT NULL,
    remote_flags    INTEGER NOT NULL,
    remote_keywords TEXT NOT NULL,
    size            INTEGER,
    message_id      TEXT,
    email_id        TEXT,
    hash            BLOB
) STRICT;
-- Not unique: a server that stores equal messages once gives two local files the same UID.
CREATE INDEX message_local ON message (folder, local);
CREATE INDEX message_remote ON message (folder, remote);

-- A copy that was begun: committed before the first byte moves, removed with the commit that confirms it.
CREATE TABLE intent (
    id         INTEGER PRIMARY KEY,
    folder     INTEGER NOT NULL REFERENCES folder ON DELETE CASCADE,
    -- The side that the copy goes to: 0 local, 1 remote.
    side       INTEGER NOT NULL,
    -- The message on the other side.
    source     ANY NOT NULL,
    -- Where it will be: exactly there (1), or at this key or above (0).
    exact      INTEGER NOT NULL,
    mark       ANY NOT NULL,
    flags      INTEGER NOT NULL,
    keywords   TEXT NOT NULL,
    size       INTEGER,
    message_id TEXT,
    hash       BLOB,
    email_id   TEXT,
    -- When, in milliseconds since 1970.
    begun      INTEGER NOT NULL
) STRICT;
CREATE INDEX intent_source ON intent (folder, side, source);

-- A message that could not be copied to the other side: why, and when it is tried again.
CREATE TABLE problem (
    id       INTEGER PRIMARY KEY,
    folder   INTEGER NOT NULL REFERENCES folder ON DELETE CASCADE,
    -- The side that has the message: 0 local, 1 remote; its key there, and the flags that it was last seen with.
    side     INTEGER NOT NULL,
    key      ANY NOT NULL,
    flags    INTEGER NOT NULL,
    keywords TEXT NOT NULL,
    action   TEXT NOT NULL,
    cause    TEXT NOT NULL,
    hint     TEXT,
    tries    INTEGER NOT NULL,
    -- In milliseconds since 1970.
    first    INTEGER NOT NULL,
    last     INTEGER NOT NULL,
    next     INTEGER NOT NULL,
    UNIQUE (folder, side, key)
) STRICT;

-- Messages of a folder are being moved to the trash of their side: no copy there has a key below the mark.
CREATE TABLE discard (
    folder     INTEGER NOT NULL REFERENCES folder ON DELETE CASCADE,
    -- 0 local, 1 remote.
    side       INTEGER NOT NULL,
    -- The trash's, where it is known.
    generation INTEGER,
    mark       ANY NOT NULL,
    -- When, in milliseconds since 1970.
    begun      INTEGER NOT NULL,
    PRIMARY KEY (folder, side)
) STRICT, WITHOUT ROWID;

-- A message that is about to be taken away on a side, because it is gone on the other one.
CREATE TABLE doom (
    pair INTEGER NOT NULL REFERENCES message ON DELETE CASCADE,
    -- 0 local, 1 remote.
    side INTEGER NOT NULL,
    PRIMARY KEY (pair, side)
) STRICT, WITHOUT ROWID;

-- What a folder's pairs add up to, kept with every commit, so that nothing has to be counted.
CREATE TABLE tally (
    folder      INTEGER PRIMARY KEY REFERENCES folder ON DELETE CASCADE,
    -- Pairs, and those whose message is unseen on the remote side.
    messages    INTEGER NOT NULL,
    unseen      INTEGER NOT NULL,
    -- Different keys of each side, and the highest UID that ever was among them.
    local_keys  INTEGER NOT NULL,
    local_top   INTEGER NOT NULL,
    -- Sums over the keys that are names, with their flags: 8 bytes for each part of the names.
    local_sums  BLOB NOT NULL,
    remote_keys INTEGER NOT NULL,
    remote_top  INTEGER NOT NULL,
    remote_sums BLOB NOT NULL
) STRICT;

-- Whoever changes a pair also changes the tally, or it is counted anew.
CREATE TRIGGER message_inserted AFTER INSERT ON message
    BEGIN DELETE FROM tally WHERE folder = new.folder; END;
CREATE TRIGGER message_deleted AFTER DELETE ON message
    BEGIN DELETE FROM tally WHERE folder = old.folder; END;
CREATE TRIGGER message_updated
    AFTER UPDATE OF folder, local, remote, local_flags, local_keywords, remote_flags, remote_keywords ON message
    BEGIN DELETE FROM tally WHERE folder IN (old.folder, new.folder); END;
